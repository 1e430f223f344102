//! The health port: `/live`, `/ready` and `/metrics`, and nothing else.

use http::StatusCode;

use super::{Reply, State, json, not_found, reply, text};
use crate::telemetry::metrics;

pub(super) fn answer(state: &State, path: &str) -> Reply {
    match path {
        "/live" => match state.health.death() {
            None => text(StatusCode::OK, "live\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/ready" => {
            let readiness = state.health.readiness();
            let status = if readiness.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            json(status, &readiness)
        }
        "/metrics" => reply(
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            metrics::render(&state.registry),
        ),
        _ => not_found(),
    }
}
