//! How it is found out whether endpoints work (emissary.md, section 2.14; ejection and slow start are our own).

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, header::USER_AGENT, uri::PathAndQuery};

use super::{Defaults, Findings, balance::BalancePlan, duration, headers, missing, outlier};
use crate::{
    crd::{
        MappingSpec,
        mapping::{HealthCheck, upstream::HttpHealthCheck},
    },
    graph::{
        Authority,
        health::{Check, Health, HttpProbe, Pace, Probe},
        outlier::Outliers,
    },
    report::Code,
};

const FIELD: &str = "spec.healthChecks";
const SLOW_START: &str = "spec.loadBalancer.slowStart";
/// The shortest time between two checks of an endpoint: less would be load.
const SHORTEST: Duration = Duration::from_millis(100);

/// What a Mapping says of the health of its endpoints, or the installation for it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::compile) struct HealthPlan {
    pub(in crate::compile) checks: Box<[CheckPlan]>,
    pub(in crate::compile) outliers: Option<Outliers>,
    pub(in crate::compile) slow_start: Option<Duration>,
    /// Whether the Mapping asks for the slow start itself.
    pub(in crate::compile) slow_start_said: bool,
}

/// A check; without a host it is that of the upstream.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::compile) struct CheckPlan {
    host: Option<HeaderValue>,
    probe: Probe,
    pace: Pace,
}

/// None where nothing is said.
pub(super) fn lower(
    spec: &MappingSpec,
    balance: &BalancePlan,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Option<Arc<HealthPlan>> {
    let said = spec.load_balancer.as_deref();
    let slow_start = match said {
        Some(said) => said
            .slow_start
            .as_deref()
            .and_then(|text| slow_start(text, balance, findings)),
        None => defaults.slow_start,
    };
    let checks = spec.health_checks.iter().flatten().enumerate();
    let checks: Vec<_> = checks
        .filter_map(|(position, said)| check(said, &format!("{FIELD}[{position}]"), findings))
        .collect();
    let plan = HealthPlan {
        checks: checks.into(),
        outliers: { spec.outlier_detection.as_deref() }.map(|said| outlier::lower(said, findings)),
        slow_start,
        slow_start_said: said.is_some(),
    };
    let is_something =
        !plan.checks.is_empty() || plan.outliers.is_some() || plan.slow_start.is_some();
    is_something.then(|| Arc::new(plan))
}

/// How long an endpoint takes to its full share; none for no time.
pub(in crate::compile) fn slow_start(
    text: &str,
    balance: &BalancePlan,
    findings: &mut Findings,
) -> Option<Duration> {
    let window = duration::read(text, SLOW_START, findings)?;
    if matches!(balance, BalancePlan::Hash(..)) {
        findings.push(
            Code::InvalidValue,
            SLOW_START,
            "what is chosen by a hash has no slow start",
            "Remove it, or write `policy: round_robin` or `policy: least_request`",
        );
    }
    Some(window).filter(|window| !window.is_zero())
}

fn check(said: &HealthCheck, field: &str, findings: &mut Findings) -> Option<CheckPlan> {
    let pace = pace(said, field, findings);
    let request = said.health_check.as_ref();
    let http = request.and_then(|request| request.http.as_ref());
    let grpc = request.and_then(|request| request.grpc.as_ref());
    let field = format!("{field}.healthCheck");
    let (probe, host, host_field) = match (http, grpc) {
        (Some(http), None) => {
            let field = format!("{field}.http");
            let probe = http_probe(http, &field, findings)?;
            (
                Probe::Http(probe),
                &http.hostname,
                format!("{field}.hostname"),
            )
        }
        (None, Some(grpc)) => {
            let field = format!("{field}.grpc");
            let Some(service) = grpc.upstream_name.as_deref() else {
                missing(&format!("{field}.upstreamName"), findings);
                return None;
            };
            let service = service.into();
            (
                Probe::Grpc { service },
                &grpc.authority,
                format!("{field}.authority"),
            )
        }
        (Some(_), Some(_)) | (None, None) => {
            invalid(
                &field,
                "a check is one of `http` and `grpc`",
                "Write one of them",
                findings,
            );
            return None;
        }
    };
    let host = match host.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(authority(text, &host_field, findings)?),
        None => None,
    };
    Some(CheckPlan { host, probe, pace })
}

