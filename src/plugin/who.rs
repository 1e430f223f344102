//! `who`: who owns a hostname or a path.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;

use super::{
    facts::Facts,
    output::{Page, Table, Verdict},
    place::{Place, namespace_of, object_of},
    routes::{self, kubectl_id},
};

#[derive(Args, Debug)]
pub(super) struct Who {
    /// The hostname, perhaps with a path: `example.com`, `example.com/cart/`, `*.example.com`
    #[arg(value_name = "HOST[/PATH]")]
    place: Place,
}

/// A hostname and a path with their owner.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owned {
    pub(super) hostname: String,
    pub(super) path: String,
    /// Namespaces.
    pub(super) owners: BTreeSet<String>,
    /// `claim web-all`, or the first who came.
    pub(super) by: String,
    /// Those that serve it.
    pub(super) used_by: BTreeSet<String>,
    /// Those that ask for it in vain.
    pub(super) refused: BTreeSet<String>,
}

impl Who {
    pub(super) fn page(&self, facts: &Facts) -> Page {
        let owned: Vec<_> = owned(facts)
            .into_iter()
            .filter(|owned| {
                self.place.reaches_host(&owned.hostname) && self.place.reaches_path(&owned.path)
            })
            .collect();
        if owned.is_empty() {
            let by = facts.unread(&[crate::resource::Kind::Mapping], "");
            let verdict = if by.is_some() {
                Verdict::Unknown
            } else {
                Verdict::Clean
            };
            return Page::list(&owned, Table::default(), verdict)
                .with_text("Nobody: the first who asks for it has it.");
        }
        let names = owned.iter().flat_map(|owned| owned.used_by.iter());
        let names: Vec<_> = names.map(|id| kubectl_id(id)).collect();
        let table = table(&owned);
        Page::list(&owned, table, Verdict::Clean).with_names(names)
    }
}

/// The rows for people.
pub(super) fn table(owned: &[Owned]) -> Table {
    let mut table = Table::new(&["HOST", "PATH", "OWNER", "BY", "USED BY"]);
    for owned in owned {
        let owners: Vec<_> = owned.owners.iter().map(String::as_str).collect();
        let used = super::output::many(owned.used_by.len(), "object");
        let refused = match owned.refused.len() {
            0 => String::new(),
            count => format!(" ({count} refused)"),
        };
        table.push([
            (&*owned.hostname).into(),
            (&*owned.path).into(),
            owners.join(", ").into(),
            (&*owned.by).into(),
            format!("{used}{refused}").into(),
        ]);
    }
    table
}

/// Every pair of hostname and path that somebody serves or asks for.
pub(super) fn owned(facts: &Facts) -> Vec<Owned> {
    let mut pairs: BTreeMap<(String, String, String), Owned> = BTreeMap::new();
    for row in routes::rows(&facts.graph) {
        let path = row.path.to_string();
        let key = (row.hostname.clone(), path.clone(), row.region.clone());
        let owned = pairs.entry(key).or_insert_with(|| Owned {
            hostname: row.hostname.clone(),
            path,
            owners: BTreeSet::new(),
            by: String::new(),
            used_by: BTreeSet::new(),
            refused: BTreeSet::new(),
        });
        for to in &row.to {
            owned.owners.insert(namespace_of(&to.id).to_owned());
            owned.used_by.insert(to.id.clone());
        }
        owned.by = if row.region.is_empty() {
            first_come(owned)
        } else {
            format!("claim {}", row.region)
        };
    }
    claimed(facts, &mut pairs);
    for known in &facts.objects {
        let Some(asks) = &known.view.asks else {
            continue;
        };
        for owned in pairs.values_mut() {
            if owned.hostname == asks.hostname && owned.path == asks.path {
                owned.refused.insert(known.view.title());
            }
        }
    }
    pairs.into_values().collect()
}

/// What claims cover, whether or not somebody serves it. Who may is in the claim, where that was read.
fn claimed(facts: &Facts, pairs: &mut BTreeMap<(String, String, String), Owned>) {
    let cells = facts.graph.route_sets.iter().flat_map(|set| &set.claims);
    for (cell, claim) in cells {
        let (hostname, path) = super::status::split(cell);
        let key = (hostname.to_owned(), path.to_owned(), claim.clone());
        let owned = pairs.entry(key).or_insert_with(|| Owned {
            hostname: hostname.to_owned(),
            path: path.to_owned(),
            owners: BTreeSet::new(),
            by: format!("claim {claim}"),
            used_by: BTreeSet::new(),
            refused: BTreeSet::new(),
        });
        let Ok(compiled) = facts.compiled() else {
            continue;
        };
        let claims = compiled.set.claims.values();
        for found in claims.filter(|found| *found.key.name == **claim) {
            let namespaces = found.spec.namespaces.as_ref();
            let names = namespaces.and_then(|namespaces| namespaces.names.as_ref());
            owned.owners.extend(names.into_iter().flatten().cloned());
            if namespaces.is_some_and(|namespaces| namespaces.selector.is_some()) {
                owned.owners.insert("(by labels)".to_owned());
            }
        }
    }
}

fn first_come(owned: &Owned) -> String {
    let first = owned.used_by.iter().next();
    match (owned.owners.len(), first) {
        (1, Some(id)) => format!("first come ({})", object_of(id)),
        _ => "shared".to_owned(),
    }
}
