//! Creating a Host takes nothing from anybody (design D4): outside of the platform's own namespaces, a Host must obey the claim
//! on its names, and without one must not cover a name that an older object of another namespace serves. Its insecure action, its certificate and its selector would
//! decide about their requests.

use std::sync::Arc;

use super::{
    age,
    claim::{Claims, Say},
    finding::Findings,
    host::LoweredHost,
    routing::{Named, Routing},
    selector::Selector,
    settings::Settings,
    walls,
};
use crate::{
    crd::gateway_settings::Unclaimed,
    graph::{HostPattern, host::NamePattern},
    report::Code,
    resource::Mapping,
};

/// The oldest object that serves some names.
struct Served<'r> {
    by: &'r Arc<Mapping>,
    /// Whether these are all the names of the Host, and perhaps more.
    whole: bool,
}

/// Which of its names a Host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// Those that claims give its namespace, below a wildcard that somebody else was first to come for.
    Claimed,
    None,
}

/// Which of its names a Host may have without taking any from another namespace; says from whom it would. `older` are the
/// Hosts that came before it.
pub(super) fn extent(
    host: &LoweredHost,
    older: &[&LoweredHost],
    routing: &Routing,
    (claims, settings): (&Claims, &Settings),
    findings: &mut Findings,
) -> Extent {
    let namespace = &host.object.key.namespace;
    let Some(pattern) = &host.pattern else {
        return Extent::None;
    };
    if settings.instance_namespaces.contains(namespace) {
        return Extent::All;
    }
    match claims.deciders(pattern).say(namespace) {
        Say::Yes => return Extent::All,
        Say::No(claim, part) => {
            claim.refuse_host(pattern, part, namespace, findings);
            return Extent::None;
        }
        Say::Nothing => {}
    }
    if settings.unclaimed == Unclaimed::Shared {
        return Extent::All;
    }
    let Some(first) = taken_from(host, pattern, older, routing, claims) else {
        return Extent::All;
    };
    let (extent, code) = if walls::has_own(host, claims, settings) {
        (Extent::Claimed, Code::PartlyConflict)
    } else {
        (Extent::None, Code::Conflict)
    };
    let by = &first.by.key;
    findings.push(
        code,
        "spec.hostname",
        format!(
            "{by} is older and serves names of {pattern}, so this Host would take requests of namespace {}",
            by.namespace
        ),
        "Have that namespace or the platform create the Host, or choose a hostname that nobody else serves",
    );
    extent
}

/// The first of the others whose names a Host would take.
fn taken_from<'r>(
    host: &LoweredHost,
    pattern: &HostPattern,
    older: &[&'r LoweredHost],
    routing: &'r Routing,
    claims: &Claims,
) -> Option<Served<'r>> {
    let namespace = &host.object.key.namespace;
    let served = routing.naming(pattern).filter_map(|named| {
        let served = served(&named, (pattern, namespace), older, claims)?;
        (!is_walled(&named, claims)).then_some(served)
    });
    let (own, others): (Vec<_>, Vec<_>) =
        served.partition(|served| served.by.key.namespace == *namespace);
    let first = others.into_iter().min_by_key(|served| age(served.by))?;
    let has_all_of_them = |own: &Served<'_>| own.whole && age(own.by) < age(first.by);
    let is_first = age(first.by) > age(&host.object) || own.iter().any(has_all_of_them);
    (!is_first).then_some(first)
}

/// Whether claims alone decide about the Host of these names, whoever serves them.
fn is_walled(named: &Named<'_>, claims: &Claims) -> bool {
    match named {
        Named::Pattern(pattern, _) => claims.deciders(pattern).is_any(),
        Named::Regex(..) | Named::Selected(..) => false,
    }
}

/// The names of a Host that the Mappings of one hostname serve, if there are any.
fn served<'r>(
    named: &Named<'r>,
    (pattern, namespace): (&HostPattern, &Arc<str>),
    older: &[&'r LoweredHost],
    claims: &Claims,
) -> Option<Served<'r>> {
    match named {
        Named::Pattern(other, by) => share_a_name(other, pattern).then(|| Served {
            by,
            whole: covers(&other.name, &pattern.name),
        }),
        Named::Regex(regex, by) => {
            let may_match = match &pattern.name {
                NamePattern::Exact(name) => regex.regex.is_match(name),
                // Which names an expression and a wildcard have in common nobody can say.
                NamePattern::Any | NamePattern::Suffix(_) | NamePattern::Prefix(_) => true,
            };
            may_match.then_some(Served {
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
                let takes = share_a_name(own, pattern) && !claims.deciders(own).is_any();
                takes.then_some(own)
            })?;
            Some(Served {
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
