//! Which endpoint a request goes to, and what becomes of connections when endpoints come and go.

use super::*;
use crate::graph::balance::{Hashed, Maglev, Table};

async fn backends() -> [Backend; 3] {
    [
        Backend::always(Reply::ok("a")).await,
        Backend::always(Reply::ok("b")).await,
        Backend::always(Reply::ok("c")).await,
    ]
}

fn balanced(backends: &[&Backend], balance: impl Fn(&[SocketAddr]) -> Balance) -> Arc<Upstream> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let mut upstream = upstream(Target::Addresses(addresses.as_slice().into()));
    upstream.balance = balance(&addresses);
    Arc::new(upstream)
}

fn hashed(addresses: &[SocketAddr]) -> Balance {
    Balance::Hash(Arc::new(Hashed {
        by: crate::graph::Affinity::SourceIp,
        table: Table::Maglev(Maglev::of(addresses)),
    }))
}

#[tokio::test]
async fn requests_with_the_same_hash_go_to_the_same_endpoint() {
    local(async {
        let [a, b, c] = backends().await;
        let bench = Bench::new();
        let upstream = balanced(&[&a, &b, &c], hashed);
        let mut answers = std::collections::BTreeSet::new();
        for hash in (0..32).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let get = || async {
                bench
                    .send_by(&upstream, get("/"), Some(hash))
                    .await
                    .unwrap()
            };
            let first = text(get().await).await.unwrap();
            assert_eq!(text(get().await).await.unwrap(), first);
            answers.insert(first);
        }
        assert_eq!(answers.len(), 3);
        let without: Vec<_> = [bench.get(&upstream).await, bench.get(&upstream).await]
            .map(Result::unwrap)
            .into();
        assert_ne!(without[0], without[1], "without a hash they take turns");
    })
    .await;
}

#[tokio::test]
async fn the_endpoint_with_less_under_way_is_chosen() {
    local(async {
        let slow = Backend::always(Reply::Hang).await;
        let fast = Backend::always(Reply::ok("fast")).await;
        let bench = Bench::new();
        let upstream = balanced(&[&slow, &fast], |_| Balance::LeastRequest);
        let mut waiting = Vec::new();
        while slow.seen().is_empty() {
            let sent = Box::pin(bench.send(&upstream, get("/")));
            match futures_util::future::select(sent, Box::pin(settle())).await {
                Either::Left((response, _)) => drop(text(response.unwrap()).await),
                Either::Right(((), sent)) => waiting.push(sent),
            }
        }
        for _ in 0..10 {
            assert_eq!(bench.get(&upstream).await.unwrap(), "200 fast");
        }
        assert_eq!(slow.seen().len(), 1, "it has one under way, the other none");
        let load = {
            let key = (upstream.id.clone(), slow.address);
            bench.pools.0.shared.loads.of(key, load::Load::default)
        };
        assert_eq!(load.get(), 1);
        waiting.clear();
        assert_eq!(load.get(), 0, "who does not wait does not count");
    })
    .await;
}

#[tokio::test]
async fn connections_to_endpoints_that_stay_are_kept() {
    local(async {
        let [a, b, c] = backends().await;
        let bench = Bench::new();
        let before = balanced(&[&a, &b], |_| Balance::RoundRobin);
        for _ in 0..2 {
            bench.get(&before).await.unwrap();
        }
        settle().await;
        assert_eq!(bench.metric("connections_idle"), 2);
        let after = balanced(&[&b, &c], |_| Balance::RoundRobin);
        for _ in 0..4 {
            bench.get(&after).await.unwrap();
        }
        settle().await;
        assert_eq!(b.accepted.get(), 1, "the connection to it was used again");
        assert_eq!((a.ended.get(), b.ended.get(), c.ended.get()), (1, 0, 0));
        assert_eq!(bench.metric("connections_idle"), 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_under_way_to_an_endpoint_that_goes_comes_to_its_end() {
    local(async {
        let slow = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
        let goes = Backend::always(Reply::Keep(slow.to_owned())).await;
        let stays = Backend::always(Reply::ok("stays")).await;
        let bench = Bench::new();
        let before = balanced(&[&goes], |_| Balance::RoundRobin);
        let mut response = bench.send(&before, get("/")).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        let after = balanced(&[&stays], |_| Balance::RoundRobin);
        assert_eq!(bench.get(&after).await.unwrap(), "200 stays");
        settle().await;
        assert_eq!(goes.ended.get(), 0, "its response is still to come");
        drop(response);
        settle().await;
        assert_eq!(goes.ended.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_upstream_without_endpoints_says_so() {
    local(async {
        let bench = Bench::new();
        let upstream = balanced(&[], hashed);
        let failed = bench.send_by(&upstream, get("/"), Some(7)).await;
        assert!(matches!(failed, Err(UpstreamError::NoAddress)));
    })
    .await;
}
