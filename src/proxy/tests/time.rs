//! Who says nothing is not waited for without end.

use std::time::Duration;

use http::StatusCode;
use tokio::{io::AsyncWriteExt, time::Instant};

use super::serving_with;
use crate::proxy::{
    limits,
    testing::{Act, Script, connect, connect_with_room, exchange, rest, text, until},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// How long it takes until the connection is closed, and what was said before.
async fn closed_after(client: &mut tokio::io::DuplexStream) -> (Duration, String) {
    let start = Instant::now();
    let reply = rest(client).await;
    (start.elapsed(), reply)
}

fn between(took: Duration, least: Duration) {
    let most = least + limits::TICK;
    assert!(
        least <= took && took <= most,
        "{took:?} is not from {least:?} to {most:?}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_head_that_trickles_is_cut_off() {
    let site = serving_with(&Script::default(), |_| ());
    let mut client = connect(&site);
    client.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
    let (took, reply) = closed_after(&mut client).await;
    between(took, limits::HEAD);
    assert_eq!(reply, "");

    let mut client = connect(&site);
    let (took, _) = closed_after(&mut client).await;
    between(took, limits::HEAD);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_slow_second_head_is_cut_off_like_a_first() {
    let site = serving_with(&Script::default(), |_| ());
    let mut client = connect(&site);
    client.write_all(GET.as_bytes()).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    client.write_all(b"G").await.unwrap();
    let (took, _) = closed_after(&mut client).await;
    between(took, limits::HEAD);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_idle_connection_is_closed() {
    let site = serving_with(&Script::default(), |_| ());
    let mut client = connect(&site);
    client.write_all(GET.as_bytes()).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    let (took, _) = closed_after(&mut client).await;
    between(took, limits::IDLE);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upstream_that_does_not_answer_is_504_after_its_time() {
    let script = Script::of([Act::Hang, Act::Hang]);
    let site = serving_with(&script, |forward| {
        forward.head_timeout = Some(Duration::from_millis(700));
    });
    let mut client = connect(&site);
    for _ in 0..2 {
        let start = Instant::now();
        client.write_all(GET.as_bytes()).await.unwrap();
        let reply = until(&mut client, "request id").await;
        assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
        let took = start.elapsed();
        assert!(
            (700..710).contains(&took.as_millis()),
            "{took:?}: the second request must not inherit the timer of the first"
        );
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_total_timeout_bounds_even_what_has_no_other() {
    let script = Script::of([Act::Hang]);
    let site = serving_with(&script, |forward| {
        forward.head_timeout = None;
        forward.total_timeout = Some(Duration::from_secs(7));
    });
    let start = Instant::now();
    let reply = exchange(
        &site,
        &GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_upload_may_be_slow_but_not_stall() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "done"))]);
    let site = serving_with(&script, |forward| {
        forward.head_timeout = Some(Duration::from_secs(3));
        forward.idle_timeout = Some(Duration::from_secs(20));
    });
    let mut client = connect(&site);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    for byte in *b"abc" {
        tokio::time::sleep(Duration::from_secs(10)).await;
        client.write_all(&[byte]).await.unwrap();
    }
    until(&mut client, "done").await;

    client.write_all(head.as_bytes()).await.unwrap();
    let (took, reply) = closed_after(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert_eq!(took.as_secs(), 20);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let body: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let script = Script::of([Act::Answer(text(StatusCode::OK, body))]);
    let site = serving_with(&script, |_| ());
    let mut client = connect_with_room(&site, 1024);
    client.write_all(GET.as_bytes()).await.unwrap();
    let start = Instant::now();
    while site.gate.connections() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(
            start.elapsed() < 3 * limits::WRITE_STALL,
            "it is still there"
        );
    }
    assert!(start.elapsed() >= limits::WRITE_STALL);
}

/// The preface of HTTP/2 and empty SETTINGS.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "local", start_paused = true)]
async fn when_the_worker_drains_who_has_asked_for_nothing_is_not_waited_for() {
    for (said, longest) in [
        (&b""[..], limits::DRAIN_IDLE),
        (b"GET / HT", limits::DRAIN_BEGUN),
        (b"P", limits::DRAIN_IDLE),
        // It does not answer the ping that asks whether it has heard.
        (HTTP2, limits::DRAIN_BEGUN),
    ] {
        let site = serving_with(&Script::default(), |_| ());
        let mut client = connect(&site);
        client.write_all(said).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        site.gate.close();
        site.gate.emptied().await;
        let took = start.elapsed();
        let slack = Duration::from_millis(10);
        assert!(took <= longest + slack, "{took:?} after {said:?}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn when_the_worker_drains_a_head_that_has_begun_may_be_finished() {
    let site = serving_with(&Script::default(), |_| ());
    let mut client = connect(&site);
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.gate.close();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.write_all(b"Host: a\r\n\r\n").await.unwrap();
    let reply = rest(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(reply.contains("connection: close\r\n"), "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn when_the_worker_drains_a_running_request_ends_and_its_connection_with_it() {
    let script = Script::of([Act::Hang]);
    let site = serving_with(&script, |forward| {
        forward.head_timeout = Some(Duration::from_secs(2));
    });
    let mut busy = connect(&site);
    busy.write_all(GET.as_bytes()).await.unwrap();
    let mut idle = connect(&site);
    idle.write_all(GET.as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    while site.running.get() == 0 {
        tokio::task::yield_now().await;
    }
    site.gate.close();
    // A request that was on its way when the drain began is answered, and told that it is the last.
    let late = rest(&mut idle).await;
    assert!(late.contains("HTTP/1.1 200 OK"), "{late}");
    let reply = rest(&mut busy).await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert!(reply.contains("connection: close\r\n"), "{reply}");
    site.gate.emptied().await;
    assert_eq!(site.running.get(), 0);
}
