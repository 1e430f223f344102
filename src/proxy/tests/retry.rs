//! Requests that are sent again.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::serving_with;
use crate::{
    graph::retry::{Retry, RetryOn},
    proxy::{
        error::ProxyError,
        testing::{Act, Script, exchange, text},
    },
};

const GET: &str = "GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn answer(status: u16) -> Act {
    Act::Answer(text(StatusCode::from_u16(status).unwrap(), "body"))
}

/// Status of the answer, and how often the upstream was asked.
async fn sent(script: &Script, retry: Retry, request: &str) -> (String, usize) {
    let site = serving_with(script, |forward| forward.retry = Some(retry));
    let answer = exchange(&site, request).await;
    (answer[9..12].to_owned(), script.seen().len())
}

fn on(on: RetryOn, count: u32) -> Retry {
    Retry {
        on,
        count,
        per_try: None,
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_failure_that_is_asked_for_is_tried_again_and_no_other() {
    let lost = || Act::Fail(ProxyError::UpstreamReset);
    for (acts, policy, wanted) in [
        (
            vec![answer(503), answer(200)],
            on(RetryOn::ServerError, 1),
            ("200", 2),
        ),
        (
            vec![answer(500), answer(200)],
            on(RetryOn::GatewayError, 1),
            ("500", 1),
        ),
        (
            vec![lost(), answer(502), answer(200)],
            on(RetryOn::GatewayError, 2),
            ("200", 3),
        ),
        (
            vec![answer(503), answer(503), answer(200)],
            on(RetryOn::ServerError, 1),
            ("503", 2),
        ),
        (
            vec![answer(409), answer(200)],
            on(RetryOn::Conflict, 1),
            ("200", 2),
        ),
        (
            vec![answer(404), answer(200)],
            on(RetryOn::ServerError, 1),
            ("404", 1),
        ),
        (
            vec![Act::Fail(ProxyError::Connect), answer(200)],
            on(RetryOn::ConnectFailure, 1),
            ("200", 2),
        ),
        (
            vec![lost(), answer(200)],
            on(RetryOn::ConnectFailure, 1),
            ("502", 1),
        ),
        (
            vec![Act::Fail(ProxyError::Overloaded), answer(200)],
            on(RetryOn::RefusedStream, 1),
            ("200", 2),
        ),
        (
            vec![Act::Fail(ProxyError::DialRefused), answer(200)],
            on(RetryOn::ServerError, 1),
            ("503", 1),
        ),
    ] {
        let script = Script::of(acts);
        let (status, times) = sent(&script, policy, GET).await;
        assert_eq!((&*status, times), wanted, "{policy:?}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_is_sent_again_whole_unless_it_is_too_long() {
    let post = |body: &str| {
        let length = body.len();
        format!(
            "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let script = Script::of([answer(503), answer(200)]);
    let request = post("order");
    assert_eq!(
        sent(&script, on(RetryOn::ServerError, 1), &request).await,
        ("200".to_owned(), 2)
    );
    let seen = script.seen();
    assert_eq!([&seen[0].body, &seen[1].body], ["order", "order"]);
    assert_eq!(seen[0].headers, seen[1].headers);

    let script = Script::of([answer(503), answer(200)]);
    let long = post(&"x".repeat(70_000));
    assert_eq!(
        sent(&script, on(RetryOn::ServerError, 1), &long).await,
        ("503".to_owned(), 1)
    );
    assert_eq!(script.seen()[0].body.len(), 70_000);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn each_try_has_its_time_and_all_together_that_of_the_route() {
    let retry = Retry {
        on: RetryOn::GatewayError,
        count: 10,
        per_try: Some(Duration::from_secs(1)),
    };
    let script = Script::of([Act::Hang, answer(200)]);
    let began = Instant::now();
    assert_eq!(sent(&script, retry, GET).await, ("200".to_owned(), 2));
    let took = began.elapsed();
    assert!((1_000..1_100).contains(&took.as_millis()), "{took:?}");

    let script = Script::of((0..9).map(|_| Act::Hang));
    let began = Instant::now();
    let (status, times) = sent(&script, retry, GET).await;
    assert_eq!((&*status, began.elapsed().as_secs()), ("504", 3));
    assert_eq!(times, 3, "the route waits three seconds");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_storm_is_not_amplified_beyond_a_fifth() {
    const REQUESTS: usize = 400;
    let script = Script::of((0..4 * REQUESTS).map(|_| answer(503)));
    let site = serving_with(&script, |forward| {
        forward.retry = Some(on(RetryOn::ServerError, 3));
    });
    for _ in 0..REQUESTS {
        exchange(&site, GET).await;
    }
    let sent = script.seen().len();
    assert!(sent > REQUESTS && sent * 100 <= REQUESTS * 123, "{sent}");
}
