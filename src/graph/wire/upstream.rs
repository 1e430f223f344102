//! Upstreams as data that travels.

use serde::{Deserialize, Serialize};

use crate::graph::{Balance, Target, Upstream, UpstreamProtocol};

/// Where requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamView {
    pub target: TargetView,
    pub protocol: String,
    /// How endpoints are chosen, where that is not one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// Connections, requests that wait for one, requests, and retries, for each priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakers: Option<String>,
    /// What endpoints are asked to find out whether they work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<String>,
    /// Failures of each kind after which an endpoint is left out, for how long, and how many at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outliers: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<String>,
    /// How many endpoints are meant for each zone, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<String>,
    pub tls: Option<UpstreamTlsView>,
    pub connect_timeout: String,
}

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetView {
    Addresses {
        addresses: Vec<String>,
    },
    Dns {
        dns: String,
    },
    Echo {
        echo: String,
        #[serde(rename = "standsFor")]
        stands_for: String,
    },
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTlsView {
    pub server_name: String,
    pub verify: bool,
    pub client: Option<String>,
    /// What is not as usual in the handshake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
}

impl UpstreamView {
    pub fn of(upstream: &Upstream) -> Self {
        Self {
            target: match &upstream.target {
                Target::Addresses(addresses) => TargetView::Addresses {
                    addresses: addresses.iter().map(ToString::to_string).collect(),
                },
                Target::Dns { name, port } => TargetView::Dns {
                    dns: format!("{name}:{port}"),
                },
                Target::Echo { address, name } => TargetView::Echo {
                    echo: address.to_string(),
                    stands_for: name.to_string(),
                },
            },
            protocol: match upstream.protocol {
                UpstreamProtocol::Http1 => "http1",
                UpstreamProtocol::Http2 => "http2",
                UpstreamProtocol::Tcp => "tcp",
            }
            .to_owned(),
            balance: balance(&upstream.balance),
            breakers: upstream.breakers.map(|breakers| breakers.to_string()),
            health_checks: checks(upstream),
            outliers: outliers(upstream),
            slow_start: slow_start(upstream),
            zones: upstream.zones.as_ref().map(ToString::to_string),
            tls: upstream.tls.as_ref().map(|tls| UpstreamTlsView {
                server_name: tls.server_name.to_string(),
                verify: tls.verify,
                client: tls.client.as_ref().map(|client| client.digest.to_string()),
                terms: tls.told(),
            }),
            connect_timeout: format!("{:?}", upstream.connect_timeout),
        }
    }
}

pub(in crate::graph) fn balance(balance: &Balance) -> Option<String> {
    match balance {
        Balance::RoundRobin => None,
        Balance::LeastRequest => Some("least_request".to_owned()),
        Balance::Hash(hashed) => Some(format!("{} by {}", hashed.table.name(), hashed.by)),
    }
}

pub(in crate::graph) fn checks(upstream: &Upstream) -> Vec<String> {
    let checks = upstream.health.iter().flat_map(|health| &health.checks);
    checks.map(ToString::to_string).collect()
}

pub(in crate::graph) fn outliers(upstream: &Upstream) -> Option<String> {
    let outliers = upstream.health.as_ref()?.outliers?;
    Some(outliers.to_string())
}

pub(in crate::graph) fn slow_start(upstream: &Upstream) -> Option<String> {
    let window = upstream.health.as_ref()?.slow_start?;
    Some(format!("{window:?}"))
}
