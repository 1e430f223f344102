//! Hosts on Listeners: which Host serves a name on a port, and what serves the names that have none.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    age,
    claim::Claims,
    finding::Findings,
    host::LoweredHost,
    listener::{ListenerPlan, LoweredListener},
    routing::{Routing, Scope, is_any},
    safety::{Extent, extent},
    selector::Selector,
    settings::Settings,
    walls::{self, Bound, Instead},
};
use crate::{
    graph::{
        Action, Fail, HostId, HostPattern, HostTable, HostTls, InsecureAction, Listener, Route,
        RouteId, TcpTable, VirtualHost,
        host::NamePattern,
        matching::RouteSet,
        region::{Region, Regions},
        route::{Member, PathMatch},
        table::RouteTable,
    },
    report::{Code, Diagnostic},
    resource::ObjectKey,
};

/// The Host that a name has on a Listener.
pub(super) type Serving<'h> = (&'h LoweredHost, &'h Arc<VirtualHost>);

/// A Host that may have some of its names.
type Built<'h> = (&'h LoweredHost, Arc<VirtualHost>, Extent);

/// What became of the Hosts and Listeners.
#[derive(Debug, Default)]
pub(super) struct Linked {
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) coverage: Coverage,
    /// What linking says about each Host.
    pub(super) notes: BTreeMap<ObjectKey, HostNote>,
    /// Which Mappings each virtual host sees; not there when it serves none.
    seen: BTreeMap<HostId, Scope>,
}

/// What linking says about one Host.
#[derive(Debug, Default)]
pub(super) struct HostNote {
    pub(super) findings: Findings,
    /// Whether some Listener serves it.
    pub(super) placed: bool,
}

/// The names that are served on each Listener, with the labels that Mappings need to be served there.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    listeners: Vec<HostTable<Scope>>,
}

/// The scopes that the Hosts of an installation need; the one of the default Host is always there.
pub(super) fn scopes(hosts: &[LoweredHost]) -> BTreeSet<Scope> {
    let selectors = hosts.iter().map(|host| host.selector.clone());
    selectors.chain([None]).collect()
}

/// Puts the Hosts on the Listeners.
pub(super) fn link(
    hosts: &[LoweredHost],
    listeners: &[LoweredListener],
    routing: &Routing,
    claims: &Claims,
    settings: &Settings,
) -> Linked {
    let mut linked = Linked::default();
    let mut candidates: Vec<_> = hosts.iter().filter(|host| host.pattern.is_some()).collect();
    candidates.sort_by_key(|host| age(&host.object));
    let mut older = Vec::new();
    let mut built = Vec::new();
    for host in candidates {
        let note = linked.notes.entry(host.object.key.clone()).or_default();
        let extent = extent(
            host,
            &older,
            routing,
            (claims, settings),
            &mut note.findings,
        );
        if extent == Extent::All {
            older.push(host);
        }
        if extent != Extent::None {
            built.push((host, virtual_host(host, routing), extent));
        }
    }
    let default = default_host(routing);
    let serving = built.iter().map(|(host, ..)| host);
    let serving = serving.filter(|host| host.broken.is_none());
    linked.seen = serving
        .map(|host| (host.id.clone(), host.selector.clone()))
        .chain([(default.id.clone(), None)])
        .collect();
    let mut plans: Vec<_> = listeners.iter().filter_map(|l| l.plan.as_ref()).collect();
    plans.sort_by_key(|plan| plan.port);
    for plan in plans {
        let listener = linked.listener(plan, (hosts, &built), &default, (claims, settings));
        linked.listeners.push(Arc::new(listener));
    }
    for (host, ..) in &built {
        let note = linked.notes.entry(host.object.key.clone()).or_default();
        let is_told = |found: &Diagnostic| found.is_error() || found.code == Code::PartlyConflict;
        if !note.placed && !note.findings.0.iter().any(is_told) {
            note.findings.push(
                Code::NoMatchingListener,
                "",
                "No Listener binds this Host, so no request reaches it",
                "Change the Host's labels or namespace, or the Listener's `hostBinding`",
            );
        }
    }
    linked
}