fn pace(said: &HealthCheck, field: &str, findings: &mut Findings) -> Pace {
    let mut time = |text: Option<&str>, name: &str, shortest: Duration, usual: Duration| {
        let Some(text) = text else {
            return usual;
        };
        let field = format!("{field}.{name}");
        let read = duration::read(text, &field, findings);
        if read.is_some_and(|read| read < shortest) {
            let message = format!("{text} is below {shortest:?}");
            invalid(&field, message, "Write a longer time", findings);
        }
        read.unwrap_or(usual)
    };
    let interval = time(
        said.interval.as_deref(),
        "interval",
        SHORTEST,
        Duration::from_secs(5),
    );
    let shortest = Duration::from_millis(1);
    let timeout = time(
        said.timeout.as_deref(),
        "timeout",
        shortest,
        Duration::from_secs(3),
    );
    let mut count = |said: Option<i32>, name: &str, usual: u32| {
        let count = said.map_or(Ok(usual), u32::try_from);
        count.unwrap_or_else(|_| {
            let field = format!("{field}.{name}");
            invalid(&field, "the number is below 0", "Write 1 or more", findings);
            usual
        })
    };
    Pace {
        interval,
        timeout,
        // Zero answers cannot decide anything: as in Envoy, the first one does.
        unhealthy: count(said.unhealthy_threshold, "unhealthyThreshold", 2).max(1),
        healthy: count(said.healthy_threshold, "healthyThreshold", 1).max(1),
    }
}

fn http_probe(said: &HttpHealthCheck, field: &str, findings: &mut Findings) -> Option<HttpProbe> {
    let path_field = format!("{field}.path");
    let Some(text) = said.path.as_deref() else {
        missing(&path_field, findings);
        return None;
    };
    let path = text.parse::<PathAndQuery>().ok();
    let path = path.filter(|path| text.starts_with('/') && path.as_str() == text);
    if path.is_none() {
        let message = format!("{text:?} is not a path");
        invalid(
            &path_field,
            message,
            "Write a path such as `/healthz`",
            findings,
        );
    }
    let expected = expected(said, field, findings);
    let headers = probe_headers(said, field, findings);
    Some(HttpProbe {
        path: path?,
        headers,
        expected,
    })
}

/// Ranges that are upside down expect nothing, as in Emissary.
fn expected(said: &HttpHealthCheck, field: &str, findings: &mut Findings) -> Box<[(u16, u16)]> {
    let mut expected = Vec::new();
    for (position, range) in said.expected_statuses.iter().flatten().enumerate() {
        let field = format!("{field}.expectedStatuses[{position}]");
        let bound = |bound: Option<i32>| bound.and_then(|bound| u16::try_from(bound).ok());
        match (bound(range.min), bound(range.max)) {
            (Some(min), Some(max)) if min <= max => expected.push((min, max)),
            (Some(_), Some(_)) => findings.push(
                Code::NoEffect,
                &field,
                "`min` is above `max`, so no status is in the range",
                "Exchange the two",
            ),
            (None, _) => missing(&format!("{field}.min"), findings),
            (_, None) => missing(&format!("{field}.max"), findings),
        }
    }
    if expected.is_empty() {
        expected.push((200, 200));
    }
    expected.into()
}

fn probe_headers(
    said: &HttpHealthCheck,
    field: &str,
    findings: &mut Findings,
) -> Box<[(HeaderName, HeaderValue)]> {
    let usual = HeaderValue::from_static("postern-health-check");
    let mut all = vec![(USER_AGENT, usual)];
    for (position, name) in said.remove_request_headers.iter().flatten().enumerate() {
        let field = format!("{field}.removeRequestHeaders[{position}]");
        if let Some(name) = headers::name(name, &field, findings) {
            all.retain(|(known, _)| *known != name);
        }
    }
    for (name, header) in said.add_request_headers.iter().flatten() {
        let field = format!("{field}.addRequestHeaders.{name}");
        let value = header.value.as_deref().unwrap_or_default();
        let Some(name) = headers::name(name, &field, findings) else {
            continue;
        };
        let Some(value) = headers::literal(value, &field, findings) else {
            continue;
        };
        if header.append == Some(false) {
            all.retain(|(known, _)| *known != name);
        }
        all.push((name, value));
    }
    all.into()
}

