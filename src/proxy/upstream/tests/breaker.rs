//! What happens when as much as may be is under way.

use super::*;
use crate::graph::breaker::{Breakers, Limits};

fn limited(backend: &Backend, default: Limits) -> Arc<Upstream> {
    let mut upstream = (*backend.upstream()).clone();
    upstream.breakers = Some(Breakers {
        default,
        high: Limits::default(),
    });
    Arc::new(upstream)
}

#[tokio::test]
async fn a_request_too_many_is_refused_until_one_has_ended() {
    local(async {
        let slow = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
        let backend = Backend::always(Reply::Keep(slow.to_owned())).await;
        let bench = Bench::new();
        let upstream = limited(
            &backend,
            Limits {
                requests: 1,
                ..Limits::default()
            },
        );
        let response = bench.send(&upstream, get("/")).await.unwrap();
        let refused = bench.send(&upstream, get("/")).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::CircuitOpen));
        assert_eq!(bench.metric("circuit_open_total"), 1);
        let high = Way {
            upstream: &upstream,
            dial: &DialPolicy::default(),
            replay: false,
            affinity: None,
            priority: Priority::High,
            reached: None,
            trial: &Trial::default(),
        };
        let other = bench.pools.send(high, get("/")).await.unwrap();
        drop(response);
        bench.send(&upstream, get("/")).await.unwrap();
        drop(other);
    })
    .await;
}

#[tokio::test]
async fn who_finds_no_connection_waits_for_one_that_becomes_free() {
    local(async {
        let backend = Backend::always(Reply::ok("ok")).await;
        let bench = Bench::new();
        let upstream = limited(
            &backend,
            Limits {
                connections: 1,
                pending: 1,
                ..Limits::default()
            },
        );
        let first = bench.send(&upstream, get("/")).await.unwrap();
        // Its body is there, and nobody has read it: the connection is not free.
        let mut second = Box::pin(bench.send(&upstream, get("/")));
        let waits = futures_util::future::select(&mut second, Box::pin(settle())).await;
        assert!(matches!(waits, Either::Right(_)), "there is one connection");
        let third = bench.send(&upstream, get("/")).await.unwrap_err();
        assert!(
            matches!(third, UpstreamError::CircuitOpen),
            "and one place to wait"
        );
        assert_eq!(text(first).await.unwrap(), "200 ok");
        assert_eq!(text(second.await.unwrap()).await.unwrap(), "200 ok");
        assert_eq!(backend.accepted.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_one_to_another_endpoint() {
    local(async {
        let [a, b] = [
            Backend::always(Reply::ok("a")).await,
            Backend::always(Reply::ok("b")).await,
        ];
        let bench = Bench::new();
        let mut upstream = upstream(Target::Addresses([a.address, b.address].into()));
        upstream.breakers = Some(Breakers {
            default: Limits {
                connections: 1,
                ..Limits::default()
            },
            high: Limits::default(),
        });
        let upstream = Arc::new(upstream);
        for wanted in ["200 a", "200 b", "200 a"] {
            assert_eq!(bench.get(&upstream).await.unwrap(), wanted);
        }
        settle().await;
        assert_eq!((a.ended.get(), b.ended.get()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn all_workers_count_together() {
    local(async {
        let backend = Backend::always(Reply::Hang).await;
        let bench = Bench::new();
        let other = Pools::<TestBody>::new(bench.pools.0.shared.clone());
        let upstream = limited(
            &backend,
            Limits {
                requests: 1,
                ..Limits::default()
            },
        );
        let way = Way {
            upstream: &upstream,
            dial: &DialPolicy::default(),
            replay: false,
            affinity: None,
            priority: Priority::Default,
            reached: None,
            trial: &Trial::default(),
        };
        let hangs = Box::pin(other.send(way, get("/")));
        let waits = futures_util::future::select(hangs, Box::pin(settle())).await;
        let refused = bench.send(&upstream, get("/")).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::CircuitOpen));
        drop(waits);
        let again = futures_util::future::select(
            Box::pin(bench.send(&upstream, get("/"))),
            Box::pin(settle()),
        );
        assert!(matches!(again.await, Either::Right(_)), "it is under way");
    })
    .await;
}

#[tokio::test]
async fn probes_are_asked_of_the_kernel() {
    local(async {
        let backend = Backend::always(Reply::ok("ok")).await;
        let mut upstream = (*backend.upstream()).clone();
        upstream.keepalive = Some(crate::graph::upstream::Keepalive {
            idle: Some(7),
            interval: Some(5),
            probes: Some(3),
        });
        let bench = Bench::new();
        assert_eq!(bench.get(&Arc::new(upstream)).await.unwrap(), "200 ok");
    })
    .await;
}
