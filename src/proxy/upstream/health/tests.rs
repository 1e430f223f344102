use std::time::Duration;

use tokio::time::{advance, pause};

use super::*;
use crate::{
    graph::{
        Balance, Target, Upstream,
        balance::{Hashed, Maglev, Table},
    },
    proxy::upstream::{
        UpstreamError,
        tests::{Backend, Bench, Reply, get, local, text, upstream},
    },
};

fn addresses(count: u8) -> Vec<SocketAddr> {
    (1..=count)
        .map(|last| ([10, 1, 0, last], 80).into())
        .collect()
}

fn judged(health: Health, addresses: &[SocketAddr]) -> (Judged, Vec<Arc<Streak>>) {
    let judged = Judged::new(Arc::new(health), Arc::default());
    let streaks = judged.streaks(addresses, Instant::now());
    (judged, streaks)
}

fn outliers(outliers: Outliers) -> Health {
    Health {
        outliers: Some(outliers),
        ..Health::default()
    }
}

fn places(judged: &Judged, addresses: &[SocketAddr]) -> Vec<usize> {
    judged.in_use(addresses, Instant::now()).places
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_leave_an_endpoint_out_for_twice_as_long_each_time() {
    let all = addresses(4);
    let (judged, streaks) = judged(outliers(Outliers::default()), &all);
    let fail = |times: usize| {
        for _ in 0..times {
            judged.note(all[1], &streaks[1], Outcome::ServerError);
        }
    };
    fail(4);
    judged.note(all[1], &streaks[1], Outcome::Good);
    fail(4);
    assert_eq!(places(&judged, &all), [0, 1, 2, 3], "never five in a row");
    for seconds in [30, 60, 120, 240, 300, 300] {
        fail(5);
        assert_eq!(places(&judged, &all), [0, 2, 3]);
        advance(Duration::from_secs(seconds - 1)).await;
        assert_eq!(places(&judged, &all), [0, 2, 3], "{seconds}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(places(&judged, &all), [0, 1, 2, 3], "{seconds}");
    }
    advance(Duration::from_mins(5)).await;
    fail(5);
    advance(Duration::from_secs(30)).await;
    assert_eq!(places(&judged, &all), [0, 1, 2, 3], "it was forgiven");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_left_out_than_may_be() {
    let all = addresses(10);
    let (judged, streaks) = judged(
        outliers(Outliers {
            server_errors: 1,
            percent: 30,
            ..Outliers::default()
        }),
        &all,
    );
    for (address, streak) in all.iter().zip(&streaks) {
        judged.note(*address, streak, Outcome::GatewayError);
    }
    assert_eq!(places(&judged, &all), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(judged.count(Instant::now()), (0, 3, false));
    assert_eq!(judged.ejections.load(Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_has_a_limit_of_its_own() {
    let rows = [
        ((2, 0, 0), Outcome::ServerError, true),
        ((2, 0, 0), Outcome::ConnectFailure, true),
        ((0, 2, 0), Outcome::ServerError, false),
        ((0, 2, 0), Outcome::GatewayError, true),
        ((0, 0, 2), Outcome::GatewayError, false),
        ((0, 0, 2), Outcome::ConnectFailure, true),
        ((0, 0, 0), Outcome::ConnectFailure, false),
    ];
    for ((server_errors, gateway_errors, connect_failures), outcome, out) in rows {
        let limits = Outliers {
            server_errors,
            gateway_errors,
            connect_failures,
            ..Outliers::default()
        };
        let streak = Streak::default();
        assert!(!streak.add(outcome, &limits));
        assert_eq!(streak.add(outcome, &limits), out, "{limits} {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_fewer_than_half_work_all_are_used() {
    let all = addresses(4);
    let (judged, _) = judged(Health::default(), &all);
    let now = Instant::now();
    for (failing, in_use) in [(1, 3), (2, 2), (3, 4), (4, 4)] {
        judged.checked(all[failing - 1], 0, false, now);
        assert_eq!(places(&judged, &all).len(), in_use, "{failing} fail");
        assert_eq!(judged.count(now), (failing as u64, 0, in_use == 4));
    }
    judged.checked(all[0], 0, true, now);
    judged.checked(all[1], 1, false, now);
    judged.checked(all[1], 0, true, now);
    judged.checked(all[2], 0, true, now);
    assert_eq!(places(&judged, &all), [0, 2], "each check must pass");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_begins_gets_its_share_bit_by_bit() {
    let window = Duration::from_secs(100);
    let health = Health {
        slow_start: Some(window),
        ..Health::default()
    };
    let two: Arc<[SocketAddr]> = addresses(2).into();
    let three: Arc<[SocketAddr]> = addresses(3).into();
    let judged = Arc::new(Judged::new(Arc::new(health), Arc::default()));
    let share = |chosen: &mut Chosen| {
        chosen.refresh();
        (0..6_000).filter(|turn| chosen.in_turn(*turn) == 2).count()
    };
    Chosen::new(judged.clone(), two, vec![]);
    let mut chosen = Chosen::new(judged, three, vec![]);
    for (seconds, wanted) in [(0, 200), (50, 1_000), (49, 1_980), (1, 2_000)] {
        advance(Duration::from_secs(seconds)).await;
        let share = share(&mut chosen);
        assert!(
            share.abs_diff(wanted) < 150,
            "{share} is not about {wanted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_the_own_zone_are_used_while_half_of_them_work() {
    let all = addresses(5);
    let (judged, _) = judged(Health::default(), &all);
    let now = Instant::now();
    let used = || {
        let mut in_use = judged.in_use(&all, now);
        in_use.narrow(&[1, 3]);
        in_use.places
    };
    assert_eq!(used(), [1, 3]);
    judged.checked(all[0], 0, false, now);
    judged.checked(all[1], 0, false, now);
    assert_eq!(used(), [3], "half of them");
    judged.checked(all[0], 0, true, now);
    judged.checked(all[3], 0, false, now);
    assert_eq!(used(), [0, 2, 4], "none of them: those of other zones");
    judged.checked(all[0], 0, false, now);
    assert_eq!(used(), [0, 1, 2, 3, 4], "too few anywhere: all of them");
}

async fn three() -> [Backend; 3] {
    [
        Backend::always(Reply::ok("a")).await,
        Backend::always(Reply::Keep(
            "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".into(),
        ))
        .await,
        Backend::always(Reply::ok("c")).await,
    ]
}

fn to(backends: &[&Backend], balance: Balance, limit: u32) -> Arc<Upstream> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let mut upstream = upstream(Target::Addresses(addresses.into()));
    upstream.balance = balance;
    upstream.health = Some(Arc::new(outliers(Outliers {
        server_errors: limit,
        ..Outliers::default()
    })));
    Arc::new(upstream)
}

#[tokio::test]
async fn requests_leave_out_the_endpoint_that_fails_them_and_come_back() {
    local(async {
        let [a, bad, c] = three().await;
        let bench = Bench::new();
        let upstream = to(&[&a, &bad, &c], Balance::RoundRobin, 2);
        pause();
        for _ in 0..30 {
            bench.get(&upstream).await.unwrap();
        }
        assert_eq!(bad.seen().len(), 2, "two in a row");
        assert_eq!(bench.metric("endpoints_ejected"), 1);
        assert_eq!(bench.metric("ejections_total"), 1);
        advance(Duration::from_secs(31)).await;
        for _ in 0..30 {
            bench.get(&upstream).await.unwrap();
        }
        assert_eq!(bad.seen().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn another_endpoint_takes_the_hashes_of_the_one_that_is_left_out() {
    local(async {
        let [a, bad, c] = three().await;
        let bench = Bench::new();
        let list = [a.address, bad.address, c.address];
        let balance = Hashed {
            by: crate::graph::Affinity::SourceIp,
            table: Table::Maglev(Maglev::of(&list)),
        };
        let upstream = to(&[&a, &bad, &c], Balance::Hash(Arc::new(balance)), 1);
        let hashes = || (0..60_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut before = Vec::new();
        for hash in hashes() {
            before.push(
                text(
                    bench
                        .send_by(&upstream, get("/"), Some(hash))
                        .await
                        .unwrap(),
                )
                .await
                .unwrap(),
            );
        }
        let mut spread = std::collections::BTreeSet::new();
        for (hash, before) in hashes().zip(before) {
            let now = text(
                bench
                    .send_by(&upstream, get("/"), Some(hash))
                    .await
                    .unwrap(),
            )
            .await
            .unwrap();
            if before == "200 a" || before == "200 c" {
                assert_eq!(now, before, "what works is not moved");
            }
            spread.insert(now);
        }
        assert_eq!(bad.seen().len(), 1);
        assert_eq!(spread.len(), 2, "{spread:?}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connections_is_left_out_and_no_request_is_lost() {
    local(async {
        let [a, _, c] = three().await;
        let gone = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let bench = Bench::new();
        let upstream = {
            let mut upstream = (*to(&[&a, &c], Balance::RoundRobin, 0)).clone();
            upstream.target = Target::Addresses([a.address, gone, c.address].into());
            Arc::new(upstream)
        };
        let mut waiting = Vec::new();
        for _ in 0..30 {
            // All at once, so that no idle connection is there.
            waiting.push(bench.send(&upstream, get("/")));
        }
        let answers = futures_util::future::join_all(waiting).await;
        assert!(
            answers
                .iter()
                .all(|answer: &Result<_, UpstreamError>| answer.is_ok())
        );
        assert_eq!(bench.metric("endpoints_ejected"), 1);
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_too_long_blames_the_endpoint() {
    local(async {
        let hangs = Backend::always(Reply::Hang).await;
        let fast = Backend::always(Reply::ok("fast")).await;
        let bench = Bench::new();
        let upstream = to(&[&hangs, &fast], Balance::RoundRobin, 1);
        let trial = Trial::default();
        let way = crate::proxy::upstream::Way {
            upstream: &upstream,
            dial: &crate::graph::DialPolicy::default(),
            replay: true,
            affinity: None,
            priority: crate::graph::breaker::Priority::Default,
            trial: &trial,
            reached: None,
        };
        let sent = Box::pin(bench.pools.send(way, get("/")));
        let seen = Box::pin(async {
            while hangs.seen().is_empty() {
                tokio::task::yield_now().await;
            }
        });
        drop(futures_util::future::select(sent, seen).await);
        trial.late();
        trial.late();
        for _ in 0..4 {
            assert_eq!(bench.get(&upstream).await.unwrap(), "200 fast");
        }
        assert_eq!(bench.metric("ejections_total"), 1, "it is blamed once");
    })
    .await;
}
