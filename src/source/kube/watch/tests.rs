use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::source::kube::{
    mock::{LONG, Reply, Script, event, list, object},
    recovery::Recovery,
    resource,
};

/// Runs a watch of Services against a script.
fn start(script: &Script) -> mpsc::Receiver<Message> {
    start_kind(script, Kind::Service)
}

fn start_kind(script: &Script, kind: Kind) -> mpsc::Receiver<Message> {
    let (hub, inbox) = mpsc::channel(64);
    let resource = resource::built_in().find(|r| r.kind == kind).unwrap();
    let watch = Watch {
        id: 1,
        client: script.client(),
        resource,
        namespace: Some("apps".into()),
        selection: Arc::default(),
        keeps: false,
        hub,
        back: Recovery::default().subscribe(),
    };
    tokio::spawn(watch.run());
    inbox
}

/// What is heard next, in short.
async fn next(inbox: &mut mpsc::Receiver<Message>) -> String {
    let message = timeout(LONG, inbox.recv()).await.unwrap().unwrap();
    let name = |event: &Event| match event {
        Event::Put(Found::Object { object, .. }) => format!("+{}", object.key().name),
        Event::Put(Found::Secret { key, version }) => format!("+{} {version}", key.name),
        Event::Put(Found::Unreadable { .. }) => "+?".to_owned(),
        Event::Gone(key) => format!("-{}", key.name),
    };
    match message.heard {
        Heard::Alive => "alive".to_owned(),
        Heard::Listed { found, version } => {
            let names: Vec<_> = found.into_iter().map(|f| name(&Event::Put(f))).collect();
            format!("listed {version}: {}", names.join(" "))
        }
        Heard::Changed { events, version } => {
            let names: Vec<_> = events.iter().map(name).collect();
            format!("changed {version}: {}", names.join(" "))
        }
        Heard::Failed(failure) => format!("failed: {failure}"),
    }
}

