//! What to try: the command lines that reach the routes of a folder, printed when it is served.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
};

use crate::{
    graph::{
        Graph, HostPattern, Listener, Route, VirtualHost,
        decide::Entry,
        host::NamePattern,
        route::{PathMatch, TextMatch},
    },
    report::Report,
};

/// Lines are shown up to this many: a folder may have thousands of routes.
const SHOWN: usize = 12;

/// Where Listeners are bound, by their port.
pub(super) type Bound = BTreeMap<u16, SocketAddr>;

/// A text for standard output.
pub(super) fn of(graph: &Graph, report: &Report, bound: &Bound) -> String {
    let mut text = String::new();
    // One Listener is enough to try routes with, and without TLS nobody needs a certificate.
    let listener = graph
        .listeners
        .iter()
        .filter(|listener| listener.http && listener.cleartext)
        .find_map(|listener| Some((listener, bound.get(&listener.port)?)));
    let lines = listener.map_or_else(Lines::default, |(listener, address)| {
        of_listener(listener, *address)
    });
    if !lines.shown.is_empty() {
        text.push_str("\nTry:\n");
    }
    for line in &lines.shown {
        let _infallible = writeln!(text, "  {line}");
    }
    let more = lines.seen.len() - lines.shown.len();
    if more > 0 {
        let _infallible = writeln!(text, "  and {more} more");
    }
    let wrong = report.objects.iter().filter(|o| o.has_errors()).count();
    if wrong > 0 || !report.files.is_empty() {
        let files = report.files.len();
        let _infallible = writeln!(
            text,
            "\n{wrong} objects have errors, {files} problems are in files: `postern lint` on the folder names them."
        );
    }
    text
}

/// Different lines, of which the first are kept and the others counted.
#[derive(Debug, Default)]
struct Lines {
    shown: Vec<String>,
    /// Hashes of all: thousands of lines are not kept for a number at the end.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Lines {
    fn add(&mut self, line: String) {
        if self.seen.insert(self.hasher.hash_one(&line)) && self.shown.len() < SHOWN {
            self.shown.push(line);
        }
    }
}

fn of_listener(listener: &Listener, address: SocketAddr) -> Lines {
    let mut lines = Lines::default();
    let address = reachable(address);
    let any = listener.hosts.any();
    for host in listener.hosts.iter() {
        if host.entry(false, "/") != Entry::Route {
            continue;
        }
        for region in host.routes.regions.iter() {
            for (pattern, table) in region.tables.entries() {
                // A route for every name is shown once, under the Host for every name.
                let elsewhere = pattern.name == NamePattern::Any
                    && any.is_some_and(|any| any.id != host.id && same_routes(any, host));
                if let Some(header) = host_header(&host.pattern, pattern)
                    && !elsewhere
                {
                    let commands = table.iter().filter_map(|r| curl(r, &header, &address));
                    commands.for_each(|line| lines.add(line));
                }
            }
        }
    }
    lines
}

fn same_routes(one: &VirtualHost, other: &VirtualHost) -> bool {
    Arc::ptr_eq(&one.routes, &other.routes) && one.entry(false, "/") == other.entry(false, "/")
}

/// The Host header of a command.
#[derive(Debug, PartialEq, Eq)]
enum HostHeader<'p> {
    /// The address of the URL will do.
    Any,
    Name(&'p str),
}

/// A Host header that both fit; none where a person has to think of a name.
fn host_header<'p>(host: &'p HostPattern, route: &'p HostPattern) -> Option<HostHeader<'p>> {
    match (&host.name, &route.name) {
        (NamePattern::Any, NamePattern::Any) => Some(HostHeader::Any),
        (NamePattern::Exact(name), _) if route.matches(name, route.port) => {
            Some(HostHeader::Name(name))
        }
        // Where a more specific Host has the name, that one shows the line.
        (_, NamePattern::Exact(name)) if host.matches(name, host.port) => {
            Some(HostHeader::Name(name))
        }
        _ => None,
    }
}

fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// The command that fits a route; none where a person has to think of a path or a value.
fn curl(route: &Route, host: &HostHeader<'_>, address: &str) -> Option<String> {
    let path = match &route.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
        PathMatch::Regex(_) => return None,
    };
    let mut command = String::from("curl");
    if let HostHeader::Name(host) = host {
        let _infallible = write!(command, " -H 'Host: {host}'");
    }
    if let Some(method) = &route.conditions.method {
        let _infallible = write!(command, " -X {}", literal(method)?);
    }
    for (name, value) in &route.conditions.headers {
        let _infallible = write!(command, " -H '{name}: {}'", literal(value)?);
    }
    let mut query = String::new();
    for (name, value) in &route.conditions.query {
        let mark = if query.is_empty() { '?' } else { '&' };
        let _infallible = write!(query, "{mark}{name}={}", literal(value)?);
    }
    let url = format!("http://{address}{path}{query}");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:.-_~".contains(c);
    if url.chars().all(plain) {
        let _infallible = write!(command, " {url}");
    } else if url.contains('\'') {
        return None;
    } else {
        let _infallible = write!(command, " '{url}'");
    }
    Some(command)
}

/// The text, if it is one that a shell leaves alone within single quotes.
fn literal(text: &TextMatch) -> Option<&str> {
    match text {
        TextMatch::Exact(text) if !text.contains('\'') => Some(text),
        TextMatch::Exact(_) | TextMatch::Regex(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::graph::{Member, RouteId, route::Conditions};

    fn route(path: PathMatch, conditions: Conditions) -> Route {
        Route {
            rank: Arc::default(),
            path,
            case_sensitive: true,
            conditions: conditions.into(),
            shadow: None,
            members: [Member {
                id: RouteId("mapping/apps/quote".into()),
                share: 1,
                action: crate::graph::Action::Fail(crate::graph::Fail { code: 1 }),
            }]
            .into(),
        }
    }

    #[test]
    fn a_command_satisfies_every_condition_of_its_route() {
        let conditions = Conditions {
            method: Some(TextMatch::Exact("PUT".into())),
            headers: vec![(HeaderName::from_static("x-a"), TextMatch::Exact("1".into()))],
            query: vec![("q".into(), TextMatch::Exact("2".into()))],
        };
        let command = curl(
            &route(PathMatch::Prefix("/a/".into()), conditions),
            &HostHeader::Name("shop.example.com"),
            "localhost:8080",
        );
        assert_eq!(
            command.as_deref(),
            Some(
                "curl -H 'Host: shop.example.com' -X PUT -H 'x-a: 1' 'http://localhost:8080/a/?q=2'"
            )
        );
    }

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let conditions = Conditions {
            headers: vec![(
                HeaderName::from_static("x-a"),
                TextMatch::Exact("'; rm -r ~ '".into()),
            )],
            ..Conditions::default()
        };
        let route = route(PathMatch::Prefix("/a/".into()), conditions);
        assert_eq!(curl(&route, &HostHeader::Any, "localhost:8080"), None);
    }

    #[test]
    fn a_host_header_is_shown_only_where_it_is_needed() {
        let pattern = |text: &str| text.parse::<HostPattern>().unwrap();
        for (host, route, expected) in [
            ("*", "*", Some(HostHeader::Any)),
            ("*", "a.com", Some(HostHeader::Name("a.com"))),
            ("a.com", "*", Some(HostHeader::Name("a.com"))),
            ("a.com", "b.com", None),
            ("*.a.com", "*", None),
        ] {
            let (host, route) = (pattern(host), pattern(route));
            assert_eq!(host_header(&host, &route), expected, "{host} {route}");
        }
    }
}
