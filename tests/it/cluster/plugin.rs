//! `kubectl postern` with the objects of a real API server.

mod verbs;

use std::{env, ffi::OsString, path::Path, process::Command, time::Duration};

use jiff::Timestamp;
use postern::plugin::{self, Console};
use serde_json::{Value, json};

use super::{
    super::gateway::Gateway,
    platform::{apply, namespace, run, shared},
    server::{ADMIN_TOKEN, POSTERN_TOKEN, Server, TEAM_TOKEN, TEAM_USER},
};

/// Exit code, standard output and standard error.
fn said(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        now: Timestamp::now(),
    };
    let arguments = ["kubectl-postern"].iter().chain(arguments);
    let code = plugin::answer(arguments.map(OsString::from), &mut console);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(err))
}

fn mapping(namespace: &str, name: &str, service: &str) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1",
        "kind": "Mapping",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"hostname": format!("{namespace}.example.com"), "prefix": "/a/", "service": service},
    })
}

/// Lets a user read the Mappings of one namespace and nothing else.
fn reader(server: &Server, space: &str) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": space, "name": "reader"},
        "rules": [{"apiGroups": ["postern.dev"], "resources": ["mappings"], "verbs": ["list"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": space, "name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TEAM_USER}],
    });
    apply(server, &role.to_string());
    apply(server, &binding.to_string());
}

#[test]
fn what_may_be_read_is_told_and_what_may_not_is_named_and_never_guessed() {
    let server = shared();
    namespace(server, "plug");
    apply(server, &mapping("plug", "quote", "nowhere").to_string());
    reader(server, "plug");

    let admin = server.kubeconfig(ADMIN_TOKEN, "plug");
    let admin = ["--kubeconfig", admin.to_str().unwrap()];
    let (code, text, err) = said(&[&["status", "-o", "json"][..], &admin].concat());
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &*err), (1, ""), "{text}");
    assert_eq!(rows["items"][0]["name"], "quote");
    assert_eq!(rows["items"][0]["state"], "Degraded");
    assert!(rows["items"][0]["created"].is_string(), "{rows}");

    let team = server.kubeconfig(TEAM_TOKEN, "plug");
    let team = ["--kubeconfig", team.to_str().unwrap()];
    let (code, text, err) = said(&[&["status", "-o", "json"][..], &team].concat());
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &rows["items"][0]["state"]),
        (2, &"Unknown".into()),
        "{text}"
    );
    let nowhere = err.lines().find(|line| line.contains("services"));
    assert!(
        nowhere.is_some_and(|line| line.contains("you may not read")),
        "{err}"
    );
    assert!(
        err.contains("mappings.postern.dev in all namespaces, only in plug"),
        "{err}"
    );

    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("next.yaml");
    std::fs::write(&next, mapping("plug", "second", "nowhere").to_string()).unwrap();
    let files = ["-f", next.to_str().unwrap()];
    let (_, text, _) = said(&[&["diff", "-o", "json"][..], &files, &admin].concat());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        told["introduced"][0]["object"], "Mapping plug/second",
        "{told}"
    );
}

/// kubectl runs the program of this name in the `PATH`.
#[test]
fn kubectl_finds_the_plugin_by_its_name() {
    let server = shared();
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-postern"));
    let path = env::join_paths([plugin.parent().unwrap()]).unwrap();
    let kubectl = server.kubectl();
    let output = Command::new(kubectl.get_program())
        .args(["postern", "explain", "PST2007", "-o", "name"])
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "PST2007\n",
        "{output:?}"
    );
}

