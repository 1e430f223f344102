//! HTTP/2 from the client's side, by prior knowledge.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};

use super::serving_with;
use crate::proxy::{
    limits,
    site::Site,
    testing::{Act, Script, connect, text},
};

type Client = h2::client::SendRequest<Bytes>;

async fn client(
    site: &Rc<Site<Script>>,
) -> (Client, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (client, connection) = h2::client::handshake(connect(site)).await.unwrap();
    (client, tokio::task::spawn_local(connection))
}

async fn get(client: &mut Client, request: http::request::Builder) -> (StatusCode, String) {
    let (response, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let response = response.await.unwrap();
    let status = response.status();
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(data) = body.data().await {
        text.push_str(&String::from_utf8_lossy(&data.unwrap()));
    }
    (status, text)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_stream_is_a_request() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "hello"))]);
    let site = serving_with(&script, |_| ());
    let (mut client, _connection) = client(&site).await;
    let request = Request::get("http://example.com/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers");
    let (status, body) = get(&mut client, request).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "hello"));
    let seen = script.seen().remove(0);
    assert_eq!(seen.uri, "/a?b");
    assert_eq!(seen.headers["host"], "example.com");
    assert_eq!(seen.headers["cookie"], "a=1; b=2");
    assert!(
        !seen.headers.contains_key("te"),
        "an HTTP/1 upstream has no use for it"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_stream_that_is_refused_does_not_end_the_others() {
    let script = Script::default();
    let site = serving_with(&script, |_| ());
    let (mut client, _connection) = client(&site).await;
    let crumbs = (0..=limits::HEAD_FIELDS)
        .fold(Request::get("http://example.com/"), |request, n| {
            request.header("cookie", format!("a{n}=1"))
        });
    for (request, expected) in [
        (crumbs, 431),
        (
            Request::get("http://example.com/").header("host", "other"),
            400,
        ),
        (
            Request::get("http://example.com/").header("x_user", "root"),
            400,
        ),
        (Request::get("http://example.com/%2e%2e/"), 400),
        (Request::get("http://example.com/"), 200),
    ] {
        let (status, body) = get(&mut client, request).await;
        assert_eq!(status.as_u16(), expected, "{body}");
    }
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn each_stream_has_its_own_time() {
    let script = Script::of([
        Act::Hang,
        Act::Hang,
        Act::Answer(text(StatusCode::OK, "quick")),
    ]);
    let site = serving_with(&script, |_| ());
    let (client, _connection) = client(&site).await;
    let ask = |after| {
        let mut client = client.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let reply = get(&mut client, Request::get("http://a/")).await;
            (reply.0.as_u16(), tokio::time::Instant::now())
        }
    };
    let start = tokio::time::Instant::now();
    let (one, two, three) = tokio::join!(ask(0), ask(1), ask(2));
    let told = [one, two, three].map(|(status, at)| (status, (at - start).as_secs()));
    assert_eq!(told, [(504, 3), (504, 4), (200, 2)]);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_says_goaway_and_lets_streams_end() {
    let script = Script::of([Act::Hang]);
    let site = serving_with(&script, |_| ());
    let (mut client, connection) = client(&site).await;
    let request = Request::get("http://a/").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    while site.running.get() == 0 {
        tokio::task::yield_now().await;
    }
    site.gate.close();
    assert_eq!(
        response.await.unwrap().status(),
        StatusCode::GATEWAY_TIMEOUT
    );
    site.gate.emptied().await;
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_idle_connection_is_closed() {
    let site = serving_with(&Script::default(), |_| ());
    let (mut client, connection) = client(&site).await;
    get(&mut client, Request::get("http://a/")).await;
    let start = tokio::time::Instant::now();
    connection.await.unwrap().unwrap();
    assert!(
        start.elapsed() <= limits::IDLE + 2 * limits::TICK,
        "{:?}",
        start.elapsed()
    );
}
