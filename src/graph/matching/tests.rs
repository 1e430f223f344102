//! The indexed matcher finds what looking at every route finds.

use std::collections::BTreeMap;

use http::HeaderMap;
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::graph::{
    HostPattern,
    route::{Conditions, Pattern, Rank},
};

/// A request's head that owns what it shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
}

impl HeadView for Head {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.headers.get_all(name) {
            found(value.as_bytes());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the pattern is anchored here")]
pub(crate) fn pattern(text: &str) -> Arc<Pattern> {
    Arc::new(Pattern {
        text: text.into(),
        regex: Regex::new(&format!("^(?:{text})$")).expect("the pattern must be one"),
    })
}

/// A route without conditions, in short: `/prefix`, `=/exact`, `~regex`, and with `i` before it whatever the case.
pub(crate) fn route(spec: &str) -> Route {
    let (case_sensitive, text) = spec
        .strip_prefix('i')
        .map_or((true, spec), |rest| (false, rest));
    let path = match (text.strip_prefix('='), text.strip_prefix('~')) {
        (Some(exact), _) => PathMatch::Exact(exact.into()),
        (_, Some(regex)) => PathMatch::Regex(pattern(regex)),
        _ => PathMatch::Prefix(text.into()),
    };
    let text = text.trim_start_matches(['=', '~']);
    Route {
        rank: Arc::new(Rank {
            path_length: text.len(),
            exact: matches!(path, PathMatch::Exact(_)),
            prefix: text.into(),
            tie: spec.into(),
            ..Rank::default()
        }),
        path,
        case_sensitive,
        conditions: Arc::default(),
        shadow: None,
        members: SmallVec::new(),
    }
}

/// A hostname pattern (or a regular expression of one) with a route.
#[derive(Clone, Debug)]
struct Entry {
    host: String,
    route: Arc<Route>,
}

impl Entry {
    fn matches(&self, target: &Target<'_>, head: &Head) -> bool {
        let host = match self.host.strip_prefix('~') {
            Some(regex) => pattern(regex).regex.is_match(target.host),
            None => self
                .host
                .parse::<HostPattern>()
                .unwrap()
                .matches(target.host, target.port),
        };
        host && self.route.path_matches(target.path)
            && self.route.failed_condition(target, head).is_none()
    }
}

fn indexed(entries: &[Entry]) -> RouteSet {
    let mut by_host: BTreeMap<&str, Vec<Arc<Route>>> = BTreeMap::new();
    for entry in entries {
        by_host
            .entry(&entry.host)
            .or_default()
            .push(Arc::clone(&entry.route));
    }
    let mut region = Region::default();
    let mut tables = Vec::new();
    for (host, routes) in by_host {
        let table = Arc::new(RouteTable::new(routes));
        match host.strip_prefix('~') {
            Some(regex) => region.regex_hosts.push((pattern(regex), table)),
            None => tables.push((host.parse().unwrap(), table)),
        }
    }
    region.tables = tables.into_iter().collect();
    RouteSet {
        regions: Regions::single(region),
    }
}

fn path_text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "A", "/", "ab", "."]),
        0..5,
    )
    .prop_map(|parts| format!("/{}", parts.concat()))
}

fn path_spec() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => path_text(),
        1 => path_text().prop_map(|path| format!("={path}")),
        1 => path_text().prop_map(|path| format!("i{path}")),
        1 => path_text().prop_map(|path| format!("i={path}")),
        2 => prop::sample::select(vec!["~/a.*", "~/(a|b)/?", "~.*", "~/a|/b", "~/ab?", "~/a+/?b"])
            .prop_map(str::to_owned),
    ]
}

fn host_spec() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "*",
        "x.a",
        "*.a",
        "*x.a",
        "y.*",
        "y.x.a",
        "*.x.a",
        "x.a:1",
        "*:2",
        "~[xy][.].*",
    ])
    .prop_map(str::to_owned)
}

