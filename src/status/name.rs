//! Names and labels of the Leases.

use std::collections::BTreeMap;

pub(super) use crate::report::replica::{INSTALLATION_LABEL, REPLICA_ROLE, ROLE_LABEL};
use crate::report::replica::{installation_label, slug, with_digest};

pub(super) const LEADER_ROLE: &str = "leader";

/// What the name of every installation as a field manager begins with.
pub(super) const FIELD_MANAGER: &str = "postern";

/// A Lease name may have 253 bytes, of which a pod's name may take as much.
const MAX_REPLICA: usize = 180;

/// The names that one replica of one installation uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    installation: String,
    replica: String,
}

impl Names {
    /// An installation's or replica's name may be any text: what a Lease cannot be called is replaced, and a digest keeps
    /// different names different.
    pub(super) fn new(installation: &str, replica: &str) -> Self {
        let mut replica = slug(replica, MAX_REPLICA);
        if replica == LEADER_ROLE {
            replica = with_digest(&replica, &replica);
        }
        Self {
            installation: installation_label(installation),
            replica,
        }
    }

    pub(super) fn leader(&self) -> String {
        format!("postern-{}-{LEADER_ROLE}", self.installation)
    }

    pub(super) fn replica(&self) -> String {
        format!("postern-{}-{}", self.installation, self.replica)
    }

    pub(super) fn labels(&self, role: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (
                "app.kubernetes.io/managed-by".to_owned(),
                "postern".to_owned(),
            ),
            (INSTALLATION_LABEL.to_owned(), self.installation.clone()),
            (ROLE_LABEL.to_owned(), role.to_owned()),
        ])
    }

    /// Selects the Leases of all replicas of the installation.
    pub(super) fn replicas_selector(&self) -> String {
        format!(
            "{INSTALLATION_LABEL}={},{ROLE_LABEL}={REPLICA_ROLE}",
            self.installation
        )
    }

    /// The name under which the API server keeps who owns which field.
    pub(super) fn field_manager(&self) -> String {
        format!("{FIELD_MANAGER}-{}", self.installation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_kept() {
        let names = Names::new("default", "postern-7c9f-2xk4q");
        assert_eq!(names.leader(), "postern-default-leader");
        assert_eq!(names.replica(), "postern-default-postern-7c9f-2xk4q");
    }

    #[test]
    fn any_text_becomes_a_name_of_its_own() {
        let long = "x".repeat(300);
        let odd = ["", "Team A", "team a", "team-a", "--", "ä", "leader", &long];
        let mut seen = std::collections::BTreeSet::new();
        for text in odd {
            let names = Names::new(text, text);
            let label = names.labels(REPLICA_ROLE)[INSTALLATION_LABEL].clone();
            assert!((1..=63).contains(&label.len()), "{label}");
            assert!(!label.ends_with('-') && !label.starts_with('-'), "{label}");
            assert!(names.replica().len() <= 253 && names.replica() != names.leader());
            assert!(seen.insert(names.replica()), "{text:?} is not its own");
        }
    }
}
