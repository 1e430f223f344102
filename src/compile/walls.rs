//! Names that are claimed, below the wildcard of a Host: its certificate and its insecure policy do not reach them unless its
//! namespace has a say about them or has claimed the wildcard itself (design D4).
//!
//! What such a name gets follows from those Hosts alone that may decide about it, so nothing that a stranger writes changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    claim::{Claims, Deciders, Say, listed},
    host::LoweredHost,
    safety::covers,
    settings::Settings,
    virtual_host::Serving,
};
use crate::{
    crd::gateway_settings::DefaultHost,
    graph::{
        HostId, HostPattern, HostTable, HostTls, InsecureAction, VirtualHost, host::NamePattern,
        matching::RouteSet,
    },
    report::{Code, Diagnostic},
    resource::ObjectKey,
};

/// A Host that a Listener binds.
#[derive(Clone, Copy)]
pub(super) struct Bound<'h> {
    pub(super) host: Serving<'h>,
    /// Whether the names of its pattern are its own; else it has only what claims give it.
    pub(super) is_first: bool,
}

/// Who stands where claimed names are looked up.
pub(super) struct Walls<'h> {
    /// Names with what they get.
    pub(super) instead: Vec<Wall<'h>>,
    /// Hosts that do not get all names of their pattern, with the claims that are why.
    kept_out: BTreeMap<&'h ObjectKey, BTreeSet<Arc<str>>>,
}

/// Claimed names that get another Host than that of the table.
pub(super) struct Wall<'h> {
    pub(super) names: HostPattern,
    pub(super) instead: Instead<'h>,
    /// Whose certificate they have: a handshake says no port.
    pub(super) tls: Option<&'h HostTls>,
}

/// What claimed names get.
#[derive(Clone, Copy)]
pub(super) enum Instead<'h> {
    Host(Serving<'h>),
    Default,
    Nobody,
}

/// Who may have what is claimed.
struct Rule<'c> {
    claims: &'c Claims,
    settings: &'c Settings,
    /// The namespaces with a Host, whoever binds it.
    namespaces: BTreeSet<&'c Arc<str>>,
    has_default: bool,
    /// Whether some Host has a `*` at its end: it may have some names of a wildcard, which is looked up first.
    has_prefixes: bool,
}

/// The walls among the Hosts of one Listener. `all` are the Hosts of the installation, whoever binds them.
pub(super) fn raise<'h>(
    bound: &HostTable<Vec<Bound<'h>>>,
    all: &[LoweredHost],
    (claims, settings): (&Claims, &Settings),
) -> Walls<'h> {
    let mut patterns = bound.entries().map(|(pattern, _)| &pattern.name);
    let rule = Rule {
        claims,
        settings,
        namespaces: all.iter().map(|host| &host.object.key.namespace).collect(),
        has_default: has_default(all, settings),
        has_prefixes: patterns.any(|name| matches!(name, NamePattern::Prefix(_))),
    };
    let mut walls = Walls {
        instead: Vec::new(),
        kept_out: BTreeMap::new(),
    };
    // A wall stands before all that was right inside of it, too: the wider come first.
    let mut raised = BTreeSet::new();
    for names in claims.hosts().rev() {
        let mut wider = claims.covering(names).into_iter();
        let is_inside = wider.any(|wider| raised.contains(wider));
        if rule.raise(names, &Chain::of(bound, names), is_inside, &mut walls) {
            raised.insert(names);
        }
    }
    walls
}

