use std::time::Duration;

use http::{HeaderMap, Uri, Version};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{
    graph::{
        HostId, HostPattern, HostTable, HostTls, InsecureAction, Listener, SecurityModel,
        VirtualHost,
    },
    report::{Code, Diagnostic, ObjectReport},
    resource::{Group, Kind, ObjectKey, Origin, Revision},
    telemetry::metrics,
};

fn snapshot() -> Snapshot {
    let host = Arc::new(VirtualHost {
        id: HostId("default".into()),
        pattern: HostPattern::ANY,
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes: Arc::default(),
    });
    let listener = Arc::new(Listener {
        name: "default-http".into(),
        port: 8080,
        http: true,
        tls: false,
        cleartext: true,
        security: SecurityModel::Xfp,
        l7_depth: 0,
        trusted_proxies: Arc::new([]),
        http2_max_concurrent_streams: 100,
        hosts: HostTable::from_iter([(HostPattern::ANY, host)]),
        tcp: crate::graph::TcpTable::default(),
    });
    let object = ObjectReport {
        key: ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "quote"),
        origin: Origin::Cluster,
        revision: Arc::new(Revision {
            generation: 3,
            ..Revision::default()
        }),
        diagnostics: Box::new([Diagnostic::new(
            Code::ServiceNotFound,
            "spec.service",
            "there is no Service apps/qoute",
            "Correct the name",
        )]),
        in_graph: true,
        serves: ["*/quote/".into()].into(),
        asks: None,
        settled: crate::report::Settled::default(),
        certificate_not_after: None,
    };
    Snapshot {
        generation: 1,
        graph: Arc::new(Graph {
            listeners: vec![listener],
            ..Graph::default()
        }),
        report: Arc::new(Report {
            objects: [Arc::new(object)].into_iter().collect(),
            ..Report::default()
        }),
        versions: Arc::default(),
    }
}

fn state(snapshot: Option<Snapshot>) -> State {
    State {
        health: Health::new(),
        registry: metrics::registry(),
        config: serde_json::json!({ "workers": 2 }),
        snapshot: Box::new(move || snapshot.clone()),
    }
}

fn head(method: Method, uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse::<Uri>().unwrap();
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect::<HeaderMap>();
    request.into_parts().0
}

async fn get(port: Port, state: &State, uri: &str) -> (u16, Value) {
    let reply = answer(port, state, &head(Method::GET, uri, &[]));
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let (status, body) = get(Port::Health, &state(None), "/ready").await;
    assert_eq!(status, 503);
    assert!(body["missing"]["configuration"].is_string(), "{body}");
    assert_eq!(get(Port::Health, &state(None), "/live").await.0, 200);
}

#[tokio::test]
async fn a_dead_process_is_not_live_and_says_why() {
    let state = state(None);
    state.health.dead("worker 1 ended");
    let (status, body) = get(Port::Health, &state, "/live").await;
    assert_eq!((status, body), (503, Value::from("worker 1 ended\n")));
}

#[tokio::test]
async fn the_health_port_tells_nothing_about_the_configuration() {
    let state = state(Some(snapshot()));
    for path in [
        "/",
        "/graph",
        "/report",
        "/config",
        "/digest",
        "/why",
        "/metrics/",
    ] {
        assert_eq!(get(Port::Health, &state, path).await.0, 404, "{path}");
    }
    assert_eq!(get(Port::Health, &state, "/metrics").await.0, 200);
}

#[tokio::test]
async fn the_report_is_found_by_name() {
    let state = state(Some(snapshot()));
    let (status, body) = get(Port::Diagnostics, &state, "/report?object=apps%2Fquote").await;
    assert_eq!(status, 200);
    assert_eq!(body["objects"][0]["diagnostics"][0]["code"], "PST3002");
    let (status, _) = get(Port::Diagnostics, &state, "/report?object=web/quote").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn diagnostics_say_when_nothing_is_compiled_yet() {
    let state = state(None);
    assert_eq!(get(Port::Diagnostics, &state, "/graph").await.0, 503);
    assert_eq!(get(Port::Diagnostics, &state, "/").await.0, 200);
    assert_eq!(
        get(Port::Diagnostics, &state, "/config").await.1["workers"],
        2
    );
}

#[tokio::test]
async fn why_decides_as_the_proxy_does_and_shows_the_steps() {
    let state = state(Some(snapshot()));
    let (status, body) = get(
        Port::Diagnostics,
        &state,
        "/why?url=http%3A%2F%2Fexample.com%2Fa%2F..%2Fb&header=x-team:one",
    )
    .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["path"], "/b");
    assert_eq!(body["outcome"], "noRoute");
    assert_eq!(body["host"]["id"], "default");
    for query in [
        "",
        "?url=/relative",
        "?url=http://a/&method=A%20B",
        "?url=http://a/&header=x",
        "?uri=http://a/",
        "?url=http://a/&from=somewhere",
    ] {
        let (status, _) = get(Port::Diagnostics, &state, &format!("/why{query}")).await;
        assert_eq!(status, 400, "{query}");
    }
}

#[test]
fn a_request_under_a_name_gets_no_diagnostics() {
    let state = state(Some(snapshot()));
    for (host, allowed) in [
        ("localhost:8878", true),
        ("127.0.0.1:8878", true),
        ("[::1]:8878", true),
        ("attacker.example:8878", false),
        ("localhost.attacker.example", false),
    ] {
        let head = head(Method::GET, "/graph", &[("host", host)]);
        let status = answer(Port::Diagnostics, &state, &head).status();
        assert_eq!(status == StatusCode::OK, allowed, "{host}: {status}");
    }
}

#[test]
fn only_reading_is_answered() {
    let state = state(Some(snapshot()));
    for port in [Port::Health, Port::Diagnostics] {
        let reply = answer(port, &state, &head(Method::POST, "/", &[]));
        assert_eq!(reply.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[test]
fn equal_graphs_have_equal_digests_and_different_ones_do_not() {
    let (one, other) = (snapshot(), snapshot());
    assert_eq!(digest(&one.graph), digest(&other.graph));
    assert_ne!(digest(&one.graph), digest(&Graph::default()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_its_head_slowly_is_hung_up_on() {
    let address = "127.0.0.1:0".parse().unwrap();
    let admin = Admin::bind(Port::Health, address, Arc::new(state(None)))
        .await
        .unwrap();
    let address = admin.address().unwrap();
    tokio::spawn(admin.run());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("the connection must be closed")
        .unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}
