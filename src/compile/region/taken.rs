//! What first come does not defend (design D4): a stranger's longer path, regular expression or `precedence` takes requests
//! from a route. The object that loses them is told who takes them.
//!
//! Looked for on the same hostname and on all that have names in common with it, as far as that can be told: which names an
//! expression and a wildcard other than `*` share, or two expressions, only examples say. What Hosts select by labels is compared
//! with its like alone: what else such a Host has depends on the labels of others, and changes without a change of a path.

use std::collections::{BTreeMap, BTreeSet};

use super::{HostSlots, RegionSlots};
use crate::{
    compile::{
        mapping::{PathKey, PathKind},
        slot::{Linked, SlotHost},
        touched::Touched,
    },
    graph::{HostPattern, host::NamePattern, table::literal_prefix},
    report::{Code, Diagnostic},
    resource::ObjectKey,
};

/// As many as one message names.
const SHOWN: usize = 3;

/// To look at more than these one by one takes longer than to look at all.
const FEW: usize = 16;

/// A slot with its path.
type At<'r> = (&'r PathKey, &'r Linked);

/// Slots that may take requests from others, in the order of their paths; and those among them that may take from paths that
/// do not begin with theirs.
struct Around<'r> {
    slots: Sorted<'r>,
    reaching: Vec<At<'r>>,
}

/// Slots in the order of their paths.
enum Sorted<'r> {
    /// Those of one hostname.
    Own(&'r BTreeMap<PathKey, Box<Linked>>),
    /// Those of many.
    Merged(Vec<At<'r>>),
}

/// What the paths of changed slots begin with; none when there are many.
struct Starts(Option<Vec<String>>);

impl RegionSlots {
    /// Looks anew for who takes requests from the routes that have names in common with these hostnames, and whose paths may be
    /// those of the `paths` that have changed there.
    pub(super) fn find_takers(
        &mut self,
        changed: &BTreeSet<SlotHost>,
        paths: &BTreeSet<PathKey>,
        touched: &mut Touched,
    ) {
        let starts = Starts::of(paths);
        let mut found = Vec::new();
        for host in self.near(changed) {
            let Some(slots) = self.hosts.get(host) else {
                continue;
            };
            let all = slots.slots.iter();
            let mut concerned = all.filter(|(path, _)| starts.concern(path)).peekable();
            if concerned.peek().is_none() {
                continue;
            }
            let around = self.around(host, slots);
            let is_shared = !is_of_one_namespace(&around);
            for (path, slot) in concerned {
                let taken = is_shared.then(|| taken(path, slot, &around)).flatten();
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
        if changed.len() > FEW {
            return self.hosts.keys().collect();
        }
        let mut near: BTreeSet<_> = changed.iter().collect();
        for host in changed {
            match host {
                SlotHost::Pattern(pattern) => {
                    near.extend(self.other_ports(host).map(|(at, _)| at));
                    near.extend(self.meeting(pattern).map(|(at, _)| at));
                }
                SlotHost::Regex(_) => near.extend(self.hosts.keys()),
                SlotHost::Selected(_) => {}
            }
        }
        near
    }

    /// The slots of a hostname, and of all that have names in common with it.
    fn around<'r>(&'r self, host: &'r SlotHost, slots: &'r HostSlots) -> Vec<Around<'r>> {
        let (meeting, matched) = match host {
            SlotHost::Pattern(pattern) => (Some(self.meeting(pattern)), None),
            SlotHost::Regex(_) => {
                let all = self.hosts.iter();
                let is_matched = |(other, own): &(&SlotHost, &HostSlots)| match other {
                    SlotHost::Pattern(pattern) => slots.is_regex_for(pattern),
                    SlotHost::Regex(_) => *other != host && slots.is_regex_like(own),
                    SlotHost::Selected(_) => false,
                };
                (None, Some(all.filter(is_matched)))
            }
            SlotHost::Selected(_) => (None, None),
        };
        let all = std::iter::once((host, slots))
            .chain(self.other_ports(host))
            .chain(meeting.into_iter().flatten())
            .chain(matched.into_iter().flatten());
        let all: Vec<_> = all.map(|(_, slots)| Sorted::Own(&slots.slots)).collect();
        let all = if all.len() > FEW {
            vec![Sorted::merged(&all)]
        } else {
            all
        };
        let around = all.into_iter().map(|slots| Around {
            reaching: slots.iter().filter(reaches).collect(),
            slots,
        });
        around.collect()
    }

    /// The other hostnames that have a name in common with a pattern.
    fn meeting<'r>(
        &'r self,
        pattern: &'r HostPattern,
    ) -> impl Iterator<Item = (&'r SlotHost, &'r HostSlots)> {
        let exact = matches!(pattern.name, NamePattern::Exact(_));
        // An exact name has nothing in common with other exact ones, of which there are many.
        let (some, all) = if exact {
            (Some(self.wildcards()), None)
        } else {
            (None, Some(self.hosts.iter()))
        };
        let candidates = some.into_iter().flatten().chain(all.into_iter().flatten());
        candidates.filter(|(other, slots)| match other {
            SlotHost::Pattern(other) => meet(&other.name, &pattern.name),
            SlotHost::Regex(_) => slots.is_regex_for(pattern),
            SlotHost::Selected(_) => false,
        })
    }

    /// All but the exact hostnames.
    fn wildcards(&self) -> impl Iterator<Item = (&SlotHost, &HostSlots)> {
        let at = |name| SlotHost::Pattern(HostPattern { name, port: None });
        let before = self.hosts.range(..at(NamePattern::Exact("".into())));
        let after = self.hosts.range(at(NamePattern::Suffix("".into()))..);
        before.chain(after)
    }
}

