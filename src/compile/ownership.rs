//! Who owns a pair of hostname and path (design D4). Space without a claim is first come; claims will be asked before that.

use std::sync::Arc;

use super::{Age, finding::Findings};
use crate::{crd::gateway_settings::Unclaimed, report::Code, resource::ObjectKey};

/// One who asks for a pair.
pub(super) struct Claimant<'c> {
    pub(super) key: &'c ObjectKey,
    pub(super) age: Age<'c>,
}

/// Who gets a pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner<'c> {
    /// This namespace, by its oldest object.
    Namespace(&'c Arc<str>, &'c ObjectKey),
    Everybody,
    Nobody,
}

/// The owner of a pair that no claim covers.
pub(super) fn unclaimed<'c>(rule: Unclaimed, claimants: &[Claimant<'c>]) -> Owner<'c> {
    match rule {
        Unclaimed::Shared => Owner::Everybody,
        Unclaimed::Deny => Owner::Nobody,
        Unclaimed::FirstCome => {
            let first = claimants.iter().min_by_key(|claimant| claimant.age);
            first.map_or(Owner::Nobody, |first| {
                Owner::Namespace(&first.key.namespace, first.key)
            })
        }
    }
}

impl Owner<'_> {
    /// Whether an object may have the pair; if not, says so.
    pub(super) fn admits(&self, key: &ObjectKey, pair: &str, findings: &mut Findings) -> bool {
        match self {
            Self::Everybody => true,
            Self::Namespace(namespace, _) if **namespace == key.namespace => true,
            Self::Namespace(namespace, first) => {
                findings.push(
                    Code::Conflict,
                    "",
                    format!("{pair} belongs to namespace {namespace}, where {first} had it first"),
                    "Choose another hostname or path, or agree with that namespace",
                );
                false
            }
            Self::Nobody => {
                findings.push(
                    Code::Unclaimed,
                    "",
                    format!("No claim gives {pair} to namespace {}", key.namespace),
                    "Have a claim created, or another value set for `ownership.unclaimed`",
                );
                false
            }
        }
    }
}
