use std::sync::Arc;

use super::*;
use crate::{
    report::{Code, Diagnostic, ObjectReport},
    resource::{Origin, Revision},
    status::verdict::{self, Rollout},
};

const NOW: &str = "2026-11-25T00:00:00Z";

fn report(group: Group, kind: Kind, code: Option<Code>) -> ObjectReport {
    ObjectReport {
        key: ObjectKey::new(group, kind, "apps", "quote"),
        origin: Origin::Cluster,
        revision: Arc::new(Revision {
            generation: 2,
            ..Revision::default()
        }),
        diagnostics: code
            .map(|code| Diagnostic::new(code, "spec.x", "it is wrong", "mend it"))
            .into_iter()
            .collect(),
        in_graph: true,
        serves: Box::default(),
        asks: None,
        settled: crate::report::Settled::default(),
        certificate_not_after: None,
    }
}

fn wanted(report: &ObjectReport, rollout: Rollout) -> Wanted {
    let entry = verdict::entry(report, "default", rollout, Timestamp::UNIX_EPOCH);
    match report.key.group {
        Group::Emissary => Wanted::State(EmissaryStatus::of(report, &entry)),
        _ => Wanted::Entry(entry),
    }
}

/// What the API server makes of a status and a merge patch of it.
fn merged(mut status: Value, patch: &Value) -> Value {
    if !status.is_object() {
        status = json!({});
    }
    for (name, value) in patch.as_object().unwrap() {
        if value.is_null() {
            status.as_object_mut().unwrap().remove(name);
        } else {
            status[name] = value.clone();
        }
    }
    status
}

#[test]
fn emissary_s_kinds_get_what_their_schema_has() {
    use Rollout::{Everywhere, Waiting};
    let error = Some(Code::ServiceNotFound);
    let told = "PST3002 at spec.x: it is wrong. mend it.";
    for (kind, code, rollout, expected) in [
        (
            Kind::Mapping,
            None,
            Everywhere,
            json!({"state": "Running", "reason": null}),
        ),
        (
            Kind::Mapping,
            error,
            Everywhere,
            json!({"state": "Inactive", "reason": told}),
        ),
        (
            Kind::Host,
            None,
            Everywhere,
            json!({"state": "Ready", "errorReason": null}),
        ),
        (
            Kind::Host,
            error,
            Waiting,
            json!({"state": "Error", "errorReason": told}),
        ),
    ] {
        let report = report(Group::Emissary, kind, code);
        let wanted = wanted(&report, rollout);
        assert_eq!(
            wanted.change(&json!({}), "default", NOW),
            Some(expected),
            "{kind:?}"
        );
    }
    let waiting = wanted(&report(Group::Emissary, Kind::Host, None), Waiting);
    let change = waiting.change(&json!({}), "default", NOW).unwrap();
    assert_eq!(change["state"], "Pending");
}

#[test]
fn what_was_written_is_read_back_as_the_same_and_is_not_written_again() {
    let status_before = json!({"state": "Inactive", "reason": "old", "errorReason": "old",
        "tlsCertificateSource": "None"});
    for (group, kind) in [
        (Group::Postern, Kind::Mapping),
        (Group::Postern, Kind::Host),
        (Group::Emissary, Kind::Mapping),
        (Group::Emissary, Kind::Host),
    ] {
        for code in [None, Some(Code::InvalidRegex)] {
            let wanted = wanted(&report(group, kind, code), Rollout::Everywhere);
            let before = if group == Group::Emissary {
                status_before.clone()
            } else {
                Value::Null
            };
            let change = wanted.change(&before, "default", NOW).unwrap();
            let after = merged(before, &change);
            let read = Wanted::read((group, kind), "default", &after);
            assert_eq!(read.digest("u"), wanted.digest("u"), "{after}");
            assert_ne!(read.digest("u"), wanted.digest("v"), "another object");
            assert_eq!(wanted.change(&after, "default", NOW), None, "{after}");
        }
    }
}

#[test]
fn an_entry_is_taken_out_without_touching_the_others() {
    let entry = |name: &str| Installation {
        name: name.to_owned(),
        ..Installation::default()
    };
    let status = ObjectStatus::default()
        .with(entry("a"), NOW)
        .with(entry("b"), NOW);
    let both = json!(status);
    let change = Wanted::Nothing.change(&both, "a", NOW).unwrap();
    let left = merged(both, &change);
    assert_eq!(left["installations"].as_array().unwrap().len(), 1);
    assert_eq!(Wanted::Nothing.change(&left, "a", NOW), None);
    let change = Wanted::Nothing.change(&left, "b", NOW).unwrap();
    assert_eq!(merged(left, &change), json!({}));
}

#[test]
fn a_status_that_cannot_be_read_is_made_anew() {
    let wanted = wanted(
        &report(Group::Postern, Kind::Mapping, None),
        Rollout::Everywhere,
    );
    for odd in [json!(null), json!("text"), json!({"conditions": 7})] {
        assert!(wanted.change(&odd, "default", NOW).is_some(), "{odd}");
    }
}

#[test]
fn errors_of_the_api_server_say_what_to_do() {
    let of = |code: u16| {
        let status = kube::core::Status {
            code,
            ..kube::core::Status::default()
        };
        outcome_of(kube::Error::Api(Box::new(status))).name()
    };
    for (code, name) in [
        (404, "gone"),
        (409, "conflict"),
        (422, "refused"),
        (403, "unavailable"),
        (429, "unavailable"),
        (500, "unavailable"),
    ] {
        assert_eq!(of(code), name, "{code}");
    }
}

#[tokio::test]
async fn a_kind_without_namespaces_is_asked_for_without_one() {
    let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>("nobody answers")
    });
    let (_leads, terms) = watch::channel(None);
    let client = Client::new(nobody, "postern");
    let objects = Objects::new(client, terms, "default".into(), "postern".to_owned());
    for (kind, namespace, namespaced) in
        [(Kind::Mapping, "apps", true), (Kind::RouteClaim, "", false)]
    {
        let api = objects.api(Group::Postern, kind, Some(namespace));
        let url = api.resource_url();
        assert_eq!(url.contains("/namespaces/"), namespaced, "{url}");
    }
}

#[tokio::test]
async fn one_installation_says_the_state_of_an_object_of_several() {
    let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>("nobody answers")
    });
    let (_leads, terms) = watch::channel(None);
    let client = Client::new(nobody, "postern");
    let of = |installation: &str| {
        let manager = format!("{FIELD_MANAGER}-{installation}");
        Objects::new(client.clone(), terms.clone(), installation.into(), manager)
    };
    let object = |ids: Value, manager: &str| {
        let managed = json!([{"manager": manager, "subresource": "status", "operation": "Update"}]);
        let object = json!({
            "apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping",
            "metadata": {"name": "a", "managedFields": managed},
            "spec": {"ambassador_id": ids},
        });
        serde_json::from_value::<DynamicObject>(object).unwrap()
    };
    for (ids, manager, a, b) in [
        (json!(["a", "b"]), "", true, false),
        (json!(["b", "a"]), "", false, true),
        (json!(["_automatic_", "b"]), "", false, true),
        (json!(["_automatic_"]), "kubectl", true, true),
        (json!(["_automatic_"]), "postern-a", true, false),
        (Value::Null, "postern-a", true, true),
    ] {
        let found = object(ids.clone(), manager);
        let speak = [of("a"), of("b")].map(|objects| objects.speaks_for(&found));
        assert_eq!(speak, [a, b], "{ids} {manager}");
    }
}
