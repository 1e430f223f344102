//! The status of Emissary's kinds: what their schema has, and no more. Only Mapping and Host have one.

use serde_json::Value;

use super::{
    condition::{Installation, READY, Truth},
    verdict,
};
use crate::{report::ObjectReport, resource::Kind};

/// Emissary's schema bounds nothing; a person reads no more than this.
const MAX_REASON_BYTES: usize = 1024;

/// `state` and `reason` of a Mapping, `state` and `errorReason` of a Host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EmissaryStatus {
    pub(super) state: String,
    /// Written as null when there is none, so that a merge takes an old one away.
    pub(super) reason: Option<String>,
    /// The name of the reason's field, which depends on the kind.
    field: &'static str,
}

impl EmissaryStatus {
    /// What the schema of the kind can say of an entry with conditions.
    pub(super) fn of(report: &ObjectReport, entry: &Installation) -> Self {
        let ready = entry
            .condition(READY)
            .is_some_and(|ready| ready.status == Truth::True);
        let state = match (report.key.kind, ready) {
            (Kind::Host, true) => "Ready",
            (Kind::Host, false) if report.has_errors() => "Error",
            (Kind::Host, false) => "Pending",
            (_, true) => "Running",
            (_, false) => "Inactive",
        };
        let errors: Vec<_> = report.diagnostics.iter().filter(|d| d.is_error()).collect();
        let reason = match (ready, errors.is_empty()) {
            (true, _) => None,
            (false, false) => Some(verdict::told(&errors, MAX_REASON_BYTES)),
            (false, true) => entry.condition(READY).map(|ready| ready.message.clone()),
        };
        Self {
            state: state.to_owned(),
            reason,
            field: field(report.key.kind),
        }
    }

    /// Reads the same fields back; none when there is no state.
    pub(super) fn read(kind: Kind, status: &Value) -> Option<Self> {
        let field = field(kind);
        let text = |name: &str| status.get(name).and_then(Value::as_str);
        Some(Self {
            state: text("state").filter(|state| !state.is_empty())?.to_owned(),
            reason: text(field)
                .filter(|reason| !reason.is_empty())
                .map(str::to_owned),
            field,
        })
    }

    /// As a merge patch of `status`.
    pub(super) fn patch(&self) -> Value {
        serde_json::json!({ "state": self.state, self.field: self.reason })
    }
}

fn field(kind: Kind) -> &'static str {
    match kind {
        Kind::Host => "errorReason",
        _ => "reason",
    }
}
