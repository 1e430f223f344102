//! From a head to a decision: never a panic, the same with and without a trace, and the route that the index finds is the one
//! that a look at every route finds.
//!
//! Input: lines with settings, authority, path and query, method, then headers.
#![no_main]

use std::sync::{Arc, LazyLock};

use http::{HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use postern::graph::{
    Action, Authority, Connection, Decision, Fail, HostId, HostPattern, HostTable, HostTls,
    InsecureAction, Listener, Member, Request, RequestPolicy, Route, RouteId, SecurityModel, Trace,
    VirtualHost,
    decide::{decide, https_location},
    matching::{HeadView, RouteSet, Silent, Target},
    path,
    region::{Region, Regions},
    route::{Conditions, PathMatch, Pattern, Rank, TextMatch},
    table::RouteTable,
};

struct Head {
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HeadView for Head {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.headers.iter().filter(|(n, _)| n == name) {
            found(value.as_bytes());
        }
    }
}

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let settings = lines
        .next()
        .and_then(|line| line.bytes().next())
        .unwrap_or_default();
    let (Some(authority), Some(target), Some(method)) = (lines.next(), lines.next(), lines.next())
    else {
        return;
    };
    let (raw, query) = target
        .split_once('?')
        .map_or((target, None), |(raw, query)| (raw, Some(query)));
    let (Ok(authority), Ok(path), Ok(method)) = (
        Authority::parse(authority),
        path::canonical(raw, RequestPolicy::default()),
        Method::from_bytes(method.as_bytes()),
    ) else {
        return;
    };
    let head = Head {
        method,
        headers: lines.filter_map(header).collect(),
    };
    let sni = [None, Some("x.com"), Some("a.y.com"), Some(authority.host())];
    let forwarded = head
        .headers
        .iter()
        .find(|(name, _)| name == "x-forwarded-proto");
    let request = Request {
        connection: Connection {
            tls: settings & 1 != 0,
            sni: sni[usize::from(settings >> 1 & 3)],
            trusted: settings & 8 != 0,
            shown: None,
        },
        authority: &authority,
        path: &path,
        query,
        forwarded_proto: forwarded.map(|(_, value)| value.as_bytes()),
    };
    let mut trace = Trace::default();
    let decision = decide(&LISTENER, &request, &head, &mut Silent);
    let traced = decide(&LISTENER, &request, &head, &mut trace);
    assert_eq!(
        named(&decision),
        named(&traced),
        "a trace changes the decision"
    );
    assert!(!trace.steps.is_empty());
    let host = match decision {
        Decision::Route { host, .. } | Decision::NoRoute(host) => host,
        Decision::RedirectToHttps(_) => {
            let location =
                https_location(&authority, path.as_str(), query.filter(|q| q.is_ascii()));
            let valid = location.bytes().all(|byte| byte >= b' ') || query.is_some();
            return assert!(valid && location.starts_with("https://"), "{location:?}");
        }
        Decision::Misdirected | Decision::NoHost | Decision::Rejected(_) => return,
    };
    let target = Target {
        host: authority.host(),
        port: authority.port(),
        path: path.as_str(),
        query,
    };
    let expected = by_looking_at_all(host, &target, &head).map(|route| route.rank.clone());
    let found = match decision {
        Decision::Route { route, .. } => Some(route.rank.clone()),
        _ => None,
    };
    assert_eq!(
        found, expected,
        "the index and a look at every route disagree"
    );
    if let Decision::Route { route, .. } = decision {
        assert!(
            route.member(u64::from(settings) << 56).is_some(),
            "a route without a member"
        );
    }
});

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((
        name.parse().ok()?,
        HeaderValue::from_str(value.trim()).ok()?,
    ))
}

fn named(decision: &Decision<'_>) -> String {
    match decision {
        Decision::Misdirected => "misdirected".to_owned(),
        Decision::NoHost => "no host".to_owned(),
        Decision::Rejected(host) => format!("rejected {}", host.id),
        Decision::RedirectToHttps(host) => format!("redirect {}", host.id),
        Decision::NoRoute(host) => format!("no route {}", host.id),
        Decision::Route { host, route } => format!("{} {:?}", host.id, route.rank),
    }
}

fn by_looking_at_all<'g>(
    host: &'g VirtualHost,
    target: &Target<'_>,
    head: &Head,
) -> Option<&'g Arc<Route>> {
    let region = host.routes.regions.find(target);
    let named = region
        .tables
        .entries()
        .filter(|(pattern, _)| pattern.matches(target.host, target.port));
    let by_regex = region
        .regex_hosts
        .iter()
        .filter(|(pattern, _)| pattern.regex.is_match(target.host));
    let tables = named
        .map(|(_, table)| table)
        .chain(by_regex.map(|(_, table)| table));
    tables
        .flat_map(|table| table.iter())
        .filter(|route| {
            route.path_matches(target.path) && route.failed_condition(target, head).is_none()
        })
        .max_by(|a, b| a.rank.cmp(&b.rank))
}

static LISTENER: LazyLock<Listener> = LazyLock::new(listener);