impl Linked {
    /// Gives the virtual hosts the route sets that there are now: all that changes when only routes have changed.
    pub(super) fn reroute(&mut self, routing: &Routing) {
        // One id may have several certificates: see `walls`.
        let mut rerouted: BTreeMap<*const VirtualHost, Arc<VirtualHost>> = BTreeMap::new();
        for listener in &mut self.listeners {
            let changes = listener.hosts.entries().filter_map(|(pattern, host)| {
                let routes = routing.set(self.seen.get(&host.id)?);
                if Arc::ptr_eq(&routes, &host.routes) {
                    return None;
                }
                let now = rerouted.entry(Arc::as_ptr(host)).or_insert_with(|| {
                    let host = VirtualHost::clone(host);
                    Arc::new(VirtualHost { routes, ..host })
                });
                Some((pattern, Arc::clone(now)))
            });
            let changes: Vec<_> = changes.collect();
            let hosts = listener.hosts.replaced(changes);
            let hosts = hosts.expect("a table must have its own patterns");
            let before = Listener::clone(listener);
            *listener = Arc::new(Listener { hosts, ..before });
        }
    }

    fn listener(
        &mut self,
        plan: &ListenerPlan,
        (all, built): (&[LoweredHost], &[Built<'_>]),
        default: &Arc<VirtualHost>,
        rules: (&Claims, &Settings),
    ) -> Listener {
        let built = if plan.http || plan.tls { built } else { &[] };
        let bound = self.bind(plan, built, rules);
        let firsts = bound.values().flatten().filter(|bound| bound.is_first);
        let mut served: Vec<_> = firsts
            .map(|bound| {
                let (lowered, host) = bound.host;
                (
                    host.pattern.clone(),
                    lowered.selector.clone(),
                    Arc::clone(host),
                )
            })
            .collect();
        if plan.http
            && walls::has_default(all, rules.1)
            && !served.iter().any(|(pattern, ..)| is_any(pattern))
        {
            served.push((HostPattern::ANY, None, Arc::clone(default)));
        }
        let walls = walls::raise(&bound.into_iter().collect(), all, rules);
        for (key, why) in walls.findings() {
            let note = self.notes.entry(key.clone()).or_default();
            if !note.findings.0.contains(&why) {
                note.findings.0.push(why);
            }
        }
        for wall in walls.instead {
            let (scope, host) = match wall.instead {
                Instead::Host((lowered, host)) => {
                    let note = self.notes.entry(lowered.object.key.clone()).or_default();
                    note.placed = true;
                    (lowered.selector.clone(), Arc::clone(host))
                }
                Instead::Default => (None, Arc::clone(default)),
                Instead::Nobody => (None, walls::nobody(&wall.names)),
            };
            let tls = wall.tls.cloned().unwrap_or(HostTls::None);
            let host = if host.tls == tls {
                host
            } else {
                let host = VirtualHost::clone(&host);
                Arc::new(VirtualHost { tls, ..host })
            };
            served.push((wall.names, scope, host));
        }
        let scopes = served.iter();
        let scopes = scopes.map(|(pattern, scope, _)| (pattern.clone(), scope.clone()));
        // Where no HTTP is served, Hosts only have certificates.
        if plan.http {
            self.coverage.listeners.push(scopes.collect());
        }
        let hosts = served.into_iter().map(|(pattern, _, host)| (pattern, host));
        let hosts = hosts.collect();
        Listener {
            name: Arc::clone(&plan.name),
            port: plan.port,
            http: plan.http,
            tls: plan.tls,
            cleartext: plan.cleartext,
            security: plan.security,
            l7_depth: plan.l7_depth,
            trusted_proxies: Arc::clone(&plan.trusted_proxies),
            http2_max_concurrent_streams: plan.http2_max_concurrent_streams,
            hosts,
            tcp: TcpTable::default(),
        }
    }

    /// The Hosts that a Listener binds, by their patterns; of each the first that is more than what claims give it has the
    /// names, and the others are told.
    fn bind<'h>(
        &mut self,
        plan: &ListenerPlan,
        built: &'h [Built<'h>],
        (claims, settings): (&Claims, &Settings),
    ) -> BTreeMap<HostPattern, Vec<Bound<'h>>> {
        let mut all: BTreeMap<HostPattern, Vec<Bound<'h>>> = BTreeMap::new();
        for (host, virtual_host, extent) in built.iter().filter(|built| plan.binds(built.0)) {
            let note = self.notes.entry(host.object.key.clone()).or_default();
            let same = all.entry(virtual_host.pattern.clone()).or_default();
            let first = same.iter().find(|bound| bound.is_first);
            let is_first = first.is_none() && *extent == Extent::All;
            note.placed |= is_first;
            if let (Some(first), Extent::All) = (first, extent) {
                let first = &first.host.0.object.key;
                let message = format!("{first} has the same hostname and is older");
                if note.findings.0.iter().all(|found| found.message != message) {
                    let code = if walls::has_own(host, claims, settings) {
                        Code::PartlyConflict
                    } else {
                        Code::HostConflict
                    };
                    let next = "Delete one, or give it another hostname";
                    note.findings.push(code, "spec.hostname", message, next);
                }
            }
            let host = (*host, virtual_host);
            same.push(Bound { host, is_first });
        }
        all
    }
}

