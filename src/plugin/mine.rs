//! `mine`: what a namespace owns.

use std::fmt::Write as _;

use clap::Args;

use super::{
    facts::{Facts, Scope},
    output::{Page, Verdict, many},
    place::namespace_of,
    routes::kubectl_id,
    who,
};
use crate::resource::Kind;

#[derive(Args, Debug)]
#[command(after_help = who::COLUMNS)]
pub(super) struct Mine {}

impl Mine {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope) -> Page {
        let Self {} = self;
        let mut owned = who::owned(facts);
        owned.retain(|owned| owned.owners.iter().any(|owner| scope.includes(owner)));
        let ids = owned.iter().flat_map(|owned| owned.used_by.iter());
        let names: Vec<_> = ids
            .filter(|id| scope.includes(namespace_of(id)))
            .map(|id| kubectl_id(id))
            .collect();
        let vain: Vec<_> = facts
            .in_scope(scope)
            .filter(|known| known.view.asks.is_some() && !known.view.in_graph)
            .map(|known| known.view.title())
            .collect();
        let of = scope.namespace.as_ref();
        let of = of.map_or_else(String::new, |namespace| {
            format!(" of namespace {namespace}")
        });
        let mut text = format!("{}{of}", many(owned.len(), "place"));
        if owned.is_empty() {
            text = format!(
                "Nothing is owned{}: a Mapping for a free hostname and path, or a TCPMapping for a free port, is enough, see `can claim`",
                of.replace(" of ", " by ")
            );
        }
        if let Some(next) = who::next(&owned) {
            let _infallible = write!(text, "\n{next}");
        }
        if !vain.is_empty() {
            let _infallible = write!(
                text,
                "\nasked for in vain by {}: see `conflicts`",
                vain.join(", ")
            );
        }
        // What is claimed can be lost to nobody.
        let of_claims = !owned.is_empty() && owned.iter().all(|owned| owned.claim.is_some());
        let first_come: &[Kind] = if of_claims {
            &[]
        } else {
            &[Kind::Mapping, Kind::TcpMapping]
        };
        let unread = { facts.hidden(first_come) }.or_else(|| facts.hidden(&[Kind::RouteClaim]));
        let table = who::table(&owned);
        Page::list(&owned, table, Verdict::problems_if(!vain.is_empty()))
            .with_names(names)
            .with_text(text)
            .with_doubt(unread)
    }
}
