//! `who`: who owns a hostname, a path or a port.

mod tcp;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, Known},
    output::{Page, Table, Verdict, many},
    place::{Place, namespace_of, object_of},
    routes::{self, kubectl_id},
};
use crate::{report::wire::ObjectView, resource::Kind};

pub(super) const COLUMNS: &str = "\
Columns:
  OWNER    the namespaces that may serve it
  BY       the claim that says so, or the object that came first where nobody has claimed anything
  SINCE    when the claim was made, or that object
  USED BY  how many objects serve it, and how many ask for it and are refused";

#[derive(Args, Debug)]
#[command(after_help = COLUMNS)]
pub(super) struct Who {
    /// The hostname, perhaps with a path, or the port: `example.com`, `example.com/cart/`, `*.example.com`, `:6379`, `tcp://db.example.com:5432`
    #[arg(value_name = "HOST[/PATH]|[HOST]:PORT")]
    place: Place,
}

/// A hostname and a path, or a port and perhaps a name, with their owner.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owned {
    /// Empty for all connections to a port.
    pub(super) hostname: String,
    /// Empty for connections.
    pub(super) path: String,
    /// Of connections that are not HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    /// Namespaces.
    pub(super) owners: BTreeSet<String>,
    /// `claim web-all`, or the first who came.
    pub(super) by: String,
    #[serde(skip)]
    pub(super) claim: Option<String>,
    /// When the claim was made, or the first object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// Those that serve it.
    pub(super) used_by: BTreeSet<String>,
    /// Those that ask for it in vain.
    pub(super) refused: BTreeSet<String>,
}

impl Who {
    pub(super) fn page(&self, facts: &Facts) -> Page {
        let owned: Vec<_> = owned(facts)
            .into_iter()
            .filter(|owned| owned.is_in(&self.place))
            .collect();
        let unread = facts.hidden(&[Kind::Mapping, Kind::TcpMapping, Kind::RouteClaim]);
        if owned.is_empty() {
            return Page::list(&owned, Table::default(), Verdict::Clean)
                .with_text("Nobody: the first who asks for it has it.")
                .with_doubt(unread);
        }
        let names = owned.iter().flat_map(|owned| owned.used_by.iter());
        let names: Vec<_> = names.map(|id| kubectl_id(id)).collect();
        let table = table(&owned);
        let page = Page::list(&owned, table, Verdict::Clean).with_names(names);
        let page = match next(&owned) {
            Some(next) => page.with_text(next),
            None => page,
        };
        page.with_doubt(unread)
    }
}

impl Owned {
    fn is_in(&self, place: &Place) -> bool {
        match self.port {
            Some(port) => {
                let name = Some(&*self.hostname).filter(|name| !name.is_empty());
                place.reaches_connections(port, name)
            }
            None => place.reaches_host(&self.hostname) && place.reaches_path(&self.path),
        }
    }

    /// As people write it, without the path.
    fn host(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.hostname),
            None => self.hostname.clone(),
        }
    }
}

/// What an owner without a claim should know.
pub(super) fn next(owned: &[Owned]) -> Option<String> {
    let unclaimed = owned.iter().filter(|owned| owned.claim.is_none()).count();
    (unclaimed > 0).then(|| {
        format!(
            "{} without a claim: owned as long as the object is there; a RouteClaim keeps it",
            many(unclaimed, "place")
        )
    })
}

/// The rows for people.
pub(super) fn table(owned: &[Owned]) -> Table {
    let mut table = Table::new(&["HOST", "PATH", "OWNER", "BY", "SINCE", "USED BY"]);
    for owned in owned {
        let owners: Vec<_> = owned.owners.iter().map(String::as_str).collect();
        let used = many(owned.used_by.len(), "object");
        let refused = match owned.refused.len() {
            0 => String::new(),
            count => format!(" ({count} refused)"),
        };
        table.push([
            owned.host().into(),
            (&*owned.path).into(),
            owners.join(", ").into(),
            (&*owned.by).into(),
            owned.since.as_deref().map_or("", day).into(),
            format!("{used}{refused}").into(),
        ]);
    }
    table
}

impl Owned {
    fn rank(&self) -> impl Ord + '_ {
        (&self.hostname, &self.path, self.claim.is_none())
    }
}

/// Places by hostname, path and region.
type Places = BTreeMap<(String, String, String), Owned>;

/// Objects by their titles.
type ByTitle<'f> = HashMap<String, &'f Known>;

