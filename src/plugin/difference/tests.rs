use std::fs;

use clap::Parser;

use super::*;
use crate::plugin::{args::Cli, source::folder};

fn problem(object: &str, field: &str, message: &str) -> Problem {
    Problem {
        object: object.to_owned(),
        found: DiagnosticView {
            code: "PST2018".to_owned(),
            field: field.to_owned(),
            message: message.to_owned(),
            ..DiagnosticView::default()
        },
        unknown: None,
    }
}

#[test]
fn a_problem_in_other_words_is_neither_new_nor_fixed() {
    let mut introduced = vec![
        problem("a", "spec.prefix", "two take it"),
        problem("b", "spec.prefix", "new"),
        problem("a", "spec.prefix", "three take it"),
    ];
    let mut fixed = vec![
        problem("a", "spec.prefix", "one takes it"),
        problem("c", "spec.prefix", "gone"),
    ];
    let changed = reworded(&mut introduced, &mut fixed);
    let told = |problems: &[Problem]| -> Vec<_> {
        let told = problems.iter();
        told.map(|problem| problem.found.message.clone()).collect()
    };
    assert_eq!(told(&changed), ["two take it"]);
    assert_eq!(told(&introduced), ["new", "three take it"]);
    assert_eq!(told(&fixed), ["gone"]);
}

/// What holds in all worlds: a Host for cleartext requests, on one port.
const AROUND: &str = r#"
{"apiVersion": "postern.dev/v1alpha1", "kind": "Listener", "metadata": {"name": "http", "namespace": "postern"},
 "spec": {"port": 8081, "protocol": "HTTP", "securityModel": "INSECURE", "hostBinding": {"namespace": {"from": "ALL"}}}}
---
{"apiVersion": "postern.dev/v1alpha1", "kind": "Host", "metadata": {"name": "shop", "namespace": "shop"},
 "spec": {"hostname": "a.example.com", "requestPolicy": {"insecure": {"action": "Route"}}}}
---
"#;

fn mapping(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "metadata": {{"namespace": "{namespace}", "name": "{name}"}},
        "spec": {{"hostname": "a.example.com", {spec}}}}}
---
"#
    )
}

/// What is said of two folders: a word, a place and a change in each line.
fn told(before: &str, after: &str) -> Vec<String> {
    let compiled = |manifests: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("world.yaml");
        fs::write(&file, manifests).unwrap();
        let common = Cli::parse_from(["kubectl-postern", "status"]).common;
        folder::compile(&[file], &common).unwrap()
    };
    let (before, after) = (compiled(before), compiled(after));
    let difference = Difference::between((&[], &before.graph), (&[], &after.graph));
    let mut lines = difference.lines();
    let unchanged = lines.pop();
    assert!(unchanged.is_some_and(|line| line.starts_with("unchanged")));
    let squeezed = lines.iter().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.join(" ")
    });
    squeezed.collect()
}

