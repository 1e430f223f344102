use std::sync::Arc;

use super::*;
use crate::{
    report::Code,
    resource::{Group, ObjectKey, Origin, Revision},
};

const NOW: i64 = 1_780_000_000;
const DAY: i64 = 24 * 3600;

fn report(kind: Kind, diagnostics: Vec<Diagnostic>) -> ObjectReport {
    ObjectReport {
        key: ObjectKey::new(Group::Postern, kind, "apps", "quote"),
        origin: Origin::Cluster,
        revision: Arc::new(Revision {
            generation: 7,
            ..Revision::default()
        }),
        diagnostics: diagnostics.into(),
        in_graph: true,
        serves: ["example.com/api/".into()].into(),
        asks: None,
        settled: crate::report::Settled::default(),
        certificate_not_after: None,
    }
}

fn said(code: Code) -> Diagnostic {
    Diagnostic::new(code, "spec.x", format!("{code:?} it is"), "mend it")
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// `Accepted ResolvedRefs Programmed Ready`, each with `+` or `-` and its reason when it is not the usual one.
fn line(report: &ObjectReport, rollout: Rollout) -> String {
    let entry = entry(report, "default", rollout, now());
    let words = entry.conditions.iter().map(|condition| {
        assert_eq!(condition.observed_generation, report.revision.generation);
        assert!(!condition.message.is_empty(), "{condition:?}");
        let sign = if condition.status == Truth::True {
            "+"
        } else {
            "-"
        };
        let usual = condition.reason == condition.kind;
        let reason = if usual {
            String::new()
        } else {
            format!(":{}", condition.reason)
        };
        format!("{sign}{}{reason}", condition.kind)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn conditions_follow_from_report_and_rollout() {
    use Rollout::{Everywhere, NoReadyReplica, Waiting};
    let absent = |mut report: ObjectReport| {
        report.in_graph = false;
        report
    };
    let mapping = |codes: &[Code]| report(Kind::Mapping, codes.iter().copied().map(said).collect());
    for (report, rollout, expected) in [
        (
            mapping(&[]),
            Everywhere,
            "+Accepted +ResolvedRefs +Programmed +Ready",
        ),
        (
            mapping(&[]),
            Waiting,
            "+Accepted +ResolvedRefs -Programmed:Pending -Ready:Pending",
        ),
        (
            mapping(&[]),
            NoReadyReplica,
            "+Accepted +ResolvedRefs -Programmed:NoReadyReplica -Ready:NoReadyReplica",
        ),
        (
            mapping(&[Code::NoEffect]),
            Everywhere,
            "+Accepted +ResolvedRefs +Programmed +Ready",
        ),
        (
            mapping(&[Code::ServiceNotFound]),
            Everywhere,
            "+Accepted -ResolvedRefs:ServiceNotFound +Programmed -Ready:ServiceNotFound",
        ),
        (
            mapping(&[Code::UnknownField, Code::ServiceNotFound]),
            Everywhere,
            "-Accepted:UnknownField -ResolvedRefs:ServiceNotFound -Programmed:NotAccepted -Ready:UnknownField",
        ),
        (
            absent(mapping(&[Code::Conflict])),
            Everywhere,
            "-Accepted:Conflict +ResolvedRefs -Programmed:NotAccepted -Ready:Conflict",
        ),
        (
            absent(mapping(&[Code::NoMatchingHost])),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NoMatchingHost -Ready:NoMatchingHost",
        ),
        (
            absent(mapping(&[Code::NoEffect, Code::NoMatchingHost])),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NoMatchingHost -Ready:NoMatchingHost",
        ),
        (
            absent(mapping(&[Code::NoEffect])),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NotServed -Ready:NotServed",
        ),
        (
            absent(report(Kind::Host, vec![said(Code::NoMatchingListener)])),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NoMatchingListener -Ready:NoMatchingListener",
        ),
        (
            absent(report(
                Kind::TcpMapping,
                vec![said(Code::NoMatchingListener)],
            )),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NoMatchingListener -Ready:NoMatchingListener",
        ),
        (
            absent(mapping(&[])),
            Everywhere,
            "+Accepted +ResolvedRefs -Programmed:NotServed -Ready:NotServed",
        ),
        (
            report(Kind::Listener, vec![]),
            Rollout::Unbound(unbound(0)),
            "+Accepted +ResolvedRefs -Programmed:PortUnavailable -Ready:PortUnavailable",
        ),
        (
            report(Kind::Listener, vec![said(Code::UnknownField)]),
            Rollout::Unbound(unbound(0)),
            "-Accepted:UnknownField +ResolvedRefs -Programmed:NotAccepted -Ready:UnknownField",
        ),
        (
            absent(report(Kind::GatewaySettings, vec![])),
            Everywhere,
            "+Accepted +ResolvedRefs +Programmed +Ready",
        ),
    ] {
        assert_eq!(line(&report, rollout), expected, "{:?}", report.diagnostics);
    }
}

fn unbound(others: usize) -> Unbound {
    Unbound {
        port: 80,
        replica: "postern-default-b".into(),
        others,
    }
}

#[test]
fn a_port_that_is_not_bound_is_told_with_those_that_could_not() {
    for (others, words) in [
        (0, "Port 80 cannot be bound by replica postern-default-b. "),
        (2, "by replica postern-default-b and 2 more. "),
    ] {
        let told = unbound(others).told();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn only_a_listener_that_is_served_has_a_port() {
    let at = |kind, serves: &[&str]| {
        let serves = serves.iter().map(|place| Box::from(*place)).collect();
        let report = ObjectReport {
            serves,
            ..report(kind, vec![])
        };
        listener_port(&report)
    };
    assert_eq!(at(Kind::Listener, &[":80"]), Some(80));
    assert_eq!(at(Kind::Listener, &[]), None);
    assert_eq!(at(Kind::TcpMapping, &[":80"]), None);
}

#[test]
fn a_message_has_code_field_and_next_step_of_every_error() {
    let report = report(
        Kind::Mapping,
        vec![said(Code::UnknownField), said(Code::InvalidRegex)],
    );
    let entry = entry(&report, "default", Rollout::Everywhere, now());
    let expected = "PST1003 at spec.x: UnknownField it is. mend it. PST2003 at spec.x: InvalidRegex it is. mend it.";
    assert_eq!(entry.condition(ACCEPTED).unwrap().message, expected);
    assert_eq!(entry.condition(READY).unwrap().message, expected);
}

#[test]
fn a_warning_is_told_while_the_condition_holds() {
    let report = report(Kind::Mapping, vec![said(Code::NoEffect)]);
    let entry = entry(&report, "default", Rollout::Everywhere, now());
    let accepted = entry.condition(ACCEPTED).unwrap();
    assert!(accepted.message.contains("PST1008 at spec.x"));
    assert_eq!(accepted.reason, ACCEPTED);
}

#[test]
fn a_message_is_cut_between_errors_and_says_how_many_are_left() {
    let many: Vec<_> = (0..50).map(|_| said(Code::UnknownField)).collect();
    let all: Vec<_> = many.iter().collect();
    for limit in [40, 100, 500, 1000] {
        let text = told(&all, limit);
        assert!(text.len() <= limit + 4, "{limit}: {}", text.len());
        let told = text.matches("PST1003").count();
        assert!(
            text.ends_with(&format!("And {} more.", 50 - told)),
            "{text}"
        );
    }
    let one = Diagnostic::new(Code::UnknownField, "f", "ä".repeat(100), "");
    let text = told(&[&one], 60);
    assert!(text.len() <= 64 && text.ends_with('…'), "{text}");
}

#[test]
fn a_certificate_says_when_it_ends_and_that_it_ends_soon() {
    for (days, resolved, words) in [
        (60, true, "is there"),
        (13, true, "ends soon, at 2026-06-10T"),
        (-1, false, "ended at 2026-05-27T"),
    ] {
        let mut report = report(Kind::Host, vec![]);
        report.certificate_not_after = Some(NOW + days * DAY);
        let entry = entry(&report, "default", Rollout::Everywhere, now());
        let condition = entry.condition(RESOLVED_REFS).unwrap();
        assert_eq!(condition.status == Truth::True, resolved, "{days} days");
        assert!(condition.message.contains(words), "{condition:?}");
        assert!(entry.certificate_expiry.is_some());
    }
}

#[test]
fn what_a_certificate_says_changes_before_its_end_and_at_it() {
    let mut report = report(Kind::Host, vec![]);
    assert_eq!(changes_at(&report, now()), None);
    for (left, next) in [(60 * DAY, Some(46 * DAY)), (DAY, Some(DAY)), (0, None)] {
        report.certificate_not_after = Some(NOW + left);
        let next = next.map(|after| Timestamp::from_second(NOW + after).unwrap());
        assert_eq!(changes_at(&report, now()), next, "{left}");
    }
}

#[test]
fn what_an_object_serves_is_bounded() {
    let mut report = report(Kind::Mapping, vec![]);
    report.serves = (0..100)
        .map(|n| format!("{n}.example.com/").into())
        .collect();
    let entry = entry(&report, "default", Rollout::Everywhere, now());
    assert_eq!(entry.serves.len(), MAX_SERVES);
}

#[test]
fn extreme_times_are_no_reason_to_panic() {
    let mut report = report(Kind::Host, vec![]);
    for end in [i64::MIN, -1, 0, i64::MAX] {
        report.certificate_not_after = Some(end);
        entry(&report, "default", Rollout::Everywhere, now());
        changes_at(&report, now());
    }
}
