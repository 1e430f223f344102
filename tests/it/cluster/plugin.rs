//! `kubectl postern` with the objects of a real API server.

mod team;
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
    let (code, text, err) =
        said(&[&["status", "mapping/quote", "-o", "json"][..], &admin].concat());
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &*err), (1, ""), "{text}");
    assert_eq!(rows["items"][0]["name"], "quote");
    assert_eq!(rows["items"][0]["state"], "Degraded");
    assert!(rows["items"][0]["created"].is_string(), "{rows}");

    let team = server.kubeconfig(TEAM_TOKEN, "plug");
    let team = ["--kubeconfig", team.to_str().unwrap()];
    let (code, text, err) = said(&[&["status", "mapping/quote", "-o", "json"][..], &team].concat());
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

/// What `kubectl_complete-postern` prints reaches who presses the tabulator through kubectl itself.
#[test]
fn kubectl_completes_the_words_of_the_plugin() {
    let server = shared();
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-postern"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let usual = env::var_os("PATH").unwrap_or_default();
    let own = [plugin.parent().unwrap().to_owned(), shipped];
    let path = env::join_paths(own.into_iter().chain(env::split_paths(&usual))).unwrap();
    let kubectl = server.kubectl();
    let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/objects");
    let objects = objects.to_str().unwrap();
    for (words, expected) in [
        (&["sta"][..], "status\tWhat is live, what is not, and why\n"),
        (
            &["status", "-f", objects, "mapping/root"],
            "mapping/root\tin namespace web\n",
        ),
    ] {
        let output = Command::new(kubectl.get_program())
            .args(["__complete", "postern"])
            .args(words)
            .env("PATH", &path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(expected), "{words:?}: {output:?}");
        assert!(text.ends_with(":4\n"), "{words:?}: {text}");
    }
}

/// Verbs whose whole answers are compared. All but `mine` look at all namespaces; the installation is one of the test's own.
const VERBS: &[&str] = &[
    "status -A",
    "routes -A",
    "mine -n plug-one",
    "who plug-same.example.com",
    "conflicts -A",
    "certs -A",
    "endpoints plug-same.example.com",
    "why http://plug-same.example.com/a/x",
    "why https://plug-same.example.com/a/x",
    "why https://plug-same.example.com/claimed/x",
];

/// What a folder cannot say as a cluster does: it has files, and the echo server stands in for all Services.
const NOT_OF_FOLDERS: &[&str] = &["origin", "target", "addresses"];
/// What only whoever reads Services and EndpointSlices knows; `kind` is how a Service is dialled.
const OF_SERVICES: &[&str] = &["backing", "backings", "kind"];
/// What only whoever reads Leases knows.
const OF_LEASES: &[&str] = &["live"];

/// Verb, exit code and what is printed.
type Answer = (String, Option<u8>, Value);

/// The answer to each verb, without the fields of these names wherever they are; `kind` of an object stays.
fn answers(source: &[&str], without: &[&[&str]]) -> Vec<Answer> {
    fn strip(value: &mut Value, without: &[&[&str]]) {
        match value {
            Value::Array(values) => {
                // Claims have no installation, and other tests make some.
                values.retain(|row| {
                    let is_claim = row["kind"] == "RouteClaim";
                    let by = row["by"].as_str().unwrap_or_default();
                    (!is_claim || row["name"] == "plug-same")
                        && (!by.starts_with("claim ") || by == "claim plug-same")
                });
                for value in values {
                    strip(value, without);
                }
            }
            Value::Object(fields) => {
                let is_object = fields.contains_key("name");
                fields.retain(|name, _| {
                    let named = without.iter().any(|names| names.contains(&&**name));
                    !named || (name == "kind" && is_object)
                });
                // A folder has no API server that could lack a CRD.
                if let Some(Value::String(next)) = fields.get_mut("next")
                    && let Some(at) = next.find("; its CRD is not installed here")
                {
                    next.truncate(at);
                }
                for value in fields.values_mut() {
                    strip(value, without);
                }
            }
            _ => {}
        }
    }
    let ask = |verb: &&str| {
        let words: Vec<_> = verb.split(' ').collect();
        let common = ["-o", "json", "--installation", "plug-same"];
        let (code, text, err) = said(&[&words[..], &common, source].concat());
        let mut told =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{verb}: {text}{err}"));
        strip(&mut told, without);
        // Whether there are endpoints decides, too, and not everybody knows them.
        let code = (!verb.starts_with("endpoints") && !verb.starts_with("why")).then_some(code);
        ((*verb).to_owned(), code, told)
    };
    VERBS.iter().map(ask).collect()
}

