//! The status of a `postern.dev` object as the API server stores it, and what several installations say together.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};

/// The types of conditions, in the order in which they are shown.
pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const RESOLVED_REFS: &str = "ResolvedRefs";
pub(super) const PROGRAMMED: &str = "Programmed";
pub(super) const READY: &str = "Ready";

/// As the schema has it, of one installation and of all.
pub(super) const MAX_ADDRESSES: usize = 16;

const TYPES: [&str; 4] = [ACCEPTED, RESOLVED_REFS, PROGRAMMED, READY];

/// Whether a condition holds; the worst comes first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(super) enum Truth {
    False,
    #[default]
    Unknown,
    True,
}

/// One condition, in the shape that all of Kubernetes uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: Truth,
    pub(super) observed_generation: i64,
    /// RFC 3339 in seconds and UTC, so that the order of the texts is that of the times. Empty until it is merged into a status.
    pub(super) last_transition_time: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What one installation has to say about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Installation {
    pub(super) name: String,
    pub(super) observed_generation: i64,
    pub(super) conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) serves: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate_expiry: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<Address>,
}

/// Where an installation is reachable, in the shape of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    /// `IPAddress` or `Hostname`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self {
            kind: "IPAddress".to_owned(),
            value: address.to_string(),
        }
    }
}

/// The status of a `postern.dev` object. What is outside of `installations` is a function of `installations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_generation: Option<i64>,
    pub(super) conditions: Vec<Condition>,
    pub(super) installations: Vec<Installation>,
    /// None where there are none, so that a merge takes away what was there.
    pub(super) addresses: Option<Vec<Address>>,
}

// === impl Installation ===

impl Installation {
    pub(super) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    /// The same without times: two that are equal then say the same.
    pub(super) fn timeless(mut self) -> Self {
        for condition in &mut self.conditions {
            condition.last_transition_time.clear();
        }
        self
    }

    /// Takes the transition times of `before` where the status of a condition is still the same, and `now` elsewhere.
    fn dated(mut self, before: Option<&Self>, now: &str) -> Self {
        for condition in &mut self.conditions {
            let kept = before
                .and_then(|before| before.condition(&condition.kind))
                .filter(|old| {
                    old.status == condition.status && !old.last_transition_time.is_empty()
                });
            condition.last_transition_time =
                kept.map_or_else(|| now.to_owned(), |old| old.last_transition_time.clone());
        }
        self
    }
}

// === impl ObjectStatus ===

impl ObjectStatus {
    pub(super) fn installation(&self, name: &str) -> Option<&Installation> {
        self.installations.iter().find(|entry| entry.name == name)
    }

    /// The status with the entry of one installation replaced.
    pub(super) fn with(mut self, entry: Installation, now: &str) -> Self {
        let before = self.installation(&entry.name).cloned();
        let entry = entry.dated(before.as_ref(), now);
        self.installations.retain(|other| other.name != entry.name);
        self.installations.push(entry);
        self.summarised()
    }

    /// The status without what one installation said.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.installations.retain(|other| other.name != name);
        self.summarised()
    }

    /// Whether the top level is what follows from the list.
    pub(super) fn is_consistent(&self) -> bool {
        self.clone().summarised() == *self
    }

    /// Makes the top level again from the list.
    fn summarised(mut self) -> Self {
        self.installations.sort_by(|a, b| a.name.cmp(&b.name));
        self.conditions = TYPES
            .into_iter()
            .filter_map(|kind| worst(kind, &self.installations))
            .collect();
        let addresses: BTreeSet<_> = self
            .installations
            .iter()
            .flat_map(|entry| entry.addresses.iter().cloned())
            .collect();
        let addresses: Vec<_> = addresses.into_iter().take(MAX_ADDRESSES).collect();
        self.addresses = (!addresses.is_empty()).then_some(addresses);
        self.observed_generation = self
            .installations
            .iter()
            .map(|entry| entry.observed_generation)
            .min();
        self
    }
}

