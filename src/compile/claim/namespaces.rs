//! Whom a claim is for: namespaces by name and by label.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    compile::finding::Findings,
    crd::{
        RouteClaimSpec,
        route_claim::{LabelOperator, LabelRequirement, NamespaceSelector},
    },
    report::Code,
    resource::{Kind, ResourceSet, Unavailable},
};

/// The label that the API server gives every namespace; in a folder nobody does.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The namespaces of a claim. Of what cannot be read there are none: the claim stays a wall.
pub(super) fn owners(
    spec: &RouteClaimSpec,
    resources: &ResourceSet,
    findings: &mut Findings,
) -> BTreeSet<Arc<str>> {
    let mut owners = BTreeSet::new();
    let namespaces = spec.namespaces.as_ref();
    let names = namespaces.and_then(|namespaces| namespaces.names.as_ref());
    owners.extend(names.into_iter().flatten().map(|name| Arc::from(&**name)));
    let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
    if let Some(selector) = selector
        && !findings.is_unreadable("spec.namespaces.selector")
    {
        let is_blind = resources.unavailable.get(&Kind::Namespace) == Some(&Unavailable::Forbidden);
        if is_blind && !asks_for_names(selector) {
            tell_of_labels(&owners, findings);
        } else {
            let all = resources.namespaces.values();
            let selected = all
                .filter(|namespace| selects(selector, &namespace.key.name, &namespace.meta.labels));
            owners.extend(selected.map(|namespace| Arc::from(&*namespace.key.name)));
        }
    }
    let is_told = !findings.is_unreadable("spec.namespaces") && !are_unseen(spec, resources);
    if owners.is_empty() && is_told {
        findings.push(
            Code::NobodyClaims,
            "spec.namespaces",
            "No namespace is named or has the labels, so nobody can route there",
            "Name a namespace, or give one the labels",
        );
    }
    owners
}

/// Says that the labels of namespaces are not known here. None of them is chosen: a selector that asks for the absence of a label must
/// not open a wall.
fn tell_of_labels(named: &BTreeSet<Arc<str>>, findings: &mut Findings) {
    let rest = if named.is_empty() {
        "nobody can route there"
    } else {
        "only the namespaces that it names can route there"
    };
    findings.push(
        Code::NamespacesNotRead,
        "spec.namespaces.selector",
        format!("Namespaces may not be read by this installation, so none is chosen by its labels and {rest}"),
        "Bind the ClusterRole that reads Namespaces, or name the namespaces",
    );
}

/// Whether a selector asks for nothing but what a namespace is called.
fn asks_for_names(selector: &NamespaceSelector) -> bool {
    let mut exact = selector.match_labels.iter().flatten();
    let mut rest = selector.match_expressions.iter().flatten();
    exact.all(|(key, _)| key == NAME_LABEL)
        && rest.all(|requirement| requirement.key.as_deref() == Some(NAME_LABEL))
}

/// Whether it is for labels, and namespaces may not be read.
pub(super) fn are_unseen(spec: &RouteClaimSpec, resources: &ResourceSet) -> bool {
    let namespaces = spec.namespaces.as_ref();
    namespaces.is_some_and(|namespaces| namespaces.selector.is_some())
        && resources.unavailable.contains_key(&Kind::Namespace)
}

fn selects(selector: &NamespaceSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let label = |key: &str| match labels.get(key) {
        Some(value) => Some(value.as_str()),
        None => (key == NAME_LABEL).then_some(name),
    };
    let mut exact = selector.match_labels.iter().flatten();
    let mut rest = selector.match_expressions.iter().flatten();
    exact.all(|(key, value)| label(key) == Some(value))
        && rest.all(|requirement| holds(requirement, label))
}

fn holds<'l>(requirement: &LabelRequirement, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    let Some(key) = &requirement.key else {
        return false;
    };
    let value = label(key);
    let is_one_of = || {
        let mut values = requirement.values.iter().flatten();
        value.is_some_and(|value| values.any(|one| one == value))
    };
    match requirement.operator {
        Some(LabelOperator::In) => is_one_of(),
        Some(LabelOperator::NotIn) => !is_one_of(),
        Some(LabelOperator::Exists) => value.is_some(),
        Some(LabelOperator::DoesNotExist) => value.is_none(),
        None => false,
    }
}
