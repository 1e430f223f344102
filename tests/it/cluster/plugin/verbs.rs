//! The verbs that only a cluster can answer: what of a folder conflicts with it, what an upgrade would change, and what to
//! send to those who help.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        super::gateway::Gateway,
        platform::{apply, namespace, run, shared},
        server::{ADMIN_TOKEN, TEAM_TOKEN},
    },
    mapping, reader, said,
};

/// For a change to be printed: the program looks every two seconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn service(space: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": space, "name": name},
        "spec": {"ports": [{"port": 80}]},
    })
}

#[test]
fn lint_against_the_cluster_sees_what_a_folder_alone_does_not() {
    let server = shared();
    namespace(server, "plug-lint");
    namespace(server, "plug-lint-other");
    apply(server, &service("plug-lint", "quote").to_string());
    apply(server, &mapping("plug-lint", "first", "quote").to_string());
    let mut second = mapping("plug-lint-other", "second", "nowhere");
    second["spec"]["hostname"] = "plug-lint.example.com".into();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("second.yaml");
    std::fs::write(&file, second.to_string()).unwrap();
    let files = ["-f", file.to_str().unwrap(), "-o", "json"];

    let (code, text, _) = said(&[&["lint"][..], &files].concat());
    assert_eq!((code, text.trim()), (0, "[]"), "the folder alone");

    let admin = server.kubeconfig(ADMIN_TOKEN, "plug-lint-other");
    let admin = ["--against-cluster", "--kubeconfig", admin.to_str().unwrap()];
    let (code, text, err) = said(&[&["lint"][..], &files, &admin].concat());
    let found: Value = serde_json::from_str(&text).unwrap();
    let codes: Vec<_> = { found.as_array().unwrap().iter() }
        .map(|found| found["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        (code, &*codes),
        (1, &["PST2007", "PST3002"][..]),
        "{text}{err}"
    );
    let at = found[0]["at"].as_str().unwrap();
    assert!(at.starts_with(file.to_str().unwrap()), "{at}");

    reader(server, "plug-lint-other");
    let team = server.kubeconfig(TEAM_TOKEN, "plug-lint-other");
    let team = ["--against-cluster", "--kubeconfig", team.to_str().unwrap()];
    let (code, text, err) = said(&[&["lint"][..], &files, &team].concat());
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 2, "what cannot be read is no error: {text}{err}");
    assert_eq!(found[0]["code"], "PST3002", "{text}");
    let unknown = found[0]["unknown"].as_str().unwrap();
    assert!(unknown.contains("services"), "{unknown}");
}

#[test]
fn a_bundle_holds_all_that_is_known_and_nothing_that_is_secret() {
    let server = shared();
    namespace(server, "plug-bundle");
    let pair = rcgen::generate_simple_self_signed(["plug-bundle.example.com".to_owned()]).unwrap();
    let key = pair.signing_key.serialize_pem();
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "plug-bundle", "name": "site"},
            "stringData": {"tls.crt": pair.cert.pem(), "tls.key": key},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
            "metadata": {"namespace": "plug-bundle", "name": "site"},
            "spec": {"hostname": "plug-bundle.example.com", "tlsSecret": {"name": "site"}},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Listener",
            "metadata": {"namespace": "plug-bundle", "name": "https"},
            "spec": {"port": 8443, "protocol": "HTTPS", "securityModel": "XFP",
                "hostBinding": {"namespace": {"from": "ALL"}}},
        }),
    ];
    apply(
        server,
        &objects.map(|object| object.to_string()).join("\n---\n"),
    );
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("bundle.json");
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-bundle");
    let flags = [
        "bundle",
        "--to",
        to.to_str().unwrap(),
        "--gateway-namespace",
        "plug-bundle",
        "--kubeconfig",
        config.to_str().unwrap(),
    ];
    let (code, out, err) = said(&flags);
    assert_eq!((code, &*out), (0, ""), "{err}");
    let text = std::fs::read_to_string(&to).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let objects = bundle["objects"].as_array().unwrap().iter();
    let host = objects.filter(|o| o["namespace"] == "plug-bundle" && o["kind"] == "Host");
    assert_eq!(host.count(), 1, "{bundle}");
    let certificates = bundle["certificates"].to_string();
    assert!(
        certificates.contains("plug-bundle.example.com"),
        "{certificates}"
    );
    // The key itself, in whichever encoding: its lines, and what the API server makes of them.
    let lines = key.lines().filter(|line| !line.starts_with("-----"));
    let secret = run(
        server,
        &["get", "secret", "site", "-n", "plug-bundle", "-o", "json"],
        "",
    );
    let secret: Value = serde_json::from_str(&secret).unwrap();
    let encoded = secret["data"]["tls.key"].as_str().unwrap();
    let encoded = encoded
        .as_bytes()
        .chunks(40)
        .map(|part| std::str::from_utf8(part).unwrap());
    for part in lines.chain(encoded).filter(|part| part.len() >= 20) {
        assert!(!text.contains(part), "a part of the key is in the bundle");
    }
    assert!(!text.contains("PRIVATE KEY"));
}

/// A program that is ended whatever comes.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn a_watched_status_is_printed_again_when_it_is_another_one() {
    let server = shared();
    namespace(server, "plug-watch");
    // Of an installation of its own, which has no replicas that come and go with other tests.
    let mut object = mapping("plug-watch", "quote", "nowhere");
    object["spec"]["ambassadorId"] = json!(["plug-watch"]);
    apply(server, &object.to_string());
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-watch");
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-postern"))
        .args([
            "status",
            "--watch",
            "--installation",
            "plug-watch",
            "--kubeconfig",
            config.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let _watching = Watching(child);
    let (lines, printed) = mpsc::channel();
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    // There may be claims of other tests.
    let until = |wanted: &[&str]| {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while let Ok(line) =
            printed.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if wanted.iter().all(|part| line.contains(part)) {
                return;
            }
            seen += &line;
            seen.push('\n');
        }
        panic!("{wanted:?} is not printed:\n{seen}");
    };
    until(&["quote", "PST3002"]);
    apply(server, &service("plug-watch", "nowhere").to_string());
    until(&["quote", "Pending"]);
}

