//! Whose connections are: ports, and the names that TLS handshakes ask for there.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{ByTitle, Owned, by_claim, cells, first_come, owners};
use crate::{
    graph::{HostPattern, HostTable, host::NamePattern},
    plugin::{
        facts::{Facts, Known},
        place::namespace_of,
        routes,
        status::split,
    },
    report::wire::ObjectView,
};

/// By port and name; without one, for all connections that ask for no name that is found.
type Places = BTreeMap<(u16, String), Owned>;

/// Claims as they are looked up.
struct Claims<'f> {
    ports: BTreeMap<u16, &'f ObjectView>,
    names: HostTable<&'f ObjectView>,
}

/// Every port, and every name on one, that somebody serves or claims.
pub(super) fn owned(facts: &Facts, objects: &ByTitle<'_>) -> Vec<Owned> {
    let claims = Claims::of(facts);
    let mut places = Places::new();
    for row in routes::tcp::all(&facts.graph) {
        let owned = place(
            &mut places,
            row.port,
            row.host.as_deref().unwrap_or_default(),
        );
        for to in &row.to {
            owned.owners.insert(namespace_of(&to.id).to_owned());
            owned.used_by.insert(to.id.clone());
        }
    }
    for port in claims.ports.keys() {
        place(&mut places, *port, "");
    }
    let vain = refused(facts);
    let settled = places.into_iter().map(|((port, hostname), mut owned)| {
        match claims.on(port, &hostname) {
            Some(claim) => {
                owned.owners.extend(owners(facts, claim));
                by_claim(&mut owned, &claim.name, objects);
            }
            None => first_come(&mut owned, objects),
        }
        owned.refused = vain.get(&owned.host()).cloned().unwrap_or_default();
        owned
    });
    settled.collect()
}

fn place<'p>(places: &'p mut Places, port: u16, hostname: &str) -> &'p mut Owned {
    let key = (port, hostname.to_owned());
    places.entry(key).or_insert_with(|| Owned {
        hostname: hostname.to_owned(),
        port: Some(port),
        ..Owned::default()
    })
}

/// Who asks in vain, by what is asked for.
fn refused(facts: &Facts) -> BTreeMap<String, BTreeSet<String>> {
    let mut refused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Known { view, .. } in facts.objects.iter().filter(|known| !known.view.in_graph) {
        if let Some(asks) = view.asks.as_ref().filter(|asks| asks.path.is_empty()) {
            let place = refused.entry(asks.hostname.clone()).or_default();
            place.insert(view.title());
        }
    }
    refused
}

impl<'f> Claims<'f> {
    fn of(facts: &'f Facts) -> Self {
        let (mut ports, mut names) = (BTreeMap::new(), Vec::new());
        for (claim, cell) in cells(facts) {
            if let Some(port) = cell.strip_prefix(':').and_then(|port| port.parse().ok()) {
                ports.insert(port, claim);
                continue;
            }
            let (hostname, path) = split(cell);
            if let Ok(pattern) = hostname.parse::<HostPattern>() {
                names.push((pattern, path, claim));
            }
        }
        // Of one name the claim on most of its paths comes last, and counts.
        names.sort_by_key(|(_, path, _)| Reverse(path.len()));
        let names = names.into_iter().map(|(name, _, claim)| (name, claim));
        Self {
            ports,
            names: names.collect(),
        }
    }

    /// The claim on a name; without one that on the port. Whoever has only the port may be the first there for names that nobody
    /// has claimed.
    fn on(&self, port: u16, hostname: &str) -> Option<&'f ObjectView> {
        if hostname.is_empty() {
            return self.ports.get(&port).copied();
        }
        let pattern: HostPattern = hostname.parse().ok()?;
        let found = match &pattern.name {
            NamePattern::Any => self.names.any(),
            NamePattern::Exact(name) => self.names.best_by_name(name),
            NamePattern::Suffix(suffix) => self.names.best_by_name(&format!("-{suffix}")),
            NamePattern::Prefix(prefix) => self.names.best_by_name(&format!("{prefix}-")),
        };
        found.copied()
    }
}
