//! What is said of a Service to who refers to it from another namespace: that it cannot be dialled, and not what is in it.

use super::ServiceName;
use crate::{compile::finding::Findings, report::Code, resource::ObjectKey};

/// Adds what was found about a Service, as far as it is for who refers to it to know.
pub(super) fn tell(
    from: &ObjectKey,
    service: &ServiceName,
    found: Findings,
    findings: &mut Findings,
) {
    let is_own = from.namespace == service.namespace;
    for mut finding in found.0 {
        let told = match finding.code {
            _ if is_own => None,
            Code::PortNotFound => Some("does not have that port"),
            Code::AddressRefused => Some("stands for a name that is never dialled from a cluster"),
            Code::ExternalNotAllowed => Some(
                "stands for a name outside of the cluster, and the GatewaySettings do not allow it",
            ),
            Code::InvalidService => Some("stands for a name inside of the cluster"),
            _ => None,
        };
        if let Some(told) = told {
            finding.message = format!("Service {service} {told}");
            finding.next = format!("Ask whoever has namespace {}", service.namespace);
        }
        findings.0.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::Diagnostic,
        resource::{Group, Kind},
    };

    fn only(found: Diagnostic) -> Findings {
        Findings([found].into_iter().collect())
    }

    #[test]
    fn what_is_in_a_service_is_told_in_its_own_namespace_only() {
        let service = ServiceName {
            namespace: "theirs".into(),
            name: "s".into(),
        };
        let asked = [
            Code::PortNotFound,
            Code::AddressRefused,
            Code::ExternalNotAllowed,
            Code::InvalidService,
        ];
        for (namespace, is_told) in [("theirs", true), ("own", false)] {
            let from = ObjectKey::new(Group::Postern, Kind::Mapping, namespace, "m");
            for code in asked {
                let found = Diagnostic::new(code, "spec.service", "it has 81 (secret)", "secret");
                let mut findings = Findings::default();
                tell(&from, &service, only(found), &mut findings);
                let [found] = &findings.0[..] else {
                    panic!("{code} must be told");
                };
                assert_eq!(found.code, code);
                let said = format!("{} {}", found.message, found.next);
                assert_eq!(said.contains("secret"), is_told, "{said}");
            }
            let kept = Diagnostic::new(
                Code::ServiceNotFound,
                "",
                "Service theirs/s does not exist",
                "",
            );
            let mut findings = Findings::default();
            tell(&from, &service, only(kept.clone()), &mut findings);
            assert_eq!(*findings.0, [kept]);
        }
    }
}