/// Fails with the lines that differ.
fn alike_in_all(here: Vec<Answer>, there: Vec<Answer>) {
    for ((verb, code, here), (_, other, there)) in here.into_iter().zip(there) {
        let lines = |value: &Value| {
            let text = serde_json::to_string_pretty(value).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (left, right) = (lines(&here), lines(&there));
        let only = |of: &[String], not: &[String]| {
            let only = of.iter().filter(|line| !not.contains(line));
            only.cloned().collect::<Vec<_>>().join("\n")
        };
        assert!(
            here == there && code == other,
            "{verb}: {code:?} and {other:?}\n{}\n---\n{}",
            only(&left, &right),
            only(&right, &left)
        );
    }
}

/// The objects of one installation that the test looks at.
fn alike() -> String {
    let pair = rcgen::generate_simple_self_signed(["plug-same.example.com".to_owned()]).unwrap();
    let of_installation = |kind: &str, space: &str, name: &str, mut spec: Value| {
        spec["ambassadorId"] = json!(["plug-same"]);
        json!({
            "apiVersion": "postern.dev/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": space, "name": name},
            "spec": spec,
        })
    };
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "plug-one", "name": "site"},
            "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
        }),
        of_installation(
            "Host",
            "plug-one",
            "site",
            json!({
                "hostname": "plug-same.example.com", "tlsSecret": {"name": "site"},
                "requestPolicy": {"insecure": {"action": "Route"}},
            }),
        ),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
            "metadata": {"name": "plug-same"},
            "spec": {
                "hostnames": ["plug-same.example.com"], "paths": ["/claimed"],
                "namespaces": {"names": ["plug-one"]},
            },
        }),
    ];
    for space in ["plug-one", "plug-two"] {
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": space, "name": "quote"},
            "spec": {"ports": [{"port": 80}]},
        }));
        for (name, prefix, service) in [
            ("quote", "/a/", "quote"),
            ("root", "/", "quote"),
            ("claimed", "/claimed/", "quote"),
            ("foreign", "/b/", "quote.plug-two"),
        ] {
            let spec = json!({
                "hostname": "plug-same.example.com", "prefix": prefix, "service": service,
            });
            objects.push(of_installation("Mapping", space, name, spec));
        }
    }
    let texts: Vec<_> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

/// The same, as the API server gives them.
fn as_stored(server: &Server) -> String {
    let mut manifests = String::new();
    let mut add = |list: &[&str]| {
        let text = run(server, &[list, &["-o", "json"]].concat(), "");
        let found: Value = serde_json::from_str(&text).unwrap();
        let items = found["items"].as_array().cloned();
        for item in items.unwrap_or_else(|| vec![found]) {
            manifests.extend(["---\n", &item.to_string(), "\n"]);
        }
    };
    for space in ["plug-one", "plug-two"] {
        for kind in ["mappings.postern.dev", "hosts.postern.dev", "services"] {
            add(&["get", kind, "-n", space]);
        }
    }
    add(&["get", "secret", "site", "-n", "plug-one"]);
    add(&["get", "routeclaim", "plug-same"]);
    manifests
}

