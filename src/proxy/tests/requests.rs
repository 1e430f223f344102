//! From the head of a request to what is done with it.

use std::sync::Arc;

use http::StatusCode;

use super::serving_with;
use crate::{
    graph::{
        Action, Fail, Forward, HostRewrite, HostTls, InsecureAction, Redirect, Rewrite,
        route::RedirectPath,
    },
    proxy::error::ProxyError,
    proxy::testing::{
        Act, Script, exchange, forward, graph, host, listener, route, serving, site, text,
    },
};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_request_is_forwarded_and_answered() {
    let script = Script::of([Act::Answer(text(StatusCode::OK, "hello"))]);
    let site = serving_with(&script, |_| ());
    let reply = exchange(&site, &get("/a?b=c")).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    let seen = script.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (&seen[0].method, seen[0].uri.to_string().as_str()),
        (&http::Method::GET, "/a?b=c")
    );
    assert!(seen[0].replay, "a GET without a body may be sent again");
    assert_eq!(site.running.get(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_matched_is_what_is_sent() {
    let script = Script::default();
    let site = serving_with(&script, |forward| {
        forward.rewrite = Rewrite::Prefix {
            matched: 3,
            replacement: "/new".into(),
        };
    });
    for (asked, sent) in [
        ("/api/x?q=1", "/new/x?q=1"),
        ("/api/./x/../y", "/new/y"),
        ("//api//x", "/new/x"),
        ("/api/%7euser", "/new/~user"),
    ] {
        let path = asked.replace("/api", "/ap");
        exchange(&site, &get(&path)).await;
        assert_eq!(script.seen().last().unwrap().uri, sent, "{path}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn another_host_for_the_upstream_is_told_with_the_one_that_was_asked_for() {
    let script = Script::default();
    let site = serving_with(&script, |forward| {
        forward.host = HostRewrite::Literal(Arc::new(http::HeaderValue::from_static("inside")));
    });
    exchange(&site, &get("/")).await;
    let seen = script.seen();
    assert_eq!(seen[0].headers["host"], "inside");
    assert_eq!(seen[0].headers["x-forwarded-host"], "example.com");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn without_a_route_it_is_404_and_a_route_that_cannot_serve_503() {
    let routes = vec![route("/broken/", Action::Fail(Fail { code: 1201 }))];
    let site = site(serving(routes), Script::default());
    let reply = exchange(&site, &get("/other")).await;
    assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{reply}");
    assert!(reply.contains("404 no_route: "), "{reply}");
    let reply = exchange(&site, &get("/broken/x")).await;
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
    assert!(reply.contains("503 PST1201: "), "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_goes_wrong_upstream_has_its_own_status() {
    for (error, status) in [
        (ProxyError::Connect, 503),
        (ProxyError::UpstreamReset, 502),
        (ProxyError::ConnectTimeout, 504),
    ] {
        let script = Script::of([Act::Fail(error)]);
        let reply = exchange(&serving_with(&script, |_| ()), &get("/")).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        assert!(reply.contains(error.reason().as_str()), "{reply}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn redirects_are_answered_here() {
    let redirect = Redirect {
        status: StatusCode::FOUND,
        scheme: None,
        host: "other.example.com".into(),
        path: RedirectPath::Prefix {
            matched: 4,
            replacement: "/new".into(),
        },
        allow_escaped_slashes: false,
    };
    let routes = vec![route("/old/", Action::Redirect(redirect.into()))];
    let site = site(serving(routes), Script::default());
    let reply = exchange(&site, &get("/old/x?y=z")).await;
    assert!(reply.starts_with("HTTP/1.1 302 "), "{reply}");
    let location = "location: http://other.example.com/new/x?y=z\r\n";
    assert!(reply.contains(location), "{reply}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_insecure_request_gets_what_its_host_says() {
    let with = |insecure| {
        let mut host = host(
            "example.com",
            HostTls::None,
            vec![route("/", Action::Forward(forward("quote").into()))],
        );
        host.insecure = insecure;
        site(graph(listener(), vec![host]), Script::default())
    };
    let redirect = with(InsecureAction::Redirect);
    let reply = exchange(&redirect, &get("/a?b")).await;
    assert!(reply.starts_with("HTTP/1.1 301 "), "{reply}");
    assert!(
        reply.contains("location: https://example.com/a?b\r\n"),
        "{reply}"
    );
    let acme = get("/.well-known/acme-challenge/token");
    assert!(
        exchange(&redirect, &acme)
            .await
            .starts_with("HTTP/1.1 200 ")
    );

    let reject = with(InsecureAction::Reject);
    let reply = exchange(&reject, &get("/a")).await;
    assert!(
        reply.starts_with("HTTP/1.1 404 ") && reply.contains("insecure"),
        "{reply}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_escaped_slash_needs_a_route_that_takes_it() {
    let strict = serving_with(&Script::default(), |_| ());
    let reply = exchange(&strict, &get("/a%2Fb")).await;
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    let script = Script::default();
    let open = serving_with(&script, |forward| forward.allow_escaped_slashes = true);
    exchange(&open, &get("/a%2fb")).await;
    assert_eq!(script.seen()[0].uri, "/a%2Fb");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn members_share_the_requests_by_weight() {
    let member = |share, action| {
        let mut route = route("/", action);
        route.members[0].share = share;
        route.members.remove(0)
    };
    let to = |name| Action::Forward(Arc::new(Forward { ..forward(name) }));
    let mut both = route("/", to("a"));
    both.members = vec![
        member(0, to("a")),
        member(1, Action::Fail(Fail { code: 7 })),
    ]
    .into();
    let site = site(serving(vec![both]), Script::default());
    for _ in 0..20 {
        let reply = exchange(&site, &get("/")).await;
        assert!(
            reply.contains("PST0007"),
            "a member without a share got a request: {reply}"
        );
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn requests_that_were_sent_ahead_are_answered_in_order() {
    let script = Script::of([
        Act::Answer(text(StatusCode::OK, "one")),
        Act::Answer(text(StatusCode::OK, "two")),
    ]);
    let site = serving_with(&script, |_| ());
    let first = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ";
    let reply = exchange(&site, &format!("{first}{}", get("/2"))).await;
    let (one, two) = (reply.find("one").unwrap(), reply.find("two").unwrap());
    assert!(one < two, "{reply}");
    assert_eq!(script.seen()[0].body, "GET ");
    assert_eq!(script.seen()[1].uri, "/2");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn json_for_who_asks_for_it() {
    let site = site(serving(Vec::new()), Script::default());
    let request =
        "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let reply = exchange(&site, request).await;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], "no_route");
}
