//! Copies of requests.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::{
    graph::{Action, RouteId, shadow::Shadow},
    proxy::{
        error::ProxyError,
        site::Site,
        testing::{Act, Script, connect, exchange, forward, route, serving, site, text, until},
    },
};

fn shadowed(script: &Script, percent: u8) -> std::rc::Rc<Site<Script>> {
    let mut route = route("/", Action::Forward(forward("quote").into()));
    route.shadow = Some(Arc::new(Shadow {
        id: RouteId("mapping/apps/new".into()),
        percent,
        forward: forward("new").into(),
    }));
    site(serving(vec![route]), script.clone())
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

const POST: &str =
    "POST /a?b HTTP/1.1\r\nhost: a.com:80\r\ncontent-length: 5\r\nconnection: close\r\n\r\norder";

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_copy_is_the_request_but_for_its_host() {
    let script = Script::default();
    let answer = exchange(&shadowed(&script, 100), POST).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    settle().await;
    let mut seen = script.seen();
    assert_eq!(seen.len(), 2);
    seen.sort_by_key(|seen| seen.headers["host"].len());
    let [original, copy] = [&seen[0], &seen[1]];
    assert_eq!(original.headers["host"], "a.com:80");
    assert_eq!(copy.headers["host"], "a.com-shadow:80");
    assert_eq!((&original.uri, &original.body), (&copy.uri, &copy.body));
    assert_eq!(original.method, copy.method);
    assert_eq!(copy.body, "order");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn of_none_nothing_is_copied() {
    let script = Script::default();
    exchange(&shadowed(&script, 0), POST).await;
    settle().await;
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_copy_that_hangs_or_fails_changes_nothing_and_is_given_up() {
    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    // The copy is sent after the request has been handed on; whichever comes first takes the first act.
    for act in [Act::Hang, Act::Fail(ProxyError::Connect)] {
        let script = Script::for_shadows([act]);
        let site = shadowed(&script, 100);
        let began = Instant::now();
        let answer = exchange(&site, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(site.shadows.count(), 0);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn there_are_only_so_many_copies_at_a_time() {
    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let script = Script::for_shadows((0..300).map(|_| Act::Hang));
    let site = shadowed(&script, 100);
    let mut client = connect(&site);
    for _ in 0..300 {
        client.write_all(GET.as_bytes()).await.unwrap();
        until(&mut client, "\r\n\r\n").await;
    }
    assert_eq!(site.shadows.count(), 256);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_copy_is_cut_where_the_request_broke_off() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "early"))]);
    let site = shadowed(&script, 100);
    let mut client = connect(&site);
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\npart";
    client.write_all(head.as_bytes()).await.unwrap();
    settle().await;
    drop(client);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(script.seen().is_empty(), "neither had a whole body");
    assert_eq!(site.shadows.count(), 0);
}