fn authority(text: &str, field: &str, findings: &mut Findings) -> Option<HeaderValue> {
    let read = Authority::parse(text).ok().map(|read| read.to_string());
    let value = read.and_then(|read| HeaderValue::try_from(read).ok());
    if value.is_none() {
        let message = format!("{text:?} is not a host");
        invalid(
            field,
            message,
            "Write a DNS name, perhaps with a port",
            findings,
        );
    }
    value
}

fn invalid(field: &str, message: impl Into<String>, next: &str, findings: &mut Findings) {
    findings.push(Code::InvalidValue, field, message, next);
}

impl HealthPlan {
    /// For an upstream of this name.
    pub(in crate::compile) fn for_host(&self, host: &str) -> Health {
        let usual = HeaderValue::from_str(host);
        let usual = usual.unwrap_or(HeaderValue::from_static("localhost"));
        let checks = self.checks.iter().map(|check| Check {
            host: check.host.clone().unwrap_or_else(|| usual.clone()),
            probe: check.probe.clone(),
            pace: check.pace,
        });
        Health {
            checks: checks.collect(),
            outliers: self.outliers,
            slow_start: self.slow_start,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(said: &serde_json::Value) -> Result<String, String> {
        let said: HealthCheck = serde_json::from_value(said.clone()).unwrap();
        let mut findings = Findings::default();
        let check = check(&said, "f", &mut findings);
        match findings.first_error() {
            Some(error) => Err(error.field.clone()),
            None => Ok(check.map_or_else(String::new, |check| {
                format!("{} {:?} {:?}", check.probe, check.host, check.pace.interval)
            })),
        }
    }

    #[test]
    fn a_check_has_emissarys_defaults() {
        let http = |more: serde_json::Value| {
            let mut http = json!({"path": "/healthz"});
            http.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({"healthCheck": {"http": http}})
        };
        for (said, wanted) in [
            (http(json!({})), "GET /healthz 200-200 None 5s"),
            (
                http(
                    json!({"hostname": "a.b:80", "expectedStatuses": [{"min": 200, "max": 299}, {"min": 5, "max": 4}]}),
                ),
                "GET /healthz 200-299 Some(\"a.b:80\") 5s",
            ),
            (
                json!({"interval": "1s", "healthCheck": {"grpc": {"upstreamName": "shop.Cart"}}}),
                "gRPC \"shop.Cart\" None 1s",
            ),
        ] {
            assert_eq!(read(&said).as_deref(), Ok(wanted), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_its_field() {
        for (said, field) in [
            (json!({}), "f.healthCheck"),
            (
                json!({"healthCheck": {"http": {}}}),
                "f.healthCheck.http.path",
            ),
            (
                json!({"healthCheck": {"grpc": {}}}),
                "f.healthCheck.grpc.upstreamName",
            ),
            (
                json!({"healthCheck": {"http": {"path": "healthz"}}}),
                "f.healthCheck.http.path",
            ),
            (
                json!({"healthCheck": {"http": {"path": "/a b"}}}),
                "f.healthCheck.http.path",
            ),
            (
                json!({"healthCheck": {"http": {"path": "/", "hostname": "a/b"}}}),
                "f.healthCheck.http.hostname",
            ),
            (
                json!({"healthCheck": {"http": {"path": "/", "addRequestHeaders": {"host": {"value": "a"}}}}}),
                "f.healthCheck.http.addRequestHeaders.host",
            ),
            (
                json!({"interval": "10ms", "healthCheck": {"http": {"path": "/"}}}),
                "f.interval",
            ),
        ] {
            assert_eq!(read(&said), Err(field.to_owned()), "{said}");
        }
    }
}
