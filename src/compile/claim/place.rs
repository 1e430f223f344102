//! In which regions a route may serve: in those of its own claims, and where nobody has claimed anything.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Cell, Claim, Claims, RegionKey, is_below, kept::Kept};
use crate::{
    compile::{
        finding::Findings,
        mapping::{Match, NameMatch},
        safety::{covers, share_a_name},
        slot::pair_of,
    },
    crd::gateway_settings::Unclaimed,
    graph::{
        HostPattern,
        host::NamePattern,
        region::as_claimed,
        route::{PathMatch, Pattern},
        table::literal_prefix,
    },
    report::Code,
};

/// Where a route may serve, and what there is to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::compile) struct Placement {
    /// Each once.
    pub(in crate::compile) regions: SmallVec<[RegionKey; 1]>,
    /// What it serves, where claims leave it something else than all that it asks for but for theirs.
    pub(in crate::compile) kept: Vec<String>,
    /// Whether it has nothing outside of its own claim but paths that begin with the same letters, which are hardly meant.
    pub(in crate::compile) is_stray: bool,
    pub(in crate::compile) findings: Findings,
}

/// The names that a route asks for.
enum Names<'m> {
    Pattern(&'m HostPattern),
    Regex(&'m Pattern),
    /// Those of the Hosts that select it.
    Unnamed,
}

/// The paths that a route asks for, as far as claims can tell them apart.
struct Paths<'m> {
    /// What every path begins with, as claims see it.
    start: Cow<'m, str>,
    /// Whether that is the whole path.
    exact: bool,
    case_sensitive: bool,
}

/// The claims of the cells that a route has something in common with, the most specific first, up to one that has it inside.
#[derive(Default)]
pub(super) struct Met<'c> {
    pub(super) own: Vec<Own<'c>>,
    pub(super) others: Vec<&'c Claim>,
    /// Whose the route is as a whole, but for what more specific ones have.
    pub(super) cover: Option<(&'c Cell, &'c Claim)>,
    /// Of what is others', the most specific one that has the path which the route names.
    pub(super) meant: Option<(&'c Cell, &'c Claim)>,
    /// Whether the route asks for the path of a cell of its own: what else begins with the same letters was hardly meant.
    is_own_path: bool,
}

/// A cell of the namespace's own that a route has something in common with.
pub(super) struct Own<'c> {
    pub(super) host: &'c HostPattern,
    pub(super) cell: &'c Cell,
    pub(super) claim: &'c Claim,
}

impl Claims {
    /// Where the route of a namespace may serve.
    pub(in crate::compile) fn place(
        &self,
        namespace: &str,
        asked: &Match,
        unclaimed: Unclaimed,
    ) -> Placement {
        let mut placement = Placement::default();
        if self.is_empty() {
            placement.regions.push(RegionKey::Unclaimed);
            return placement;
        }
        let met = self.meet(namespace, &Names::of(&asked.name), &Paths::of(asked));
        if let Some((cell, claim)) = met.refusal() {
            let field = if cell.path.is_empty() {
                "spec.hostname"
            } else {
                "spec.prefix"
            };
            placement.findings.push(
                Code::ClaimedByOthers,
                field,
                format!("{} belongs to {}", pair_of(asked), claim.owner()),
                claim.next(namespace),
            );
            return placement;
        }
        let names = met
            .own
            .iter()
            .map(|own| RegionKey::Claim(own.claim.name.clone()));
        placement.regions.extend(names);
        placement.regions.sort();
        placement.regions.dedup();
        // With a part of it in a claim of its own, the rest is no reason to refuse it.
        let denied = unclaimed == Unclaimed::Deny && !met.own.is_empty();
        let has_rest = met.cover.is_none() && !denied;
        if has_rest {
            placement.regions.push(RegionKey::Unclaimed);
        }
        if !matches!(asked.name, NameMatch::Unnamed) {
            let is_prefix = matches!(asked.path, PathMatch::Prefix(_));
            placement.is_stray = has_rest && is_prefix && met.is_own_path;
            let kept = Kept::of(&met, asked, namespace, has_rest);
            placement.kept = kept.places(&met, asked);
            kept.tell(&met, asked, namespace, &mut placement.findings);
        }
        placement
    }

    /// The claim that gives all of a route on the names of a Host that selects it to others.
    pub(in crate::compile) fn refusal(
        &self,
        namespace: &str,
        host: &HostPattern,
        asked: &Match,
    ) -> Option<&Claim> {
        let met = self.meet(namespace, &Names::Pattern(host), &Paths::of(asked));
        met.refusal().map(|(_, claim)| claim)
    }

