//! What two servers could read differently is refused, and the connection is closed (SEC-I1, SEC-H2).

use super::serving_with;
use crate::proxy::{
    limits,
    testing::{Script, exchange},
};

/// What is sent, and the status that it gets. Behind each, a request is smuggled that must never be seen.
const REFUSED: &[(&str, u16)] = &[
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n",
        400,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\n\r\n", 400),
    (
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        426,
    ),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
];

/// hyper refuses these itself: the status is what it says, and nothing gets through.
const REFUSED_BY_HYPER: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
];

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    for (bytes, status) in REFUSED {
        let script = Script::default();
        let site = serving_with(&script, |_| ());
        let reply = exchange(&site, &format!("{bytes}{SMUGGLED}")).await;
        let (_, got) = reply.split_once(' ').unwrap_or_default();
        assert!(got.starts_with(&format!("{status} ")), "{bytes:?}: {reply}");
        assert_eq!(
            reply.matches("request id: ").count(),
            1,
            "{bytes:?}: {reply}"
        );
        assert!(script.seen().is_empty(), "{bytes:?} reached the upstream");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_hyper_refuses_reaches_nobody() {
    for bytes in REFUSED_BY_HYPER {
        let script = Script::default();
        let site = serving_with(&script, |_| ());
        let reply = exchange(&site, &format!("{bytes}{SMUGGLED}")).await;
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 400 "),
            "{bytes:?}: {reply}"
        );
        assert!(script.seen().is_empty(), "{bytes:?} reached the upstream");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_that_is_not_chunked_as_it_says_does_not_become_a_request() {
    for body in [
        "5\r\nabc",
        "g\r\n",
        "5\r\nabcdeX\r\n0\r\n\r\n",
        "-1\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
    ] {
        let script = Script::default();
        let site = serving_with(&script, |_| ());
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = crate::proxy::testing::connect(&site);
        let bytes = format!("{head}{body}\r\n{SMUGGLED}");
        tokio::io::AsyncWriteExt::write_all(&mut client, bytes.as_bytes())
            .await
            .unwrap();
        crate::proxy::testing::rest(&mut client).await;
        assert!(
            script.seen().iter().all(|seen| seen.uri != "/smuggled"),
            "{body:?}"
        );
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn too_long_and_too_many_have_their_own_status() {
    let long = "x".repeat(17 * 1024);
    let many = "X-more: y\r\n".repeat(limits::HEAD_FIELDS);
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}{long}\r\n\r\n"),
            431,
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
    ] {
        let script = Script::default();
        let site = serving_with(&script, |_| ());
        let reply = exchange(&site, &head).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            reply.starts_with(&expected),
            "{expected}: {}",
            &reply[..reply.len().min(80)]
        );
        assert!(script.seen().is_empty());
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn disguised_paths_are_refused() {
    for path in [
        "/..",
        "/a/%2e%2e/b",
        "/a%00",
        "/a\\b",
        "/a%5cb",
        "/a/..;/b",
        "/%ff",
        "/%zz",
        "*",
    ] {
        let script = Script::default();
        let site = serving_with(&script, |_| ());
        let reply = exchange(
            &site,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{path}: {reply}");
        assert!(script.seen().is_empty(), "{path}");
    }
}
