//! What a user may do who has Kubernetes' own roles `view` or `edit` in a namespace, once the shipped roles are there.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use postern::{
    resource::{Group, key::KINDS},
    source::yaml,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    installation::{LIMIT, a_mapping, mapping, ours},
    platform::{apply, namespace, shared},
    server::{Program, Server, TEAM_TOKEN, TEAM_USER},
};

const ROLES: &str = "helm/team-roles.yaml";
const CLAIMS: &str = "/apis/postern.dev/v1alpha1/routeclaims";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Installs the shipped roles, and waits until Kubernetes' own have them. They keep them when the controller is gone.
pub(crate) fn install(server: &Server) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(ROLES)).unwrap();
    apply(server, &text);
    let _aggregating: Program = server.controllers("clusterrole-aggregation-controller");
    let deadline = Instant::now() + LIMIT;
    for role in ["view", "edit", "admin"] {
        loop {
            let found = server.get(&format!("{RBAC}/clusterroles/{role}")).unwrap();
            let rules = found["rules"].to_string();
            if rules.contains(Group::Postern.name()) {
                break;
            }
            assert!(Instant::now() < deadline, "{role} has {rules}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Binds the team to a role in one namespace.
pub(crate) fn bind(server: &Server, space: &str, role: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": space, "name": format!("team-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TEAM_USER}],
    });
    apply(server, &binding.to_string());
}

/// The shipped roles, by name.
fn shipped(name: &str) -> Value {
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(ROLES)).unwrap();
    let documents = yaml::read(&text).documents.into_iter();
    let mut roles = documents.map(|document| document.value);
    roles.find(|role| role["metadata"]["name"] == name).unwrap()
}

/// The kinds of `postern.dev` that a role has with this verb.
fn kinds(role: &str, verb: &str) -> BTreeSet<String> {
    let role = shipped(role);
    let has = |list: &Value, wanted: &str| list.as_array().unwrap().contains(&wanted.into());
    let rules = role["rules"].as_array().unwrap().iter();
    let ours = rules
        .filter(|rule| has(&rule["apiGroups"], Group::Postern.name()) && has(&rule["verbs"], verb));
    let resources = ours.flat_map(|rule| rule["resources"].as_array().unwrap());
    resources
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_kind_is_viewed_and_the_platforms_are_edited_by_nobody() {
    let rows = KINDS.iter().filter(|row| row.0 == Group::Postern);
    let all: BTreeSet<_> = rows.map(|row| row.3.to_owned()).collect();
    let without = |left_out: &[&str]| -> BTreeSet<_> {
        let kept = all.iter().filter(|kind| !left_out.contains(&&***kind));
        kept.cloned().collect()
    };
    for verb in ["get", "list", "watch"] {
        assert_eq!(kinds("postern-view", verb), without(&["routeclaims"]));
        let claims = BTreeSet::from(["routeclaims".to_owned()]);
        assert_eq!(kinds("postern-claims-reader", verb), claims);
    }
    let platforms = ["routeclaims", "gatewaysettings"];
    for verb in ["create", "update", "patch", "delete", "deletecollection"] {
        assert_eq!(kinds("postern-edit", verb), without(&platforms));
        for role in ["postern-view", "postern-claims-reader"] {
            assert_eq!(kinds(role, verb), BTreeSet::new(), "{role}");
        }
    }
}

/// A request of the team: whether it is let, which a message for people says when it is not.
fn is_let(server: &Server, method: &str, path: &str, body: &Value) -> bool {
    match server.send_as(TEAM_TOKEN, method, path, body) {
        Ok(_) => true,
        Err(error) if error.contains("forbidden") => false,
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1",
        "kind": "RouteClaim",
        "metadata": {"name": name},
        // Of nobody's interest: other tests share the server.
        "spec": {"hostnames": [format!("{name}.example.net")], "namespaces": {"names": [name]}},
    })
}

#[test]
fn who_edits_a_namespace_edits_its_routes_and_nothing_of_the_platform() {
    let server = shared();
    let (own, seen, other) = ("roles-shop", "roles-seen", "roles-other");
    for space in [own, seen, other] {
        namespace(server, space);
        let quote = mapping(space, "there", "/there/");
        server.create(&ours("mappings", space), &quote).unwrap();
    }
    server.create(CLAIMS, &claim("roles-claim")).unwrap();
    install(server);
    bind(server, own, "edit");
    bind(server, seen, "view");

    let none = Value::Null;
    let settings = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "GatewaySettings",
        "metadata": {"name": "settings"}, "spec": {},
    });
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": "shop"}, "spec": {"hostname": "roles.example.net"},
    });
    let prefix = json!({"spec": {"prefix": "/moved/"}});
    let status = json!({"status": {"conditions": []}});
    let (new, there) = (mapping(own, "new", "/new/"), "there");
    let mappings = |space| ours("mappings", space);
    let of_status = format!("{}/status", a_mapping(own, there));
    for (method, path, body, expected) in [
        ("GET", mappings(own), &none, true),
        ("POST", mappings(own), &new, true),
        ("PATCH", a_mapping(own, there), &prefix, true),
        ("POST", ours("hosts", own), &host, true),
        ("DELETE", a_mapping(own, "new"), &none, true),
        ("GET", ours("gatewaysettings", own), &none, true),
        ("PATCH", of_status, &status, false),
        ("POST", ours("gatewaysettings", own), &settings, false),
        ("GET", CLAIMS.to_owned(), &none, false),
        ("POST", CLAIMS.to_owned(), &claim("roles-mine"), false),
        ("DELETE", format!("{CLAIMS}/roles-claim"), &none, false),
        ("GET", mappings(seen), &none, true),
        ("PATCH", a_mapping(seen, there), &prefix, false),
        ("DELETE", a_mapping(seen, there), &none, false),
        ("GET", mappings(other), &none, false),
        (
            "POST",
            mappings(other),
            &mapping(other, "new", "/new/"),
            false,
        ),
        ("PATCH", a_mapping(other, there), &prefix, false),
    ] {
        // A binding takes a moment until it counts.
        let deadline = Instant::now() + LIMIT;
        while is_let(server, method, &path, body) != expected {
            let may_still_be = expected && Instant::now() < deadline;
            assert!(may_still_be, "{method} {path} must be let: {expected}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    claims_are_seen_by_those_who_are_bound_to_their_reader(server);
}

fn claims_are_seen_by_those_who_are_bound_to_their_reader(server: &Server) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "roles-claims"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "postern-claims-reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TEAM_USER}],
    });
    apply(server, &binding.to_string());
    let deadline = Instant::now() + LIMIT;
    while !is_let(server, "GET", CLAIMS, &Value::Null) {
        assert!(Instant::now() < deadline, "the binding has no effect");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!is_let(server, "POST", CLAIMS, &claim("roles-late")));
    // Other tests have the same user.
    server
        .delete(&format!("{RBAC}/clusterrolebindings/roles-claims"))
        .unwrap();
    server.delete(&format!("{CLAIMS}/roles-claim")).unwrap();
}
