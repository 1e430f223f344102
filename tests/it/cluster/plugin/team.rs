//! What a team is told that may read the Mappings of its own namespace, and of nobody else's.

use std::{path::Path, thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        super::gateway::Gateway,
        platform::{apply, namespace, run, shared},
        server::{ADMIN_TOKEN, Server, TEAM_TOKEN},
    },
    mapping, reader, said,
};

/// For the replica to write what it says of an object.
const PATIENCE: Duration = Duration::from_secs(30);

/// The strangers' namespace comes first by its name: the ages may be the same.
const STRANGERS: &str = "plug-truth-a";
const OWN: &str = "plug-truth-b";
const INSTALLATION: &str = "plug-truth";

fn of(space: &str, name: &str, hostname: &str) -> Value {
    let mut object = mapping(space, name, "nowhere");
    object["spec"]["hostname"] = hostname.into();
    object["spec"]["ambassadorId"] = json!([INSTALLATION]);
    object
}

/// Waits until the status of a Mapping of the team's says this.
fn wait_for(server: &Server, name: &str, code: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut text = String::new();
    while Instant::now() < deadline {
        text = run(
            server,
            &["get", "mappings.postern.dev", name, "-n", OWN, "-o", "json"],
            "",
        );
        let found: Value = serde_json::from_str(&text).unwrap();
        if found["status"].to_string().contains(code) {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("the status of {name} never says {code}: {text}");
}

#[test]
fn what_is_lost_to_objects_that_may_not_be_read_is_told_and_what_is_not_known_is_not_denied() {
    let server = shared();
    namespace(server, STRANGERS);
    namespace(server, OWN);
    let claim = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "plug-truth"},
        "spec": {"hostnames": ["claimed.plug-truth.example.com"], "namespaces": {"names": [STRANGERS]}},
    });
    for object in [
        claim,
        of(STRANGERS, "older", "plug-truth.example.com"),
        of(STRANGERS, "stranger", "stranger.plug-truth.example.com"),
        of(OWN, "lost", "plug-truth.example.com"),
        of(OWN, "claimed", "claimed.plug-truth.example.com"),
    ] {
        apply(server, &object.to_string());
    }
    reader(server, OWN);
    let admin = server.kubeconfig(ADMIN_TOKEN, STRANGERS);
    let flags = ["--namespace", STRANGERS, "--installation", INSTALLATION];
    let replica = Gateway::of_cluster(Path::new(&admin), &flags);
    replica.wait_until_ready();
    wait_for(server, "lost", "PST2007");
    wait_for(server, "claimed", "PST2012");

    let team = server.kubeconfig(TEAM_TOKEN, OWN);
    let team = [
        "--installation",
        INSTALLATION,
        "--kubeconfig",
        team.to_str().unwrap(),
    ];
    let told = |words: &[&str]| {
        let (code, out, err) = said(&[words, &team].concat());
        (code, format!("{out}{err}"))
    };
    for (words, code, parts) in [
        (&["status"][..], 1, &["Refused", "PST2007", "PST2012"][..]),
        (&["conflicts"], 1, &["PST2007", "PST2012"]),
        (
            &["mine"],
            1,
            &["in vain by Mapping plug-truth-b/claimed, Mapping plug-truth-b/lost"],
        ),
        (&["routes"], 0, &["0 routes"]),
        (
            &["why", "http://plug-truth.example.com/a/x"],
            2,
            &["refused", "PST2007", "as far as can be told"],
        ),
        (
            &["why", "http://stranger.plug-truth.example.com/a/x"],
            2,
            &["as far as can be told: you may not read mappings."],
        ),
        (
            &["who", "stranger.plug-truth.example.com"],
            2,
            &["as far as can be told: you may not read mappings."],
        ),
    ] {
        let (exit, text) = told(words);
        assert_eq!(exit, code, "{words:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{words:?} without {part}: {text}");
        }
        assert!(!text.contains("Live"), "{words:?}: {text}");
    }

    // The same manifests again change nothing, and one for a free place might.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("next.yaml");
    for (hostname, code, part) in [
        ("plug-truth.example.com", 0, "unchanged   0 routes"),
        ("free.plug-truth.example.com", 2, "gained"),
    ] {
        std::fs::write(&file, of(OWN, "lost", hostname).to_string()).unwrap();
        let (exit, text) = told(&["diff", "-f", file.to_str().unwrap()]);
        assert_eq!(exit, code, "{hostname}: {text}");
        assert!(text.contains(part), "{hostname}: {text}");
    }
}
