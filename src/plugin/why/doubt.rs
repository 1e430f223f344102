//! Whether the answer could be another one if everything had been read.

use super::{Told, head};
use crate::{
    graph::{
        why::Outcome,
        wire::{ActionView, TcpActionView},
    },
    plugin::{
        facts::{Facts, Ruling},
        place::{host_of, object_of},
        state, who,
    },
    resource::Kind,
};

/// Rules and claims that have requests.
const OF_REQUESTS: &[Kind] = &[Kind::Mapping, Kind::RouteClaim];
/// The same of connections.
const OF_CONNECTIONS: &[Kind] = &[Kind::TcpMapping, Kind::RouteClaim];

/// What could not be read that may decide otherwise. None where something is wrong for certain, too.
pub(super) fn of(told: &Told<'_>, facts: &Facts) -> Option<String> {
    let answer = &told.answer;
    match &answer.outcome {
        Outcome::BadRequest { .. } | Outcome::OnlyRequests => None,
        Outcome::NoListener => facts.hidden(&[Kind::Listener]),
        Outcome::NoHandshake => facts.hidden(&[Kind::Host, Kind::Secret]),
        Outcome::NoHost => facts.hidden(&[Kind::Host, Kind::Mapping]),
        Outcome::Misdirected | Outcome::Rejected | Outcome::RedirectToHttps { .. } => {
            of_host(told, facts)
        }
        Outcome::NoRoute | Outcome::NoShare { .. } => of_rules(told, OF_REQUESTS, facts),
        Outcome::NoConnection => of_rules(told, OF_CONNECTIONS, facts),
        Outcome::Route { .. } => of_members(told, OF_REQUESTS, facts),
        Outcome::Connection { .. } => of_members(told, OF_CONNECTIONS, facts),
    }
}

/// What others could have that could not be read: an object before this one, or a claim. What is claimed is theirs whom the
/// claim names, and the objects of these may have been read.
fn of_rules(told: &Told<'_>, kinds: &[Kind], facts: &Facts) -> Option<String> {
    let claim = head::claim_of(&told.answer, facts).filter(|claim| !claim.is_empty());
    let is_read = |owner: &String| owner != who::BY_LABELS && facts.unread(kinds, owner).is_none();
    let of_claim = claim.is_some() && told.owners.iter().all(is_read);
    let unread = facts.hidden(kinds).filter(|_| !of_claim);
    unread.or_else(|| of_host(told, facts))
}

/// A Host that could not be read and has the name: that of the answer is refused by its status.
fn of_host(told: &Told<'_>, facts: &Facts) -> Option<String> {
    let title = host_of(&told.answer.host.as_ref()?.id)?;
    let known = facts.object(&title)?;
    let is_refused = known.ruling == Ruling::Lost && !known.view.in_graph;
    facts.hidden(&[Kind::Host]).filter(|_| is_refused)
}

/// Of those who have it: whether they are the right ones, and where one answers with an error, whether that is one.
fn of_members(told: &Told<'_>, kinds: &[Kind], facts: &Facts) -> Option<String> {
    let failing = failing(&told.answer.outcome);
    if failing.is_empty() {
        return of_rules(told, kinds, facts).filter(|_| !super::is_problem(&told.answer.outcome));
    }
    let doubts = failing.iter().map(|id| {
        let known = facts.object(&object_of(id))?;
        state::doubt(facts, known, known.view.first_error()?)
    });
    let doubts: Option<Vec<_>> = doubts.collect();
    doubts?.into_iter().next()
}

/// Those that answer with an error.
fn failing(outcome: &Outcome) -> Vec<&str> {
    match outcome {
        Outcome::Route { members } => {
            let all = members.iter();
            let failing = all.filter(|member| matches!(member.action, ActionView::Fail(_)));
            failing.map(|member| &*member.id).collect()
        }
        Outcome::Connection { members } => {
            let all = members.iter();
            let failing = all.filter(|member| matches!(member.action, TcpActionView::Fail(_)));
            failing.map(|member| &*member.id).collect()
        }
        _ => Vec::new(),
    }
}
