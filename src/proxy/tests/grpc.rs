//! gRPC and gRPC-Web, from the client's side.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::{
    graph::{Action, Upstream, UpstreamProtocol},
    proxy::{
        error::ProxyError,
        site::Site,
        testing::{Act, Script, exchange, forward, route, serving, site, text},
    },
};

/// A worker with one route, to an upstream that speaks this.
fn worker(script: &Script, protocol: UpstreamProtocol, web: bool) -> Rc<Site<Script>> {
    let mut forward = forward("quote");
    forward.upstream = Arc::new(Upstream {
        protocol,
        ..(*forward.upstream).clone()
    });
    forward.max_request_body = Some(8);
    let mut graph = serving(vec![route("/", Action::Forward(forward.into()))]);
    graph.clients.grpc_web = web;
    site(graph, script.clone())
}

fn message(content_type: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::OK, "\0\0\0\0\u{2}hi");
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert("content-type", value);
    response
}

fn ended(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        HeaderValue::from_static(status),
    )])
}

async fn post(site: &Rc<Site<Script>>, fields: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST /quote.Quotes/Get HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
    );
    exchange(site, &request).await
}

fn has(answer: &str, line: &str) -> bool {
    answer.split("\r\n").any(|found| found == line)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_call_from_a_page_becomes_one_of_grpc_and_its_trailers_the_end_of_the_body() {
    let act = Act::Trailers(message("application/grpc+proto"), ended("0"));
    let script = Script::of([act]);
    let site = worker(&script, UpstreamProtocol::Http2, true);
    let asked = "content-type: application/grpc-web+proto\r\n";
    let answer = post(&site, asked, "\0\0\0\0\u{1}a").await;
    assert!(
        has(&answer, "content-type: application/grpc-web+proto"),
        "{answer}"
    );
    assert!(!answer.contains("content-length"), "{answer}");
    assert!(answer.contains("\0\0\0\0\u{2}hi\r\n"), "{answer}");
    assert!(answer.contains("\0\0\0\u{f}grpc-status:0\r\n"), "{answer}");
    let seen = script.seen().remove(0);
    assert_eq!(seen.headers["content-type"], "application/grpc+proto");
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.body, "\0\0\0\0\u{1}a");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_text_form_is_base64_in_both_directions() {
    let act = Act::Trailers(message("application/grpc"), ended("5"));
    let script = Script::of([act]);
    let site = worker(&script, UpstreamProtocol::Http2, true);
    let asked = "content-type: application/grpc-web-text\r\n";
    let answer = post(&site, asked, "AAAAAAFh").await;
    assert!(
        has(&answer, "content-type: application/grpc-web-text+proto"),
        "{answer}"
    );
    assert!(answer.contains("AAAAAAJoaQ=="), "{answer}");
    assert!(answer.contains("gAAAAA9ncnBjLXN0YXR1czo1DQo="), "{answer}");
    let seen = script.seen().remove(0);
    assert_eq!(seen.headers["content-type"], "application/grpc");
    assert!(!seen.headers.contains_key("content-length"));
    assert_eq!(seen.body, "\0\0\0\0\u{1}a");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_status_of_an_answer_without_messages_is_in_the_body_too() {
    let mut response = message("application/grpc");
    *response.body_mut() = Bytes::new();
    response.headers_mut().extend(ended("7"));
    let script = Script::of([Act::Answer(response)]);
    let site = worker(&script, UpstreamProtocol::Http2, true);
    let asked = "content-type: application/grpc-web\r\naccept: application/grpc-web-text\r\n";
    let answer = post(&site, asked, "").await;
    assert!(!answer.contains("grpc-status"), "{answer}");
    assert!(answer.contains("gAAAAA9ncnBjLXN0YXR1czo3DQo="), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_not_for_us_passes_as_it_is() {
    const WEB: &str = "application/grpc-web";
    for (protocol, on, sent, came) in [
        (UpstreamProtocol::Http1, true, WEB, WEB),
        (UpstreamProtocol::Http2, false, WEB, WEB),
        (
            UpstreamProtocol::Http2,
            true,
            "application/grpc",
            "application/grpc",
        ),
        (
            UpstreamProtocol::Http2,
            true,
            "application/json",
            "text/html",
        ),
    ] {
        let script = Script::of([Act::Answer(message(came))]);
        let site = worker(&script, protocol, on);
        let answer = post(&site, &format!("content-type: {sent}\r\n"), "a").await;
        assert!(has(&answer, &format!("content-type: {came}")), "{answer}");
        assert!(has(&answer, "content-length: 7"), "{answer}");
        let seen = script.seen().remove(0);
        assert_eq!(seen.headers["content-type"], sent);
    }
    let script = Script::of([Act::Answer(message("text/html"))]);
    let site = worker(&script, UpstreamProtocol::Http2, true);
    let answer = post(&site, &format!("content-type: {WEB}\r\n"), "a").await;
    assert!(
        has(&answer, "content-length: 7"),
        "no answer of gRPC: {answer}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_is_no_base64_or_too_long_is_refused() {
    for (body, status) in [("AAA", 13), ("????", 13), ("AAAAAAFhYWFhYWFh", 8)] {
        let site = worker(&Script::default(), UpstreamProtocol::Http2, true);
        let asked = "content-type: application/grpc-web-text\r\naccept: application/grpc-web\r\n";
        let answer = post(&site, asked, body).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains(&format!("grpc-status:{status}\r\n")),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn our_own_errors_are_statuses_of_grpc_for_its_clients() {
    for (error, status) in [
        (ProxyError::UpstreamReset, "14"),
        (ProxyError::UpstreamTimeout, "4"),
        (ProxyError::CircuitOpen, "14"),
    ] {
        let script = Script::of([Act::Fail(error)]);
        let site = worker(&script, UpstreamProtocol::Http2, false);
        let answer = post(&site, "content-type: application/grpc\r\n", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(has(&answer, &format!("grpc-status: {status}")), "{answer}");
        assert!(has(&answer, "content-type: application/grpc"), "{answer}");
        assert!(answer.contains("grpc-message: "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let script = Script::of([Act::Fail(ProxyError::UpstreamReset)]);
    let site = worker(&script, UpstreamProtocol::Http2, false);
    let answer = post(&site, "content-type: application/grpc-web\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