/// Every pair of hostname and path, and every port, that somebody serves or claims.
pub(super) fn owned(facts: &Facts) -> Vec<Owned> {
    let objects = facts.by_title();
    let mut places = Places::new();
    for row in routes::rows(&facts.graph) {
        let owned = place(
            &mut places,
            &row.hostname,
            &row.path.to_string(),
            &row.region,
        );
        for to in &row.to {
            owned.owners.insert(namespace_of(&to.id).to_owned());
            owned.used_by.insert(to.id.clone());
        }
    }
    claimed(facts, &mut places);
    for ((_, _, region), owned) in &mut places {
        if region.is_empty() {
            first_come(owned, &objects);
        } else {
            by_claim(owned, region, &objects);
        }
    }
    let mut refused: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for Known { view, .. } in facts.objects.iter().filter(|known| !known.view.in_graph) {
        if let Some(asks) = &view.asks {
            let place = (&*asks.hostname, &*asks.path);
            refused.entry(place).or_default().insert(view.title());
        }
    }
    for owned in places.values_mut() {
        let place = (&*owned.hostname, &*owned.path);
        owned.refused = refused.get(&place).cloned().unwrap_or_default();
    }
    // Who has a claim comes before who has the rest of the same place.
    let mut owned: Vec<_> = places.into_values().collect();
    owned.sort_by(|a, b| a.rank().cmp(&b.rank()));
    owned.extend(tcp::owned(facts, &objects));
    owned
}

fn place<'p>(places: &'p mut Places, hostname: &str, path: &str, region: &str) -> &'p mut Owned {
    let key = (hostname.to_owned(), path.to_owned(), region.to_owned());
    places.entry(key).or_insert_with(|| Owned {
        hostname: hostname.to_owned(),
        path: path.to_owned(),
        ..Owned::default()
    })
}

/// What claims cover, whether or not somebody serves it.
fn claimed(facts: &Facts, places: &mut Places) {
    for (claim, cell) in cells(facts).filter(|(_, cell)| !cell.starts_with(':')) {
        let (hostname, path) = super::status::split(cell);
        let owned = place(places, hostname, path, &claim.name);
        owned.owners.extend(owners(facts, claim));
    }
}

/// The places that claims have, each with its claim.
fn cells(facts: &Facts) -> impl Iterator<Item = (&ObjectView, &str)> {
    let views = facts.objects.iter().map(|known| &known.view);
    let claims = views.filter(|view| view.kind == Kind::RouteClaim.name());
    claims.flat_map(|view| view.serves.iter().map(move |cell| (view, &**cell)))
}

/// Stands for namespaces that may not be read.
pub(super) const BY_LABELS: &str = "(by labels)";

/// The namespaces that a claim gives what it claims, as far as they may be known.
pub(super) fn owners(facts: &Facts, claim: &ObjectView) -> BTreeSet<String> {
    let named = claim.owners.iter().flatten().cloned();
    let mut owners: BTreeSet<_> = named.collect();
    if facts.unread(&[Kind::Namespace], "").is_some() && selects(facts, &claim.name) {
        owners.insert(BY_LABELS.to_owned());
    }
    owners
}

/// Whether a claim names namespaces by their labels.
pub(super) fn selects(facts: &Facts, claim: &str) -> bool {
    let set = facts.compiled().map(|compiled| &compiled.set);
    let claims = set.iter().flat_map(|set| set.claims.values());
    let mut namespaces = claims
        .filter(|found| *found.key.name == *claim)
        .filter_map(|found| found.spec.namespaces.as_ref());
    namespaces.any(|namespaces| namespaces.selector.is_some())
}

/// The day of a time as JSON has it.
fn day(since: &str) -> &str {
    since.split('T').next().unwrap_or(since)
}

/// By which object of those that serve it, and since when: the oldest has it, then the first by its name.
fn first_come(owned: &mut Owned, objects: &ByTitle<'_>) {
    let aged = owned.used_by.iter().map(|id| {
        let title = object_of(id);
        let created = objects.get(&title).and_then(|known| known.view.created);
        let name = id.split_once('/').map(|(_, name)| name);
        (created, name, title)
    });
    let Some((created, _, title)) = aged.min() else {
        return;
    };
    owned.since = time(created);
    owned.by = match owned.owners.len() {
        1 => format!("first come ({title})"),
        _ => "shared".to_owned(),
    };
}

/// By a claim, and since when.
fn by_claim(owned: &mut Owned, claim: &str, objects: &ByTitle<'_>) {
    let known = objects.get(&format!("RouteClaim {claim}"));
    owned.since = time(known.and_then(|known| known.view.created));
    owned.by = format!("claim {claim}");
    owned.claim = Some(claim.to_owned());
}

fn time(created: Option<i64>) -> Option<String> {
    let at = created.and_then(|at| Timestamp::from_second(at).ok())?;
    Some(at.to_string())
}
