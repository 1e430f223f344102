//! What Envoy would tell upstreams and clients, for applications that listen to it. Off as a rule, and then it costs nothing.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};

use crate::graph::Forward;

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Tells the upstream how long it has, and the path that came if it sees another. What a client said of these is gone.
pub(super) fn tell_upstream(
    headers: &mut HeaderMap,
    forward: &Forward,
    came: &PathAndQuery,
    sent: &PathAndQuery,
) {
    put(
        headers,
        EXPECTED_TIMEOUT,
        timeout(forward).map(milliseconds),
    );
    let original = (came != sent).then(|| HeaderValue::from_str(came.as_str()).ok());
    put(headers, ORIGINAL_PATH, original.flatten());
}

/// Tells the client how long the upstream took.
pub(super) fn tell_client(headers: &mut HeaderMap, took: Duration) {
    headers.insert(SERVICE_TIME, milliseconds(took));
}

fn timeout(forward: &Forward) -> Option<Duration> {
    forward.total_timeout.or(forward.head_timeout)
}

fn milliseconds(time: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}
