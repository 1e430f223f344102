//! Circuit breakers of a Mapping (emissary.md, section 2.14).

use super::Findings;
use crate::{
    crd::mapping::{CircuitBreaker, upstream},
    graph::breaker::{Breakers, Limits, Priority},
    report::Code,
};

const FIELD: &str = "spec.circuitBreakers";

/// The limits; those of a priority that is not named are Envoy's. None where nothing is said.
pub(in crate::compile) fn lower(
    said: &[CircuitBreaker],
    findings: &mut Findings,
) -> Option<Breakers> {
    let mut limits = [None, None];
    for (position, breaker) in said.iter().enumerate() {
        let field = format!("{FIELD}[{position}]");
        let of = match breaker.priority {
            None | Some(upstream::Priority::Default) => 0,
            Some(upstream::Priority::High) => 1,
        };
        let read = read(breaker, &field, findings);
        if limits[of].replace(read).is_some() {
            findings.push(
                Code::InvalidValue,
                &field,
                "there is another entry with this priority",
                "Keep one of the two",
            );
        }
    }
    let [default, high] = limits;
    (!said.is_empty()).then(|| Breakers {
        default: default.unwrap_or_default(),
        high: high.unwrap_or_default(),
    })
}

fn read(breaker: &CircuitBreaker, field: &str, findings: &mut Findings) -> Limits {
    let default = Limits::default();
    let mut limit = |said: Option<i32>, name: &str, default: usize| {
        let Some(said) = said else {
            return default;
        };
        usize::try_from(said).unwrap_or_else(|_| {
            findings.push(
                Code::InvalidValue,
                &format!("{field}.{name}"),
                format!("{said} is below 0"),
                "Write a number that is not below 0",
            );
            default
        })
    };
    Limits {
        connections: limit(
            breaker.max_connections,
            "maxConnections",
            default.connections,
        ),
        pending: limit(
            breaker.max_pending_requests,
            "maxPendingRequests",
            default.pending,
        ),
        requests: limit(breaker.max_requests, "maxRequests", default.requests),
        retries: limit(breaker.max_retries, "maxRetries", default.retries),
    }
}

pub(super) fn priority(said: Option<&str>, findings: &mut Findings) -> Priority {
    match said {
        None | Some("" | "default") => Priority::Default,
        Some("high") => Priority::High,
        Some(other) => {
            findings.push(
                Code::InvalidValue,
                "spec.priority",
                format!("{other:?} is not a priority"),
                "Write `default` or `high`",
            );
            Priority::Default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: serde_json::Value) -> (Option<Breakers>, Vec<String>) {
        let said: Vec<CircuitBreaker> = serde_json::from_value(said).unwrap();
        let mut findings = Findings::default();
        let read = lower(&said, &mut findings);
        let fields = findings.0.into_iter().map(|found| found.field);
        (read, fields.collect())
    }

    #[test]
    fn what_is_not_said_is_as_in_envoy() {
        let limits = |connections, requests| Limits {
            connections,
            requests,
            ..Limits::default()
        };
        let both =
            serde_json::json!([{"maxConnections": 7}, {"priority": "high", "maxRequests": 0}]);
        let wanted = Breakers {
            default: limits(7, 1024),
            high: limits(1024, 0),
        };
        assert_eq!(read(both), (Some(wanted), vec![]));
        assert_eq!(read(serde_json::json!([])), (None, vec![]));
        let twice = serde_json::json!([{"maxRetries": -1}, {"priority": "default"}]);
        let (_, fields) = read(twice);
        assert_eq!(
            fields,
            [
                "spec.circuitBreakers[0].maxRetries",
                "spec.circuitBreakers[1]"
            ]
        );
    }
}
