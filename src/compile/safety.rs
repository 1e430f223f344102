//! Creating a Host takes nothing from anybody (design D4): outside of the platform's own namespaces, a Host must obey the claim
//! on its names, and without one must not cover a name that an older object of another namespace serves. Its insecure action, its certificate and its selector would
//! decide about their requests.

use std::{borrow::Cow, sync::Arc};

use super::{
    age,
    claim::Claims,
    finding::Findings,
    host::LoweredHost,
    routing::{Named, Routing},
    selector::Selector,
    settings::Settings,
};
use crate::{
    crd::{MappingSpec, gateway_settings::Unclaimed},
    graph::{HostPattern, host::NamePattern},
    report::Code,
    resource::Object,
};

/// Names that somebody serves, and the oldest object that does.
struct Served<'r> {
    names: Cow<'r, str>,
    by: &'r Arc<Object<MappingSpec>>,
    /// Whether these are all the names of the Host, and perhaps more.
    whole: bool,
}

/// Whether a Host takes no name from another namespace; if it does, says from whom. `older` are the Hosts that came before
/// it.
pub(super) fn is_safe(
    host: &LoweredHost,
    older: &[&LoweredHost],
    routing: &Routing,
    (claims, settings): (&Claims, &Settings),
    findings: &mut Findings,
) -> bool {
    let namespace = &host.object.key.namespace;
    let Some(pattern) = &host.pattern else {
        return true;
    };
    if settings.instance_namespaces.contains(namespace) {
        return true;
    }
    if let Some(claim) = claims.on_host(pattern) {
        let is_owner = claim.owners.contains(namespace);
        if !is_owner {
            claim.refuse_host(pattern, namespace, findings);
        }
        return is_owner;
    }
    if settings.unclaimed == Unclaimed::Shared {
        return true;
    }
    let served = routing
        .naming(pattern)
        .filter(|named| !is_walled(named, claims))
        .filter_map(|named| served(&named, pattern, namespace, older));
    let (own, others): (Vec<_>, Vec<_>) =
        served.partition(|served| served.by.key.namespace == *namespace);
    let Some(first) = others.into_iter().min_by_key(|served| age(served.by)) else {
        return true;
    };
    let has_all_of_them = |own: &Served<'_>| own.whole && age(own.by) < age(first.by);
    if age(first.by) > age(&host.object) || own.iter().any(has_all_of_them) {
        return true;
    }
    let by = &first.by.key;
    findings.push(
        Code::Conflict,
        "spec.hostname",
        format!(
            "{by} is older and serves {}, so this Host would take requests of namespace {}",
            first.names, by.namespace
        ),
        "Have that namespace or the platform create the Host, or choose a hostname that nobody else serves",
    );
    false
}

/// Whether no Host of a stranger reaches these names anyway: they are claimed for whoever serves them.
fn is_walled(named: &Named<'_>, claims: &Claims) -> bool {
    match named {
        Named::Pattern(pattern, by) => claims
            .on_host(pattern)
            .is_some_and(|claim| claim.owners.contains(&by.key.namespace)),
        Named::Regex(..) | Named::Selected(..) => false,
    }
}

/// The names of a Host that the Mappings of one hostname serve, if there are any.
fn served<'r>(
    named: &Named<'r>,
    pattern: &HostPattern,
    namespace: &Arc<str>,
    older: &[&'r LoweredHost],
) -> Option<Served<'r>> {
    match named {
        Named::Pattern(other, by) => share_a_name(other, pattern).then(|| Served {
            names: other.to_string().into(),
            by,
            whole: covers(&other.name, &pattern.name),
        }),
        Named::Regex(regex, by) => {
            let may_match = match &pattern.name {
                NamePattern::Exact(name) => regex.regex.is_match(name),
                // Which names an expression and a wildcard have in common nobody can say.
                NamePattern::Any | NamePattern::Suffix(_) | NamePattern::Prefix(_) => true,
            };
            may_match.then(|| Served {
                names: format!("~{}", regex.text).into(),
                by,
                whole: matches!(pattern.name, NamePattern::Exact(_)),
            })
        }
        Named::Selected(selector, by) => {
            let mut hosts = older.iter().filter(|other| {
                let selector: &Arc<Selector> = selector;
                other.selector.as_ref() == Some(selector)
                    && other.object.key.namespace != *namespace
            });
            let through = hosts.find_map(|other| {
                let own = other.pattern.as_ref()?;
                share_a_name(own, pattern).then_some(own)
            })?;
            Some(Served {
                names: through.to_string().into(),
                by,
                whole: covers(&through.name, &pattern.name),
            })
        }
    }
}

/// Whether some name, on whichever port, fits both.
pub(super) fn share_a_name(a: &HostPattern, b: &HostPattern) -> bool {
    let on_any_port = |pattern: &HostPattern| HostPattern {
        name: pattern.name.clone(),
        port: None,
    };
    on_any_port(a).overlaps(&on_any_port(b))
}

/// Whether every name of `inner` is one of `outer`.
pub(super) fn covers(outer: &NamePattern, inner: &NamePattern) -> bool {
    use NamePattern::{Any, Exact, Prefix, Suffix};
    match (outer, inner) {
        (Any, _) => true,
        (Suffix(outer), Suffix(inner)) => inner.ends_with(&**outer),
        (Prefix(outer), Prefix(inner)) => inner.starts_with(&**outer),
        (Exact(_) | Suffix(_) | Prefix(_), Exact(name)) => HostPattern {
            name: outer.clone(),
            port: None,
        }
        .matches(name, None),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_sets_and_ports_do_not_count() {
        for (host, other, shared, covered) in [
            ("x.com", "x.com", true, true),
            ("x.com:8080", "x.com", true, true),
            ("x.com:8080", "x.com:9090", true, true),
            ("x.com", "y.com", false, false),
            ("*.com", "x.com", true, false),
            ("x.com", "*.com", true, true),
            ("*.x.com", "*.com", true, true),
            ("*.com", "*.x.com", true, false),
            ("x.*", "*.com", true, false),
            ("x.y.*", "x.*", true, true),
            ("*", "x.com", true, false),
            ("x.com", "*", true, true),
            ("com", "*.com", false, false),
        ] {
            let [host, other] = [host, other].map(|text| text.parse::<HostPattern>().unwrap());
            assert_eq!(share_a_name(&other, &host), shared, "{host} and {other}");
            assert_eq!(
                covers(&other.name, &host.name),
                covered,
                "{host} in {other}"
            );
        }
    }
}
