//! What first come does not defend (design D4): a stranger's longer path, regular expression or `precedence` takes requests
//! from a route. The object that loses them is told who takes them.
//!
//! Looked for on the same hostname and on the wildcards and expressions that cover it.

use std::collections::{BTreeMap, BTreeSet};

use super::{HostSlots, RegionSlots};
use crate::{
    compile::{
        mapping::{PathKey, PathKind},
        safety::covers,
        slot::{Linked, SlotHost},
        touched::Touched,
    },
    graph::{HostPattern, host::NamePattern, table::literal_prefix},
    report::{Code, Diagnostic},
    resource::ObjectKey,
};

/// As many as one message names.
const SHOWN: usize = 3;

/// The slots of a hostname, and those among them that may take from paths that do not begin with theirs.
struct Around<'r> {
    slots: &'r BTreeMap<PathKey, Box<Linked>>,
    reaching: Vec<(&'r PathKey, &'r Linked)>,
}

impl RegionSlots {
    /// Looks anew for who takes requests from the routes of these hostnames and of those that they cover.
    pub(super) fn find_takers(&mut self, changed: &BTreeSet<SlotHost>, touched: &mut Touched) {
        let mut found = Vec::new();
        for host in self.near(changed) {
            let Some(slots) = self.hosts.get(host) else {
                continue;
            };
            let around = self.around(host, slots);
            if is_of_one_namespace(&around) {
                found.extend(slots.taken().map(|path| (host.clone(), path.clone(), None)));
                continue;
            }
            for (path, slot) in &slots.slots {
                let taken = taken(path, slot, &around);
                if taken != slot.taken {
                    found.push((host.clone(), path.clone(), taken));
                }
            }
        }
        for (host, path, taken) in found {
            let slots = self.hosts.get_mut(&host);
            if let Some(slot) = slots.and_then(|slots| slots.slots.get_mut(&path)) {
                slot.taken = taken;
                touched.extend(slot.members.iter().map(|member| &member.key));
            }
        }
    }

    /// The hostnames whose routes may lose requests to those of `changed`.
    fn near<'r>(&'r self, changed: &'r BTreeSet<SlotHost>) -> BTreeSet<&'r SlotHost> {
        let mut near: BTreeSet<_> = changed.iter().collect();
        for host in changed {
            match host {
                SlotHost::Pattern(pattern) => match pattern.name {
                    NamePattern::Exact(_) => near.extend(self.other_ports(host).map(|(at, _)| at)),
                    _ => near.extend(self.hosts.keys().filter(|below| is_wider(host, below))),
                },
                SlotHost::Regex(_) => near.extend(self.hosts.keys()),
                SlotHost::Selected(_) => {}
            }
        }
        near
    }

    /// The slots of a hostname, and of all that cover it.
    fn around<'r>(&'r self, host: &'r SlotHost, slots: &'r HostSlots) -> Vec<Around<'r>> {
        let others = self.wildcards().filter(|(other, slots)| {
            *other != host
                && match (other, host) {
                    (SlotHost::Regex(_), SlotHost::Pattern(pattern)) => slots.is_regex_for(pattern),
                    _ => is_wider(other, host),
                }
        });
        std::iter::once((host, slots))
            .chain(self.other_ports(host))
            .chain(others)
            .map(|(_, slots)| Around {
                slots: &slots.slots,
                reaching: slots
                    .slots
                    .iter()
                    .map(|(path, slot)| (path, &**slot))
                    .filter(reaches)
                    .collect(),
            })
            .collect()
    }

    /// All but the exact hostnames.
    fn wildcards(&self) -> impl Iterator<Item = (&SlotHost, &HostSlots)> {
        let at = |name| SlotHost::Pattern(HostPattern { name, port: None });
        let before = self.hosts.range(..at(NamePattern::Exact("".into())));
        let after = self.hosts.range(at(NamePattern::Suffix("".into()))..);
        before.chain(after)
    }
}