fn entry() -> impl Strategy<Value = Entry> {
    let conditions = (
        prop::option::weighted(0.2, prop::sample::select(vec!["GET", "POST"])),
        prop::option::weighted(0.2, prop::sample::select(vec!["1", "2", "~.*"])),
        prop::option::weighted(0.2, prop::sample::select(vec!["1", "a b", "~[0-9]"])),
    );
    let precedence = prop_oneof![6 => Just(0), 1 => -1..3_i32];
    (host_spec(), path_spec(), conditions, precedence).prop_map(|(host, spec, held, precedence)| {
        let text = |text: &str| match text.strip_prefix('~') {
            Some(regex) => TextMatch::Regex(pattern(regex)),
            None => TextMatch::Exact(text.into()),
        };
        let mut route = route(&spec);
        let rank = Arc::make_mut(&mut route.rank);
        rank.precedence = precedence;
        rank.header_weight = host.len();
        rank.tie = format!("{host} {spec} {held:?}").into();
        let (method, header, query) = held;
        route.conditions = Arc::new(Conditions {
            method: method.map(text),
            headers: header
                .map(|value| (HeaderName::from_static("h"), text(value)))
                .into_iter()
                .collect(),
            query: query
                .map(|value| ("q".into(), text(value)))
                .into_iter()
                .collect(),
        });
        Entry {
            host,
            route: Arc::new(route),
        }
    })
}

fn head() -> impl Strategy<Value = Head> {
    (
        any::<bool>(),
        prop::option::of(prop::sample::select(vec!["1", "2", "1,2"])),
    )
        .prop_map(|(post, value)| {
            let mut head = Head {
                method: if post { Method::POST } else { Method::GET },
                ..Head::default()
            };
            head.headers
                .extend(value.map(|value| (HeaderName::from_static("h"), value.parse().unwrap())));
            head
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_index_finds_what_looking_at_every_route_finds(
        entries in prop::collection::vec(entry(), 0..40),
        host in prop::sample::select(vec!["x.a", "y.x.a", "a", "y.b", "zx.a"]),
        port in prop::option::of(1..3_u16),
        path in path_text(),
        query in prop::option::of(prop::sample::select(vec!["q=1", "q=a%20b", "p=1&q=2", "%71=1"])),
        head in head(),
    ) {
        let target = Target { host, port, path: &path, query };
        let fitting = entries.iter().filter(|entry| entry.matches(&target, &head));
        let expected = fitting.map(|entry| &entry.route.rank).max();
        let set = indexed(&entries);
        let found = set.find(&target, &head, &mut Silent).map(|route| &route.rank);
        prop_assert_eq!(found, expected);
    }
}

fn find<'g>(set: &'g RouteSet, path: &str, query: Option<&str>) -> Option<&'g str> {
    let target = Target {
        host: "x.a",
        port: None,
        path,
        query,
    };
    let found = set.find(&target, &Head::default(), &mut Silent);
    found.map(|route| &*route.rank.tie)
}

#[test]
fn query_parameters_are_compared_after_decoding() {
    let mut conditional = route("/");
    Arc::make_mut(&mut conditional.conditions).query =
        vec![("a b".into(), TextMatch::Exact("1/2".into()))];
    let set = indexed(&[Entry {
        host: "*".to_owned(),
        route: Arc::new(conditional),
    }]);
    for (query, expected) in [
        ("a%20b=1%2f2", true),
        ("a%20b=1/2", true),
        ("x=1&%61 b=1/2&a%20b=3", true),
        ("a+b=1/2", false),
        ("a%20b=3&a%20b=1/2", false),
        ("a%20b=1%2", false),
        ("a%20b", false),
        ("", false),
    ] {
        assert_eq!(find(&set, "/", Some(query)).is_some(), expected, "{query}");
    }
    assert_eq!(find(&set, "/", None), None);
    let padded = format!("{}a%20b=1/2", "x&".repeat(MAX_QUERY_PARAMETERS - 1));
    assert!(find(&set, "/", Some(&padded)).is_some());
    assert_eq!(find(&set, "/", Some(&format!("x&{padded}"))), None);
}
