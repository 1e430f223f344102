//! How long connections to an upstream live (emissary.md, sections 1.1.2 and 2.15).

use std::time::Duration;

use super::{Defaults, Findings, timeouts};
use crate::{
    crd::{MappingSpec, mapping::Keepalive as Said},
    graph::upstream::Keepalive,
    report::Code,
};

/// An idle upstream connection is closed after this: below the keep-alive of common servers (nginx 75 s, Go 90 s).
const IDLE: Duration = Duration::from_mins(1);
/// "Never" is bounded too.
const IDLE_MOST: Duration = Duration::from_hours(1);
/// The kernel takes no more.
const MOST_SECONDS: u32 = 32_767;
const MOST_PROBES: u32 = 127;

/// What a Mapping, or the installation for it, says about connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::compile) struct Connections {
    pub(in crate::compile) idle: Option<Duration>,
    /// None where there is no limit; zero stands for none.
    pub(in crate::compile) lifetime: Option<Duration>,
    pub(in crate::compile) keepalive: Option<Keepalive>,
}

pub(super) fn lower(
    spec: &MappingSpec,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Connections {
    let idle = timeouts::milliseconds(
        spec.cluster_idle_timeout_ms,
        "spec.clusterIdleTimeoutMs",
        findings,
    );
    let lifetime = timeouts::milliseconds(
        spec.cluster_max_connection_lifetime_ms,
        "spec.clusterMaxConnectionLifetimeMs",
        findings,
    );
    let defaults = &defaults.connections;
    Connections {
        idle: idle.or(defaults.idle),
        lifetime: lifetime.or(defaults.lifetime),
        keepalive: match spec.keepalive.as_deref() {
            Some(said) => keepalive(said, findings),
            None => defaults.keepalive,
        },
    }
}

/// The probes; None where nothing is said about them.
pub(in crate::compile) fn keepalive(said: &Said, findings: &mut Findings) -> Option<Keepalive> {
    let mut number = |said: Option<i32>, name: &str, most: u32| {
        let said = said?;
        let number = u32::try_from(said).ok().filter(|n| (1..=most).contains(n));
        if number.is_none() {
            findings.push(
                Code::InvalidValue,
                &format!("spec.keepalive.{name}"),
                format!("{said} is not from 1 to {most}"),
                format!("Write a number from 1 to {most}"),
            );
        }
        number
    };
    let keepalive = Keepalive {
        idle: number(said.idle_time, "idleTime", MOST_SECONDS),
        interval: number(said.interval, "interval", MOST_SECONDS),
        probes: number(said.probes, "probes", MOST_PROBES),
    };
    (keepalive != Keepalive::default()).then_some(keepalive)
}

impl Connections {
    pub(in crate::compile) fn idle_timeout(&self) -> Duration {
        match self.idle {
            None => IDLE,
            Some(Duration::ZERO) => IDLE_MOST,
            Some(idle) => idle.min(IDLE_MOST),
        }
    }

    pub(in crate::compile) fn max_age(&self) -> Option<Duration> {
        self.lifetime.filter(|lifetime| !lifetime.is_zero())
    }

    /// Adds to an id what is not as usual.
    pub(in crate::compile) fn name(&self, id: &mut String) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        if self.idle_timeout() != IDLE {
            let _ = write!(id, " idle={:?}", self.idle_timeout());
        }
        if let Some(age) = self.max_age() {
            let _ = write!(id, " lifetime={age:?}");
        }
        if let Some(Keepalive {
            idle,
            interval,
            probes,
        }) = self.keepalive
        {
            let shown = [idle, interval, probes];
            let shown = shown.map(|n| n.map_or_else(|| "-".to_owned(), |n| n.to_string()));
            let _ = write!(id, " keepalive={}", shown.join("/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_usual_is_part_of_the_id() {
        let mut id = String::from("a");
        Connections::default().name(&mut id);
        assert_eq!(id, "a");
        let seconds = |count| Some(Duration::from_secs(count));
        let connections = Connections {
            idle: seconds(0),
            lifetime: seconds(90),
            keepalive: Some(Keepalive {
                idle: Some(10),
                interval: None,
                probes: Some(3),
            }),
        };
        connections.name(&mut id);
        assert_eq!(id, "a idle=3600s lifetime=90s keepalive=10/-/3");
        assert_eq!(connections.max_age(), seconds(90));
    }

    #[test]
    fn probes_have_bounds() {
        let said = Said {
            probes: Some(3),
            idle_time: Some(0),
            interval: Some(40_000),
        };
        let mut findings = Findings::default();
        let read = keepalive(&said, &mut findings).unwrap();
        assert_eq!(
            (read.probes, read.idle, read.interval),
            (Some(3), None, None)
        );
        assert_eq!(findings.0.len(), 2);
        assert_eq!(keepalive(&Said::default(), &mut findings), None);
    }
}
