use std::sync::Arc;

use super::*;
use crate::graph::{
    ClientTls, Fail, HostId, HostPattern, HostTable, HostTls, InsecureAction, Region, Regions,
    RouteId, SecurityModel, TcpAction, TcpMember, TcpRoute,
    matching::{
        RouteSet,
        tests::{pattern, route},
    },
    route::{Rank, TextMatch},
    table::RouteTable,
};

/// A route with one member that answers 503.
fn failing(spec: &str, id: &str, change: impl FnOnce(&mut Route)) -> Arc<Route> {
    let mut route = route(spec);
    route.members.push(Member {
        id: RouteId(id.into()),
        share: 1,
        action: Action::Fail(Fail { code: 3002 }),
    });
    change(&mut route);
    Arc::new(route)
}

fn graph(tables: Vec<(&str, Vec<Arc<Route>>)>, tls: HostTls) -> Graph {
    let tables = tables.into_iter().map(|(host, routes)| {
        let pattern: HostPattern = host.parse().unwrap();
        (pattern, Arc::new(RouteTable::new(routes)))
    });
    let region = Region {
        tables: tables.collect(),
        ..Region::default()
    };
    let host = Arc::new(VirtualHost {
        id: HostId("web/site".into()),
        pattern: HostPattern::ANY,
        tls,
        insecure: InsecureAction::Redirect,
        routes: Arc::new(RouteSet {
            regions: Regions::single(region),
        }),
    });
    let listener = |port, tls| {
        Arc::new(Listener {
            name: format!("postern/{port}").into(),
            port,
            http: true,
            tls,
            cleartext: !tls,
            security: if tls {
                SecurityModel::Xfp
            } else {
                SecurityModel::Secure
            },
            l7_depth: 0,
            trusted_proxies: Arc::new([]),
            http2_max_concurrent_streams: 100,
            hosts: HostTable::from_iter([(HostPattern::ANY, Arc::clone(&host))]),
            tcp: crate::graph::TcpTable::default(),
        })
    };
    Graph {
        listeners: vec![listener(8080, false), listener(8443, true)],
        ..Graph::default()
    }
}

fn ask(graph: &Graph, url: &str) -> Answer {
    let question = Question {
        url: url.to_owned(),
        ..Question::default()
    };
    graph.why(&question).unwrap()
}

#[test]
fn every_candidate_has_the_first_rule_that_decided() {
    let tables = vec![
        (
            "example.com",
            vec![
                failing("/search/", "mapping/web/search", |route| {
                    Arc::make_mut(&mut route.conditions).method =
                        Some(TextMatch::Exact("POST".into()));
                }),
                failing("/search", "mapping/web/any", |_| {}),
                failing("/", "mapping/web/root", |_| {}),
                failing("/other/", "mapping/web/other", |_| {}),
            ],
        ),
        (
            "*",
            vec![failing("/se", "mapping/shop/first", |route| {
                Arc::make_mut(&mut route.rank).precedence = 1;
                Arc::make_mut(&mut route.conditions).headers =
                    vec![(http::header::ACCEPT, TextMatch::Regex(pattern(".*")))];
            })],
        ),
    ];
    let answer = ask(
        &graph(tables, HostTls::None),
        "http://Example.com/a/../search/x?q=1#f",
    );
    assert_eq!(answer.path, "/search/x");
    assert_eq!(answer.outcome.status(), Some(503));
    let told: Vec<_> = answer
        .candidates
        .iter()
        .map(|c| (&*c.objects[0], &*c.hostname, c.verdict.clone()))
        .collect();
    let shorter = Lost::ShorterPath { own: 1, winner: 7 };
    assert_eq!(
        told,
        [
            (
                "mapping/shop/first",
                "*",
                Verdict::Failed("headers".to_owned())
            ),
            (
                "mapping/web/search",
                "example.com",
                Verdict::Failed("method".to_owned())
            ),
            ("mapping/web/any", "example.com", Verdict::Taken),
            ("mapping/web/root", "example.com", Verdict::Lost(shorter)),
        ]
    );
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
}

#[test]
fn what_comes_before_the_routes_is_told() {
    let broken = HostTls::Broken(Fail { code: 4001 });
    let table = [
        ("http://a/x", HostTls::None, Outcome::NoRoute),
        ("https://a/x", HostTls::None, Outcome::NoHandshake),
        ("https://a/x", broken, Outcome::NoHandshake),
        (
            "http://a/%00",
            HostTls::None,
            Outcome::BadRequest {
                why: "the path has an escaped NUL".to_owned(),
            },
        ),
    ];
    for (url, tls, outcome) in table {
        let answer = ask(&graph(Vec::new(), tls), url);
        assert_eq!(answer.outcome, outcome, "{url}");
        assert!(answer.listener.is_some(), "{url}");
    }
    assert_eq!(
        ask(&Graph::default(), "http://a/").outcome,
        Outcome::NoListener
    );
}

