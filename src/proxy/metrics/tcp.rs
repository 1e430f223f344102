//! What is counted of connections that are not HTTP.

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

use super::{Count, Counters, Listeners};
use crate::proxy::tcp::End;

/// Of one worker and Listener.
#[derive(Debug, Default)]
pub(in crate::proxy) struct TcpCounters {
    pub(in crate::proxy) open: Count,
    /// From clients.
    pub(in crate::proxy) received: Count,
    /// To clients.
    pub(in crate::proxy) sent: Count,
    ended: [Count; End::ALL.len()],
}

impl TcpCounters {
    pub(in crate::proxy) fn ended(&self, end: End) {
        self.ended[end.index()].add(1);
    }

    #[cfg(test)]
    pub(in crate::proxy) fn count(&self, end: End) -> u64 {
        self.ended[end.index()].get()
    }

    /// Takes in what another has counted that has a label of its own.
    pub(super) fn absorb(&self, other: &Self) {
        for (mine, others) in self.ended.iter().zip(&other.ended) {
            mine.add(others.get());
        }
    }
}

pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    listeners: &Listeners,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "tcp_connections_ended",
        "Connections of TCPMappings that have ended, by how",
        None,
        MetricType::Counter,
    )?;
    for (listener, counters) in listeners {
        for (end, word) in End::ALL {
            let count = |counters: &Arc<Counters>| counters.tcp.ended[end.index()].get();
            let value: u64 = counters.iter().map(count).sum();
            if value > 0 {
                let series = [("listener", &**listener), ("reason", word)];
                ConstCounter::new(value).encode(family.encode_family(&series)?)?;
            }
        }
    }
    Ok(())
}
