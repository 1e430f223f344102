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
    safety::is_safe,
    selector::Selector,
    settings::Settings,
    walls,
};
use crate::{
    crd::gateway_settings::DefaultHost,
    graph::{
        Action, Fail, HostId, HostPattern, HostTable, HostTls, InsecureAction, Listener, Route,
        RouteId, VirtualHost,
        host::NamePattern,
        matching::RouteSet,
        region::{Region, Regions},
        route::{Member, PathMatch, Rank},
        table::RouteTable,
    },
    report::Code,
    resource::ObjectKey,
};

/// The Host that a name has on a Listener.
pub(super) type Serving<'h> = (&'h LoweredHost, &'h Arc<VirtualHost>);

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
    let candidates = candidates.into_iter().fold(Vec::new(), |mut safe, host| {
        let note = linked.notes.entry(host.object.key.clone()).or_default();
        if is_safe(host, &safe, routing, (claims, settings), &mut note.findings) {
            safe.push(host);
        }
        safe
    });
    let has_default = match settings.default_host {
        DefaultHost::Always => true,
        DefaultHost::Auto => hosts.is_empty(),
        DefaultHost::Never => false,
    };
    let built: Vec<_> = candidates
        .iter()
        .map(|host| (*host, virtual_host(host, routing)))
        .collect();
    let default = has_default.then(|| default_host(routing));
    let serving = candidates.iter().filter(|host| host.broken.is_none());
    linked.seen = serving
        .map(|host| (host.id.clone(), host.selector.clone()))
        .chain(default.iter().map(|host| (host.id.clone(), None)))
        .collect();
    let mut plans: Vec<_> = listeners.iter().filter_map(|l| l.plan.as_ref()).collect();
    plans.sort_by_key(|plan| plan.port);
    for plan in plans {
        let listener = linked.listener(plan, &built, default.as_ref(), (claims, settings));
        linked.listeners.push(Arc::new(listener));
    }
    for host in &candidates {
        let note = linked.notes.entry(host.object.key.clone()).or_default();
        if !note.placed && note.findings.first_error().is_none() {
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
        let mut rerouted: BTreeMap<HostId, Arc<VirtualHost>> = BTreeMap::new();
        for listener in &mut self.listeners {
            let changes = listener.hosts.entries().filter_map(|(pattern, host)| {
                let routes = routing.set(self.seen.get(&host.id)?);
                if Arc::ptr_eq(&routes, &host.routes) {
                    return None;
                }
                let now = rerouted.entry(host.id.clone()).or_insert_with(|| {
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
        hosts: &[(&LoweredHost, Arc<VirtualHost>)],
        default: Option<&Arc<VirtualHost>>,
        walls: (&Claims, &Settings),
    ) -> Listener {
        let mut taken: BTreeMap<&HostPattern, (&LoweredHost, &Arc<VirtualHost>)> = BTreeMap::new();
        for (host, virtual_host) in hosts.iter().filter(|(host, _)| plan.binds(host)) {
            let key = &host.object.key;
            let note = self.notes.entry(key.clone()).or_default();
            if let Some((first, _)) = taken.get(&virtual_host.pattern) {
                let first = &first.object.key;
                let message = format!("{first} has the same hostname and is older");
                if note.findings.0.iter().all(|found| found.message != message) {
                    let next = "Delete one, or give it another hostname";
                    note.findings
                        .push(Code::HostConflict, "spec.hostname", message, next);
                }
                continue;
            }
            note.placed = true;
            taken.insert(&virtual_host.pattern, (host, virtual_host));
        }
        let mut scopes: Vec<_> = taken
            .values()
            .map(|(lowered, host)| (host.pattern.clone(), lowered.selector.clone()))
            .collect();
        let taken: HostTable<_> = taken
            .into_iter()
            .map(|(pattern, host)| (pattern.clone(), host))
            .collect();
        let mut served: Vec<_> = taken
            .iter()
            .map(|(_, host)| (host.pattern.clone(), Arc::clone(host)))
            .collect();
        if let Some(default) = default
            && !served.iter().any(|(pattern, _)| is_any(pattern))
        {
            scopes.push((HostPattern::ANY, None));
            served.push((HostPattern::ANY, Arc::clone(default)));
        }
        for wall in walls::raise(&taken, walls) {
            let note = self.notes.entry(wall.kept_out.clone()).or_default();
            note.findings.0.push(wall.why);
            let (scope, host) = match (wall.instead, default) {
                (Some((lowered, host)), _) => (lowered.selector.clone(), Arc::clone(host)),
                (None, Some(default)) => (None, Arc::clone(default)),
                (None, None) => (None, walls::nobody(&wall.names)),
            };
            scopes.push((wall.names.clone(), scope));
            served.push((wall.names, host));
        }
        self.coverage.listeners.push(scopes.into_iter().collect());
        Listener {
            name: Arc::clone(&plan.name),
            port: plan.port,
            tls: plan.tls,
            cleartext: plan.cleartext,
            security: plan.security,
            l7_depth: plan.l7_depth,
            trusted_proxies: Arc::clone(&plan.trusted_proxies),
            http2_max_concurrent_streams: plan.http2_max_concurrent_streams,
            hosts: HostTable::from_iter(served),
        }
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
fn some_name(pattern: &HostPattern) -> Cow<'_, str> {
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
        rank: Rank::default(),
        path: PathMatch::Prefix("/".into()),
        case_sensitive: true,
        conditions: crate::graph::route::Conditions::default(),
        members: vec![Member {
            id: RouteId(format!("host/{}", host.id).into()),
            share: 1,
            action: Action::Fail(fail),
        }],
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
