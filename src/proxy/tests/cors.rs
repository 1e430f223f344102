//! Web pages of other origins.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::serving_with;
use crate::{
    graph::cors::{Cors, Origins},
    proxy::{
        error::ProxyError,
        testing::{Act, Script, exchange, text},
    },
};

const SHOP: &str = "https://shop.example";

fn cors(origins: Origins) -> Cors {
    Cors {
        origins,
        methods: Some(HeaderValue::from_static("GET, PUT")),
        headers: Some(HeaderValue::from_static("x-a")),
        exposed: Some(HeaderValue::from_static("x-b")),
        credentials: true,
        max_age: Some(HeaderValue::from_static("600")),
    }
}

/// The answer to a request with these fields.
async fn answer(script: &Script, origins: Origins, method: &str, fields: &str) -> String {
    let site = serving_with(script, |forward| {
        forward.cors = Some(Arc::new(cors(origins)));
    });
    let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
    exchange(&site, &request).await
}

fn only_shop() -> Origins {
    Origins::Only([SHOP.into()].into())
}

fn has(answer: &str, line: &str) -> bool {
    answer.split("\r\n").any(|found| found == line)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_preflight_is_answered_and_goes_no_further() {
    let script = Script::default();
    let fields = format!("origin: {SHOP}\r\naccess-control-request-method: PUT\r\n");
    let answer = answer(&script, only_shop(), "OPTIONS", &fields).await;
    for line in [
        "HTTP/1.1 200 OK",
        "access-control-allow-origin: https://shop.example",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: x-a",
        "access-control-allow-credentials: true",
        "access-control-max-age: 600",
        "vary: origin",
    ] {
        assert!(has(&answer, line), "{line:?} is not in {answer}");
    }
    assert!(!answer.contains("expose"), "{answer}");
    assert!(script.seen().is_empty());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_no_preflight_or_of_a_stranger_goes_on() {
    let asks = "access-control-request-method: PUT\r\n";
    for (method, fields, allowed) in [
        ("OPTIONS", format!("origin: {SHOP}\r\n"), true),
        ("GET", format!("origin: {SHOP}\r\n{asks}"), true),
        (
            "OPTIONS",
            format!("origin: https://evil.example\r\n{asks}"),
            false,
        ),
        ("GET", String::new(), false),
    ] {
        let script = Script::default();
        let answer = answer(&script, only_shop(), method, &fields).await;
        assert_eq!(script.seen().len(), 1, "{method} {fields}");
        let line = format!("access-control-allow-origin: {SHOP}");
        assert_eq!(has(&answer, &line), allowed, "{method} {fields}");
        let exposed = has(&answer, "access-control-expose-headers: x-b");
        assert_eq!(exposed, allowed, "{method} {fields}");
        assert!(has(&answer, "vary: origin"), "{answer}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_the_upstream_says_about_origins_is_replaced() {
    let mut response = text(StatusCode::OK, "");
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert("access-control-allow-origin", any);
    let script = Script::of([Act::Answer(response)]);
    let fields = "origin: https://any.example\r\n";
    let answer = answer(&script, Origins::Any, "GET", fields).await;
    assert_eq!(answer.matches("access-control-allow-origin").count(), 1);
    let line = "access-control-allow-origin: https://any.example";
    assert!(has(&answer, line), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_page_may_read_our_own_errors_too() {
    let script = Script::of([Act::Fail(ProxyError::UpstreamReset)]);
    let fields = format!("origin: {SHOP}\r\n");
    let answer = answer(&script, only_shop(), "GET", &fields).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let line = format!("access-control-allow-origin: {SHOP}");
    assert!(has(&answer, &line), "{answer}");
}
