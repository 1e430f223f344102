//! What goes on to the upstream, and what comes back to the client.

use http::{HeaderName, HeaderValue, StatusCode};

use super::serving_with;
use crate::graph::{Action, HostTls};
use crate::{
    graph::{
        HeaderEdit, HeaderEdits,
        filters::{HeaderText, Part},
    },
    proxy::testing::{Act, Script, exchange, forward, graph, host, listener, route, site, text},
};

#[tokio::test(flavor = "local", start_paused = true)]
async fn nothing_about_the_client_is_believed_from_a_stranger() {
    let script = Script::default();
    let site = serving_with(&script, |_| ());
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\n\
        X-Original-Url: /admin\r\nX-Rewrite-Url: /admin\r\nX-Request-Id: mine\r\nl5d-dst-override: evil\r\n\
        Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nExpect: 100-continue\r\n\
        Connection: close, TE\r\n\r\n";
    exchange(&site, request).await;
    let headers = script.seen().remove(0).headers;
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "host",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id"
        ]
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-request-id"].len(), 36);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_trusted_proxy_is_believed() {
    let script = Script::default();
    let mut listener = listener();
    listener.l7_depth = 1;
    listener.trusted_proxies = ["192.0.2.0/24".parse().unwrap()].into();
    let mut to = forward("quote");
    let format = HeaderText::Format([Part::RemoteIp].into());
    to.request_headers = HeaderEdits {
        edits: [HeaderEdit::Set(HeaderName::from_static("x-client"), format)].into(),
    };
    let routes = vec![route("/", Action::Forward(to.into()))];
    let site = site(
        graph(listener, vec![host("*", HostTls::None, routes)]),
        script.clone(),
    );
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
        X-Request-Id: theirs\r\nX-Forwarded-Host: outside\r\nConnection: close\r\n\r\n";
    exchange(&site, request).await;
    let headers = script.seen().remove(0).headers;
    assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 7.7.7.7, 192.0.2.1");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-host"], "outside");
    assert_eq!(headers["x-request-id"], "theirs");
    assert_eq!(headers["x-client"], "7.7.7.7");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_the_response_says_of_its_connection_stays_here() {
    let mut answer = text(StatusCode::OK, "ok");
    for (name, value) in [
        ("connection", "close, x-hop"),
        ("keep-alive", "timeout=1"),
        ("l5d-proxy-error", "secret"),
        ("server", "theirs"),
    ] {
        let value = HeaderValue::from_static(value);
        answer
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    let script = Script::of([Act::Answer(answer)]);
    let site = serving_with(&script, |forward| {
        let name = HeaderName::from_static("x-host");
        let parts = [
            Part::RequestHeader(http::header::HOST),
            Part::Text("!".into()),
        ];
        forward.response_headers = HeaderEdits {
            edits: [HeaderEdit::Set(name, HeaderText::Format(parts.into()))].into(),
        };
    });
    // Two requests: the upstream's `close` is not for the client.
    let one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let two = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let reply = exchange(&site, &format!("{one}{two}")).await;
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 2, "{reply}");
    let head = reply.split("\r\n\r\n").next().unwrap();
    assert!(
        head.contains("server: theirs\r\n") && head.contains("x-host: a!"),
        "{head}"
    );
    for gone in ["keep-alive", "l5d-", "x-hop", "connection"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upgrade_that_is_not_allowed_is_an_ordinary_request_and_the_last() {
    let script = Script::default();
    let site = serving_with(&script, |_| ());
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AA\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = exchange(&site, request).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("connection: close\r\n"), "{reply}");
    let seen = script.seen();
    assert_eq!(seen.len(), 1);
    for name in ["upgrade", "connection", "http2-settings"] {
        assert!(!seen[0].headers.contains_key(name), "{name}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upstream_of_http_1_0_is_nothing_that_the_client_hears_of() {
    let mut old = http::Response::new("old".into());
    *old.version_mut() = http::Version::HTTP_10;
    let script = Script::of([Act::Answer(old)]);
    let site = serving_with(&script, |_| ());
    let two =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let reply = exchange(&site, two).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(!reply.contains("HTTP/1.0"), "{reply}");
    assert_eq!(script.seen().len(), 2, "the connection goes on: {reply}");
}
