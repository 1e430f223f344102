//! RouteClaims: which part of the URL space belongs to whom (design D4).
//!
//! ```text
//! RouteClaim ─> cells (hostname, path) ─ of equal ones the oldest ─> ClaimTable of the graph
//!                                                               └─> place: the regions that a route may serve in
//! ```

mod cell;
mod kept;
mod namespaces;
mod place;
mod tcp;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{age, finding::Findings, safety::covers};
use crate::{
    crd::RouteClaimSpec,
    graph::{ClaimTable, HostPattern, HostTable, RequestPolicy, host::NamePattern},
    report::Code,
    resource::{Object, ResourceSet},
};
pub(super) use place::Placement;

/// Names a region of the URL space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RegionKey {
    Unclaimed,
    /// That of the claim with this name.
    Claim(Arc<str>),
}

/// The claims in force.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// In the order of their names.
    list: Vec<Claim>,
    /// The cells of each hostname, the longest path first.
    cells: BTreeMap<HostPattern, Vec<Cell>>,
    /// The hostnames of `cells`, found by name.
    hosts: HostTable<HostPattern>,
    table: Arc<ClaimTable>,
    ports: tcp::Ports,
    /// All namespaces that some claim names.
    known: BTreeSet<Arc<str>>,
}

/// Who may route somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) name: Arc<str>,
    pub(super) owners: BTreeSet<Arc<str>>,
    /// Whether namespaces with its labels may not be seen here.
    unseen: bool,
    contact: Option<Arc<str>>,
}

/// A path on some hostname, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    /// Without a slash at its end: empty for everything.
    path: Arc<str>,
    /// The position of the claim in the list.
    claim: usize,
}

/// Whose claims have a say about the Host of some names. A Host decides about all paths, so whoever has only some of them has
/// a say only where nobody else has any.
#[derive(Debug)]
pub(super) struct Deciders<'c> {
    /// That on all paths.
    whole: Option<&'c Claim>,
    /// Those on some paths, on hostnames that are more specific than that of `whole`.
    parts: Vec<&'c Claim>,
}

/// What claims say to a namespace that asks for the Host of some names.
#[derive(Debug)]
pub(super) enum Say<'c> {
    /// Nothing of them is claimed.
    Nothing,
    Yes,
    /// This claim gives them to others, or a part of them.
    No(&'c Claim, Part),
}

/// How much of a Host's names is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    SomePaths,
}

/// A RouteClaim with what there is to say about it.
pub(super) struct ClaimReport {
    pub(super) object: Arc<Object<RouteClaimSpec>>,
    pub(super) findings: Findings,
    /// What it owns, as a person writes it.
    pub(super) serves: Vec<String>,
    pub(super) owners: BTreeSet<Arc<str>>,
}

impl PartialEq for Claims {
    /// All else follows from these.
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list && self.cells == other.cells && self.ports == other.ports
    }
}

impl Claims {
    pub(super) fn new(resources: &ResourceSet, policy: RequestPolicy) -> (Self, Vec<ClaimReport>) {
        let mut claims = Self::default();
        let mut reports = Vec::new();
        let mut asked = Vec::new();
        for object in resources.claims.values() {
            let mut findings = Findings::of(&object.problems);
            asked.push(cell::read(&object.spec, policy, &mut findings));
            let owners = namespaces::owners(&object.spec, resources, &mut findings);
            let contact = object.spec.contact.as_deref().map(str::trim);
            claims.list.push(Claim {
                name: Arc::from(&*object.key.name),
                owners: owners.clone(),
                unseen: namespaces::are_unseen(&object.spec, resources),
                contact: contact.filter(|text| !text.is_empty()).map(Arc::from),
            });
            reports.push(ClaimReport {
                object: Arc::clone(object),
                findings,
                serves: Vec::new(),
                owners,
            });
        }
        let (ports, lost) = tcp::settle(&mut reports);
        claims.ports = ports;
        claims.settle(asked, &mut reports);
        tcp::tell(&lost, &claims.list, &mut reports);
        claims.index();
        claims.tell_overlaps(&mut reports);
        (claims, reports)
    }

