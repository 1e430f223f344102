use serde_json::json;

use super::*;
use crate::resource::Positions;

/// The objects in the annotation of a carrier: kind, name and the position of the first problem or of the object.
fn carried(kind: &str, text: &str) -> Carried {
    let document = json!({
        "apiVersion": if kind == "Ingress" { "networking.k8s.io/v1" } else { "v1" },
        "kind": kind,
        "metadata": {
            "namespace": "apps",
            "name": "quote",
            "labels": {"team": "a"},
            "annotations": {NAME: text},
        },
        "spec": {},
    });
    match decode::object(&document, Origin::Cluster, "", Positions::default()) {
        Decoded::Object(object) => objects(&object),
        other => panic!("{other:?}"),
    }
}

const TWO: &str = "\
---
apiVersion: ambassador/v1
kind: Mapping
name: flat
prefix: /flat/
service: quote
ambassador_id: other
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata:
  name: nested
  labels: {team: b}
spec:
  hostname: a.b
  prefix: /nested/
  service: quote
  nonsense: 1
";

#[test]
fn services_and_ingresses_carry_objects_in_both_forms() {
    for kind in ["Service", "Ingress"] {
        let carried = carried(kind, TWO);
        assert_eq!(carried.problems, [""; 0]);
        let [(manifest, flat), (_, nested)] = &carried.objects[..] else {
            panic!("{carried:?}");
        };
        assert_eq!(manifest["spec"]["hostname"], "*");
        assert_eq!(manifest["spec"]["ambassador_id"], json!(["other"]));
        assert_eq!(flat.key().to_string(), "Mapping.getambassador.io apps/flat");
        assert_eq!(flat.meta().labels["team"], "a");
        assert_eq!(nested.meta().labels["team"], "b");
    }
    assert!(carried("Secret", TWO).objects.is_empty());
}

#[test]
fn an_object_and_each_of_its_fields_have_their_line() {
    let carried = carried("Service", TWO);
    let line =
        |object: &AnyObject, field: &str| object.positions().nearest(field).map(|at| at.line);
    let [(_, flat), (_, nested)] = &carried.objects[..] else {
        panic!("{carried:?}");
    };
    assert_eq!(
        flat.origin().to_string(),
        "annotation of Service apps/quote, line 2"
    );
    assert_eq!(line(flat, "spec.prefix"), Some(5));
    assert_eq!(line(flat, "metadata.name"), Some(4));
    assert_eq!(nested.problems()[0].field, "spec.nonsense");
    assert_eq!(line(nested, "spec.nonsense"), Some(18));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (text, words) in [
        ("a: b", "line 1: an object has no `apiVersion`"),
        ("- a", "line 1: a document is not an object"),
        (
            "apiVersion: apps/v1\nkind: Deployment",
            "line 1: apiVersion `apps/v1` cannot be",
        ),
        (
            "---\napiVersion: ambassador/v1\nkind: Maping\nname: a",
            "line 2: Maping of",
        ),
        (
            "apiVersion: ambassador/v1\nkind: Mapping\nprefix: /",
            "line 1: the Mapping has no `metadata.name`",
        ),
        (
            "apiVersion: ambassador/v1\nkind: Mapping\nname: a\nnamespace: b",
            "line 1: an object in it must be of the Service's own namespace, apps",
        ),
        (
            "apiVersion: ambassador/v1\nkind: Mapping\nspec: 1",
            "line 1: `spec` is not an object",
        ),
    ] {
        let carried = carried("Service", text);
        assert!(carried.objects.is_empty(), "{text}");
        assert!(
            carried.problems[0].contains(words),
            "{text}: {:?}",
            carried.problems
        );
    }
}

#[test]
fn an_auth_service_that_cannot_be_read_is_not_as_if_it_were_absent() {
    let broken = "---\napiVersion: ambassador/v1\nkind: AuthService\nname: [\n";
    let carried = carried("Service", broken);
    assert_eq!(carried.problems.len(), 1, "{:?}", carried.problems);
    let keys: Vec<_> = carried
        .objects
        .iter()
        .map(|(_, o)| o.key().to_string())
        .collect();
    assert_eq!(keys, ["AuthService.getambassador.io apps/quote"]);
    for harmless in ["kind: Mapping\nname: [\n", "# AuthService\nname: [\n"] {
        assert!(
            super::tests::carried("Service", harmless)
                .objects
                .is_empty(),
            "{harmless}"
        );
    }
}

#[test]
fn an_annotation_without_end_has_one() {
    let one = "---\napiVersion: ambassador/v1\nkind: Mapping\nname: a\nprefix: /\nservice: a\n";
    let carried = carried("Service", &one.repeat(MAX_DOCUMENTS + 9));
    assert_eq!(carried.objects.len(), MAX_DOCUMENTS);
    assert_eq!(carried.problems.len(), 1);
}

#[test]
fn real_objects_of_older_versions_are_written_as_those_of_today() {
    let mut old = json!({
        "apiVersion": "getambassador.io/v2", "kind": "Mapping", "metadata": {"name": "a"},
        "spec": {"prefix": "/a/", "service": "a", "tls": true, "ambassador_id": "one"},
    });
    as_of_today(&mut old);
    assert_eq!(
        old,
        json!({
            "apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping", "metadata": {"name": "a"},
            "spec": {"hostname": "*", "prefix": "/a/", "service": "https://a", "ambassador_id": ["one"]},
        })
    );
    for same in [
        json!({"apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping", "spec": {"prefix": "/"}}),
        json!({"apiVersion": "getambassador.io/v9", "kind": "Mapping", "spec": {"prefix": "/"}}),
        json!({"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "spec": {"prefix": "/"}}),
        json!({"apiVersion": "getambassador.io/v2", "kind": "Mapping", "spec": 1}),
        json!([]),
        json!(null),
    ] {
        let mut value = same.clone();
        as_of_today(&mut value);
        assert_eq!(value, same);
    }
}