impl Rule<'_> {
    /// The wall around some claimed names, if they would get another Host than those that may decide about them; says
    /// whether there is one.
    fn raise<'h>(
        &self,
        names: &HostPattern,
        chain: &Chain<'h>,
        is_inside: bool,
        walls: &mut Walls<'h>,
    ) -> bool {
        let deciders = self.claims.deciders(names);
        let (right, strangers) = self.part(chain, &deciders);
        let is_served = self.is_served(&deciders);
        let is_cut = self.has_prefixes && matches!(names.name, NamePattern::Suffix(_));
        let ports: BTreeSet<_> = right.ports().chain([None]).collect();
        // Nobody's are so in any case: that there is no Host for a name must not depend on others either.
        let is_right = |port: &Option<u16>| match right.first(*port, |_| true) {
            Some(_) => Chain::is_first(|counts| right.first(*port, counts)),
            None => is_served && self.has_default,
        };
        if strangers.is_empty()
            && !is_cut
            && !is_inside
            && Chain::is_first(|counts| right.named(counts))
            && ports.iter().all(is_right)
        {
            return false;
        }
        for stranger in strangers {
            let key = &stranger.host.0.object.key;
            let by = deciders.others(&key.namespace);
            let by = by.map(|claim| Arc::clone(&claim.name));
            walls.kept_out.entry(key).or_default().extend(by);
        }
        let tls = right.named(|_| true);
        walls.instead.extend(ports.into_iter().map(|port| Wall {
            names: HostPattern {
                name: names.name.clone(),
                port,
            },
            instead: match right.first(port, |_| true) {
                Some(right) => Instead::Host(right.host),
                None if is_served => Instead::Default,
                None => Instead::Nobody,
            },
            tls: tls.map(|bound| &bound.host.1.tls),
        }));
        true
    }

    /// Those of a chain that may decide about its names, and the strangers that the table has before them; up to the first
    /// that has all of the names whatever the port is.
    fn part<'h>(&self, chain: &Chain<'h>, deciders: &Deciders<'_>) -> (Chain<'h>, Vec<Bound<'h>>) {
        let mut right = Chain(Vec::new());
        let mut strangers = Vec::new();
        let mut last: Option<&NamePattern> = None;
        let mut says: BTreeMap<&Arc<str>, bool> = BTreeMap::new();
        for bound in &chain.0 {
            let pattern = &bound.host.1.pattern;
            if last.is_some_and(|last| *last != pattern.name) {
                break;
            }
            let namespace = &bound.host.0.object.key.namespace;
            let says = says.entry(namespace);
            let says = *says.or_insert_with(|| has_say(namespace, deciders, self.settings));
            if says || self.has_claimed(bound.host.0) {
                right.0.push(*bound);
                if pattern.port.is_none() {
                    last = Some(&pattern.name);
                }
            } else if bound.is_first {
                strangers.push(*bound);
            }
        }
        (right, strangers)
    }

    /// Whether the namespace of a Host has claimed all of the Host's own names.
    fn has_claimed(&self, host: &LoweredHost) -> bool {
        let namespace = &host.object.key.namespace;
        self.claims.know(namespace)
            && host.pattern.as_ref().is_some_and(|pattern| {
                let claim = self.claims.on_host(pattern);
                claim.is_some_and(|claim| claim.owners.contains(namespace))
            })
    }

    /// Whether names are served without a Host: a stranger's Host is none to those who ask whether there is any.
    fn is_served(&self, deciders: &Deciders<'_>) -> bool {
        match self.settings.default_host {
            DefaultHost::Always => true,
            DefaultHost::Never => false,
            DefaultHost::Auto => {
                let mut namespaces = self.namespaces.iter();
                !namespaces.any(|namespace| has_say(namespace, deciders, self.settings))
            }
        }
    }
}

impl<'h> Walls<'h> {
    /// What there is to say about each Host that is kept out of something.
    pub(super) fn findings(&self) -> Vec<(&'h ObjectKey, Diagnostic)> {
        let told = self.kept_out.iter().map(|(key, claims)| {
            let claims: Vec<_> = claims.iter().map(|name| &**name).collect();
            let why = Diagnostic::new(
                Code::PartlyClaimed,
                "spec.hostname",
                format!(
                    "Names below this one belong to others by {}, so this Host is not for them",
                    listed(&claims)
                ),
                "Have the wildcard claimed for this namespace, or leave it so",
            );
            (*key, why)
        });
        told.collect()
    }
}

