//! Whether RouteClaims hold.

use super::{Finding, Row, advice, failed, ok, unknown};
use crate::{
    plugin::{
        facts::{Facts, Known},
        output::many,
        state::State,
        who,
    },
    resource::Kind,
};

fn all(facts: &Facts) -> impl Iterator<Item = &Known> {
    let is_claim = |known: &&Known| known.view.kind == Kind::RouteClaim.name();
    facts.objects.iter().filter(is_claim)
}

/// Those for labels, as they are told.
fn for_labels(facts: &Facts) -> String {
    let found = all(facts).filter(|known| who::selects(facts, &known.view.name));
    let titles: Vec<_> = found.map(|known| known.view.title()).collect();
    titles.join(", ")
}

/// What is wrong with the claims as such.
pub(super) fn row(facts: &Facts) -> Row {
    let broken = all(facts).filter(|known| State::of(known, facts).is_problem());
    let broken: Vec<_> = broken.map(|known| known.view.title()).collect();
    let labels = for_labels(facts);
    let found = if !broken.is_empty() {
        failed(format!("{} have errors", broken.join(", ")))
    } else if let Some(unread) = facts.unread(&[Kind::RouteClaim], "") {
        unknown(unread)
    } else if let (false, Some(unread)) = (labels.is_empty(), facts.unread(&[Kind::Namespace], ""))
    {
        unknown(format!("whose {labels} is goes by labels, and {unread}"))
    } else {
        ok(many(all(facts).count(), "claim"))
    };
    Row::new("claims", found)
}

/// Whether an account may read what makes claims hold.
pub(super) fn walls(facts: &Facts, account: &str, claims: bool, namespaces: bool) -> Finding {
    let labels = for_labels(facts);
    let count = all(facts).count();
    if !claims && count > 0 {
        let claims = many(count, "claim");
        failed(format!(
            "{account} may not read RouteClaims, so none of {claims} holds"
        ))
    } else if !claims {
        advice(format!(
            "{account} may not read RouteClaims, so none would hold"
        ))
    } else if !namespaces && !labels.is_empty() {
        failed(format!(
            "{account} may not list Namespaces, so by its labels nobody has what {labels} claims"
        ))
    } else {
        ok(format!("{account} may read what RouteClaims need"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        plugin::{
            check::Outcome,
            facts::{Answers, Origin, Scope},
            source,
        },
        resource::{Origin as Found, Positions, ResourceSet, decode},
        source::kube::once::Unread,
    };

    fn facts(claims: &[Value]) -> Facts {
        let empty = Facts::for_tests();
        let Answers::Compiled(compiled) = empty.answers else {
            unreachable!("it was compiled here");
        };
        let mut set = ResourceSet::default();
        for (number, spec) in claims.iter().enumerate() {
            let claim = json!({
                "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
                "metadata": {"name": format!("c{number}")}, "spec": spec,
            });
            let decoded = decode::object(&claim, Found::Cluster, "", Positions::default());
            let decode::Decoded::Object(object) = decoded else {
                panic!("a RouteClaim");
            };
            set.insert(object);
        }
        let compiled = source::compiled(set, compiled.options);
        source::facts(compiled, Origin::Cluster, Scope::default())
    }

    fn named() -> Value {
        json!({"hostnames": ["a.com"], "namespaces": {"names": ["a"]}})
    }

    fn labelled() -> Value {
        json!({"hostnames": ["b.com"], "namespaces": {"names": ["b"], "selector": {"matchLabels": {"team": "b"}}}})
    }

    fn unread(kind: Kind, resource: &str) -> Unread {
        Unread {
            kind,
            resource: resource.to_owned(),
            namespace: None,
            except: Vec::new(),
            forbidden: true,
            why: String::new(),
        }
    }

    #[test]
    fn a_claim_with_an_error_or_for_labels_that_nobody_sees_is_told_with_the_claims() {
        use Outcome::{Failed, Ok, Unknown};
        let broken = json!({"hostnames": ["a..com"], "namespaces": {"names": ["a"]}});
        for (claims, hidden, wanted, word) in [
            (vec![], None, Ok, "0 claims"),
            (vec![named(), labelled()], None, Ok, "2 claims"),
            (
                vec![named(), broken],
                None,
                Failed,
                "RouteClaim c1 have errors",
            ),
            (
                vec![named()],
                Some((Kind::Namespace, "namespaces")),
                Ok,
                "1 claim",
            ),
            (
                vec![named(), labelled()],
                Some((Kind::Namespace, "namespaces")),
                Unknown,
                "RouteClaim c1 is goes by labels",
            ),
            (
                vec![],
                Some((Kind::RouteClaim, "routeclaims.postern.dev")),
                Unknown,
                "you may not read routeclaims",
            ),
        ] {
            let mut facts = facts(&claims);
            let hidden = hidden.map(|(kind, resource)| unread(kind, resource));
            facts.unread.extend(hidden);
            let row = row(&facts);
            assert_eq!(row.result, wanted, "{}", row.what);
            assert!(row.what.contains(word), "{}", row.what);
            assert_eq!(row.remedy.is_empty(), wanted == Ok);
        }
    }

    #[test]
    fn claims_hold_where_the_account_of_the_pods_may_read_what_they_need() {
        use Outcome::{Advice, Failed, Ok};
        for (claims, may, wanted) in [
            (vec![], [true, true], Ok),
            (vec![], [false, false], Advice),
            (vec![named()], [false, true], Failed),
            (vec![named()], [true, false], Ok),
            (vec![named(), labelled()], [true, true], Ok),
            (vec![named(), labelled()], [true, false], Failed),
        ] {
            let (result, what) = walls(&facts(&claims), "postern", may[0], may[1]);
            assert_eq!(result, wanted, "{claims:?} {may:?}: {what}");
        }
    }
}