    /// Whether claims, whosever they are, cover all of a route on the names of a Host that selects it.
    pub(in crate::compile) fn cover(
        &self,
        namespace: &str,
        host: &HostPattern,
        asked: &Match,
    ) -> bool {
        let met = self.meet(namespace, &Names::Pattern(host), &Paths::of(asked));
        met.cover.is_some()
    }

    fn meet(&self, namespace: &str, names: &Names<'_>, paths: &Paths<'_>) -> Met<'_> {
        let mut met = Met::default();
        for host in self.hosts_in_common(names) {
            let covered = names.are_of(host);
            for cell in self.cells.get(host).into_iter().flatten() {
                if !paths.overlap(&cell.path) {
                    continue;
                }
                let Some(claim) = self.list.get(cell.claim) else {
                    continue;
                };
                if claim.owners.contains(namespace) {
                    met.own.push(Own { host, cell, claim });
                    met.is_own_path |= covered && *paths.start == *cell.path;
                } else if !met.is_own_path {
                    met.others.push(claim);
                }
                // `/cart` is asked for by whoever has the prefix `/cart`, though `/cartoon` begins so too.
                if covered && *paths.start == *cell.path && !claim.owners.contains(namespace) {
                    met.meant.get_or_insert((cell, claim));
                }
                if covered && paths.are_below(&cell.path) {
                    met.cover = Some((cell, claim));
                    return met;
                }
            }
        }
        met
    }

    /// The claimed hostnames that have a name in common with those of a route, the most specific first.
    fn hosts_in_common(&self, names: &Names<'_>) -> Vec<&HostPattern> {
        let mut found = Vec::new();
        match names {
            Names::Pattern(pattern) => {
                if let NamePattern::Exact(name) = &pattern.name {
                    self.hosts.each(name, None, |host| found.push(host));
                } else {
                    let all = self.hosts.iter();
                    found.extend(all.filter(|host| share_a_name(host, pattern)));
                }
            }
            Names::Regex(regex) => {
                found.extend(self.hosts.iter().filter(|host| match &host.name {
                    NamePattern::Exact(name) => regex.regex.is_match(name),
                    _ => true,
                }));
            }
            Names::Unnamed => found.extend(self.hosts.iter()),
        }
        found
    }
}

impl<'c> Met<'c> {
    /// Who has all of the route, when nothing of it is its own; of several, who has the path that it names.
    fn refusal(&self) -> Option<(&'c Cell, &'c Claim)> {
        let cover = self.cover.filter(|_| self.own.is_empty())?;
        Some(self.meant.unwrap_or(cover))
    }
}

impl<'m> Names<'m> {
    fn of(name: &'m NameMatch) -> Self {
        match name {
            NameMatch::Pattern(hostname) => Self::Pattern(&hostname.pattern),
            NameMatch::Regex(regex) => Self::Regex(regex),
            NameMatch::Unnamed => Self::Unnamed,
        }
    }

    /// Whether every one of them is of a claimed hostname.
    fn are_of(&self, host: &HostPattern) -> bool {
        let own = match self {
            Self::Pattern(pattern) => pattern,
            Self::Regex(_) | Self::Unnamed => &HostPattern::ANY,
        };
        covers(&host.name, &own.name)
    }
}

impl<'m> Paths<'m> {
    fn of(asked: &'m Match) -> Self {
        let (start, exact): (Cow<'m, str>, _) = match &asked.path {
            PathMatch::Prefix(text) => (as_claimed(text), false),
            PathMatch::Exact(text) => (as_claimed(text), true),
            PathMatch::Regex(pattern) => {
                // Half an escape says nothing about what it will be.
                let start = literal_prefix(&pattern.text);
                let whole = start.strip_suffix('%').or(start.strip_suffix("%2"));
                (
                    as_claimed(whole.unwrap_or(&start)).into_owned().into(),
                    false,
                )
            }
        };
        Self {
            start: if asked.path_key.case_sensitive {
                start
            } else {
                start.to_ascii_lowercase().into()
            },
            exact,
            case_sensitive: asked.path_key.case_sensitive,
        }
    }

    /// Whether some path of the route is in a cell.
    fn overlap(&self, cell: &str) -> bool {
        let cell: Cow<'_, str> = if self.case_sensitive {
            cell.into()
        } else {
            cell.to_ascii_lowercase().into()
        };
        let below = is_below(&self.start, &cell);
        below || !self.exact && cell.starts_with(&*self.start)
    }

    /// Whether every path of the route is in a cell.
    fn are_below(&self, cell: &str) -> bool {
        if cell.is_empty() {
            return true;
        }
        let has_case = cell.bytes().any(|byte| byte.is_ascii_alphabetic());
        if has_case && !self.case_sensitive {
            return false;
        }
        match self.start.strip_prefix(cell) {
            Some("") => self.exact,
            Some(rest) => rest.starts_with('/'),
            None => false,
        }
    }
}