async fn heard<const N: usize>(script: &Script, expected: [&str; N]) {
    let mut inbox = start(script);
    for expected in expected {
        assert_eq!(next(&mut inbox).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_one_list_and_events_follow_it() {
    let mut first = list(5, &[object("a", 1)]);
    first["metadata"]["continue"] = json!("more/of=it");
    let script = Script::new([
        Reply::Json(first),
        Reply::Json(list(5, &[object("b", 2)])),
        Reply::Silent(vec![
            event("ADDED", &object("c", 6)),
            event("MODIFIED", &object("a", 7)),
            event("DELETED", &object("b", 8)),
            event("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}})),
        ]),
    ]);
    heard(&script, ["listed 5: +a +b", "alive", "changed 9: +c +a -b"]).await;
    let requests = script.requests();
    assert_eq!(
        requests,
        [
            "/api/v1/namespaces/apps/services?limit=500",
            "/api/v1/namespaces/apps/services?limit=500&continue=more%2Fof%3Dit",
            "/api/v1/namespaces/apps/services?watch=true&allowWatchBookmarks=true&timeoutSeconds=50&resourceVersion=5",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_lists_again() {
    let gone = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
    let script = Script::new([
        Reply::Json(list(5, &[object("a", 1)])),
        Reply::Lines(vec![event("ADDED", &object("b", 6)), event("ERROR", &gone)]),
        Reply::Json(list(20, &[object("b", 6)])),
        Reply::Status(410, "too old resource version"),
        Reply::Json(list(30, &[])),
        Reply::Silent(Vec::new()),
    ]);
    heard(
        &script,
        [
            "listed 5: +a",
            "alive",
            "changed 6: +b",
            "listed 20: +b",
            "listed 30: ",
            "alive",
        ],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dead_is_noticed_within_a_minute_and_resumed_where_it_was() {
    let script = Script::new([
        Reply::Json(list(5, &[])),
        Reply::Silent(vec![event("ADDED", &object("a", 6))]),
        Reply::Hang,
        Reply::Silent(vec![event("ADDED", &object("b", 7))]),
    ]);
    let started = Instant::now();
    let mut inbox = start(&script);
    for expected in [
        "listed 5: ",
        "alive",
        "changed 6: +a",
        "failed: no sign of life from the API server for 55s",
    ] {
        assert_eq!(next(&mut inbox).await, expected);
    }
    assert!(
        started.elapsed() < Duration::from_mins(1),
        "{:?}",
        started.elapsed()
    );
    for expected in [
        "failed: no sign of life from the API server for 10s",
        "alive",
        "changed 7: +b",
    ] {
        assert_eq!(next(&mut inbox).await, expected);
    }
    assert!(script.requests()[3].ends_with("resourceVersion=6"));
}

#[tokio::test(start_paused = true)]
async fn garbage_is_told_and_read_anew() {
    let script = Script::new([
        Reply::Json(json!({"what": "is this"})),
        Reply::Json(list(5, &[json!("garbage"), object("a", 1)])),
        Reply::Lines(vec![
            event("ADDED", &object("b", 6)),
            "{ not JSON".to_owned(),
        ]),
        Reply::Json(list(7, &[object("a", 1), object("b", 6)])),
    ]);
    let mut inbox = start(&script);
    assert!(
        next(&mut inbox)
            .await
            .starts_with("failed: the answer cannot be read")
    );
    for expected in ["listed 5: +? +a", "alive", "changed 6: +b"] {
        assert_eq!(next(&mut inbox).await, expected);
    }
    assert!(
        next(&mut inbox)
            .await
            .starts_with("failed: the answer cannot be read")
    );
    assert_eq!(next(&mut inbox).await, "listed 7: +a +b");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_less_and_less_and_nothing_is_listed_anew() {
    let away = || Reply::Status(503, "away");
    let mut replies = vec![Reply::Json(list(5, &[])), Reply::Silent(Vec::new())];
    replies.extend((0..3).map(|_| away()));
    replies.push(Reply::Silent(vec![event("ADDED", &object("a", 6))]));
    let script = Script::new(replies);
    let mut inbox = start(&script);
    next(&mut inbox).await;
    next(&mut inbox).await;
    next(&mut inbox).await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let before = Instant::now();
        assert_eq!(
            next(&mut inbox).await,
            "failed: the API server answered 503: away"
        );
        waits.push(before.elapsed());
    }
    assert!(
        waits[2] > waits[0] && waits[2] < Duration::from_secs(1),
        "{waits:?}"
    );
    assert_eq!(next(&mut inbox).await, "alive");
    assert_eq!(next(&mut inbox).await, "changed 6: +a");
    let lists = script
        .requests()
        .iter()
        .filter(|uri| uri.contains("limit"))
        .count();
    assert_eq!(lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_stormed() {
    let replies = [Reply::Json(list(5, &[]))].into_iter();
    let script = Script::new(replies.chain((0..1_000).map(|_| Reply::Lines(Vec::new()))));
    let mut inbox = start(&script);
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        next(&mut inbox).await;
    }
    let requests = script.requests().len();
    assert!(requests < 30, "{requests} requests in 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    let script = Script::new([
        Reply::Large(65 << 20),
        Reply::Json(list(5, &[object("a", 1)])),
    ]);
    heard(&script, ["listed 5: +a"]).await;
    let requests = script.requests();
    assert!(requests[1].ends_with("?limit=250"), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn of_secrets_only_the_metadata_is_read() {
    let mut secret = object("tls", 3);
    secret["data"] = json!({"key": "c2VjcmV0"});
    let script = Script::new([
        Reply::Json(json!({"metadata": {"resourceVersion": "5"}, "items": null})),
        Reply::Silent(vec![event("ADDED", &secret)]),
    ]);
    let mut inbox = start_kind(&script, Kind::Secret);
    for expected in ["listed 5: ", "alive", "changed 3: +tls 3"] {
        assert_eq!(next(&mut inbox).await, expected);
    }
}

#[test]
fn what_is_special_in_a_query_is_escaped() {
    assert_eq!(escaped("12345"), "12345");
    assert_eq!(escaped("a/b+c=&ü"), "a%2Fb%2Bc%3D%26%C3%BC");
}
