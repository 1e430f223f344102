//! Liveness and readiness, with reasons.
//!
//! Ready means that every part below has said so once, and that the process does not drain. Whatever goes wrong later
//! makes a replica degraded, not unready: it still serves its last good snapshot, and so do its neighbours.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::RwLock;
use serde::Serialize;

/// What a replica needs before it may take traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Every kind has been listed once.
    Resources,
    /// What was listed has been compiled once.
    Configuration,
    /// Every certificate that was asked for has been looked for.
    Certificates,
    /// The workers run, and have tried to bind every Listener.
    Listeners,
}

impl Part {
    const ALL: [(Self, &'static str); 4] = [
        (
            Self::Resources,
            "waiting for the first full list of every kind",
        ),
        (Self::Configuration, "waiting for the first compile"),
        (
            Self::Certificates,
            "waiting for the Secrets that Hosts refer to",
        ),
        (Self::Listeners, "waiting for the Listeners to be bound"),
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resources => "resources",
            Self::Configuration => "configuration",
            Self::Certificates => "certificates",
            Self::Listeners => "listeners",
        })
    }
}

/// The health of this process; clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    missing: BTreeMap<Part, String>,
    degraded: BTreeMap<Part, String>,
    dead: Option<String>,
    draining: bool,
}

/// What `/ready` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub draining: bool,
    /// What has not happened yet, by part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<Part, String>,
    /// What goes wrong while the last good state is served, by part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub degraded: BTreeMap<Part, String>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Live, and not ready: every part is missing.
    pub fn new() -> Self {
        let missing = Part::ALL
            .into_iter()
            .map(|(part, why)| (part, why.to_owned()))
            .collect();
        Self {
            state: Arc::new(RwLock::new(State {
                missing,
                ..State::default()
            })),
        }
    }

    /// The part has what it needs, and nothing is wrong with it.
    pub fn satisfied(&self, part: Part) {
        {
            let state = self.state.read();
            if !state.missing.contains_key(&part) && !state.degraded.contains_key(&part) {
                return;
            }
        }
        let mut state = self.state.write();
        state.missing.remove(&part);
        state.degraded.remove(&part);
    }

    /// The part has what it takes to serve. What is wrong with it nevertheless stays said.
    pub fn begun(&self, part: Part) {
        if self.state.read().missing.contains_key(&part) {
            self.state.write().missing.remove(&part);
        }
    }

    /// Says more exactly what a part waits for. A part that was satisfied stays so: this only explains.
    pub fn waiting(&self, part: Part, why: impl Into<String>) {
        if let Some(reason) = self.state.write().missing.get_mut(&part) {
            *reason = why.into();
        }
    }

    /// Something is wrong with the part; what it had before stays in use.
    pub fn degraded(&self, part: Part, what: impl Into<String>) {
        self.state.write().degraded.insert(part, what.into());
    }

    /// The process cannot go on and should be replaced.
    pub fn dead(&self, why: impl Into<String>) {
        self.state.write().dead.get_or_insert_with(|| why.into());
    }

    /// No new traffic is wanted. There is no way back.
    pub fn draining(&self) {
        self.state.write().draining = true;
    }

    pub fn is_ready(&self) -> bool {
        self.readiness().ready
    }

    pub fn readiness(&self) -> Readiness {
        let state = self.state.read();
        Readiness {
            ready: state.missing.is_empty() && !state.draining && state.dead.is_none(),
            draining: state.draining,
            missing: state.missing.clone(),
            degraded: state.degraded.clone(),
        }
    }

    /// Why the process should be replaced, if it should.
    pub fn death(&self) -> Option<String> {
        self.state.read().dead.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Health {
        let health = Health::new();
        for (part, _) in Part::ALL {
            health.satisfied(part);
        }
        health
    }

    #[test]
    fn ready_only_when_every_part_is() {
        for (left_out, _) in Part::ALL {
            let health = Health::new();
            for (part, _) in Part::ALL {
                if part != left_out {
                    health.satisfied(part);
                }
            }
            let readiness = health.readiness();
            assert!(!readiness.ready, "ready without {left_out}");
            assert_eq!(readiness.missing.keys().collect::<Vec<_>>(), [&left_out]);
        }
        assert!(ready().is_ready());
    }

    #[test]
    fn a_degraded_part_stays_ready_and_says_what_is_wrong() {
        let health = ready();
        health.degraded(Part::Configuration, "the compiler panicked");
        let readiness = health.readiness();
        assert!(readiness.ready);
        assert_eq!(
            readiness.degraded[&Part::Configuration],
            "the compiler panicked"
        );
        health.satisfied(Part::Configuration);
        assert!(health.readiness().degraded.is_empty());
    }

    #[test]
    fn a_part_may_begin_with_something_wrong_with_it() {
        let health = Health::new();
        health.degraded(Part::Listeners, "port 80 is taken");
        for (part, _) in Part::ALL {
            health.begun(part);
        }
        let readiness = health.readiness();
        assert!(readiness.ready);
        assert_eq!(readiness.degraded[&Part::Listeners], "port 80 is taken");
    }

    #[test]
    fn explaining_a_satisfied_part_does_not_make_it_missing() {
        let health = ready();
        health.waiting(Part::Certificates, "waiting for Secret apps/site");
        assert!(health.is_ready());
    }

    #[test]
    fn a_draining_process_is_live_and_not_ready() {
        let health = ready();
        health.draining();
        assert!(!health.is_ready());
        assert_eq!(health.death(), None);
    }

    #[test]
    fn the_first_cause_of_death_is_kept() {
        let health = ready();
        health.dead("worker 1 ended");
        health.dead("everything else ended too");
        assert_eq!(health.death().as_deref(), Some("worker 1 ended"));
        assert!(!health.is_ready());
    }
}