#[test]
fn before_an_upgrade_the_running_replica_is_compared_with_this_program() {
    let server = shared();
    namespace(server, "plug-up");
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-up");
    let config = config.to_str().unwrap();
    let installation = ["--installation", "plug-up"];
    let mut object = mapping("plug-up", "quote", "nowhere");
    object["spec"]["ambassadorId"] = json!(["plug-up"]);
    apply(server, &object.to_string());
    let own = [
        "--namespace",
        "plug-up",
        "--bind",
        "8080=127.0.0.1:0",
        "--bind",
        "8443=127.0.0.1:0",
    ];
    let replica = Gateway::of_cluster(Path::new(config), &[&own[..], &installation].concat());
    replica.wait_until_ready();
    let address = replica.diagnostics().to_string();
    let ask = || {
        let flags = [
            "--gateway-namespace",
            "plug-up",
            "--kubeconfig",
            config,
            "--from-address",
        ];
        let flags = [
            &["check", "--pre-upgrade", "-o", "json"][..],
            &installation,
            &flags,
        ];
        let (_, text, err) = said(&[&flags.concat()[..], &[&*address]].concat());
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{err}"));
        let of = |check: &str| {
            let mut rows = told["items"].as_array().unwrap().iter();
            rows.find(|row| row["check"] == check)
                .cloned()
                .unwrap_or_default()
        };
        ["versions", "schemas", "objects", "traffic"].map(of)
    };
    // Other tests share the server and change what everybody reads, and a Lease is written after a while.
    let deadline = Instant::now() + PATIENCE;
    let is_ok = |row: &Value| row["result"] == "Ok";
    let mut rows = ask();
    while Instant::now() < deadline && !rows.iter().all(is_ok) {
        thread::sleep(Duration::from_millis(200));
        rows = ask();
    }
    assert!(rows.iter().all(is_ok), "{rows:#?}");
}

/// What `kubectl get` prints of a claim on ports as well, and who has the port without any Listener that is there.
#[test]
fn a_claim_on_ports_hides_no_hostname() {
    let server = shared();
    let claim = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "plug-ports"},
        "spec": {
            "hostnames": ["plug-ports.example.com", "*.plug-ports.example.com"], "ports": [6379, 6380],
            "namespaces": {"names": ["plug-ports"], "selector": {"matchLabels": {"plug": "ports"}}},
        },
    });
    apply(server, &claim.to_string());
    let table = run(server, &["get", "routeclaim", "plug-ports"], "");
    for (title, value) in [
        (
            "HOSTNAMES",
            r#"["plug-ports.example.com","*.plug-ports.example.com"]"#,
        ),
        ("PORTS", "[6379,6380]"),
        ("NAMESPACES", r#"["plug-ports"]"#),
        ("LABELS", r#"{"matchLabels":{"plug":"ports"}}"#),
    ] {
        assert!(
            table.contains(title) && table.contains(value),
            "{title}: {table}"
        );
    }
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-ports");
    let config = config.to_str().unwrap();
    let own = [
        "--installation",
        "plug-ports",
        "--gateway-namespace",
        "plug-ports",
    ];
    let flags = [&own[..], &["--kubeconfig", config, "-o", "json"]].concat();
    let (code, text, err) = said(&[&["who", ":6380"][..], &flags].concat());
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{err}"));
    let found = &told["items"][0];
    assert_eq!(
        (code, &found["port"], &found["by"]),
        (0, &6380.into(), &"claim plug-ports".into())
    );
    assert_eq!(found["owners"], json!(["plug-ports"]));
    let (_, text, _) = said(&[&["status", "routeclaim/plug-ports"][..], &flags[..6]].concat());
    assert!(text.contains("*.plug-ports.example.com"), "{text}");
}

#[test]
fn what_replicas_were_started_with_is_known_by_their_leases() {
    let server = shared();
    namespace(server, "plug-preset");
    let config = server.kubeconfig(ADMIN_TOKEN, "plug-preset");
    let config = config.to_str().unwrap();
    let mut object = mapping("plug-preset", "quote", "nowhere");
    object["spec"]["ambassadorId"] = json!(["plug-preset"]);
    apply(server, &object.to_string());
    let own = [
        "--namespace",
        "plug-preset",
        "--installation",
        "plug-preset",
    ];
    let flags = ["--compat", "emissary"];
    let replica = Gateway::of_cluster(Path::new(config), &[&own[..], &flags].concat());
    replica.wait_until_ready();
    let url = "http://plug-preset.example.com/a/";
    let case = ["why", url, "-o", "json", "--kubeconfig", config];
    let own = [
        "--installation",
        "plug-preset",
        "--gateway-namespace",
        "plug-preset",
    ];
    let deadline = Instant::now() + PATIENCE;
    let mut told = Value::Null;
    while Instant::now() < deadline {
        let (_, text, err) = said(&[&case[..], &own].concat());
        told = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{err}"));
        let mut policies = told["policies"].as_array().unwrap().iter();
        // Emissary writes them.
        if policies.any(|found| found["policy"] == "envoyHeaders" && found["value"] == "written") {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("nobody knows of the preset: {told:#}");
}
