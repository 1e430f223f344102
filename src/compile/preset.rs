//! The preset for a running installation of Emissary-ingress: what it decides, and which setting turns each of it back.

use super::{
    finding::Findings,
    settings::{Instance, Settings},
};
use crate::{
    crd::{
        GatewaySettingsSpec,
        gateway_settings::{DefaultHost, Unclaimed},
    },
    report::Code,
};

/// One thing that the preset decides.
struct Row {
    /// The setting, as a path below `spec`.
    setting: &'static str,
    /// The value that it would have without the preset.
    back: &'static str,
    /// What is so with the preset.
    effect: &'static str,
    says: fn(&GatewaySettingsSpec) -> bool,
    flip: fn(&mut Settings),
}

/// The setting that gives way to claims.
const INSTANCE: &str = "instanceNamespaces";

const EMISSARY: &[Row] = &[
    Row {
        setting: "ownership.unclaimed",
        back: "FirstCome",
        effect: "equal matches of different namespaces share the requests",
        says: |spec| {
            spec.ownership
                .as_ref()
                .is_some_and(|said| said.unclaimed.is_some())
        },
        flip: |settings| settings.unclaimed = Unclaimed::Shared,
    },
    Row {
        setting: "defaultHost",
        back: "Always",
        effect: "names without a Host are served only as long as there is no Host at all",
        says: |spec| spec.default_host.is_some(),
        flip: |settings| settings.default_host = DefaultHost::Auto,
    },
    Row {
        setting: "references.services",
        back: "RequireGrant",
        effect: "Services of other namespaces may be referred to without a ReferenceGrant",
        says: |spec| {
            spec.references
                .as_ref()
                .is_some_and(|said| said.services.is_some())
        },
        flip: |settings| settings.services_allowed = true,
    },
    Row {
        setting: INSTANCE,
        back: "[]",
        effect: "Listeners, Modules and other objects for the whole installation are read from every namespace, as long as there is no RouteClaim",
        says: |spec| spec.instance_namespaces.is_some(),
        flip: |settings| settings.instance = Instance::Anywhere,
    },
    Row {
        setting: "paths.mergeSlashes",
        back: "true",
        effect: "`//` in a path stays as it is",
        says: |spec| {
            spec.paths
                .as_ref()
                .is_some_and(|said| said.merge_slashes.is_some())
        },
        flip: |settings| settings.requests.merge_slashes = false,
    },
    Row {
        setting: "paths.allowEscapedSlashes",
        back: "false",
        effect: "`%2F` in a path is let through",
        says: |spec| {
            spec.paths
                .as_ref()
                .is_some_and(|said| said.allow_escaped_slashes.is_some())
        },
        flip: |settings| settings.requests.allow_escaped_slashes = true,
    },
    Row {
        setting: "headers.underscores",
        back: "Reject",
        effect: "names of headers may have `_`",
        says: |spec| {
            spec.headers
                .as_ref()
                .is_some_and(|said| said.underscores.is_some())
        },
        flip: |settings| settings.requests.allow_underscores = true,
    },
    Row {
        setting: "upstreamTls.verification",
        back: "Always",
        effect: "certificates of upstreams are verified only where a TLSContext names their authority",
        says: |spec| {
            spec.upstream_tls
                .as_ref()
                .is_some_and(|said| said.verification.is_some())
        },
        flip: |settings| settings.verifies_with_authority_only = true,
    },
    Row {
        setting: "insecureRedirect",
        back: "EveryPath",
        effect: "requests without TLS that no Mapping matches are answered with 404 instead of redirected",
        says: |spec| spec.insecure_redirect.is_some(),
        flip: |settings| settings.redirects_matched_only = true,
    },
    Row {
        setting: "envoyHeaders",
        back: "false",
        effect: "`x-envoy-*` headers are written, and responses come from the server `envoy`",
        says: |spec| spec.envoy_headers.is_some(),
        flip: |settings| settings.write_envoy_headers(true),
    },
];

/// Decides what the settings say nothing about, and tells each of it. What cannot be read stays at its strictest. Where there
/// are claims, it makes nobody the platform.
pub(super) fn apply(
    spec: &GatewaySettingsSpec,
    is_claimed: bool,
    settings: &mut Settings,
    findings: &mut Findings,
) {
    let is_open =
        |row: &&Row| !(row.says)(spec) && !findings.is_unreadable(&format!("spec.{}", row.setting));
    let open: Vec<_> = EMISSARY.iter().filter(is_open).collect();
    for row in open {
        if is_claimed && row.setting == INSTANCE {
            settings.instance = Instance::GivesWay;
            findings.push(
                Code::PresetGivesWay,
                "spec.preset",
                "The preset reads Listeners, Modules and other objects for the whole installation from every namespace only as long as there is no RouteClaim, and there is one",
                "Name the namespaces of the platform that hold such objects in `instanceNamespaces`; `[]` if there are none",
            );
            continue;
        }
        (row.flip)(settings);
        findings.push(
            Code::PresetDecides,
            "spec.preset",
            format!("The preset decides `{}`: {}", row.setting, row.effect),
            format!("`{}: {}` turns it back", row.setting, row.back),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::schema::{Spelling, read};

    /// Without the preset, the setting as its row would turn it back is the same as nothing.
    #[test]
    fn every_row_is_turned_back_by_the_setting_that_it_names() {
        for row in EMISSARY {
            let back: serde_json::Value = match row.back {
                "[]" => json!([]),
                "true" => json!(true),
                "false" => json!(false),
                word => json!(word),
            };
            let spec = row
                .setting
                .rsplit('.')
                .fold(back, |value, name| json!({ name: value }));
            let (spec, problems) = read::<GatewaySettingsSpec>(spec, Spelling::Camel);
            assert_eq!(problems, [], "{}", row.setting);
            assert!((row.says)(&spec), "{}", row.setting);
            let others = EMISSARY.iter().filter(|other| other.setting != row.setting);
            assert!(
                others.clone().all(|other| !(other.says)(&spec)),
                "{}",
                row.setting
            );
        }
    }
}
