//! When an endpoint is left out for what becomes of requests: what a Mapping says about it.

use std::time::Duration;

use super::{Findings, duration};
use crate::{crd::mapping::OutlierDetection, graph::outlier::Outliers, report::Code};

const FIELD: &str = "spec.outlierDetection";

pub(super) fn lower(said: &OutlierDetection, findings: &mut Findings) -> Outliers {
    let usual = Outliers::default();
    let base = time(
        said.base_ejection_time.as_deref(),
        "baseEjectionTime",
        usual.base,
        findings,
    );
    let most = time(
        said.max_ejection_time.as_deref(),
        "maxEjectionTime",
        usual.most,
        findings,
    );
    let mut count = |said: Option<i32>, name: &str, usual: u32| {
        let count = said.map_or(Ok(usual), u32::try_from);
        count.unwrap_or_else(|_| {
            invalid(
                name,
                "the number is below 0",
                "Write a number that is not below 0",
                findings,
            );
            usual
        })
    };
    Outliers {
        server_errors: count(
            said.consecutive_server_errors,
            "consecutiveServerErrors",
            usual.server_errors,
        ),
        gateway_errors: count(
            said.consecutive_gateway_errors,
            "consecutiveGatewayErrors",
            usual.gateway_errors,
        ),
        connect_failures: count(
            said.consecutive_connect_failures,
            "consecutiveConnectFailures",
            usual.connect_failures,
        ),
        base,
        most,
        percent: percent(said.max_ejection_percent, usual.percent, findings),
    }
}

fn time(said: Option<&str>, name: &str, usual: Duration, findings: &mut Findings) -> Duration {
    let Some(text) = said else {
        return usual;
    };
    let read = duration::read(text, &format!("{FIELD}.{name}"), findings);
    if read.is_some_and(|read| read.is_zero()) {
        invalid(
            name,
            "there must be some time",
            "Write a time such as `30s`",
            findings,
        );
    }
    read.unwrap_or(usual)
}

fn percent(said: Option<i32>, usual: u8, findings: &mut Findings) -> u8 {
    let Some(said) = said else {
        return usual;
    };
    let percent = u8::try_from(said).ok().filter(|percent| *percent <= 100);
    percent.unwrap_or_else(|| {
        let message = format!("{said} is not from 0 to 100");
        invalid(
            "maxEjectionPercent",
            message,
            "Write a number from 0 to 100",
            findings,
        );
        usual
    })
}

fn invalid(name: &str, message: impl Into<String>, next: &str, findings: &mut Findings) {
    findings.push(
        Code::InvalidValue,
        &format!("{FIELD}.{name}"),
        message,
        next,
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(said: serde_json::Value) -> (String, Vec<String>) {
        let said: OutlierDetection = serde_json::from_value(said).unwrap();
        let mut findings = Findings::default();
        let read = lower(&said, &mut findings);
        let fields = findings.0.into_iter().map(|found| found.field);
        (read.to_string(), fields.collect())
    }

    #[test]
    fn what_is_not_said_is_as_in_envoy() {
        assert_eq!(read(json!({})).0, "5/0/5 for 30s to 300s, 10%");
        let said = json!({
            "consecutiveServerErrors": 3, "consecutiveGatewayErrors": 2, "consecutiveConnectFailures": 0,
            "baseEjectionTime": "1s", "maxEjectionTime": "8s", "maxEjectionPercent": 50,
        });
        assert_eq!(read(said), ("3/2/0 for 1s to 8s, 50%".to_owned(), vec![]));
    }

    #[test]
    fn each_value_that_cannot_be_is_named() {
        let said = json!({"consecutiveServerErrors": -1, "baseEjectionTime": "0s", "maxEjectionPercent": 101});
        let fields = [
            "baseEjectionTime",
            "consecutiveServerErrors",
            "maxEjectionPercent",
        ];
        assert_eq!(read(said).1, fields.map(|name| format!("{FIELD}.{name}")));
    }
}
