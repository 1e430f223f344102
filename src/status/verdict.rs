//! From the report about an object to what its status should say. Pure: the time is passed in.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::condition::{
    ACCEPTED, Condition, Installation, PROGRAMMED, READY, RESOLVED_REFS, Truth,
};
use crate::{
    report::{self, Diagnostic, ObjectReport},
    resource::Kind,
};

/// The API server takes 32 KiB of message; the same text is in the entry and at the top level, and an object has a limit, too.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// As many as a person reads; the rest is for the CLI.
const MAX_SERVES: usize = 16;

/// As the schema has it.
const MAX_SERVES_BYTES: usize = 2048;

const WRITES: &str = "writing to a string must succeed";

/// Before a certificate ends its Host says so. Shorter than the 30 days at which what renews certificates begins to.
const EXPIRES_SOON_SECONDS: i64 = 14 * 24 * 3600;

/// The reasons of `Programmed` that pass by themselves.
pub(super) const PENDING: &str = "Pending";
pub(super) const NO_READY_REPLICA: &str = "NoReadyReplica";

/// As the Gateway API calls it.
const PORT_UNAVAILABLE: &str = "PortUnavailable";

/// How far a generation of an object has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    /// Every ready replica serves it.
    Everywhere,
    /// Some ready replica has not reached it.
    Waiting,
    /// No replica is ready, so nobody serves it.
    NoReadyReplica,
    /// Of a Listener: not everybody listens on its port.
    Unbound(Unbound),
}

/// A port that a replica could not bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unbound {
    pub(super) port: u16,
    /// The first of them, by the name of its Lease.
    pub(super) replica: Box<str>,
    /// How many more there are.
    pub(super) others: usize,
}

/// What a condition comes to, before it has a type and a generation.
struct Finding {
    status: Truth,
    reason: &'static str,
    message: String,
}

/// What one installation should say about an object. Transition times are left empty.
pub(super) fn entry(
    report: &ObjectReport,
    installation: &str,
    rollout: Rollout,
    now: Timestamp,
) -> Installation {
    let accepted = judged(report, report::Condition::Accepted);
    let mut resolved = judged(report, report::Condition::ResolvedRefs);
    if let Some(end) = report.certificate_not_after {
        consider_end(&mut resolved, end, now);
    }
    let programmed = programmed(report, &accepted, rollout);
    let ready = summary(&accepted, &resolved, &programmed);
    let conditions = [
        (ACCEPTED, accepted),
        (RESOLVED_REFS, resolved),
        (PROGRAMMED, programmed),
        (READY, ready),
    ];
    Installation {
        name: installation.to_owned(),
        observed_generation: report.revision.generation,
        conditions: conditions
            .into_iter()
            .map(|(kind, finding)| Condition {
                kind: kind.to_owned(),
                status: finding.status,
                observed_generation: report.revision.generation,
                last_transition_time: String::new(),
                reason: finding.reason.to_owned(),
                message: finding.message,
            })
            .collect(),
        serves: report
            .serves
            .iter()
            .take(MAX_SERVES)
            .map(|place| cut(place, MAX_SERVES_BYTES))
            .collect(),
        certificate_expiry: report
            .certificate_not_after
            .and_then(|end| Timestamp::from_second(end).ok())
            .map(rfc3339),
        addresses: Vec::new(),
    }
}

/// Whether an object tells where the installation is reachable: what nobody serves has no address.
pub(super) fn has_addresses(report: &ObjectReport) -> bool {
    matches!(report.key.kind, Kind::Host | Kind::Listener) && report.in_graph
}

/// The port of a Listener that is served.
pub(super) fn listener_port(report: &ObjectReport) -> Option<u16> {
    let serves = report.serves.first()?;
    let port = serves.strip_prefix(':')?.parse().ok()?;
    (report.key.kind == Kind::Listener).then_some(port)
}

impl Unbound {
    fn told(&self) -> String {
        let Self {
            port,
            replica,
            others,
        } = self;
        let more = match others {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "Port {port} cannot be bound by replica {replica}{more}. Another program has it, or Postern may not listen there: the log of the replica says which. Choose another port, or free this one; Postern tries again every two seconds."
        )
    }
}

/// When what [`entry`] says will be different without any other change: a certificate comes near its end, or ends.
pub(super) fn changes_at(report: &ObjectReport, now: Timestamp) -> Option<Timestamp> {
    let end = report.certificate_not_after?;
    [end.saturating_sub(EXPIRES_SOON_SECONDS), end]
        .into_iter()
        .filter_map(|second| Timestamp::from_second(second).ok())
        .find(|at| *at > now)
}

/// A time as it is written in a status.
pub(super) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A condition without the view of the replicas: true unless there is an error about it. Warnings are told either way.
fn judged(report: &ObjectReport, condition: report::Condition) -> Finding {
    let about: Vec<_> = report
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code.info().condition == condition)
        .collect();
    let errors: Vec<_> = about.iter().copied().filter(|d| d.is_error()).collect();
    if let Some(first) = errors.first() {
        return Finding {
            status: Truth::False,
            reason: first.code.info().reason,
            message: told(&errors, MAX_MESSAGE_BYTES),
        };
    }
    let (reason, fine) = match condition {
        report::Condition::Accepted => (ACCEPTED, "The object is valid, and may say what it says."),
        report::Condition::ResolvedRefs => (
            RESOLVED_REFS,
            "Everything that the object refers to is there, and may be referred to.",
        ),
        report::Condition::Programmed => {
            (PROGRAMMED, "Every ready replica serves this generation.")
        }
    };
    let message = if about.is_empty() {
        fine.to_owned()
    } else {
        told(&about, MAX_MESSAGE_BYTES)
    };
    Finding {
        status: Truth::True,
        reason,
        message,
    }
}

