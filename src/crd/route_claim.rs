//! The RouteClaim: which namespaces may route which hostnames and paths, as the platform team decides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    rule::Rule,
    schema::{Spec, made_once},
};

/// Gives hostnames and paths to namespaces. A claim is a wall: a request to what it covers is served by the routes of its
/// namespaces and by no other. Of several claims for a request the one with the most specific hostname counts, then the one
/// with the longest path. Cluster-scoped, and the same for every installation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteClaimSpec {
    /// The hostnames: `shop.example.com`, `*.example.com` for everything below it, or `*` for every name. Without ports: a
    /// claim holds on all of them. One of this and `ports` is required.
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub hostnames: Option<Vec<String>>,
    /// The paths, each with everything below it, by whole segments: `/cart` and `/cart/` are for `/cart` and `/cart/1` and not
    /// for `/cartoon`. Compared byte for byte with the canonical path of a request. Default: `[/]`.
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub paths: Option<Vec<String>>,
    /// Ports of Listeners, for TCPMappings: with them only these namespaces route TCP there, whatever its `host`. A claimed hostname
    /// keeps TCPMappings of others from the connections that ask for it, on every port. Default: none.
    #[schemars(length(max = 64), inner(range(min = 1, max = 65535)))]
    pub ports: Option<Vec<i32>>,
    /// Who may route there: the namespaces of both lists together. Required.
    pub namespaces: Option<ClaimNamespaces>,
    /// Whom to ask: one line for people, shown to those who are refused. Default: none.
    #[schemars(length(max = 256))]
    pub contact: Option<String>,
}

/// Namespaces by name and by label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimNamespaces {
    /// Their names. Default: none.
    #[schemars(length(max = 256), inner(length(max = 63)))]
    pub names: Option<Vec<String>>,
    /// The labels that they must have, one requirement at least. Default: none.
    pub selector: Option<NamespaceSelector>,
}

/// Labels that a namespace must have, as in every label selector of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceSelector {
    /// Labels with their values; all must be there. Default: none.
    #[schemars(extend("maxProperties" = 32))]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements; all must hold. Default: none.
    #[schemars(length(max = 32))]
    pub match_expressions: Option<Vec<LabelRequirement>>,
}

/// A requirement on one label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelRequirement {
    /// The label. Required.
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// How it is compared. Required.
    pub operator: Option<LabelOperator>,
    /// What it is compared with, for `In` and `NotIn`. Default: none.
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Option<Vec<String>>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It is absent, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl NamespaceSelector {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        let labels = self.match_labels.as_ref();
        let expressions = self.match_expressions.as_ref();
        labels.is_none_or(BTreeMap::is_empty) && expressions.is_none_or(Vec::is_empty)
    }
}

impl Spec for RouteClaimSpec {
    const REQUIRED: &'static [&'static str] = &[
        "namespaces",
        "namespaces.selector.matchExpressions.*.key",
        "namespaces.selector.matchExpressions.*.operator",
    ];
    const RULES: &'static [Rule<Self>] = super::rule::ROUTE_CLAIM;

    made_once!(RouteClaimSpec);
}
