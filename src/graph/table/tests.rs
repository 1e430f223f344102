use super::*;
use crate::graph::matching::tests::route;

#[test]
fn candidates_come_in_order_of_rank() {
    let paths = [
        "/", "/a", "/a/", "=/a/b", "/a/b", "~/a/.+", "/a/bc", "/b", "i/A/B",
    ];
    let table = RouteTable::new(paths.iter().map(|path| Arc::new(route(path))).collect());
    let found: Vec<_> = table
        .candidates("/a/b")
        .map(|candidate| candidate.route)
        .collect();
    assert!(found.is_sorted_by(|a, b| a.rank > b.rank));
    let mut texts: Vec<_> = found.iter().map(|route| &*route.rank.tie).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        ["/", "/a", "/a/", "/a/b", "=/a/b", "i/A/B", "~/a/.+"]
    );
}

#[test]
fn a_chain_of_ever_longer_prefixes_does_not_exhaust_the_stack() {
    let paths: Vec<_> = (1..5_000)
        .map(|length| format!("/{}", "a".repeat(length)))
        .collect();
    let routes = paths.iter().map(|path| Arc::new(route(path))).collect();
    let table = RouteTable::new(routes);
    let longest = table
        .candidates(&paths[4_000])
        .next()
        .map(|found| found.route.rank.path_length);
    assert_eq!(longest, Some(4_002));
}

#[test]
fn ten_thousand_siblings_leave_few_candidates() {
    let routes = (0..10_000)
        .map(|team| Arc::new(route(&format!("/team-{team:04}/"))))
        .collect();
    let table = RouteTable::new(routes);
    assert_eq!(table.candidates("/team-7777/x").count(), 1);
    assert_eq!(table.candidates("/team-777").count(), 0);
}
