//! Durations as people write them: `600s`, `250ms`, `1h30m`, `0.5s`.

use std::time::Duration;

use super::Findings;
use crate::report::Code;

/// Longer than anything that is meant: ten years.
const MAX: Duration = Duration::from_hours(24 * 365 * 10);

const UNITS: [(&str, f64); 6] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// A duration, or None with a finding.
pub(in crate::compile) fn read(
    text: &str,
    field: &str,
    findings: &mut Findings,
) -> Option<Duration> {
    let found = parse(text.trim());
    if found.is_none() {
        findings.push(
            Code::InvalidValue,
            field,
            format!("{text:?} is not a duration"),
            "Write a number and a unit, such as `10s` or `250ms`",
        );
    }
    found
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let number: f64 = number.parse().ok()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = Duration::try_from_secs_f64(number * seconds).ok()?;
        sum = sum.checked_add(part).filter(|sum| *sum <= MAX)?;
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit_each() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("600s", 600_000),
            ("0.5s", 500),
            ("1h30m", 5_400_000),
            ("1m0.25s", 60_250),
            ("0s", 0),
        ] {
            let wanted = Some(Duration::from_millis(milliseconds));
            assert_eq!(parse(text), wanted, "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1 s",
            "1d",
            "1.2.3s",
            "1e3s",
            "99999999h",
            "1s2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
