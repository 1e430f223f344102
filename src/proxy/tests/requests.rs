//! Requests from their first byte to the last of the response.

use http::StatusCode;

use crate::graph::Action;
use crate::proxy::testing::{Act, Script, exchange, forward, route, serving, site, text};

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_request_is_forwarded_and_answered() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "hello"))]);
    let routes = vec![route("/", Action::Forward(forward("quote").into()))];
    let site = site(serving(routes), script.clone());
    let reply = exchange(
        &site,
        "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    let seen = script.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].uri, "/a?b=c");
    assert_eq!(seen[0].headers["host"], "example.com");
    assert_eq!(seen[0].headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(seen[0].headers["x-forwarded-proto"], "http");
    assert!(!seen[0].headers.contains_key("connection"));
}
