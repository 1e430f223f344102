//! RouteClaims: which part of the URL space belongs to whom (design D4).
//!
//! ```text
//! RouteClaim ─> cells (hostname, path) ─ of equal ones the oldest ─> ClaimTable of the graph
//!                                                               └─> place: the regions that a route may serve in
//! ```

mod cell;
mod namespaces;
mod place;

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
}

/// Who may route somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) name: Arc<str>,
    pub(super) owners: BTreeSet<Arc<str>>,
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

/// A RouteClaim with what there is to say about it.
pub(super) struct ClaimReport {
    pub(super) object: Arc<Object<RouteClaimSpec>>,
    pub(super) findings: Findings,
    /// What it owns, as a person writes it.
    pub(super) serves: Vec<String>,
}

impl PartialEq for Claims {
    /// All else follows from these.
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list && self.cells == other.cells
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
                name: Arc::clone(&object.key.name),
                owners,
                contact: contact.filter(|text| !text.is_empty()).map(Arc::from),
            });
            reports.push(ClaimReport {
                object: Arc::clone(object),
                findings,
                serves: Vec::new(),
            });
        }
        claims.settle(asked, &mut reports);
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
        let host = self
            .hosts
            .iter()
            .find(|host| covers(&host.name, &pattern.name) && self.whole(host).is_some())?;
        self.whole(host)
    }

    /// The hostnames that are claimed with all their paths, the most specific first.
    pub(super) fn whole_hosts(&self) -> impl Iterator<Item = (&HostPattern, &Claim)> {
        let hosts = self.hosts.iter();
        hosts.filter_map(|host| Some((host, self.whole(host)?)))
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

impl Claim {
    /// To whom it gives what it claims, for a sentence: "belongs to ...".
    pub(super) fn owner(&self) -> String {
        const SHOWN: usize = 3;
        let names: Vec<_> = self.owners.iter().take(SHOWN).map(|name| &**name).collect();
        let owners = match (names.as_slice(), self.owners.len()) {
            ([], _) => "nobody".to_owned(),
            ([name], _) => format!("namespace {name}"),
            (names, all) if all <= SHOWN => format!("namespaces {}", names.join(", ")),
            (names, all) => format!("namespaces {} and {} more", names.join(", "), all - SHOWN),
        };
        format!("{owners} by RouteClaim {}", self.name)
    }

    /// What to do for somebody who is refused.
    fn next(&self, namespace: &str) -> String {
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

    /// Says that a Host may not decide about these names.
    pub(super) fn refuse_host(&self, host: &HostPattern, namespace: &str, findings: &mut Findings) {
        findings.push(
            Code::ClaimedByOthers,
            "spec.hostname",
            format!("{host} belongs to {}", self.owner()),
            self.next(namespace),
        );
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
