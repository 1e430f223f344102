//! A replica that starts while the API server is away, and what an earlier one has kept for it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    installation::{Installation, a_mapping, figure, is_ready, mapping, ours, service, services},
    platform::{namespace, own},
    server::{POSTERN_TOKEN, Server},
};
use crate::{client::Request, gateway::Gateway};

const OWN: &str = "state-gateway";
const TEAM: &str = "state-shop";
const NAME: &str = "state.example.com";

/// A Service, a Mapping, and a Host with a certificate.
fn write_objects(server: &Server) {
    namespace(server, TEAM);
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": TEAM, "name": "tls"},
        "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
    });
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host", "metadata": {"namespace": TEAM, "name": "state"},
        "spec": {"hostname": NAME, "tlsSecret": {"name": "tls"}},
    });
    let secrets = format!("/api/v1/namespaces/{TEAM}/secrets");
    let objects = [
        (services(TEAM), service(TEAM, "quote")),
        (secrets, secret),
        (ours("hosts", TEAM), host),
        (ours("mappings", TEAM), mapping(TEAM, "a", "/a/")),
        (
            ours("mappings", TEAM),
            mapping(TEAM, "leaving", "/leaving/"),
        ),
    ];
    for (place, object) in objects {
        server.create(&place, &object).unwrap();
    }
}

fn launch(kubeconfig: &Path, state: &Path) -> Gateway {
    let flags = ["--namespace", OWN, "--watch-namespaces", TEAM, "--echo"];
    let more = ["--pod-name", "one", "--workers", "1", "--drain-delay", "0s"];
    let state = ["--state-dir", state.to_str().unwrap()];
    Gateway::of_cluster(kubeconfig, &[&flags[..], &more, &state].concat())
}

fn secure() -> Request {
    Request::get(&format!("https://{NAME}/a/"))
}

/// Graph and report, but for the address of this process's own echo server.
fn compiled(gateway: &Gateway) -> (Value, Value) {
    let mut graph = gateway.ask("/graph");
    let upstreams = graph["upstreams"].as_object_mut().unwrap();
    assert!(!upstreams.is_empty());
    for upstream in upstreams.values_mut() {
        upstream["target"]["echo"].take();
    }
    (graph, gateway.ask("/report"))
}

/// What the index of the diagnostics says is wrong with the configuration.
fn note(gateway: &Gateway) -> Value {
    gateway.ask("/")["ready"]["degraded"]["configuration"].clone()
}

fn is_kept(gateway: &Gateway) -> bool {
    let metrics = gateway.metrics();
    metrics.contains_key("postern_config_kept_age_seconds")
}

/// Runs a replica until it has kept everything; returns what it served.
fn keep(kubeconfig: &Path, state: &Path) -> (Value, Value) {
    let mut gateway = launch(kubeconfig, state);
    gateway.wait_until_ready();
    gateway.send_until(&secure(), |answer| answer.status == 200);
    let file = state.join("resources.jsonl");
    gateway
        .eventually(|| {
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            if text.contains(r#"{"secret":"#) {
                return Ok(());
            }
            Err(format!("no Secret among {} bytes", text.len()))
        })
        .unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    assert!(!is_kept(&gateway), "what it serves is the API server's");
    let compiled = compiled(&gateway);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success(), "{}", gateway.logged());
    compiled
}

#[test]
fn a_replica_that_starts_while_the_api_server_is_away_serves_the_last_good_set_until_it_is_back() {
    let mut server = own();
    Installation::new(&server, OWN, &[TEAM]);
    write_objects(&server);
    let kubeconfig = server.kubeconfig(POSTERN_TOKEN, OWN);
    let state = tempfile::tempdir().unwrap();
    let before = keep(&kubeconfig, state.path());

    let leaving = a_mapping(TEAM, "leaving");
    server.delete(&leaving).unwrap();
    server.stop_apiserver();
    let gateway = launch(&kubeconfig, state.path());
    let began = tokio::time::Instant::now();
    gateway.wait_until_ready();
    figure(format_args!(
        "ready without the API server after {:?}",
        began.elapsed()
    ));
    assert_eq!(gateway.get("http://any/a/").status, 200);
    assert_eq!(gateway.get("http://any/leaving/").status, 200);
    assert_eq!(gateway.send(&secure()).status, 200, "the key was kept too");
    assert_eq!(
        compiled(&gateway),
        before,
        "the same set makes the same graph"
    );
    assert!(is_kept(&gateway));
    let said = || note(&gateway).as_str().map(str::to_owned);
    gateway
        .eventually(|| {
            said()
                .map(drop)
                .ok_or_else(|| "the index says nothing".to_owned())
        })
        .unwrap();
    assert!(
        said().unwrap().contains("by an earlier process"),
        "{said:?}",
        said = said()
    );

    server.start_apiserver();
    let late = mapping(TEAM, "late", "/late/");
    server.create(&ours("mappings", TEAM), &late).unwrap();
    let back = tokio::time::Instant::now();
    let live = Request::get("http://any/late/");
    gateway.send_until(&live, |answer| answer.status == 200);
    figure(format_args!(
        "live {:?} after the API server was back",
        back.elapsed()
    ));
    assert_eq!(gateway.get("http://any/leaving/").status, 404);
    assert_eq!(gateway.send(&secure()).status, 200);
    assert!(!is_kept(&gateway));
    gateway
        .eventually(|| match note(&gateway) {
            Value::Null => Ok(()),
            note => Err(note.to_string()),
        })
        .unwrap();
    server.until(&a_mapping(TEAM, "late"), "status goes on", is_ready);
}

#[test]
fn what_another_installation_has_kept_is_not_served() {
    let mut server = own();
    Installation::new(&server, OWN, &[TEAM]);
    let kubeconfig = server.kubeconfig(POSTERN_TOKEN, OWN);
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("resources.jsonl");
    let owner = json!({"server": "https://192.0.2.1/", "installation": "default", "namespace": OWN, "watchNamespaces": [TEAM]});
    let header = json!({"posternResources": 1, "kept": 1, "owner": owner});
    fs::write(&file, format!("{header}\n")).unwrap();
    server.stop_apiserver();
    let gateway = launch(&kubeconfig, state.path());
    gateway
        .eventually(|| {
            let log = gateway.logged();
            let lines = log.matches("it belongs to another installation").count();
            if lines == 1 {
                Ok(())
            } else {
                Err(format!("{lines} lines say why"))
            }
        })
        .unwrap();
    let ready = Request::get("http://admin/ready")
        .try_send(gateway.admin())
        .unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
}
