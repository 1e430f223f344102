//! What is spoken with clients beyond the usual.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::speaking;
use crate::proxy::testing::{Act, Script, connect, exchange, rest, text};

fn answer() -> Response<Bytes> {
    let mut response = text(StatusCode::OK, "hello");
    let value = HeaderValue::from_static("1");
    response.headers_mut().insert("x-of-upstream", value);
    response
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn http10_is_answered_where_it_may_be_spoken() {
    let script = Script::of([Act::Answer(answer())]);
    let site = speaking(&script, |clients| clients.http10 = true);
    let reply = exchange(&site, "GET /old HTTP/1.0\r\nHost: a.com\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.0 200 OK\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    for (refused, status) in [
        ("GET / HTTP/1.0\r\n\r\n", 400),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ] {
        let reply = exchange(&site, refused).await;
        let line = format!(" {status} ");
        assert!(
            reply.split("\r\n").next().unwrap().contains(&line),
            "{reply}"
        );
    }
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_http10_connection_ends_unless_the_client_keeps_it() {
    let script = Script::of([Act::Answer(answer()), Act::Answer(answer())]);
    let site = speaking(&script, |clients| clients.http10 = true);
    let kept = "GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let last = "GET /2 HTTP/1.0\r\nHost: a\r\n\r\n";
    let reply = exchange(&site, &format!("{kept}{last}")).await;
    assert_eq!(reply.matches("HTTP/1.0 200 OK").count(), 2, "{reply}");
    assert_eq!(reply.matches("keep-alive").count(), 1, "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn names_of_header_fields_are_written_as_is_asked() {
    for (title_case, expected) in [(true, "X-Of-Upstream: 1"), (false, "x-of-upstream: 1")] {
        let script = Script::of([Act::Answer(answer())]);
        let site = speaking(&script, |clients| clients.title_case = title_case);
        let reply = exchange(
            &site,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(reply.contains(expected), "{reply}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_upstream_does_not_see_the_port_of_the_listener() {
    let script = Script::default();
    let site = speaking(&script, |clients| clients.strips_own_port = true);
    for (host, expected) in [("a.com:8080", "a.com"), ("a.com:81", "a.com:81")] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(&site, &request).await;
        assert_eq!(script.seen().last().unwrap().headers["host"], expected);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_names_its_request_where_it_may() {
    for (keeps, expected) in [(true, true), (false, false)] {
        let script = Script::default();
        let site = speaking(&script, |clients| clients.keeps_request_ids = keeps);
        let request =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nConnection: close\r\n\r\n";
        exchange(&site, request).await;
        let seen = script.seen().remove(0);
        assert_eq!(seen.headers["x-request-id"] == "mine", expected);
    }
}

const CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_goes_on_when_it_is_whole() {
    for (buffer, begun) in [(Some(10), 0), (None, 1)] {
        let script = Script::of([Act::Answer(answer())]);
        let site = speaking(&script, |clients| clients.buffer = buffer);
        let mut client = connect(&site);
        let first = format!("{CHUNKED}5\r\nhello\r\n");
        client.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(script.begun(), begun, "{buffer:?}");
        client.write_all(b"5\r\nagain\r\n0\r\n\r\n").await.unwrap();
        let reply = rest(&mut client).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert_eq!(script.seen()[0].body, "helloagain");
        assert_eq!(script.begun(), 1);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_never_is_whole_or_too_long_goes_nowhere() {
    for (body, length, status) in [
        ("5\r\nhello\r\n", None, 408),
        ("b\r\nhello again\r\n0\r\n\r\n", None, 413),
        ("", Some(11), 413),
    ] {
        let script = Script::default();
        let site = speaking(&script, |clients| clients.buffer = Some(10));
        let mut client = connect(&site);
        let request = match length {
            Some(length) => CHUNKED.replace(
                "Transfer-Encoding: chunked",
                &format!("Content-Length: {length}"),
            ),
            None => format!("{CHUNKED}{body}"),
        };
        client.write_all(request.as_bytes()).await.unwrap();
        let reply = rest(&mut client).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert_eq!(script.begun(), 0);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_head_may_be_as_long_as_is_said() {
    for (most, status) in [(Some(1024), 431), (None, 200)] {
        let script = Script::default();
        let site = speaking(&script, |clients| clients.max_head = most);
        let long = "a".repeat(2000);
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\nConnection: close\r\n\r\n");
        let reply = exchange(&site, &request).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    }
}
