//! Names and labels of the Leases.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

/// Whose Lease it is.
pub(super) const INSTALLATION_LABEL: &str = "postern.dev/installation";
/// What the Lease is for: [`REPLICA_ROLE`] or [`LEADER_ROLE`].
pub(super) const ROLE_LABEL: &str = "postern.dev/role";
pub(super) const REPLICA_ROLE: &str = "replica";
pub(super) const LEADER_ROLE: &str = "leader";

/// A label value may have 63 bytes, and a Lease name 253, of which a pod's name may take as much.
const MAX_INSTALLATION: usize = 50;
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
            installation: slug(installation, MAX_INSTALLATION),
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
        format!("postern-{}", self.installation)
    }
}

/// Lower-case letters, digits and single hyphens between them.
fn slug(text: &str, limit: usize) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            fine @ ('a'..='z' | '0'..='9') => slug.push(fine),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug == text && (1..=limit).contains(&slug.len()) {
        return slug.to_owned();
    }
    let kept = slug.get(..slug.len().min(limit - 9)).unwrap_or_default();
    with_digest(kept.trim_end_matches('-'), text)
}

fn with_digest(slug: &str, text: &str) -> String {
    let mut name = slug.to_owned();
    if !name.is_empty() {
        name.push('-');
    }
    for byte in Sha256::digest(text).iter().take(4) {
        write!(name, "{byte:02x}").expect("writing to a string must succeed");
    }
    name
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