    /// Gives each cell to the oldest claim that asks for it.
    fn settle(&mut self, asked: Vec<Vec<cell::Asked>>, reports: &mut [ClaimReport]) {
        let mut order: Vec<_> = asked.into_iter().enumerate().collect();
        order.sort_by(|(a, _), (b, _)| age(&reports[*a].object).cmp(&age(&reports[*b].object)));
        for (claim, asked) in order {
            let mut lost = Vec::new();
            let report = &mut reports[claim];
            for cell::Asked { host, path } in asked {
                let cells = self.cells.entry(host.clone()).or_default();
                let text = cell::text(&host, &path);
                match cells.iter().find(|cell| cell.path == path) {
                    Some(taken) if taken.claim == claim => {}
                    Some(taken) => lost.push((text, taken.claim)),
                    None => {
                        cells.push(Cell { path, claim });
                        report.serves.push(text);
                    }
                }
            }
            report.serves.sort();
            let code = if report.serves.is_empty() {
                Code::ClaimConflict
            } else {
                Code::PartlyClaimed
            };
            for (text, winner) in lost {
                let winner = &self.list[winner].name;
                report.findings.push(
                    code,
                    "spec.hostnames",
                    format!("RouteClaim {winner} is older and claims {text}"),
                    "Claim something else, or have the namespaces added to that claim",
                );
            }
        }
        self.cells.retain(|_, cells| !cells.is_empty());
        for cells in self.cells.values_mut() {
            cells.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then(a.path.cmp(&b.path)));
        }
    }

    fn index(&mut self) {
        let owners = self.list.iter().flat_map(|claim| claim.owners.iter());
        self.known = owners.map(Arc::clone).collect();
        let hosts = self.cells.keys();
        self.hosts = hosts.map(|host| (host.clone(), host.clone())).collect();
        let cells = self.cells.iter().flat_map(|(host, cells)| {
            cells.iter().map(move |cell| {
                let number = u32::try_from(cell.claim).expect("claims must be fewer than 2^32");
                (host, &*cell.path, number)
            })
        });
        self.table = Arc::new(ClaimTable::new(cells));
    }

    /// Says of each claim which wider ones it takes something from.
    fn tell_overlaps(&self, reports: &mut [ClaimReport]) {
        for (host, cells) in &self.cells {
            for (position, cell) in cells.iter().enumerate() {
                let narrower = &cells[position + 1..];
                let on_same = narrower
                    .iter()
                    .find(|wider| is_below(&cell.path, &wider.path));
                let found = on_same
                    .map(|wider| (host, wider))
                    .or_else(|| self.wider(host, &cell.path));
                let Some((wider_host, wider)) = found else {
                    continue;
                };
                if wider.claim != cell.claim {
                    reports[cell.claim].findings.push(
                        Code::ClaimOverlap,
                        "spec.hostnames",
                        format!(
                            "{} is a part of {}, which RouteClaim {} claims; the narrower claim counts",
                            cell::text(host, &cell.path),
                            cell::text(wider_host, &wider.path),
                            self.list[wider.claim].name
                        ),
                        "Nothing needs to be done",
                    );
                }
            }
        }
    }

    /// The most specific cell on a wider hostname that has this one inside.
    fn wider(&self, host: &HostPattern, path: &str) -> Option<(&HostPattern, &Cell)> {
        let others = self.hosts.iter().filter(|other| *other != host);
        others
            .filter(|other| covers(&other.name, &host.name))
            .find_map(|other| {
                let mut cells = self.cells.get(other)?.iter();
                Some((other, cells.find(|cell| is_below(path, &cell.path))?))
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The keys of all regions but the unclaimed one, by their number in the table.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.list.iter().map(|claim| &claim.name)
    }

    pub(super) fn table(&self) -> &Arc<ClaimTable> {
        &self.table
    }

    /// The claim on all paths of a Host's names.
    pub(super) fn on_host(&self, pattern: &HostPattern) -> Option<&Claim> {
        self.deciders(pattern).whole
    }

    /// The hostnames of which something is claimed, the most specific first.
    pub(super) fn hosts(&self) -> impl DoubleEndedIterator<Item = &HostPattern> {
        self.hosts.iter()
    }

    /// Who has a say about the Host of these names.
    pub(super) fn deciders(&self, pattern: &HostPattern) -> Deciders<'_> {
        let mut deciders = Deciders {
            whole: None,
            parts: Vec::new(),
        };
        for host in self.covering(pattern) {
            deciders.whole = self.whole(host);
            if deciders.whole.is_some() {
                break;
            }
            let cells = self.cells.get(host).into_iter().flatten();
            let parts = cells.filter_map(|cell| self.list.get(cell.claim));
            deciders.parts.extend(parts);
        }
        deciders
    }

    /// The claimed hostnames that all names of a pattern are of, the most specific first.
    pub(super) fn covering(&self, pattern: &HostPattern) -> Vec<&HostPattern> {
        let mut found = Vec::new();
        if let NamePattern::Exact(name) = &pattern.name {
            self.hosts.each(name, None, |host| found.push(host));
        } else {
            let all = self.hosts.iter();
            found.extend(all.filter(|host| covers(&host.name, &pattern.name)));
        }
        found
    }

    /// Whether some claim names a namespace.
    pub(super) fn know(&self, namespace: &str) -> bool {
        self.known.contains(namespace)
    }

    fn whole(&self, host: &HostPattern) -> Option<&Claim> {
        let cell = self
            .cells
            .get(host)?
            .last()
            .filter(|cell| cell.path.is_empty())?;
        self.list.get(cell.claim)
    }
}

