//! How long connections live, and how many of them.

use futures_util::future::join_all;
use tokio::time::{advance, pause, resume};

use super::*;
use crate::graph::{
    Action, Forward, HostId, HostPattern, HostRewrite, HostTable, HostTls, InsecureAction,
    Listener, Member, Rewrite, Route, RouteId, SecurityModel, VirtualHost,
    matching::RouteSet,
    region::{Region, Regions},
    route::PathMatch,
    table::RouteTable,
};

#[tokio::test]
async fn a_body_that_nobody_reads_to_its_end_closes_the_connection() {
    local(async {
        let slow = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nfirst";
        let backend = Backend::always(Reply::Keep(slow.to_owned())).await;
        let bench = Bench::new();
        let mut response = bench.send(&backend.upstream(), get("/")).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        settle().await;
        assert_eq!(backend.ended.get(), 0);
        drop(response);
        settle().await;
        assert_eq!(backend.ended.get(), 1, "although the upstream is silent");
        assert_eq!(bench.metric("connections_closed_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_closes_the_connection() {
    local(async {
        let backend = Backend::always(Reply::Hang).await;
        let bench = Bench::new();
        let upstream = backend.upstream();
        tokio::select! {
            _ = bench.send(&upstream, get("/")) => panic!("there was no answer"),
            () = async {
                while backend.seen().is_empty() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        settle().await;
        assert_eq!(backend.ended.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_connection() {
    local(async {
        let backend = Backend::always(Reply::ok("too large")).await;
        let bench = Bench::new();
        let first = async { Ok(http_body::Frame::data(Bytes::from_static(b"abc"))) };
        let (more, body) = tokio::sync::oneshot::channel::<()>();
        let rest = async {
            // Never: the sender lives to the end of the test.
            let _ = body.await;
            Err("the end".into())
        };
        let frames = futures_util::stream::StreamExt::chain(
            futures_util::stream::once(first),
            futures_util::stream::once(rest),
        );
        let body = http_body_util::StreamBody::new(frames).boxed_unsync();
        let request = request(Method::POST, "/", body);
        let response = bench.send(&backend.upstream(), request).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "200 too large");
        assert_eq!(bench.metric("connections_idle"), 0);
        settle().await;
        assert_eq!(bench.metric("connections_closed_total"), 1);
        drop(more);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let bench = Bench::new();
        bench.get(&backend.upstream()).await.unwrap();
        settle().await;
        pause();
        advance(Duration::from_secs(59)).await;
        settle().await;
        assert_eq!(bench.metric("connections_idle"), 1);
        advance(Duration::from_secs(2)).await;
        settle().await;
        assert_eq!(bench.metric("connections_idle"), 0);
        assert_eq!(bench.metric("connections_closed_total"), 1);
        advance(Duration::from_secs(2)).await;
        settle().await;
        assert!(!bench.pools.0.tidying.get(), "nothing is left to look at");
        resume();
        bench.get(&backend.upstream()).await.unwrap();
        assert!(bench.pools.0.tidying.get());
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_takes_no_more_requests() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let mut upstream = upstream(Target::Addresses([backend.address].into()));
        upstream.max_age = Some(Duration::from_secs(100));
        upstream.idle_timeout = Duration::from_hours(1);
        let upstream = Arc::new(upstream);
        let bench = Bench::new();
        pause();
        for (age, connections) in [(0, 1), (79, 1), (22, 2)] {
            advance(Duration::from_secs(age)).await;
            bench.get(&upstream).await.unwrap();
            assert_eq!(backend.accepted.get(), connections, "after {age} s more");
        }
    })
    .await;
}

#[tokio::test]
async fn no_more_than_so_many_connections_are_idle() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let bench = Bench::new();
        let upstream = backend.upstream();
        let many = endpoint::MAX_IDLE + 10;
        let responses = join_all((0..many).map(|_| bench.send(&upstream, get("/")))).await;
        assert_eq!(bench.metric("connections_opened_total"), many as u64);
        drop(responses);
        assert_eq!(bench.metric("connections_idle"), endpoint::MAX_IDLE as u64);
        settle().await;
        assert_eq!(bench.metric("connections_closed_total"), 10);
    })
    .await;
}

#[test]
fn all_pools_together_keep_no_more_than_the_worker_may() {
    let worker = Worker::new(Arc::default());
    for _ in 0..worker::MAX_IDLE {
        assert!(worker.has_room());
        worker.idle_more();
    }
    assert!(!worker.has_room());
    worker.idle_less(1);
    assert!(worker.has_room());
    worker.close();
    assert!(!worker.has_room());
}

#[tokio::test]
async fn nothing_is_kept_on_drain() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let bench = Bench::new();
        bench.get(&backend.upstream()).await.unwrap();
        bench.pools.close();
        assert_eq!(bench.metric("connections_idle"), 0);
        settle().await;
        assert_eq!(backend.ended.get(), 1);
        bench.get(&backend.upstream()).await.unwrap();
        settle().await;
        assert_eq!(backend.ended.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn upstreams_that_left_the_graph_lose_their_connections() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let bench = Bench::new();
        let stays = backend.upstream();
        let mut goes = upstream(Target::Addresses([backend.address].into()));
        goes.id = UpstreamId("gone".into());
        let goes = Arc::new(goes);
        for upstream in [&stays, &goes] {
            bench.get(upstream).await.unwrap();
        }
        let response = bench.send(&goes, get("/")).await.unwrap();
        bench.pools.sweep(&graph(&stays));
        settle().await;
        assert_eq!(bench.metric("connections_idle"), 1);
        drop(response);
        settle().await;
        assert_eq!(backend.ended.get(), 1);
        bench.get(&stays).await.unwrap();
        assert_eq!(backend.accepted.get(), 2);
        bench.pools.sweep(&Graph::default());
        settle().await;
        assert_eq!(backend.ended.get(), 2);
    })
    .await;
}

/// A graph with one route.
pub(in super::super) fn graph(upstream: &Arc<Upstream>) -> Graph {
    let forward = Forward {
        upstream: upstream.clone(),
        rewrite: Rewrite::Keep,
        host: HostRewrite::Keep,
        terms: Arc::default(),
    };
    let route = Route {
        rank: Arc::default(),
        path: PathMatch::Prefix("/".into()),
        case_sensitive: true,
        conditions: Arc::default(),
        shadow: None,
        members: [Member {
            id: RouteId("mapping/apps/quote".into()),
            share: 1,
            action: Action::Forward(Arc::new(forward)),
        }]
        .into(),
    };
    let any = || "*".parse::<HostPattern>().unwrap();
    let table = Arc::new(RouteTable::new(vec![Arc::new(route)]));
    let region = Region {
        tables: HostTable::from_iter([(any(), table)]),
        ..Region::default()
    };
    let regions = Regions::single(region);
    let host = VirtualHost {
        id: HostId("default".into()),
        pattern: any(),
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes: Arc::new(RouteSet { regions }),
    };
    let listener = Listener {
        name: "default-http".into(),
        port: 8080,
        http: true,
        tls: false,
        cleartext: true,
        security: SecurityModel::Xfp,
        l7_depth: 0,
        trusted_proxies: Arc::new([]),
        http2_max_concurrent_streams: 100,
        hosts: HostTable::from_iter([(any(), Arc::new(host))]),
        tcp: crate::graph::TcpTable::default(),
    };
    Graph {
        listeners: vec![Arc::new(listener)],
        ..Graph::default()
    }
}

#[tokio::test]
async fn addresses_take_turns() {
    local(async {
        let backends = [
            Backend::always(Reply::ok("a")).await,
            Backend::always(Reply::ok("b")).await,
        ];
        let upstream = to(&backends.each_ref().map(|backend| backend.address));
        let bench = Bench::new();
        let mut answers = String::new();
        for _ in 0..6 {
            answers += bench
                .get(&upstream)
                .await
                .unwrap()
                .trim_start_matches("200 ");
        }
        assert_eq!(answers, "ababab");
        let accepted = backends.each_ref().map(|backend| backend.accepted.get());
        assert_eq!(accepted, [1, 1], "each has one connection");
    })
    .await;
}
