//! In which regions a route may serve: in those of its own claims, and where nobody has claimed anything.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Cell, Claim, Claims, RegionKey, cell, is_below};
use crate::{
    compile::{
        finding::Findings,
        mapping::{Match, NameMatch},
        safety::{covers, share_a_name},
    },
    crd::gateway_settings::Unclaimed,
    graph::{
        HostPattern,
        host::NamePattern,
        route::{PathMatch, Pattern},
        table::literal_prefix,
    },
    report::Code,
};

/// As many parts of others as one message names.
const SHOWN: usize = 3;

/// Where a route may serve, and what there is to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::compile) struct Placement {
    /// Each once.
    pub(in crate::compile) regions: SmallVec<[RegionKey; 1]>,
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
    /// What every path begins with.
    start: Cow<'m, str>,
    /// Whether that is the whole path.
    exact: bool,
    case_sensitive: bool,
}

/// The claimed cells that a route has something in common with, the most specific first, up to one that has it inside.
#[derive(Default)]
struct Met<'c> {
    own: Vec<&'c Claim>,
    others: Vec<(&'c HostPattern, &'c Cell, &'c Claim)>,
    /// Whose the route is as a whole, but for what more specific ones have.
    cover: Option<(&'c HostPattern, &'c Cell, &'c Claim)>,
    /// Whether the route asks for the path of a cell of its own: what else begins with the same letters was hardly meant.
    is_own_path: bool,
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
        if let Some((host, cell, claim)) = met.refusal() {
            let field = if cell.path.is_empty() {
                "spec.hostname"
            } else {
                "spec.prefix"
            };
            placement.findings.push(
                Code::ClaimedByOthers,
                field,
                format!(
                    "{} belongs to {}",
                    cell::text(host, &cell.path),
                    claim.owner()
                ),
                claim.next(namespace),
            );
            return placement;
        }
        let names = met
            .own
            .iter()
            .map(|claim| RegionKey::Claim(claim.name.clone()));
        placement.regions.extend(names);
        placement.regions.sort();
        placement.regions.dedup();
        // With a part of it in a claim of its own, the rest is no reason to refuse it.
        let denied = unclaimed == Unclaimed::Deny && !met.own.is_empty();
        if met.cover.is_none() && !denied {
            placement.regions.push(RegionKey::Unclaimed);
        }
        if !matches!(asked.name, NameMatch::Unnamed) {
            tell(&met.others, namespace, &mut placement.findings);
        }
        placement
    }

    /// What is claimed of a route on the names of a Host that selects it, as a person writes it with the claim, when that
    /// is all of it and others'.
    pub(in crate::compile) fn refusal(
        &self,
        namespace: &str,
        host: &HostPattern,
        asked: &Match,
    ) -> Option<(String, &Claim)> {
        let met = self.meet(namespace, &Names::Pattern(host), &Paths::of(asked));
        let (host, cell, claim) = met.refusal()?;
        Some((cell::text(host, &cell.path), claim))
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
                let found = (host, cell, claim);
                if claim.owners.contains(namespace) {
                    met.own.push(claim);
                    met.is_own_path |= covered && *paths.start == *cell.path;
                } else if !met.is_own_path {
                    met.others.push(found);
                }
                if covered && paths.are_below(&cell.path) {
                    met.cover = Some(found);
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
    /// Who has all of the route, when nothing of it is its own.
    fn refusal(&self) -> Option<(&'c HostPattern, &'c Cell, &'c Claim)> {
        self.cover.filter(|_| self.own.is_empty())
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

/// Says which parts of a route belong to others.
fn tell(others: &[(&HostPattern, &Cell, &Claim)], namespace: &str, findings: &mut Findings) {
    let Some((.., first)) = others.first() else {
        return;
    };
    let parts = others.iter().take(SHOWN).map(|(host, cell, claim)| {
        format!("{} to {}", cell::text(host, &cell.path), claim.owner())
    });
    let mut parts = parts.collect::<Vec<_>>().join(", ");
    if others.len() > SHOWN {
        parts = format!("{parts}, and {} more to others", others.len() - SHOWN);
    }
    findings.push(
        Code::PartlyClaimed,
        "spec.hostname",
        format!("A part belongs to others and is not served by this object: {parts}"),
        match others {
            [_] => first.next(namespace),
            _ => "Leave it so, or choose a narrower hostname or path".to_owned(),
        },
    );
}

impl<'m> Paths<'m> {
    fn of(asked: &'m Match) -> Self {
        let (start, exact): (Cow<'m, str>, _) = match &asked.path {
            PathMatch::Prefix(text) => ((&**text).into(), false),
            PathMatch::Exact(text) => ((&**text).into(), true),
            PathMatch::Regex(pattern) => (literal_prefix(&pattern.text).into(), false),
        };
        Self {
            start: if asked.case_sensitive {
                start
            } else {
                start.to_ascii_lowercase().into()
            },
            exact,
            case_sensitive: asked.case_sensitive,
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
