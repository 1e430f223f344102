//! Clients that stay at an endpoint.

use std::sync::Arc;

use super::serving_with;
use crate::{
    graph::{
        Affinity, AffinityCookie, Balance, Forward,
        balance::{Hashed, Ring, Table},
    },
    proxy::testing::{Script, exchange},
};

fn stick(forward: &mut Forward, made: Option<&str>) {
    Arc::make_mut(&mut forward.upstream).balance = Balance::Hash(Arc::new(Hashed {
        by: Affinity::Cookie(AffinityCookie {
            name: "sticky".into(),
            made: made.map(Into::into),
        }),
        table: Table::Ring(Ring::of(&[])),
    }));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_without_a_cookie_gets_one_and_is_known_by_it() {
    let script = Script::default();
    let site = serving_with(&script, |forward| {
        stick(forward, Some("; Max-Age=60; HttpOnly"));
    });
    let answer = exchange(
        &site,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let line = { answer.lines() }.find_map(|line| line.strip_prefix("set-cookie: "));
    let (pair, attributes) = line.unwrap().split_once(';').unwrap();
    assert_eq!(attributes, " Max-Age=60; HttpOnly");
    let again =
        format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: x=1; {pair}\r\nconnection: close\r\n\r\n");
    let answer = exchange(&site, &again).await;
    assert!(!answer.contains("set-cookie"), "{answer}");
    let [first, second] = [0, 1].map(|at| script.seen()[at].affinity);
    assert!(first.is_some() && first == second);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_cookie_that_is_not_to_be_made_leaves_the_client_anywhere() {
    let script = Script::default();
    let site = serving_with(&script, |forward| stick(forward, None));
    let answer = exchange(
        &site,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(!answer.contains("set-cookie"), "{answer}");
    assert_eq!(script.seen()[0].affinity, None);
}
