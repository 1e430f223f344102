//! When an endpoint is left out for what becomes of the requests to it.

use std::{fmt, time::Duration};

use http::StatusCode;

/// Limits of what an endpoint may do wrong. Zero for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outliers {
    /// Failures of any kind in a row: 5xx, and no response at all.
    pub server_errors: u32,
    /// 502, 503, 504 and no response at all in a row.
    pub gateway_errors: u32,
    /// Connections that could not be opened, in a row.
    pub connect_failures: u32,
    /// How long it is left out for the first time; each further time twice as long.
    pub base: Duration,
    /// The longest.
    pub most: Duration,
    /// Of a hundred endpoints, how many may be left out at a time; one always may, where there are two.
    pub percent: u8,
}

/// What became of a request, or of a connection, as the endpoint is judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// A 5xx of the application.
    ServerError,
    /// 502, 503 or 504; or no response.
    GatewayError,
    /// No connection.
    ConnectFailure,
}

impl Default for Outliers {
    /// As in Envoy, which does not tell gateway errors from others unless it is told to.
    fn default() -> Self {
        Self {
            server_errors: 5,
            gateway_errors: 0,
            connect_failures: 5,
            base: Duration::from_secs(30),
            most: Duration::from_mins(5),
            percent: 10,
        }
    }
}

impl Outliers {
    /// How many of so many endpoints may be left out at a time.
    pub fn most_of(&self, endpoints: usize) -> usize {
        let share = endpoints * usize::from(self.percent) / 100;
        share.max(1).min(endpoints.saturating_sub(1))
    }

    /// For how long an endpoint is left out that has been so often before.
    pub fn time(&self, before: u32) -> Duration {
        let doubled = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        self.base
            .saturating_mul(doubled)
            .min(self.most.max(self.base))
    }
}

impl Outcome {
    /// Of a response with this status.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            502..=504 => Self::GatewayError,
            500..=599 => Self::ServerError,
            _ => Self::Good,
        }
    }

    /// Of a gRPC response that has its status in the head, as HTTP would have it.
    pub fn of_grpc(status: &[u8]) -> Self {
        match status {
            // UNAVAILABLE, DEADLINE_EXCEEDED
            b"14" | b"4" => Self::GatewayError,
            // UNKNOWN, UNIMPLEMENTED, INTERNAL, DATA_LOSS
            b"2" | b"12" | b"13" | b"15" => Self::ServerError,
            _ => Self::Good,
        }
    }
}

impl fmt::Display for Outliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server_errors,
            gateway_errors,
            connect_failures,
            base,
            most,
            percent,
        } = self;
        write!(
            f,
            "{server_errors}/{gateway_errors}/{connect_failures} for {base:?} to {most:?}, {percent}%"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_doubles_up_to_the_longest() {
        let outliers = Outliers::default();
        let seconds = [0, 1, 2, 3, 4, 40].map(|before| outliers.time(before).as_secs());
        assert_eq!(seconds, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn one_may_always_be_left_out_and_never_the_last() {
        let outliers = Outliers::default();
        let most = [0, 1, 2, 9, 10, 35].map(|endpoints| outliers.most_of(endpoints));
        assert_eq!(most, [0, 0, 1, 1, 1, 3]);
        let all = Outliers {
            percent: 100,
            ..outliers
        };
        assert_eq!(all.most_of(4), 3);
    }

    #[test]
    fn statuses_are_judged_as_envoy_does() {
        for (status, outcome) in [
            (200, Outcome::Good),
            (404, Outcome::Good),
            (500, Outcome::ServerError),
            (501, Outcome::ServerError),
            (502, Outcome::GatewayError),
            (504, Outcome::GatewayError),
            (505, Outcome::ServerError),
        ] {
            assert_eq!(
                Outcome::of(StatusCode::from_u16(status).unwrap()),
                outcome,
                "{status}"
            );
        }
        assert_eq!(Outcome::of_grpc(b"14"), Outcome::GatewayError);
        assert_eq!(Outcome::of_grpc(b"13"), Outcome::ServerError);
        assert_eq!(Outcome::of_grpc(b"5"), Outcome::Good);
    }
}