impl PartialEq for Coverage {
    fn eq(&self, other: &Self) -> bool {
        let tables = |coverage: &Self| coverage.listeners.len();
        let mut pairs = self.listeners.iter().zip(&other.listeners);
        tables(self) == tables(other) && pairs.all(|(a, b)| a.entries().eq(b.entries()))
    }
}

impl Coverage {
    /// Whether some Host serves some name of a pattern to a Mapping with these labels.
    pub(super) fn covers(&self, pattern: &HostPattern, labels: &BTreeMap<String, String>) -> bool {
        let name = some_name(pattern);
        self.listeners.iter().any(|hosts| {
            // A name gets the most specific Host and no other.
            hosts
                .best(&name, pattern.port)
                .is_some_and(|scope| sees(scope, labels))
                || hosts.entries().any(|(host, scope)| {
                    pattern.matches(&some_name(host), host.port) && sees(scope, labels)
                })
        })
    }

    /// The names of the Hosts that select these labels.
    pub(super) fn selecting<'c>(
        &'c self,
        labels: &'c BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'c HostPattern> {
        let all = self.listeners.iter().flat_map(HostTable::entries);
        let selecting = all.filter(|(_, scope)| {
            let selector: Option<&Arc<Selector>> = scope.as_ref();
            selector.is_some_and(|selector| selector.selects(labels))
        });
        selecting.map(|(host, _)| host)
    }
}

/// A name that a pattern is for, and no more specific one.
pub(super) fn some_name(pattern: &HostPattern) -> Cow<'_, str> {
    const UNUSED: &str = "any-name";
    match &pattern.name {
        NamePattern::Any => UNUSED.into(),
        NamePattern::Exact(name) => (&**name).into(),
        NamePattern::Suffix(suffix) => format!("{UNUSED}{suffix}").into(),
        NamePattern::Prefix(prefix) => format!("{prefix}{UNUSED}").into(),
    }
}

fn sees(scope: &Scope, labels: &BTreeMap<String, String>) -> bool {
    scope
        .as_ref()
        .is_none_or(|selector| selector.selects(labels))
}

fn virtual_host(host: &LoweredHost, routing: &Routing) -> Arc<VirtualHost> {
    Arc::new(VirtualHost {
        id: host.id.clone(),
        pattern: host.pattern.clone().unwrap_or(HostPattern::ANY),
        tls: host.tls.clone(),
        insecure: host.insecure,
        routes: match host.broken {
            Some(fail) => Arc::new(only_failure(host, fail)),
            None => routing.set(&host.selector),
        },
    })
}

/// One route that answers every request with a code.
fn only_failure(host: &LoweredHost, fail: Fail) -> RouteSet {
    let route = Route {
        rank: Arc::default(),
        path: PathMatch::Prefix("/".into()),
        case_sensitive: true,
        conditions: Arc::default(),
        shadow: None,
        members: [Member {
            id: RouteId(format!("host/{}", host.id).into()),
            share: 1,
            action: Action::Fail(fail),
        }]
        .into(),
    };
    let table = Arc::new(RouteTable::new(vec![Arc::new(route)]));
    RouteSet {
        regions: Regions::single(Region {
            name: Arc::default(),
            tables: HostTable::from_iter([(HostPattern::ANY, table)]),
            regex_hosts: Vec::new(),
        }),
    }
}

/// Serves the names that no Host has.
fn default_host(routing: &Routing) -> Arc<VirtualHost> {
    Arc::new(VirtualHost {
        id: HostId("default".into()),
        pattern: HostPattern::ANY,
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes: routing.set(&None),
    })
}
