//! How it is found out whether an endpoint works: by asking it, and by what becomes of requests to it.

use std::{fmt, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode, uri::PathAndQuery};

use super::outlier::Outliers;

/// What decides which endpoints of an upstream are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Health {
    /// An endpoint that fails one of these is left out.
    pub checks: Box<[Check]>,
    /// When one is left out for what becomes of requests.
    pub outliers: Option<Outliers>,
    /// An endpoint that is new, or used again, gets its full share only after this.
    pub slow_start: Option<Duration>,
}

/// A request that finds out whether an endpoint works.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// Sent as `Host` or `:authority`.
    pub host: HeaderValue,
    pub probe: Probe,
    pub pace: Pace,
}

/// How often is asked, and how many answers it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Between two of them.
    pub interval: Duration,
    /// Without an answer by then it has failed.
    pub timeout: Duration,
    /// Failures in a row before an endpoint is left out.
    pub unhealthy: u32,
    /// Successes in a row before it is used again.
    pub healthy: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    Http(HttpProbe),
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Empty for the server as a whole.
        service: Box<str>,
    },
}

/// A `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    pub path: PathAndQuery,
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// First and last, both included.
    pub expected: Box<[(u16, u16)]>,
}

impl HttpProbe {
    /// Whether a status means that the endpoint works.
    pub fn expects(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        let mut ranges = self.expected.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// Says all but the headers, which may be secret.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, probe, pace } = self;
        let host = String::from_utf8_lossy(host.as_bytes());
        let Pace {
            interval,
            timeout,
            unhealthy,
            healthy,
        } = pace;
        write!(
            f,
            "{probe} host {host} every {interval:?} within {timeout:?}, {unhealthy} down {healthy} up"
        )
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(HttpProbe { path, expected, .. }) => {
                write!(f, "GET {path}")?;
                for (first, last) in expected {
                    write!(f, " {first}-{last}")?;
                }
                Ok(())
            }
            Self::Grpc { service } => write!(f, "gRPC {service:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_all_that_tells_it_apart_but_no_header() {
        let probe = HttpProbe {
            path: PathAndQuery::from_static("/healthz?deep"),
            headers: [(
                HeaderName::from_static("authorization"),
                HeaderValue::from_static("secret"),
            )]
            .into(),
            expected: [(200, 200), (204, 299)].into(),
        };
        for (status, expected) in [
            (200, true),
            (203, false),
            (204, true),
            (299, true),
            (300, false),
        ] {
            assert_eq!(
                probe.expects(StatusCode::from_u16(status).unwrap()),
                expected,
                "{status}"
            );
        }
        let check = Check {
            host: HeaderValue::from_static("quote.apps.svc"),
            probe: Probe::Http(probe),
            pace: Pace {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(3),
                unhealthy: 2,
                healthy: 1,
            },
        };
        assert_eq!(
            check.to_string(),
            "GET /healthz?deep 200-200 204-299 host quote.apps.svc every 5s within 3s, 2 down 1 up"
        );
    }
}
