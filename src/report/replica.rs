//! What a replica says about itself in its Lease, for those who read it: the leader, and the plugin.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::version::Versions;

/// The annotation that holds [`Replica`] as JSON.
pub const ANNOTATION: &str = "postern.dev/replica";

/// Whose Lease it is: [`installation_label`].
pub const INSTALLATION_LABEL: &str = "postern.dev/installation";
/// What the Lease is for.
pub const ROLE_LABEL: &str = "postern.dev/role";
/// The role of a Lease that a replica keeps.
pub const REPLICA_ROLE: &str = "replica";

/// A replica that has not come as far after this is behind, for metrics, warnings and people: its Lease is written within a
/// second.
pub const WORTH_A_WARNING: Duration = Duration::from_secs(5);

/// A label value may have 63 bytes, and a Lease has a name that begins with it.
const MAX_INSTALLATION: usize = 50;

/// The state of a replica, as the others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replica {
    pub build: String,
    pub ready: bool,
    /// Of the graph in use: equal for replicas with equal builds and versions.
    pub digest: String,
    /// The resource versions compiled, by watch.
    pub versions: Versions,
    /// The preset that it was started with, as GatewaySettings write it; none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// When the graph in use was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<i64>,
    /// Where its node is reached, if that is to be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<IpAddr>,
    /// Ports of Listeners that it could not bind.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unbound: BTreeSet<u16>,
    /// What the leader knows of replicas that are behind, by the names of their Leases; empty in the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<String, Late>,
}

/// Of a replica that is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Late {
    /// In seconds since 1970.
    pub since: i64,
    /// A watch in which it has missed something.
    pub watch: String,
}

/// An installation's name as the value of its label.
pub fn installation_label(installation: &str) -> String {
    slug(installation, MAX_INSTALLATION)
}

/// Lower-case letters, digits and single hyphens between them.
pub fn slug(text: &str, limit: usize) -> String {
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

/// A text that is not a name itself keeps what it can, and is told from others by a digest.
pub fn with_digest(slug: &str, text: &str) -> String {
    let mut name = slug.to_owned();
    if !name.is_empty() {
        name.push('-');
    }
    for byte in Sha256::digest(text).iter().take(4) {
        write!(name, "{byte:02x}").expect("writing to a string must succeed");
    }
    name
}