#[test]
fn the_leases_of_replicas_are_read() {
    let server = shared();
    namespace(server, "plug-sync");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "namespace": "plug-sync",
            "name": "postern-plugged-pod-1",
            "labels": {"postern.dev/installation": "plugged", "postern.dev/role": "replica"},
            "annotations": {"postern.dev/replica": json!({"build": "0.1.0", "ready": true, "digest": "d", "versions": {}}).to_string()},
        },
        "spec": {"leaseDurationSeconds": 30, "renewTime": "2020-01-01T00:00:00.000000Z"},
    });
    apply(server, &lease.to_string());
    let config = server.kubeconfig(POSTERN_TOKEN, "plug-sync");
    let config = config.to_str().unwrap();
    let flags = [
        "sync",
        "-o",
        "json",
        "--installation",
        "plugged",
        "--kubeconfig",
        config,
    ];
    let (code, text, _) = said(&flags);
    // The shipped role may read Leases only in its own namespace.
    assert_eq!(code, 2, "{text}");
    let admin = server.kubeconfig(ADMIN_TOKEN, "plug-sync");
    let flags = [
        "sync",
        "-o",
        "json",
        "--installation",
        "plugged",
        "--kubeconfig",
        admin.to_str().unwrap(),
    ];
    let (code, text, _) = said(&flags);
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &rows["items"][0]["state"]),
        (1, &"Gone".into()),
        "{text}"
    );
}

/// What decides about a request; where it is sent to is another matter in a folder than in a cluster.
fn decided(arguments: &[&str]) -> Value {
    let url = "http://plug-same.example.com/a/x";
    let (_, text, err) = said(&[&["why", url, "-o", "json"][..], arguments].concat());
    let mut told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{err}"));
    // Other tests share the server, and have Mappings for every name.
    for field in ["candidates", "refused"] {
        let rows = told[field].as_array_mut().unwrap();
        rows.retain(|row| row.to_string().contains("plug-"));
    }
    let fields = ["path", "region", "candidates", "refused"];
    fields
        .into_iter()
        .map(|field| (field.to_owned(), told[field].clone()))
        .collect()
}

#[test]
fn a_folder_an_api_server_and_a_replica_say_the_same_of_the_same_objects() {
    let server = shared();
    let mut manifests = String::new();
    for space in ["plug-one", "plug-two"] {
        namespace(server, space);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": space, "name": "quote"},
            "spec": {"ports": [{"port": 80}]},
        });
        apply(server, &service.to_string());
        for (name, prefix) in [("quote", "/a/"), ("root", "/")] {
            let mut mapping = mapping(space, name, "quote");
            mapping["spec"]["hostname"] = "plug-same.example.com".into();
            mapping["spec"]["prefix"] = prefix.into();
            apply(server, &mapping.to_string());
        }
        for kind in ["mappings.postern.dev", "services"] {
            let list = run(server, &["get", kind, "-n", space, "-o", "json"], "");
            let list: Value = serde_json::from_str(&list).unwrap();
            for item in list["items"].as_array().unwrap() {
                manifests.extend(["---\n", &item.to_string(), "\n"]);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, manifests).unwrap();
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-one");
    let config = config.to_str().unwrap();
    let replica = Gateway::of_cluster(
        Path::new(config),
        &[
            "--namespace",
            "plug-one",
            "--echo",
            "--bind",
            "8080=127.0.0.1:0",
            "--bind",
            "8443=127.0.0.1:0",
        ],
    );
    replica.wait_until_ready();

    let here = decided(&["-f", file.to_str().unwrap()]);
    assert_eq!(here["candidates"].as_array().unwrap().len(), 2, "{here}");
    assert_eq!(here["refused"].as_array().unwrap().len(), 2, "{here}");
    let flags = ["--kubeconfig", config, "--gateway-namespace", "plug-one"];
    assert_eq!(here, decided(&flags), "the API server");
    let address = replica.diagnostics().to_string();
    assert_eq!(here, decided(&["--from-address", &address]), "a replica");
    assert_eq!(live(&flags), json!({"reached": 1, "of": 1}));
}

/// How many replicas serve a Mapping, once they have said so in their Leases.
fn live(flags: &[&str]) -> Value {
    let mut live = Value::Null;
    for _ in 0..100 {
        let (_, text, _) = said(&[&["status", "mapping/quote", "-o", "json"][..], flags].concat());
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        live = told["items"][0]["live"].clone();
        if live["reached"] == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    live
}