#[test]
fn whoever_gets_requests_of_another_is_told_with_whom_they_come_from() {
    let root = mapping("web", "root", r#""prefix": "/", "service": "site""#);
    let cart = mapping("shop", "cart", r#""prefix": "/cart/", "service": "cart""#);
    let both = format!("{AROUND}{root}{cart}");
    for (spec, expected) in [
        (
            r#""prefix": "/cart/new/", "service": "next""#,
            &[
                "moved a.example.com/cart/new/ shop/cart:80 (Mapping shop/cart) -> shop/next:80 (Mapping shop/x)",
            ][..],
        ),
        (
            r#""prefix": "/[a-z]+/.*", "prefixRegex": true, "precedence": 5, "service": "next""#,
            &[
                "moved a.example.com/cart/ shop/cart:80 (Mapping shop/cart) -> shop/next:80 (Mapping shop/x)",
                "moved a.example.com~/[a-z]+/.* web/site:80 (Mapping web/root) -> shop/next:80 (Mapping shop/x)",
            ],
        ),
        (
            r#""prefix": "/cart/", "headers": {"x-team": "beta"}, "method": "POST", "service": "next""#,
            &[
                "moved a.example.com/cart/ [POST, x-team: beta] shop/cart:80 (Mapping shop/cart) -> shop/next:80 (Mapping shop/x)",
            ],
        ),
        (
            r#""prefix": "/cart/", "service": "next", "weight": 20"#,
            &[
                "moved a.example.com/cart/ shop/cart:80 (Mapping shop/cart) -> shop/cart:80 80%, shop/next:80 20% (Mapping shop/cart, Mapping shop/x)",
            ],
        ),
        (
            r#""prefix": "/cart/cart/", "service": "cart""#,
            &[
                "moved a.example.com/cart/cart/ shop/cart:80 (Mapping shop/cart) -> shop/cart:80 (Mapping shop/x)",
            ],
        ),
    ] {
        let after = format!("{both}{}", mapping("shop", "x", spec));
        assert_eq!(told(&both, &after), expected, "{spec}");
    }
    assert_eq!(told(&both, &both), [""; 0]);
    let gained = told(&format!("{AROUND}{cart}"), &both);
    assert_eq!(
        gained,
        ["gained a.example.com/ nothing -> web/site:80 (Mapping web/root)"]
    );
    let fallen = told(&both, &format!("{AROUND}{root}"));
    assert_eq!(
        fallen,
        [
            "moved a.example.com/cart/ shop/cart:80 (Mapping shop/cart) -> web/site:80 (Mapping web/root)"
        ]
    );
    let claim = r#"{"apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "pay"},
        "spec": {"hostnames": ["a.example.com"], "paths": ["/pay"], "namespaces": {"names": ["pay"]}}}"#;
    assert_eq!(
        told(&both, &format!("{both}{claim}")),
        [
            // Who decides about a name decides about every path of it, and this one is not the claim's.
            "changed a.example.com Host: Host shop/shop -> the default one",
            "lost a.example.com/pay (claim pay) web/site:80 (Mapping web/root) -> nothing"
        ]
    );
}

#[test]
fn what_else_is_done_with_the_same_requests_is_told_by_its_name() {
    let with = |field: &str| {
        let spec = format!(r#""prefix": "/a/", "service": "a"{field}"#);
        format!("{AROUND}{}", mapping("shop", "a", &spec))
    };
    for (before, after, change) in [
        (
            "",
            r#", "rewrite": "/b/""#,
            "rewrite: /a/ becomes / -> /a/ becomes /b/",
        ),
        (
            r#", "addRequestHeaders": {"x-a": {"value": "1"}}"#,
            r#", "addRequestHeaders": {"x-a": {"value": "2"}}"#,
            "request headers: x-a: 1 added -> x-a: 2 added",
        ),
        (
            "",
            r#", "removeResponseHeaders": ["server"]"#,
            "response headers: kept -> without server",
        ),
        (
            "",
            r#", "timeoutMs": 9000"#,
            "timeout to the head: 3s -> 9s",
        ),
        (
            "",
            r#", "hostRewrite": "b.example.com""#,
            "host header: kept -> b.example.com",
        ),
        (
            r#", "cors": {"origins": ["https://b.example"]}"#,
            r#", "cors": {"origins": ["https://b.example"], "maxAge": "86400"}"#,
            "cors: some rules -> other rules",
        ),
    ] {
        let told = told(&with(before), &with(after));
        let found = told
            .iter()
            .any(|line| line.starts_with("changed a.example.com/a/ ") && line.contains(change));
        assert!(found && told.len() == 1, "{change}: {told:?}");
    }
    let plain = with("");
    for (action, expected) in [
        (
            "Redirect",
            "changed a.example.com insecure requests: route -> redirect",
        ),
        (
            "Reject",
            "changed a.example.com insecure requests: route -> reject",
        ),
    ] {
        let other = plain.replace(r#""action": "Route""#, &format!(r#""action": "{action}""#));
        let told = told(&plain, &other);
        assert_eq!(told.first().map(|line| &**line), Some(expected), "{told:?}");
    }
}

#[test]
fn connections_that_are_not_http_change_hands_too() {
    let tcp = |name: &str, spec: &str| {
        format!(
            r#"{{"apiVersion": "getambassador.io/v3alpha1", "kind": "TCPMapping", "metadata": {{"namespace": "db", "name": "{name}"}},
            "spec": {{{spec}}}}}
---
"#
        )
    };
    let listener = r#"{"apiVersion": "postern.dev/v1alpha1", "kind": "Listener", "metadata": {"name": "db", "namespace": "postern"},
        "spec": {"port": 5432, "protocol": "TCP", "securityModel": "XFP", "hostBinding": {"namespace": {"from": "ALL"}}}}
---
"#;
    let around = format!("{AROUND}{listener}");
    let before = format!(
        "{around}{}",
        tcp("orders", r#""port": 5432, "service": "a:5432""#)
    );
    let other = format!(
        "{around}{}",
        tcp("orders", r#""port": 5432, "service": "b:5432""#)
    );
    assert_eq!(
        told(&before, &other),
        ["moved port 5432, every connection db/a:5432 -> db/b:5432"]
    );
    let place = "port 5432, every connection";
    assert_eq!(
        told(&around, &before),
        [format!(
            "gained {place} nothing -> db/a:5432 (TCPMapping.getambassador.io db/orders)"
        )]
    );
    assert_eq!(told(&before, &before), [""; 0]);
}
