use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Decoded, object};
use crate::{
    crd::schema::ProblemKind,
    resource::{AnyObject, ClusterIp, ObjectKey, Origin, Positions, key},
};

fn decode(document: &Value) -> Decoded {
    object(document, Origin::Cluster, "default", Positions::default())
}

fn decoded(document: &Value) -> AnyObject {
    match decode(document) {
        Decoded::Object(object) => object,
        other => panic!("{document} must be an object, and is {other:?}"),
    }
}

fn document(api: &str, kind: &str, rest: Value) -> Value {
    let mut document = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}});
    let fields = document.as_object_mut().unwrap();
    if let Value::Object(rest) = rest {
        fields.extend(rest);
    }
    document
}

#[test]
fn kind_and_name_decide_what_a_document_is() {
    let invalid = [
        json!([]),
        json!({}),
        json!({"apiVersion": "v1"}),
        json!({"apiVersion": "v1", "kind": "Secret"}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ""}}),
    ];
    for document in invalid {
        assert!(
            matches!(decode(&document), Decoded::Invalid(_)),
            "{document}"
        );
    }
    let unknown = [
        ("postern.dev/v1", "Mapping"),
        ("postern.dev/v1alpha1", "Mappings"),
        ("apps/v1", "Service"),
        ("meta.k8s.io/v1", "PartialObjectMetadata"),
    ];
    for (api, kind) in unknown {
        let found = decode(&document(api, kind, json!({})));
        assert!(matches!(found, Decoded::UnknownKind(..)), "{api} {kind}");
    }
}

#[test]
fn a_version_is_kept_where_somebody_waits_for_it_and_nothing_that_nobody_reads() {
    for (api, kind, version) in [
        ("v1", "Secret", "9"),
        ("postern.dev/v1alpha1", "Mapping", "9"),
        ("v1", "Service", ""),
    ] {
        let mut object = document(api, kind, json!({}));
        object["metadata"] = json!({
            "name": "a", "namespace": "apps", "resourceVersion": "9",
            "annotations": {"getambassador.io/config": "---", "example.com/notes": "long"},
        });
        let object = decoded(&object);
        let meta = object.meta();
        assert_eq!(&*meta.revision.resource_version, version, "{kind}");
        let kept: Vec<_> = meta.annotations.keys().collect();
        assert_eq!(kept, ["getambassador.io/config"], "{kind}");
    }
}

#[test]
fn metadata_is_read_and_its_mistakes_are_problems() {
    let mut mapping = document(
        "postern.dev/v1alpha1",
        "Mapping",
        json!({"spec": {"prefix": "/a/", "service": "a"}}),
    );
    mapping["metadata"] = json!({
        "name": "a", "namespace": "apps", "uid": "u", "generation": 3, "resourceVersion": "9",
        "creationTimestamp": "2026-11-25T00:00:00Z", "labels": {"x": "y", "z": 1},
    });
    let AnyObject::Mapping(mapping) = decoded(&mapping) else {
        panic!("a Mapping");
    };
    assert_eq!(mapping.key.to_string(), "Mapping apps/a");
    assert_eq!(mapping.meta.revision.created, Some(1_795_564_800));
    assert_eq!(mapping.meta.revision.generation, 3);
    assert_eq!(mapping.meta.labels.len(), 1);
    assert_eq!(mapping.problems.len(), 1);
    assert_eq!(mapping.problems[0].field, "metadata.labels.z");
}

#[test]
fn only_what_has_a_namespace_gets_the_default_one() {
    let mapping = decoded(&document("postern.dev/v1alpha1", "Mapping", json!({})));
    assert_eq!(mapping.key().to_string(), "Mapping default/a");
    let namespace = decoded(&document("v1", "Namespace", json!({})));
    assert_eq!(namespace.key().to_string(), "Namespace a");
}

#[test]
fn older_versions_of_emissary_are_refused_by_name() {
    let old = document(
        "getambassador.io/v2",
        "Mapping",
        json!({"spec": {"prefix": "/a/", "service": "a"}}),
    );
    let AnyObject::Mapping(old) = decoded(&old) else {
        panic!("a Mapping");
    };
    assert_eq!(old.spec.read().prefix.as_deref(), Some("/a/"));
    assert_eq!(old.problems[0].field, "apiVersion");
    assert_eq!(
        old.problems[0].next,
        "Convert the object to getambassador.io/v3alpha1"
    );
}

#[test]
fn a_misplaced_field_and_a_bad_name_are_problems() {
    let mut host = document("postern.dev/v1alpha1", "Host", json!({"hostname": "a"}));
    host["metadata"]["name"] = json!("A_b");
    let AnyObject::Host(host) = decoded(&host) else {
        panic!("a Host");
    };
    let found: Vec<_> = host
        .problems
        .iter()
        .map(|p| (p.field.as_str(), p.kind))
        .collect();
    let expected = [
        ("hostname", ProblemKind::UnknownField),
        ("metadata.name", ProblemKind::InvalidValue),
    ];
    assert_eq!(found, expected);
}

#[test]
fn kinds_without_a_type_keep_their_spec() {
    let spec = json!({"auth_service": "auth:80"});
    let auth = document(
        "getambassador.io/v3alpha1",
        "AuthService",
        json!({"spec": spec}),
    );
    let AnyObject::Other(auth) = decoded(&auth) else {
        panic!("another kind");
    };
    assert_eq!(auth.spec, spec);
}

fn service(spec: &Value) -> crate::resource::Service {
    let AnyObject::Service(service) = decoded(&document("v1", "Service", json!({"spec": spec})))
    else {
        panic!("a Service");
    };
    assert!(service.problems.is_empty());
    service.spec.clone()
}