fn programmed(report: &ObjectReport, accepted: &Finding, rollout: Rollout) -> Finding {
    let not = |reason, message: &str| Finding {
        status: Truth::False,
        reason,
        message: message.to_owned(),
    };
    if accepted.status == Truth::False {
        return not(
            "NotAccepted",
            if report.in_graph {
                "What the object matches is answered with an error, because the object is not accepted."
            } else {
                "The object serves nothing, because it is not accepted."
            },
        );
    }
    let judged = judged(report, report::Condition::Programmed);
    if judged.status == Truth::False {
        return judged;
    }
    if has_place(report.key.kind) && !report.in_graph {
        return idle(report);
    }
    match rollout {
        Rollout::Everywhere => judged,
        Rollout::Waiting => not(
            PENDING,
            "Some ready replica does not serve this generation yet. Nothing is to be done, unless this lasts: then look at the pods of Postern.",
        ),
        Rollout::NoReadyReplica => not(
            NO_READY_REPLICA,
            "No replica of Postern is ready, so nothing is served. Look at the pods of Postern.",
        ),
        Rollout::Unbound(unbound) => not(PORT_UNAVAILABLE, &unbound.told()),
    }
}

/// The kinds that must be found in the graph to have an effect; the others set it.
fn has_place(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Mapping | Kind::TcpMapping | Kind::Host | Kind::Listener
    )
}

/// Nothing is wrong with the object, and nothing of it is in the graph: a warning about that says why.
fn idle(report: &ObjectReport) -> Finding {
    let why = |found: &&Diagnostic| found.code.info().condition == report::Condition::Programmed;
    let warnings: Vec<_> = report.diagnostics.iter().filter(why).collect();
    Finding {
        status: Truth::False,
        reason: warnings
            .first()
            .map_or("NotServed", |first| first.code.info().reason),
        message: if warnings.is_empty() {
            "No Listener and no Host lead to this object, so no request reaches it.".to_owned()
        } else {
            told(&warnings, MAX_MESSAGE_BYTES)
        },
    }
}

/// True when all are; otherwise the first that is not speaks for the object.
fn summary(accepted: &Finding, resolved: &Finding, programmed: &Finding) -> Finding {
    let bad = [accepted, resolved, programmed]
        .into_iter()
        .find(|finding| finding.status != Truth::True);
    match bad {
        Some(bad) => Finding {
            status: bad.status,
            reason: bad.reason,
            message: bad.message.clone(),
        },
        None => Finding {
            status: Truth::True,
            reason: READY,
            message: "Every ready replica serves this generation.".to_owned(),
        },
    }
}

/// A certificate that ended is as good as none; one that ends soon is a warning.
fn consider_end(resolved: &mut Finding, end: i64, now: Timestamp) {
    if resolved.status == Truth::False {
        return;
    }
    let left = end.saturating_sub(now.as_second());
    if left > EXPIRES_SOON_SECONDS {
        return;
    }
    let date = Timestamp::from_second(end).map_or_else(|_| end.to_string(), rfc3339);
    if left > 0 {
        resolved.message = format!(
            "The certificate ends soon, at {date}. Renew it, or find out why nothing does: put a new one in the Secret."
        );
    } else {
        resolved.status = Truth::False;
        resolved.reason = "CertificateExpired";
        resolved.message = format!(
            "The certificate ended at {date}, so clients refuse it. Put a new one in the Secret."
        );
    }
}

/// All the problems in one text of at most `limit` bytes: code, field, what is wrong, and the next step of each.
pub(super) fn told(diagnostics: &[&Diagnostic], limit: usize) -> String {
    let mut text = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        let one = sentence(diagnostic);
        let separator = usize::from(index > 0);
        // Room for "and N more" is kept until the last one.
        let room = limit.saturating_sub(if index + 1 < diagnostics.len() { 24 } else { 0 });
        if text.len() + separator + one.len() > room {
            if index == 0 {
                text = cut(&one, room.saturating_sub(4));
                text.push_str(" …");
            }
            let left = diagnostics.len() - index - usize::from(index == 0);
            if left > 0 {
                write!(text, " And {left} more.").expect(WRITES);
            }
            break;
        }
        if index > 0 {
            text.push(' ');
        }
        text.push_str(&one);
    }
    text
}

/// `PST3002 at spec.service: there is no Service apps/qoute. Create it, or correct the name.`
fn sentence(diagnostic: &Diagnostic) -> String {
    let Diagnostic {
        code,
        field,
        message,
        next,
    } = diagnostic;
    let mut text = if field.is_empty() {
        format!("{code}: {message}.")
    } else {
        format!("{code} at {field}: {message}.")
    };
    if !next.is_empty() {
        write!(text, " {next}.").expect(WRITES);
    }
    text
}

fn cut(text: &str, bytes: usize) -> String {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
