//! What has become of an object, in one word.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    conflicts::is_conflict,
    facts::{Facts, Known, Ruling},
    output::{Cell, Style},
    said::DECIDING,
};
use crate::{report::wire::DiagnosticView, resource::Kind};

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum State {
    /// It serves what it says.
    Live,
    /// Not every replica has come that far.
    Pending,
    /// Nothing is wrong with it, and no request reaches it.
    Idle,
    /// It could not be told, because something could not be read.
    Unknown,
    /// Something of it answers with an error, or is not honoured.
    Degraded,
    /// It is not accepted, and serves nothing.
    Refused,
}

/// Errors that may be there only because these kinds could not be read.
const DOUBTS: &[(&[&str], &[Kind])] = &[
    (&["PST3002", "PST3003"], &[Kind::Service]),
    (&["PST3007"], &[Kind::Service, Kind::EndpointSlice]),
    (&["PST3004"], &[Kind::ReferenceGrant]),
    (&["PST3009"], &[Kind::TlsContext]),
    (&["PST4001"], &[Kind::Secret]),
    (&["PST2006"], &[Kind::Host]),
    (&["PST2011"], &[Kind::RouteClaim]),
    (&["PST5004", "PST5005"], &[Kind::Listener]),
    (&["PST4003"], &[Kind::Host, Kind::Secret]),
    (OF_CLAIMS, &[Kind::Namespace]),
];

/// What a claim for labels says: the labels of the object's own namespace decide, whoever is named beside it.
const OF_CLAIMS: &[&str] = &["PST2012", "PST2013"];

impl State {
    pub(super) fn of(known: &Known, facts: &Facts) -> Self {
        let view = &known.view;
        let mut errors = view.diagnostics.iter().filter(|found| found.is_error());
        let has_place = matches!(&*view.kind, "Mapping" | "TCPMapping" | "Host" | "Listener");
        if view.first_error().is_some() {
            return if errors.all(|error| doubt(facts, known, error).is_some()) {
                Self::Unknown
            } else if has_place && !view.in_graph {
                Self::Refused
            } else {
                Self::Degraded
            };
        }
        if has_place && !view.in_graph {
            let mut all = view.diagnostics.iter();
            return if all.any(|found| doubt(facts, known, found).is_some()) {
                Self::Unknown
            } else {
                Self::Idle
            };
        }
        match known.live {
            Some(live) if live.reached < live.of || live.of == 0 => Self::Pending,
            _ if unruled(known, facts).is_some() => Self::Unknown,
            _ => Self::Live,
        }
    }

    pub(super) fn is_problem(self) -> bool {
        matches!(self, Self::Degraded | Self::Refused)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Pending => "Pending",
            Self::Idle => "Idle",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Refused => "Refused",
        }
    }

    pub(super) fn cell(self) -> Cell {
        let style = match self {
            Self::Live => Style::Good,
            Self::Pending | Self::Unknown => Style::Warn,
            Self::Idle => Style::Dim,
            Self::Degraded | Self::Refused => Style::Bad,
        };
        Cell::new(self.name(), style)
    }
}

/// Why a diagnostic may be there only because something could not be read.
pub(super) fn doubt(facts: &Facts, known: &Known, found: &DiagnosticView) -> Option<String> {
    let doubted = DOUBTS
        .iter()
        .find(|(codes, _)| codes.contains(&&*found.code))?;
    if known.ruling == Ruling::Lost && is_conflict(found) {
        return None;
    }
    let named = namespaces_in(&found.message);
    let own = [&*known.view.namespace];
    let looked_at = if named.is_empty() || OF_CLAIMS.contains(&&*found.code) {
        &own[..]
    } else {
        &named[..]
    };
    looked_at
        .iter()
        .find_map(|namespace| facts.unread(doubted.1, namespace))
}

/// Why it is not known whose the place of an object is: nobody has said it yet, and what decides was not read.
pub(super) fn unruled(known: &Known, facts: &Facts) -> Option<String> {
    let asks = matches!(&*known.view.kind, "Mapping" | "TCPMapping" | "Host");
    let is_told = !asks || known.ruling != Ruling::None;
    facts.hidden(DECIDING).filter(|_| !is_told)
}

/// What says which diagnostic it is: object, code and field.
pub(super) type Which = (String, String, String);

/// The errors that may be there only because something could not be read, and what that is.
pub(super) fn doubts(facts: &Facts) -> BTreeMap<Which, String> {
    let all = facts.objects.iter().flat_map(|known| {
        let found = known.view.diagnostics.iter();
        found.map(move |found| (known, found))
    });
    let doubtful = all
        .filter(|(_, found)| found.is_error())
        .filter_map(|(known, found)| {
            let which = (known.view.title(), found.code.clone(), found.field.clone());
            Some((which, doubt(facts, known, found)?))
        });
    doubtful.collect()
}

/// The namespaces that a message names: `Service shop/cart`, `in namespace shop`.
fn namespaces_in(message: &str) -> Vec<&str> {
    let mut named = Vec::new();
    let mut before = "";
    for word in message.split([' ', ',', ':', '`']) {
        if before == "namespace" {
            named.push(word);
        } else if let Some((namespace, _)) = word.split_once('/')
            && matches!(before, "Service" | "Secret" | "TLSContext")
        {
            named.push(namespace);
        }
        before = word;
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespaces_that_a_message_names_are_found() {
        for (message, named) in [
            ("There is no Service shop/cart", &["shop"][..]),
            (
                "Secret web/tls does not exist, or has not been read yet",
                &["web"],
            ),
            (
                "No ReferenceGrant in namespace web lets Mapping a/b refer to Service web/c",
                &["web", "web"],
            ),
            ("No Host serves this Mapping, so no request reaches it", &[]),
        ] {
            assert_eq!(namespaces_in(message), named, "{message}");
        }
    }
}