impl<'r> Sorted<'r> {
    fn merged(all: &[Self]) -> Self {
        let mut merged: Vec<_> = all.iter().flat_map(Self::iter).collect();
        merged.sort_by_key(|(path, _)| *path);
        Self::Merged(merged)
    }

    fn iter(&self) -> impl Iterator<Item = At<'r>> {
        self.from(None)
    }

    /// Those from this path on.
    fn from<'a>(&'a self, path: Option<&PathKey>) -> impl Iterator<Item = At<'r>> + use<'a, 'r> {
        use std::ops::Bound::{Included, Unbounded};
        let (own, merged) = match self {
            Self::Own(slots) => {
                let from = path.map_or(Unbounded, Included);
                (Some(slots.range::<PathKey, _>((from, Unbounded))), None)
            }
            Self::Merged(slots) => {
                let at = path.map_or(0, |path| slots.partition_point(|(other, _)| *other < path));
                (None, slots.get(at..))
            }
        };
        let own = own.into_iter().flatten();
        let own = own.map(|(path, slot)| (path, &**slot));
        own.chain(merged.into_iter().flatten().copied())
    }
}

impl Starts {
    fn of(paths: &BTreeSet<PathKey>) -> Self {
        if paths.len() > FEW {
            return Self(None);
        }
        Self(Some(paths.iter().map(start).collect()))
    }

    /// Whether requests of a route may be affected.
    fn concern(&self, path: &PathKey) -> bool {
        self.0.as_ref().is_none_or(|starts| {
            let own = start(path);
            starts.iter().any(|other| agree(other, &own))
        })
    }
}

/// Whether two hostnames have some name in common, and are not the same.
fn meet(a: &NamePattern, b: &NamePattern) -> bool {
    use NamePattern::{Any, Exact, Prefix, Suffix};
    match (a, b) {
        (Any, Any) | (Exact(_), Exact(_)) => false,
        (Any, _) | (_, Any) | (Suffix(_), Prefix(_)) | (Prefix(_), Suffix(_)) => true,
        (Suffix(end), Exact(name)) | (Exact(name), Suffix(end)) => {
            name.len() > end.len() && name.ends_with(&**end)
        }
        (Prefix(start), Exact(name)) | (Exact(name), Prefix(start)) => {
            name.len() > start.len() && name.starts_with(&**start)
        }
        (Suffix(a), Suffix(b)) => a != b && (a.ends_with(&**b) || b.ends_with(&**a)),
        (Prefix(a), Prefix(b)) => a != b && (a.starts_with(&**b) || b.starts_with(&**a)),
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

/// Whether some route of a slot comes after those without a precedence.
fn is_low(slot: &Linked) -> bool {
    let mut routes = slot.routes.iter();
    routes.any(|placed| placed.route.rank.precedence < 0)
}

fn is_of_one_namespace(around: &[Around<'_>]) -> bool {
    let slots = around.iter().flat_map(|around| around.slots.iter());
    let mut owners = slots.filter_map(|(_, slot)| Some(&owner(slot)?.namespace));
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
    let takers = around.iter().flat_map(|Around { slots, reaching }| {
        // What comes after everything may lose to paths that are shorter.
        let all = is_low(slot).then(|| slots.iter()).into_iter().flatten();
        let others = reaching.iter().copied().chain(all);
        let others = others.filter(|(other, _)| agree(&start(other), &start(path)));
        longer(path, slots).chain(others).filter_map(|(_, taker)| {
            let by = owner(taker).filter(|by| by.namespace != own.namespace);
            by.filter(|_| outranks(taker, slot))
        })
    });
    // The first that are found will do: of some wildcards everybody takes something.
    let mut shown = BTreeSet::new();
    let mut more = false;
    for by in takers {
        more = shown.len() == SHOWN && !shown.contains(by);
        if more {
            break;
        }
        shown.insert(by);
    }
    let names: Vec<_> = shown.iter().map(ToString::to_string).collect();
    (!shown.is_empty()).then(|| {
        Box::new(Diagnostic::new(
            Code::LosesRequests,
            "",
            format!(
                "Objects of other namespaces take requests that match this one: {}{}",
                names.join(", "),
                if more { " and more" } else { "" }
            ),
            "",
        ))
    })
}

/// The slots whose paths begin as this one does, or may.
fn longer<'r>(path: &PathKey, slots: &Sorted<'r>) -> impl Iterator<Item = At<'r>> {
    let start = start(path);
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
    slots
        .from(Some(&from))
        .take_while(move |(other, _)| other.text.starts_with(&*start))
        .filter(move |found| found.0.text.len() <= most && !reaches(found))
}

/// What every path of a slot begins with, whatever its case.
fn start(path: &PathKey) -> String {
    match path.kind {
        PathKind::Regex => literal_prefix(&path.text).to_ascii_lowercase(),
        PathKind::Exact | PathKind::Prefix => path.text.to_string(),
    }
}

/// Whether some path may begin in both ways.
fn agree(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Whether some route of one comes before some route of the other.
fn outranks(taker: &Linked, slot: &Linked) -> bool {
    let first = taker.routes.iter().map(|placed| &placed.route.rank).max();
    let last = slot.routes.iter().map(|placed| &placed.route.rank).min();
    first > last
}