impl<'c> Deciders<'c> {
    pub(super) fn is_any(&self) -> bool {
        self.whole.is_some() || !self.parts.is_empty()
    }

    /// The claims of others than a namespace.
    pub(super) fn others(&self, namespace: &str) -> impl Iterator<Item = &'c Claim> {
        let all = self.whole.iter().chain(&self.parts).copied();
        all.filter(move |claim| !claim.owners.contains(namespace))
    }

    pub(super) fn say(&self, namespace: &str) -> Say<'c> {
        if let Some(claim) = self.whole {
            return if claim.owners.contains(namespace) {
                Say::Yes
            } else {
                Say::No(claim, Part::All)
            };
        }
        let mut others = self.parts.iter();
        match others.find(|claim| !claim.owners.contains(namespace)) {
            Some(claim) => Say::No(claim, Part::SomePaths),
            None if self.parts.is_empty() => Say::Nothing,
            None => Say::Yes,
        }
    }
}

impl Claim {
    /// To whom it gives what it claims, for a sentence: "belongs to ...".
    pub(super) fn owner(&self) -> String {
        const SHOWN: usize = 3;
        let names: Vec<_> = self.owners.iter().take(SHOWN).map(|name| &**name).collect();
        let owners = match (names.as_slice(), self.owners.len()) {
            ([], _) if self.unseen => "namespaces with certain labels".to_owned(),
            ([], _) => "nobody".to_owned(),
            ([name], _) => format!("namespace {name}"),
            (names, all) if all <= SHOWN => format!("namespaces {}", names.join(", ")),
            (names, all) => format!("namespaces {} and {} more", names.join(", "), all - SHOWN),
        };
        format!("{owners} by RouteClaim {}", self.name)
    }

    /// What to do for somebody who is refused.
    pub(super) fn next(&self, namespace: &str) -> String {
        let ask = format!(
            "Have namespace {namespace} added to RouteClaim {}",
            self.name
        );
        match &self.contact {
            Some(contact) => {
                format!("{ask} (contact: {contact}), or choose another hostname or path")
            }
            None => format!("{ask}, or choose another hostname or path"),
        }
    }

    /// Says that a Host may not decide about these names, of which `part` is claimed.
    pub(super) fn refuse_host(
        &self,
        host: &HostPattern,
        part: Part,
        namespace: &str,
        findings: &mut Findings,
    ) {
        let owner = self.owner();
        let (message, next) = match part {
            Part::All => (format!("{host} belongs to {owner}"), self.next(namespace)),
            Part::SomePaths => (
                format!(
                    "A path of {host} belongs to {owner}, and a Host decides about all of them"
                ),
                format!(
                    "Have every path of {host} claimed for namespace {namespace}, or have the platform create the Host"
                ),
            ),
        };
        findings.push(Code::ClaimedByOthers, "spec.hostname", message, next);
    }
}

/// Claims by name, for a sentence.
pub(super) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let (shown, more) = names.split_at(names.len().min(SHOWN));
    let shown = shown.join(", ");
    match (names.len(), more.len()) {
        (1, _) => format!("RouteClaim {shown}"),
        (_, 0) => format!("RouteClaims {shown}"),
        (_, more) => format!("RouteClaims {shown} and {more} more"),
    }
}

/// Whether a path is another or something below it, by whole segments; both without a slash at their ends.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a hostname is one that can be claimed: `*` may only stand for whole labels.
fn is_claimable(pattern: &HostPattern) -> bool {
    pattern.port.is_none()
        && match &pattern.name {
            NamePattern::Any | NamePattern::Exact(_) => true,
            NamePattern::Suffix(suffix) => suffix.starts_with('.'),
            NamePattern::Prefix(_) => false,
        }
}

#[cfg(test)]
mod tests;