#[test]
fn a_folder_an_api_server_and_a_replica_say_the_same_of_the_same_objects() {
    let server = shared();
    namespace(server, "plug-one");
    namespace(server, "plug-two");
    // One after the other, so that the API server gives the same order of ages to all.
    for object in alike().split("\n---\n") {
        apply(server, object);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-one");
    let config = config.to_str().unwrap();
    let own = ["--namespace", "plug-one", "--installation", "plug-same"];
    let replica = Gateway::of_cluster(Path::new(config), &own);
    replica.wait_until_ready();
    let flags = ["--kubeconfig", config, "--gateway-namespace", "plug-one"];
    let own = ["-n", "plug-one", "--installation", "plug-same"];
    assert_eq!(
        live(&[&flags[..], &own].concat()),
        json!({"reached": 1, "of": 1})
    );
    std::fs::write(&file, as_stored(server)).unwrap();

    let address = replica.diagnostics().to_string();
    let address = ["--from-address", &*address];
    let without = [OF_SERVICES, OF_LEASES];
    alike_in_all(answers(&flags, &without), answers(&address, &without));
    let folder = [
        "-f",
        file.to_str().unwrap(),
        "--gateway-namespace",
        "plug-one",
    ];
    let without = [OF_SERVICES, OF_LEASES, NOT_OF_FOLDERS];
    alike_in_all(answers(&folder, &without), answers(&address, &without));
    let told = answers(&folder, &[]);
    let rows = |verb: &str| {
        let (_, _, told) = told.iter().find(|(of, ..)| of == verb).unwrap();
        told["items"].as_array().unwrap().len()
    };
    // Nothing is the same because there is nothing.
    for (verb, least) in [
        ("status -A", 10),
        ("routes -A", 3),
        ("mine -n plug-one", 2),
        ("who plug-same.example.com", 3),
        ("conflicts -A", 3),
        ("certs -A", 1),
        ("endpoints plug-same.example.com", 3),
    ] {
        assert!(rows(verb) >= least, "{verb}: {}", rows(verb));
    }
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

/// With the Mappings of one namespace and nothing else, each verb that a team needs says what it can, and names in a line what
/// it could not read.
#[test]
fn a_team_that_may_read_one_namespace_is_answered_by_every_verb_that_it_needs() {
    let server = shared();
    namespace(server, "plug-team");
    apply(
        server,
        &mapping("plug-team", "quote", "nowhere").to_string(),
    );
    reader(server, "plug-team");
    let team = server.kubeconfig(TEAM_TOKEN, "plug-team");
    let team = ["--kubeconfig", team.to_str().unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("next.yaml");
    let mut moved = mapping("plug-team", "quote", "nowhere");
    moved["spec"]["prefix"] = "/b/".into();
    std::fs::write(&next, moved.to_string()).unwrap();
    let next = next.to_str().unwrap();
    for (words, code, told) in [
        (&["status"][..], 2, "quote"),
        (&["mine"], 2, "plug-team.example.com"),
        (
            &["why", "http://plug-team.example.com/a/x"],
            2,
            "as far as can be told: you may not read services",
        ),
        (
            &["lint", "-f", next, "--against-cluster"],
            2,
            "not certain: you may not read services",
        ),
        (&["diff", "-f", next], 2, "plug-team.example.com/b/"),
    ] {
        let (exit, out, err) = said(&[words, &team].concat());
        assert_eq!(exit, code, "{words:?}: {out}{err}");
        assert!(out.contains(told), "{words:?}: {out}{err}");
        let unread: Vec<_> = err
            .lines()
            .filter(|line| line.contains("services"))
            .collect();
        assert!(
            unread.len() == 1 && unread[0].contains("you may not read"),
            "{words:?}: {err}"
        );
        assert!(
            !err.contains("Forbidden") && err.lines().count() <= 3,
            "{words:?}: {err}"
        );
    }
}
