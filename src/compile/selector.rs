//! Label selectors of Hosts and Listeners.

use std::collections::BTreeMap;

use crate::crd::host::LabelSelector;

/// All of these labels. An empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Selector(BTreeMap<String, String>);

impl Selector {
    /// None when it does not say anything.
    pub(super) fn of(selector: Option<&LabelSelector>) -> Option<Self> {
        let labels = selector?.match_labels.as_ref()?;
        Some(Self(labels.clone()))
    }

    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }
}
