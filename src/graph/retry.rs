//! When a request is sent once more.

use std::time::Duration;

use http::StatusCode;

/// What of a route concerns sending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    pub on: RetryOn,
    /// Beside the first time.
    pub count: u32,
    /// For each time, until the head of the response.
    pub per_try: Option<Duration>,
}

/// What counts as a failure that another try may mend; the values of Emissary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// `5xx`: any of these, and no response at all.
    ServerError,
    /// `gateway-error`: 502, 503, 504, and no response at all.
    GatewayError,
    /// `connect-failure`: no connection.
    ConnectFailure,
    /// `retriable-4xx`: 409.
    Conflict,
    /// `refused-stream`: the upstream says that it did not touch the request.
    RefusedStream,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// There was no connection, so nothing was sent.
    Connect,
    /// The upstream did not touch the request.
    Refused,
    /// The connection broke, or it took too long.
    Lost,
}

impl RetryOn {
    pub fn status(self, status: StatusCode) -> bool {
        match self {
            Self::ServerError => status.is_server_error(),
            Self::GatewayError => matches!(status.as_u16(), 502..=504),
            Self::Conflict => status == StatusCode::CONFLICT,
            Self::ConnectFailure | Self::RefusedStream => false,
        }
    }

    pub fn failure(self, why: NoResponse) -> bool {
        match self {
            Self::ServerError | Self::GatewayError => true,
            Self::ConnectFailure => why == NoResponse::Connect,
            Self::RefusedStream => why == NoResponse::Refused,
            Self::Conflict => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
            Self::ConnectFailure => "connect-failure",
            Self::Conflict => "retriable-4xx",
            Self::RefusedStream => "refused-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_means_what_emissary_means_by_it() {
        const WHYS: [NoResponse; 3] = [NoResponse::Connect, NoResponse::Refused, NoResponse::Lost];
        let cases = [
            (RetryOn::ServerError, &[500, 501, 503][..], &WHYS[..]),
            (RetryOn::GatewayError, &[502, 503, 504], &WHYS),
            (RetryOn::ConnectFailure, &[], &[NoResponse::Connect]),
            (RetryOn::Conflict, &[409], &[]),
            (RetryOn::RefusedStream, &[], &[NoResponse::Refused]),
        ];
        for (on, statuses, whys) in cases {
            for status in statuses {
                let status = StatusCode::from_u16(*status).unwrap();
                assert!(on.status(status), "{on:?} {status}");
            }
            assert!(!on.status(StatusCode::OK) && !on.status(StatusCode::NOT_FOUND));
            for why in WHYS {
                assert_eq!(on.failure(why), whys.contains(&why), "{on:?} {why:?}");
            }
        }
        assert!(!RetryOn::GatewayError.status(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