fn listener() -> Listener {
    use InsecureAction::{Redirect, Reject, Route};
    let routes = Arc::new(RouteSet {
        regions: Regions::single(region()),
    });
    let hosts = [
        ("x.com", Redirect),
        ("*.y.com", Reject),
        ("z.com:8080", Route),
        ("api-*", Route),
        ("*", Route),
    ];
    let hosts = hosts.map(|(name, insecure)| {
        let pattern: HostPattern = name.parse().expect("the patterns here must be right");
        let host = VirtualHost {
            id: HostId(name.into()),
            pattern: pattern.clone(),
            tls: HostTls::None,
            insecure,
            routes: routes.clone(),
        };
        (pattern, Arc::new(host))
    });
    Listener {
        name: "fuzz".into(),
        port: 8080,
        http: true,
        tls: true,
        cleartext: true,
        security: SecurityModel::Xfp,
        l7_depth: 1,
        trusted_proxies: Arc::from([]),
        http2_max_concurrent_streams: 100,
        hosts: hosts.into_iter().collect::<HostTable<_>>(),
        tcp: postern::graph::TcpTable::default(),
    }
}

/// Routes of every kind of match, so that any two of them meet somewhere.
fn region() -> Region {
    let plain = Conditions::default;
    let header = |name: &'static str, value: TextMatch| Conditions {
        headers: vec![(HeaderName::from_static(name), value)],
        ..Conditions::default()
    };
    let specs: Vec<(&str, PathMatch, bool, Conditions)> = vec![
        ("*", PathMatch::Prefix("/".into()), true, plain()),
        ("*", PathMatch::Prefix("/a".into()), true, plain()),
        (
            "*",
            PathMatch::Prefix("/a/".into()),
            true,
            header("x-a", TextMatch::Exact("1".into())),
        ),
        ("*", PathMatch::Exact("/a/b".into()), true, plain()),
        ("*", PathMatch::Prefix("/CASE/".into()), false, plain()),
        ("*", PathMatch::Exact("/case/Exact".into()), false, plain()),
        ("*", regex("/[a-z]+/\\d{1,3}"), true, plain()),
        (
            "*",
            regex("/a(/b)*"),
            true,
            header("x-b", TextMatch::Regex(pattern("\\w+"))),
        ),
        (
            "x.com",
            PathMatch::Prefix("/a".into()),
            true,
            method("POST"),
        ),
        (
            "x.com",
            PathMatch::Prefix("/q/".into()),
            true,
            query("k", "v w"),
        ),
        ("*.y.com", PathMatch::Prefix("/a/".into()), true, plain()),
        ("z.com:8080", PathMatch::Prefix("/a/".into()), true, plain()),
        ("api-*", PathMatch::Prefix("/".into()), true, plain()),
    ];
    let mut tables: Vec<(HostPattern, Vec<Arc<Route>>)> = Vec::new();
    for (number, (host, path, case_sensitive, conditions)) in specs.into_iter().enumerate() {
        let pattern: HostPattern = host.parse().expect("the patterns here must be right");
        let route = Arc::new(route(number, path, case_sensitive, conditions));
        match tables.iter_mut().find(|(p, _)| *p == pattern) {
            Some((_, routes)) => routes.push(route),
            None => tables.push((pattern, vec![route])),
        }
    }
    let by_regex = route(99, PathMatch::Prefix("/r/".into()), true, plain());
    Region {
        name: "".into(),
        tables: tables
            .into_iter()
            .map(|(pattern, routes)| (pattern, Arc::new(RouteTable::new(routes))))
            .collect(),
        regex_hosts: vec![(
            pattern("[a-f]+\\.com"),
            Arc::new(RouteTable::new(vec![Arc::new(by_regex)])),
        )],
    }
}

fn route(number: usize, path: PathMatch, case_sensitive: bool, conditions: Conditions) -> Route {
    let text = match &path {
        PathMatch::Prefix(text) | PathMatch::Exact(text) => text.clone(),
        PathMatch::Regex(pattern) => pattern.text.clone(),
    };
    Route {
        rank: Arc::new(Rank {
            path_length: text.len(),
            exact: matches!(path, PathMatch::Exact(_)),
            header_weight: conditions.headers.len() + usize::from(conditions.method.is_some()),
            query_weight: conditions.query.len(),
            prefix: text,
            tie: number.to_string().into(),
            ..Rank::default()
        }),
        path,
        case_sensitive,
        conditions: conditions.into(),
        shadow: None,
        members: [Member {
            id: RouteId(number.to_string().into()),
            share: 1,
            action: Action::Fail(Fail { code: 1000 }),
        }]
        .into(),
    }
}

fn pattern(text: &str) -> Arc<Pattern> {
    Arc::new(Pattern {
        text: text.into(),
        regex: regex::Regex::new(&format!("^(?:{text})$"))
            .expect("the patterns here must be right"),
    })
}

fn regex(text: &str) -> PathMatch {
    PathMatch::Regex(pattern(text))
}

fn method(method: &str) -> Conditions {
    Conditions {
        method: Some(TextMatch::Exact(method.into())),
        ..Conditions::default()
    }
}

fn query(name: &str, value: &str) -> Conditions {
    Conditions {
        query: vec![(name.into(), TextMatch::Exact(value.into()))],
        ..Conditions::default()
    }
}