/// Whether every name of one is a name of the other, and they are not the same.
fn is_wider(host: &SlotHost, below: &SlotHost) -> bool {
    match (host, below) {
        (SlotHost::Pattern(wide), SlotHost::Pattern(narrow)) => {
            wide.name != narrow.name && covers(&wide.name, &narrow.name)
        }
        _ => false,
    }
}

/// Whether routes may take requests whose path is shorter, or begins otherwise.
fn reaches((path, slot): &(&PathKey, &Linked)) -> bool {
    path.kind == PathKind::Regex
        || slot
            .routes
            .iter()
            .any(|placed| placed.route.rank.precedence > 0)
}

fn is_of_one_namespace(around: &[Around<'_>]) -> bool {
    let slots = around.iter().flat_map(|around| around.slots.values());
    let mut owners = slots.filter_map(|slot| Some(&owner(slot)?.namespace));
    let first = owners.next();
    owners.all(|owner| Some(owner) == first)
}

/// Whose routes a slot has: where the first who came has them, they are all of one namespace.
fn owner(slot: &Linked) -> Option<&ObjectKey> {
    let placed = slot.members.iter().find(|member| member.note.placed);
    placed.map(|member| &member.key)
}

/// Who takes requests from a slot. Of an object of another namespace no more is told than its name: not where it serves.
fn taken(path: &PathKey, slot: &Linked, around: &[Around<'_>]) -> Option<Box<Diagnostic>> {
    let own = owner(slot)?;
    let mut takers = BTreeSet::new();
    for Around { slots, reaching } in around {
        let longer = longer(path, slots);
        let reaching = reaching
            .iter()
            .copied()
            .filter(|(other, _)| is_start(other, path));
        for (_, taker) in longer.chain(reaching) {
            let by = owner(taker).filter(|by| by.namespace != own.namespace);
            takers.extend(by.filter(|_| outranks(taker, slot)));
        }
    }
    let shown: Vec<_> = { takers.iter().take(SHOWN) }
        .map(ToString::to_string)
        .collect();
    let more = match takers.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!takers.is_empty()).then(|| {
        Box::new(Diagnostic::new(
            Code::LosesRequests,
            "",
            format!(
                "Objects of other namespaces take requests that match this one: {}{more}",
                shown.join(", ")
            ),
            "",
        ))
    })
}

/// The slots whose paths begin as this one does, or may.
fn longer<'r>(
    path: &PathKey,
    slots: &'r BTreeMap<PathKey, Box<Linked>>,
) -> impl Iterator<Item = (&'r PathKey, &'r Linked)> {
    let start = match path.kind {
        PathKind::Regex => literal_prefix(&path.text).to_ascii_lowercase(),
        PathKind::Exact | PathKind::Prefix => path.text.to_string(),
    };
    let from = PathKey {
        text: start.as_str().into(),
        kind: PathKind::Exact,
        case_sensitive: false,
    };
    // Only the same text fits an exact path.
    let most = match path.kind {
        PathKind::Exact => path.text.len(),
        PathKind::Prefix | PathKind::Regex => usize::MAX,
    };
    let found = slots.range(from..).map(|(path, slot)| (path, &**slot));
    found
        .take_while(move |(other, _)| other.text.starts_with(&*start))
        .filter(move |found| found.0.text.len() <= most && !reaches(found))
}

/// Whether a path that fits `path` may be one that fits `other`, as far as their beginnings tell.
fn is_start(other: &PathKey, path: &PathKey) -> bool {
    let start = |key: &PathKey| match key.kind {
        PathKind::Regex => literal_prefix(&key.text).to_ascii_lowercase(),
        PathKind::Exact | PathKind::Prefix => key.text.to_string(),
    };
    let (other, path) = (start(other), start(path));
    other.starts_with(&path) || path.starts_with(&other)
}

/// Whether some route of one comes before some route of the other.
fn outranks(taker: &Linked, slot: &Linked) -> bool {
    let first = taker.routes.iter().map(|placed| &placed.route.rank).max();
    let last = slot.routes.iter().map(|placed| &placed.route.rank).min();
    first > last
}
