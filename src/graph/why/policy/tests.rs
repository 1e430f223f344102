use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::*;
use crate::graph::{
    Balance, Certificate, ForwardTerms, PrivateKey, RouteId, Target, Terms, UpstreamId,
    matching::tests::pattern, path::canonical, route::RegexRewrite, tls::KeyFormat,
};

fn upstream(tls: Option<UpstreamTls>, protocol: UpstreamProtocol) -> Arc<Upstream> {
    Arc::new(Upstream {
        id: UpstreamId("apps/quote:80".into()),
        target: Target::Addresses(Arc::new([])),
        protocol,
        balance: Balance::default(),
        breakers: None,
        health: None,
        zones: None,
        keepalive: None,
        tls: tls.map(Arc::new),
        connect_timeout: Duration::from_secs(3),
        idle_timeout: Duration::from_mins(1),
        max_age: None,
    })
}

fn regex() -> Arc<RegexRewrite> {
    Arc::new(RegexRewrite {
        regex: pattern("a+").regex.clone(),
        substitution: "b".into(),
    })
}

/// What is told of a member, but for what is quiet.
fn told(action: Action) -> Vec<String> {
    let member = Member {
        id: RouteId("mapping/apps/quote".into()),
        share: 1,
        action,
    };
    let path = canonical("/quote/1", RequestPolicy::default()).unwrap();
    let told = of_member(&member, 100, &path).into_iter();
    told.filter(|answer| !answer.quiet)
        .map(|answer| format!("{}: {}", answer.policy.name(), answer.value))
        .collect()
}

#[test]
fn what_is_done_is_told_and_what_is_not_is_quiet() {
    let plain = Forward {
        upstream: upstream(None, UpstreamProtocol::Http1),
        rewrite: Rewrite::Prefix {
            matched: 7,
            replacement: "/".into(),
        },
        host: HostRewrite::Keep,
        terms: Arc::default(),
    };
    let forward = told(Action::Forward(Arc::new(plain)));
    assert_eq!(
        forward,
        ["rewrite: /quote/ becomes /", "connect timeout: 3s"]
    );
}

#[test]
fn everything_that_a_route_can_do_is_told() {
    let text = HeaderText::Format(Arc::new([
        Part::Text("100% ".into()),
        Part::RequestHeader(http::header::HOST),
    ]));
    let client = Certificate {
        digest: "d1".into(),
        chain: Vec::new(),
        key: PrivateKey {
            format: KeyFormat::Pkcs8,
            der: Arc::new([]),
        },
        staple: None,
    };
    let tls = UpstreamTls {
        server_name: "quote.apps.svc".into(),
        verify: false,
        roots: Roots::System,
        client: Some(Arc::new(client)),
        terms: Terms::default(),
        revoked: Arc::default(),
    };
    let terms = ForwardTerms {
        request_headers: HeaderEdits {
            edits: Arc::new([
                HeaderEdit::Remove(http::header::COOKIE),
                HeaderEdit::Append(http::header::VIA, text),
            ]),
        },
        total_timeout: Some(Duration::from_millis(1500)),
        max_request_body: Some(10),
        upgrades: vec!["websocket".into()],
        allow_escaped_slashes: true,
        ..ForwardTerms::default()
    };
    let forward = Forward {
        upstream: upstream(Some(tls), UpstreamProtocol::Http2),
        rewrite: Rewrite::Regex(regex()),
        host: HostRewrite::Literal(Arc::new(HeaderValue::from_static("other"))),
        terms: Arc::new(terms),
    };
    let told = told(Action::Forward(Arc::new(forward)));
    for line in [
        "escaped slashes: let through",
        "host header: other",
        "timeout to the end: 1.5s",
        "request body: up to 10 bytes",
        "upgrades: websocket",
        "request headers: without cookie, via: 100%% %REQ(host)% added",
        "protocol: HTTP/2",
        "tls: to quote.apps.svc",
        "trust: the certificate is not verified",
        "client certificate: d1",
    ] {
        assert!(told.iter().any(|told| told == line), "{line}: {told:#?}");
    }
    assert!(told[1].starts_with("rewrite: what matches"), "{told:#?}");
}

#[test]
fn a_redirect_is_told_with_what_becomes_of_the_path() {
    for (path, place) in [
        (RedirectPath::Keep, "to https://other"),
        (RedirectPath::Whole("/new".into()), "to https://other/new"),
        (
            RedirectPath::Prefix {
                matched: 7,
                replacement: "/new/".into(),
            },
            "to https://other, where /quote/ becomes /new/",
        ),
    ] {
        let redirect = Redirect {
            status: StatusCode::FOUND,
            scheme: Some("https".into()),
            host: "other".into(),
            path,
            allow_escaped_slashes: false,
        };
        let told = told(Action::Redirect(Arc::new(redirect)));
        assert_eq!(
            told,
            [&format!("redirect: {place}"), "redirect status: 302"]
        );
    }
}