/// The worst of what the installations say: False before Unknown before True, then the oldest generation, then the name.
///
/// It is false since the first of those that say so began to; it is true since the last one began to.
fn worst(kind: &str, installations: &[Installation]) -> Option<Condition> {
    let all = || {
        installations
            .iter()
            .filter_map(|entry| Some((entry, entry.condition(kind)?)))
    };
    let (entry, condition) = all().min_by_key(|(entry, condition)| {
        (
            condition.status,
            condition.observed_generation,
            entry.name.clone(),
        )
    })?;
    let mut condition = condition.clone();
    let mut times: Vec<_> = all()
        .filter(|(_, other)| other.status == condition.status)
        .map(|(_, other)| other.last_transition_time.clone())
        .collect();
    times.sort();
    let since = match condition.status {
        Truth::True => times.pop(),
        Truth::False | Truth::Unknown => times.into_iter().next(),
    };
    condition.last_transition_time = since.unwrap_or_default();
    if installations.len() > 1 && condition.status != Truth::True {
        condition.message = format!("Installation {}: {}", entry.name, condition.message);
    }
    Some(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, generation: i64, ready: Truth, since: &str) -> Installation {
        Installation {
            name: name.to_owned(),
            observed_generation: generation,
            conditions: vec![Condition {
                kind: READY.to_owned(),
                status: ready,
                observed_generation: generation,
                last_transition_time: since.to_owned(),
                reason: format!("{ready:?}"),
                message: "text".to_owned(),
            }],
            ..Installation::default()
        }
    }

    fn top(entries: &[Installation]) -> Condition {
        let status = ObjectStatus {
            installations: entries.to_vec(),
            ..ObjectStatus::default()
        };
        status.summarised().conditions.remove(0)
    }

    #[test]
    fn with_one_installation_the_top_level_is_its_entry() {
        let only = entry("a", 3, Truth::False, "2026-01-01T00:00:00Z");
        assert_eq!(top(std::slice::from_ref(&only)), only.conditions[0]);
    }

    #[test]
    fn the_worst_installation_speaks_for_all() {
        use Truth::{False, True, Unknown};
        // (a, b) → (the top level, since which of them)
        for (a, b, status, since) in [
            (True, True, True, "b"),
            (True, False, False, "b"),
            (False, True, False, "a"),
            (False, False, False, "a"),
            (Unknown, True, Unknown, "a"),
            (Unknown, False, False, "b"),
        ] {
            let entries = [entry("one", 1, a, "a"), entry("two", 1, b, "b")];
            let top = top(&entries);
            assert_eq!(
                (top.status, top.last_transition_time.as_str()),
                (status, since),
                "{a:?} and {b:?}"
            );
        }
    }

    #[test]
    fn the_order_in_which_installations_write_does_not_matter() {
        let a = || entry("a", 2, Truth::False, "");
        let b = || entry("b", 1, Truth::True, "");
        let one = ObjectStatus::default().with(a(), "now").with(b(), "now");
        let other = ObjectStatus::default().with(b(), "now").with(a(), "now");
        assert_eq!(one, other);
        assert_eq!(one.observed_generation, Some(1));
        assert!(
            one.conditions[0].message.starts_with("Installation a: "),
            "{one:?}"
        );
        assert_eq!(
            one.without("a"),
            ObjectStatus::default().with(b(), "now"),
            "an entry must leave nothing behind"
        );
    }

    #[test]
    fn the_addresses_at_the_top_are_those_of_all_installations() {
        let at = |name: &str, value: &str| Installation {
            addresses: vec![Address {
                kind: "IPAddress".to_owned(),
                value: value.to_owned(),
            }],
            ..entry(name, 1, Truth::True, "")
        };
        let status = ObjectStatus::default()
            .with(at("b", "192.0.2.2"), "now")
            .with(at("a", "192.0.2.1"), "now")
            .with(at("c", "192.0.2.2"), "now");
        let values = |status: &ObjectStatus| {
            let addresses = status.addresses.iter().flatten();
            addresses.map(|a| a.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values(&status), ["192.0.2.1", "192.0.2.2"]);
        let status = status.without("b").without("c");
        assert_eq!(values(&status), ["192.0.2.1"]);
        assert_eq!(status.without("a").addresses, None);
    }

    #[test]
    fn a_transition_time_changes_with_the_status_only() {
        let first = ObjectStatus::default().with(entry("a", 1, Truth::True, ""), "1");
        let same = first.with(entry("a", 2, Truth::True, ""), "2");
        assert_eq!(same.conditions[0].last_transition_time, "1");
        assert_eq!(same.conditions[0].observed_generation, 2);
        let other = same.with(entry("a", 3, Truth::False, ""), "3");
        assert_eq!(other.conditions[0].last_transition_time, "3");
    }
}
