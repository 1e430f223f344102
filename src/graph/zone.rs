//! For which zones an endpoint is meant, where the cluster says so.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// The zones of each endpoint, in the order of the addresses. Every endpoint has at least one: hints for some of them are none
/// at all, as kube-proxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hints(Arc<[Box<[Arc<str>]>]>);

impl Hints {
    /// None unless there are zones for each.
    pub fn new(of: Vec<Box<[Arc<str>]>>) -> Option<Self> {
        let all = !of.is_empty() && of.iter().all(|zones| !zones.is_empty());
        all.then(|| Self(of.into()))
    }

    /// Whether the endpoint at a place is meant for a zone.
    pub fn is_for(&self, place: usize, zone: &str) -> bool {
        let zones = self.0.get(place);
        zones.is_some_and(|zones| zones.iter().any(|one| **one == *zone))
    }

    /// How many endpoints each zone has.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for zone in self.0.iter().flatten() {
            *counts.entry(&**zone).or_default() += 1;
        }
        counts
    }
}

impl fmt::Display for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (zone, count)) in self.counts().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} for {zone}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_for_some_endpoints_are_none() {
        let zones = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        assert_eq!(Hints::new(vec![]), None);
        assert_eq!(Hints::new(vec![zones(&["a"]), zones(&[])]), None);
        let hints = Hints::new(vec![zones(&["a"]), zones(&["a", "b"])]).unwrap();
        assert_eq!(hints.to_string(), "2 for a, 1 for b");
        assert!(hints.is_for(0, "a") && !hints.is_for(0, "b") && !hints.is_for(2, "a"));
    }
}
