//! Which part of a route claims leave to it, and how that is told. What others claim is not for everybody to know: beside the names
//! of their claims, a status says only what the route itself says.

use super::{
    Claim, cell, covers, listed,
    place::{Met, Own},
};
use crate::{
    compile::{
        finding::Findings,
        mapping::{Match, NameMatch, PathKind},
        slot::{pair_of, path_text},
    },
    report::Code,
};

/// Which part of what a route asks for is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it, but for what the claims of others have.
    Rest,
    /// Paths that go on with the same letters: the path itself, and what is below it, is claimed by others.
    Letters,
    /// What its own claims have.
    Own,
}

impl Kept {
    pub(super) fn of(met: &Met<'_>, asked: &Match, namespace: &str, has_rest: bool) -> Self {
        let is_own = |(_, claim): (_, &Claim)| claim.owners.contains(namespace);
        let is_prefix = asked.path_key.kind == PathKind::Prefix && asked.path_key.case_sensitive;
        if !has_rest && !met.cover.is_some_and(is_own) {
            Self::Own
        } else if has_rest && is_prefix && met.own.is_empty() && met.meant.is_some() {
            Self::Letters
        } else {
            Self::Rest
        }
    }

    /// Where it serves, where that is something else than what it asks for.
    pub(super) fn places(self, met: &Met<'_>, asked: &Match) -> Vec<String> {
        match (self, &asked.name) {
            (Self::Letters, NameMatch::Pattern(hostname)) => {
                let path = escaped(&asked.path_key.text);
                vec![format!("{}~{path}[^/].*", hostname.text)]
            }
            (Self::Own, NameMatch::Pattern(_)) => {
                let mut places: Vec<_> = met.own.iter().map(|own| own.place(asked)).collect();
                places.sort();
                places.dedup();
                places
            }
            _ => Vec::new(),
        }
    }

    /// Says by which claims a part of a route belongs to others, and which part is its own.
    pub(super) fn tell(
        self,
        met: &Met<'_>,
        asked: &Match,
        namespace: &str,
        findings: &mut Findings,
    ) {
        let names = named(met.others.iter().map(|claim| &*claim.name));
        let pair = pair_of(asked);
        let by = listed(&names);
        let own = named(met.own.iter().map(|own| &*own.claim.name));
        let message = match self {
            _ if names.is_empty() => return,
            Self::Rest => {
                format!("A part of {pair} belongs to others by {by}; this object serves the rest")
            }
            Self::Letters => format!(
                "{pair} and what is below it belong to others by {by}; this object serves the paths that go on with the same \
                 letters, such as {}-1, as far as nobody has claimed them",
                path_text(&asked.path_key)
            ),
            Self::Own => format!(
                "A part of {pair} belongs to others by {by}; this object serves what {} gives namespace {namespace}",
                listed(&own)
            ),
        };
        let next = match (self, &*names) {
            (Self::Letters, _) => {
                "Have the namespace added to the claim, choose another path, or leave it so"
                    .to_owned()
            }
            (_, [name]) => {
                format!("Leave it so, or have namespace {namespace} added to RouteClaim {name}")
            }
            _ => "Leave it so, or choose a narrower hostname or path".to_owned(),
        };
        findings.push(Code::PartlyClaimed, "spec.hostname", message, next);
    }
}

impl Own<'_> {
    /// What the route and the cell have in common.
    fn place(&self, asked: &Match) -> String {
        let is_narrower = match &asked.name {
            NameMatch::Pattern(hostname) => covers(&self.host.name, &hostname.pattern.name),
            NameMatch::Regex(_) | NameMatch::Unnamed => false,
        };
        let path = match asked.path_key.text.strip_prefix(&*self.cell.path) {
            Some(rest) if rest.starts_with('/') || self.cell.path.is_empty() => {
                path_text(&asked.path_key).into_owned()
            }
            _ => return self.named(asked, is_narrower, &self.cell.path),
        };
        self.named(asked, is_narrower, &path)
    }

    fn named(&self, asked: &Match, is_narrower: bool, path: &str) -> String {
        match &asked.name {
            NameMatch::Pattern(hostname) if is_narrower => format!("{}{path}", hostname.text),
            _ => cell::text(self.host, path),
        }
    }
}

/// As an expression that matches this text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r".+*?()|[]{}^$\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Each once, in order.
fn named<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
