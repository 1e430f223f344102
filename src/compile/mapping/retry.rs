//! When a Mapping has requests sent again (emissary.md, section 2.14).

use super::{Findings, duration, missing};
use crate::{
    crd::mapping::{RetryPolicy, policy},
    graph::retry::{Retry, RetryOn},
    report::Code,
};

/// More than this helps nobody, and costs an upstream that is in trouble.
const MAX: u32 = 10;

/// The policy, or None where nothing is sent again or, with a finding, it cannot be read.
pub(in crate::compile) fn lower(said: &RetryPolicy, findings: &mut Findings) -> Option<Retry> {
    let per_try = said.per_try_timeout.as_deref();
    let per_try = per_try.and_then(|text| {
        const FIELD: &str = "spec.retryPolicy.perTryTimeout";
        duration::read(text, FIELD, findings)
    });
    let count = count(said, findings);
    let on = match said.retry_on {
        None => {
            missing("spec.retryPolicy.retryOn", findings);
            return None;
        }
        Some(policy::RetryOn::ServerError) => RetryOn::ServerError,
        Some(policy::RetryOn::GatewayError) => RetryOn::GatewayError,
        Some(policy::RetryOn::ConnectFailure) => RetryOn::ConnectFailure,
        Some(policy::RetryOn::Retriable4xx) => RetryOn::Conflict,
        Some(policy::RetryOn::RefusedStream) => RetryOn::RefusedStream,
        Some(policy::RetryOn::RetriableStatusCodes) => {
            findings.push(
                Code::NoEffect,
                "spec.retryPolicy.retryOn",
                "`retriable-status-codes` names no codes, in Emissary-ingress neither, so nothing is sent again",
                "Write `5xx` or `gateway-error`",
            );
            return None;
        }
    };
    (count > 0).then_some(Retry {
        on,
        count,
        per_try: per_try.filter(|limit| !limit.is_zero()),
    })
}

fn count(said: &RetryPolicy, findings: &mut Findings) -> u32 {
    const FIELD: &str = "spec.retryPolicy.numRetries";
    match said.num_retries.map(u32::try_from) {
        None => 1,
        Some(Ok(count)) if count <= MAX => count,
        Some(Ok(count)) => {
            findings.push(
                Code::NoEffect,
                FIELD,
                format!("{count} counts as {MAX}"),
                format!("Write a number up to {MAX}"),
            );
            MAX
        }
        Some(Err(_)) => {
            findings.push(
                Code::InvalidValue,
                FIELD,
                "a number below 0 cannot be had",
                format!("Write a number from 0 to {MAX}"),
            );
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(said: serde_json::Value) -> (Option<Retry>, usize) {
        let said: RetryPolicy = serde_json::from_value(said).unwrap();
        let mut findings = Findings::default();
        (lower(&said, &mut findings), findings.0.len())
    }

    #[test]
    fn a_policy_is_read_with_its_defaults_and_bounds() {
        let retry = |on, count, per_try: Option<u64>| {
            let per_try = per_try.map(Duration::from_millis);
            Some(Retry { on, count, per_try })
        };
        for (said, wanted) in [
            (
                serde_json::json!({"retryOn": "5xx"}),
                (retry(RetryOn::ServerError, 1, None), 0),
            ),
            (
                serde_json::json!({"retryOn": "connect-failure", "numRetries": 3, "perTryTimeout": "250ms"}),
                (retry(RetryOn::ConnectFailure, 3, Some(250)), 0),
            ),
            (
                serde_json::json!({"retryOn": "retriable-4xx", "numRetries": 99, "perTryTimeout": "0s"}),
                (retry(RetryOn::Conflict, 10, None), 1),
            ),
            (
                serde_json::json!({"retryOn": "5xx", "numRetries": 0}),
                (None, 0),
            ),
            (
                serde_json::json!({"retryOn": "5xx", "numRetries": -1}),
                (None, 1),
            ),
            (
                serde_json::json!({"retryOn": "retriable-status-codes"}),
                (None, 1),
            ),
            (serde_json::json!({"numRetries": 2}), (None, 1)),
        ] {
            assert_eq!(read(said.clone()), wanted, "{said}");
        }
    }
}
