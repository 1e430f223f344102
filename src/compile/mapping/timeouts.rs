//! Timeouts of a Mapping (emissary.md, section 2.15, and the table of design.md, section 6).

use std::time::Duration;

use super::Findings;
use crate::{crd::MappingSpec, report::Code};

/// Without a byte in either direction.
const DEFAULT_IDLE: Duration = Duration::from_mins(5);
const DEFAULT_CONNECT: Duration = Duration::from_secs(3);
/// Longer than anything that is meant: a day. In milliseconds.
const MAX: u64 = 24 * 60 * 60 * 1000;

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Timeouts {
    pub(in crate::compile) head: Option<Duration>,
    pub(in crate::compile) total: Option<Duration>,
    pub(in crate::compile) idle: Option<Duration>,
    pub(in crate::compile) connect: Duration,
}

pub(super) fn lower(
    spec: &MappingSpec,
    default: Option<Duration>,
    findings: &mut Findings,
) -> Timeouts {
    let total = milliseconds(spec.timeout_ms, "spec.timeoutMs", findings);
    let idle = milliseconds(spec.idle_timeout_ms, "spec.idleTimeoutMs", findings);
    let connect = milliseconds(spec.connect_timeout_ms, "spec.connectTimeoutMs", findings);
    if connect == Some(Duration::ZERO) {
        findings.push(
            Code::InvalidValue,
            "spec.connectTimeoutMs",
            "0 leaves no time to connect",
            "Write a number of milliseconds above 0, or remove the field",
        );
    }
    let asked = |said: Option<Duration>| said.filter(|duration| !duration.is_zero());
    Timeouts {
        head: if total.is_some() {
            asked(total)
        } else {
            default
        },
        total: asked(total),
        idle: if idle.is_some() {
            asked(idle)
        } else {
            Some(DEFAULT_IDLE)
        },
        connect: asked(connect).unwrap_or(DEFAULT_CONNECT),
    }
}

/// A time of at most a day.
pub(super) fn milliseconds(
    value: Option<i64>,
    field: &str,
    findings: &mut Findings,
) -> Option<Duration> {
    let number = unsigned(value, field, "a number of milliseconds", findings)?;
    if number > MAX {
        findings.push(
            Code::NoEffect,
            field,
            format!("{number} is more than a day, and counts as a day"),
            format!("Write a number of milliseconds up to {MAX}"),
        );
    }
    Some(Duration::from_millis(number.min(MAX)))
}

/// A number that is not below 0.
pub(super) fn unsigned(
    value: Option<i64>,
    field: &str,
    what: &str,
    findings: &mut Findings,
) -> Option<u64> {
    let value = value?;
    let number = u64::try_from(value).ok();
    if number.is_none() {
        findings.push(
            Code::InvalidValue,
            field,
            format!("{value} is not {what}"),
            "Write a number that is not below 0",
        );
    }
    number
}