/// The Hosts for some names, the most specific first.
struct Chain<'h>(Vec<Bound<'h>>);

impl<'h> Chain<'h> {
    /// Whether a choice among all is the same among those that have their pattern.
    fn is_first(choose: impl Fn(fn(&Bound<'h>) -> bool) -> Option<Bound<'h>>) -> bool {
        let id = |bound: Option<Bound<'h>>| bound.map(|bound| &bound.host.1.id);
        id(choose(|_| true)) == id(choose(|bound| bound.is_first))
    }

    fn of(bound: &HostTable<Vec<Bound<'h>>>, names: &HostPattern) -> Self {
        let mut found = Vec::new();
        if let NamePattern::Exact(name) = &names.name {
            bound.find_map(name, |same| {
                found.extend(same);
                None::<()>
            });
        } else {
            let wider = bound.entries();
            let wider = wider.filter(|(pattern, _)| covers(&pattern.name, &names.name));
            found.extend(wider.flat_map(|(_, same)| same));
        }
        Self(found)
    }

    fn ports(&self) -> impl Iterator<Item = Option<u16>> {
        self.0.iter().map(|bound| bound.host.1.pattern.port)
    }

    /// The Host of a handshake, among those that `counts`.
    fn named(&self, counts: impl Fn(&Bound<'h>) -> bool) -> Option<Bound<'h>> {
        let first = self.0.iter().find(|bound| counts(bound))?;
        let pattern = |bound: &Bound<'h>| &bound.host.1.pattern;
        let mut same = self
            .0
            .iter()
            .filter(|bound| pattern(bound).name == pattern(first).name);
        let portless = same.find(|bound| pattern(bound).port.is_none() && counts(bound));
        Some(*portless.unwrap_or(first))
    }

    /// The Host of a request on a port, among those that `counts`; without a port, of one on a port that nobody names.
    fn first(&self, port: Option<u16>, counts: impl Fn(&Bound<'h>) -> bool) -> Option<Bound<'h>> {
        let own = |bound: &&Bound<'h>| bound.host.1.pattern.port == port && counts(bound);
        let fits = |bound: &&Bound<'h>| bound.host.1.pattern.port.is_none() && counts(bound);
        let first = self.0.iter().find(|bound| own(bound) || fits(bound))?;
        // Of the same name the one with the port comes first.
        let name = &first.host.1.pattern.name;
        let same = self
            .0
            .iter()
            .filter(|bound| bound.host.1.pattern.name == *name);
        Some(*same.into_iter().find(own).unwrap_or(first))
    }
}

fn has_say(namespace: &Arc<str>, deciders: &Deciders<'_>, settings: &Settings) -> bool {
    settings.instance_namespaces.contains(namespace) || matches!(deciders.say(namespace), Say::Yes)
}

/// Whether claims give a Host some of its names.
pub(super) fn has_own(host: &LoweredHost, claims: &Claims, settings: &Settings) -> bool {
    let namespace = &host.object.key.namespace;
    let Some(pattern) = &host.pattern else {
        return false;
    };
    let is_known = settings.instance_namespaces.contains(namespace) || claims.know(namespace);
    let names = claims.hosts().filter(|_| is_known);
    let mut below = names.filter(|names| covers(&pattern.name, &names.name));
    below.any(|names| has_say(namespace, &claims.deciders(names), settings))
}

/// Whether the names that no Host has are served.
pub(super) fn has_default(all: &[LoweredHost], settings: &Settings) -> bool {
    match settings.default_host {
        DefaultHost::Always => true,
        DefaultHost::Auto => all.is_empty(),
        DefaultHost::Never => false,
    }
}

/// Serves nothing: for claimed names that have no Host where there is no default Host.
pub(super) fn nobody(names: &HostPattern) -> Arc<VirtualHost> {
    Arc::new(VirtualHost {
        id: HostId("claimed".into()),
        pattern: names.clone(),
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes: Arc::new(RouteSet::default()),
    })
}