#[test]
fn a_service_has_addresses_or_is_headless_or_is_a_name() {
    let both = service(&json!({
        "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
        "ports": [{"port": 80}, {"name": "dns", "port": 53, "protocol": "UDP", "appProtocol": "x"}],
    }));
    let addresses = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
    assert_eq!(both.cluster_ip, ClusterIp::Addresses(addresses.to_vec()));
    assert_eq!((both.ports[0].tcp, both.ports[0].port), (true, 80));
    assert_eq!(
        (both.ports[1].tcp, both.ports[1].app_protocol.as_deref()),
        (false, Some("x"))
    );
    assert_eq!(
        service(&json!({"clusterIP": "None"})).cluster_ip,
        ClusterIp::Headless
    );
    assert_eq!(service(&json!({"ports": []})).cluster_ip, ClusterIp::None);
    let external = service(&json!({"type": "ExternalName", "externalName": "example.org"}));
    assert_eq!(external.external_name.as_deref(), Some("example.org"));
    assert_eq!(external.cluster_ip, ClusterIp::None);
}

#[test]
fn an_endpoint_that_does_not_say_is_ready() {
    let slice = json!({
        "metadata": {"name": "a-x", "labels": {"kubernetes.io/service-name": "a"}},
        "ports": [{"name": "http", "port": 8080}, {"name": "all"}],
        "endpoints": [
            {"addresses": ["10.1.0.2"], "conditions": {"ready": true}},
            {"addresses": ["10.1.0.1"]},
            {"addresses": ["10.1.0.3"], "conditions": {"ready": false}},
        ],
    });
    let slice = decoded(&document("discovery.k8s.io/v1", "EndpointSlice", slice));
    let AnyObject::EndpointSlice(slice) = slice else {
        panic!("an EndpointSlice");
    };
    assert_eq!(&*slice.spec.service, "a");
    assert_eq!(slice.spec.ports, [("http".to_owned(), 8080)]);
    assert_eq!(
        slice.spec.ready,
        ["10.1.0.1", "10.1.0.2"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap())
    );
}

#[test]
fn no_value_of_a_secret_is_ever_shown() {
    let secret = json!({
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "aHVudGVyMg==", "bad": "hunter2!", "worse": 5},
        "stringData": {"tls.key": "hunter2"},
    });
    let secret = decoded(&document("v1", "Secret", secret));
    let AnyObject::Secret(secret) = secret else {
        panic!("a Secret");
    };
    assert_eq!(&*secret.spec.data["tls.crt"].0, b"hunter2");
    assert_eq!(&*secret.spec.data["tls.key"].0, b"hunter2");
    assert_eq!(secret.problems.len(), 2);
    assert!(!format!("{secret:?}").contains("hunter2"), "{secret:?}");
}

#[test]
fn a_grant_with_an_unreadable_name_grants_nothing() {
    let grant = json!({"spec": {
        "from": [{"group": "postern.dev", "kind": "Mapping", "namespace": "a"}, {"kind": "Mapping"}],
        "to": [{"group": "", "kind": "Service", "name": 5}, {"group": "", "kind": "Secret", "name": "s"}],
    }});
    let grant = document("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", grant);
    let AnyObject::Grant(grant) = decoded(&grant) else {
        panic!("a ReferenceGrant");
    };
    assert_eq!(grant.spec.from.len(), 1);
    assert_eq!(
        grant.spec.to,
        [(String::new(), "Secret".to_owned(), Some("s".to_owned()))]
    );
    assert_eq!(grant.key.kind, crate::resource::Kind::ReferenceGrant);
    assert_ne!(
        grant.key,
        ObjectKey::new(grant.key.group, grant.key.kind, "x", "a")
    );
}

#[test]
fn positions_and_origin_are_passed_on() {
    let at = crate::resource::Position { line: 3, column: 5 };
    let positions = Positions::from(BTreeMap::from([("spec.prefix".to_owned(), at)]));
    let origin = Origin::File {
        path: "a.yaml".into(),
        at,
    };
    let mapping = document("postern.dev/v1alpha1", "Mapping", json!({}));
    let Decoded::Object(mapping) = object(&mapping, origin.clone(), "apps", positions.clone())
    else {
        panic!("an object");
    };
    assert_eq!(
        (mapping.origin(), mapping.positions()),
        (&origin, &positions)
    );
    assert_eq!(mapping.key().to_string(), "Mapping apps/a");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(128))]

    #[test]
    fn any_document_is_read_without_a_panic(row in 0..key::all().count(), at in 0..9usize, odd in 0..6usize) {
        let (group, _, kind) = key::all().nth(row).unwrap();
        let version = super::VERSIONS.iter().find(|(of, _)| *of == group).unwrap().1[0];
        let api = if group.name().is_empty() { version.to_owned() } else { format!("{}/{version}", group.name()) };
        let odd = [json!(null), json!([1, "x", null]), json!({"x": [{}]}), json!("x"), json!(-1.5), json!([{"port": 0, "name": 5}])][odd].clone();
        let path = ["spec", "data", "stringData", "ports", "endpoints", "type", "labels", "from", "clusterIPs"][at];
        for rest in [json!({path: odd}), json!({"spec": {path: odd}}), json!({"metadata": {"name": "a", path: odd}})] {
            let found = decode(&document(&api, kind, rest));
            proptest::prop_assert!(matches!(found, Decoded::Object(_)), "{found:?}");
        }
    }
}