#[test]
fn a_port_that_no_listener_has_is_told() {
    let graph = graph(Vec::new(), HostTls::None);
    for (url, port, instead_of) in [
        ("http://a/", 8080, None),
        ("http://a:8080/", 8080, None),
        ("http://a:9999/", 8080, Some(9999)),
        ("https://a:8080/", 8443, Some(8080)),
    ] {
        let listener = ask(&graph, url).listener.unwrap();
        assert_eq!(
            (listener.port, listener.instead_of),
            (port, instead_of),
            "{url}"
        );
    }
}

#[test]
fn a_question_that_is_none_says_what_is_wrong_with_it() {
    let graph = Graph::default();
    for (url, word) in [
        ("/relative", "scheme and host"),
        ("", "scheme and host"),
        ("example.com/a", "http://example.com"),
        ("http://a b/", "no URL"),
        ("ftp://a/", "http, https and tcp"),
        ("tcp://db.example.com", "tcp://db.example.com:6379"),
        ("http://a_!/", "DNS name"),
        ("http://user@a/", "user information"),
    ] {
        let question = Question {
            url: url.to_owned(),
            ..Question::default()
        };
        let error = graph.why(&question).unwrap_err().to_string();
        assert!(error.contains(word), "{url}: {error}");
    }
    assert!(Question::header("no colon").is_err());
}

#[test]
fn the_first_part_of_the_rank_that_differs_decides() {
    let rank = |precedence, path_length, exact, header_weight, query_weight, tie: &str| Rank {
        precedence,
        path_length,
        exact,
        header_weight,
        query_weight,
        tie: tie.into(),
        ..Rank::default()
    };
    let winner = rank(1, 5, true, 3, 2, "b");
    for (other, lost) in [
        (rank(0, 9, true, 9, 9, "z"), Some("precedence (0 < 1)")),
        (rank(1, 4, true, 9, 9, "z"), Some("shorter path (4 < 5)")),
        (rank(1, 5, false, 9, 9, "z"), Some("exact path")),
        (rank(1, 5, true, 2, 9, "z"), Some("headers (2 < 3)")),
        (rank(1, 5, true, 3, 1, "z"), Some("query (1 < 2)")),
        (rank(1, 5, true, 3, 2, "a"), Some("order of names")),
        (rank(1, 5, true, 3, 2, "b"), None),
        (rank(2, 0, false, 0, 0, ""), None),
    ] {
        let found = Lost::between(&winner, &other).map(|lost| lost.to_string());
        match lost {
            Some(words) => assert!(found.unwrap().contains(words), "{other:?}"),
            None => assert_eq!(found, None, "{other:?}"),
        }
    }
}

#[test]
fn a_name_of_tcp_has_the_connection_and_every_request_in_it() {
    let mut graph = graph(Vec::new(), HostTls::None);
    let member = TcpMember {
        id: RouteId("tcpmapping/db/orders".into()),
        share: 1,
        action: TcpAction::Fail(Fail { code: 3002 }),
    };
    let route = TcpRoute {
        client_tls: ClientTls::Untouched,
        tls: None,
        members: [member].into(),
    };
    let listener = Arc::make_mut(&mut graph.listeners[1]);
    let name = "db.example.com".parse().unwrap();
    listener.tcp.by_name = HostTable::from_iter([(name, Some(Arc::new(route)))]);
    let Outcome::Connection { members } = ask(&graph, "https://db.example.com/x").outcome else {
        panic!("the TCPMapping must have it");
    };
    assert_eq!(members[0].id, "tcpmapping/db/orders");
    let other = ask(&graph, "https://other.example.com/x").outcome;
    assert_eq!(other, Outcome::NoHandshake);
    let port = graph.listeners[1].port;
    let answer = ask(&graph, &format!("tcp://db.example.com:{port}"));
    assert_eq!(answer.sni.as_deref(), Some("db.example.com"));
    let by = answer
        .connection
        .map(|found| (found.host, found.terminates_tls));
    assert_eq!(by, Some((Some("db.example.com".to_owned()), false)));
    let other = ask(&graph, &format!("tcp://other.example.com:{port}"));
    assert_eq!(other.outcome, Outcome::OnlyRequests, "HTTP is served there");
    let nowhere = ask(&graph, "tcp://db.example.com:1").outcome;
    assert_eq!(nowhere, Outcome::NoListener);
}
