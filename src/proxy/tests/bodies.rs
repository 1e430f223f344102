//! Bodies: their length, their limit, and when they are asked for.

use http::StatusCode;
use tokio::io::AsyncWriteExt;

use super::serving_with;
use crate::proxy::testing::{Act, Script, connect, exchange, rest, text, until};

#[tokio::test(flavor = "local", start_paused = true)]
async fn chunks_and_trailers_reach_the_upstream() {
    let script = Script::default();
    let site = serving_with(&script, |_| ());
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nConnection: close\r\n\r\n\
        3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 7\r\n\r\n";
    exchange(&site, request).await;
    let seen = script.seen().remove(0);
    assert_eq!(seen.body, "abcde");
    assert_eq!(seen.trailers.unwrap()["x-sum"], "7");
    assert!(!seen.replay, "a body can be sent only once");
    assert!(!seen.headers.contains_key("transfer-encoding"));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn head_and_304_have_a_length_and_no_body() {
    let mut answer = text(StatusCode::OK, "");
    answer.headers_mut().insert("content-length", 1234.into());
    let script = Script::of([
        Act::Answer(answer),
        Act::Answer(text(StatusCode::NOT_MODIFIED, "")),
    ]);
    let site = serving_with(&script, |_| ());
    let request = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
        HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = exchange(&site, request).await;
    let heads: Vec<_> = reply.split_terminator("\r\n\r\n").collect();
    assert_eq!(heads.len(), 3, "{reply}");
    assert!(heads[0].contains("content-length: 1234"), "{reply}");
    assert!(heads[1].starts_with("HTTP/1.1 304 "), "{reply}");
    assert!(heads[2].starts_with("HTTP/1.1 400 "), "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_is_asked_for_when_it_is_wanted() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "done"))]);
    let site = serving_with(&script, |forward| forward.max_request_body = Some(10));
    let mut client = connect(&site);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"abc").await.unwrap();
    until(&mut client, "done").await;
    assert_eq!(script.seen()[0].body, "abc");

    // What will be refused is not asked for.
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let reply = rest(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_above_the_limit_of_its_route_is_refused() {
    let limited = || {
        let script = Script::default();
        let site = serving_with(&script, |forward| forward.max_request_body = Some(4));
        (script, site)
    };
    let (script, site) = limited();
    let fits = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nabcd";
    assert!(exchange(&site, fits).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(script.seen().len(), 1);

    let known = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde";
    let unknown = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for request in [known, unknown] {
        let (script, site) = limited();
        let reply = exchange(&site, request).await;
        assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
        assert!(script.seen().is_empty());
    }
}
