//! Who owns a pair of hostname and path in a region (design D4): where nobody has claimed anything, who came first.

use std::sync::Arc;

use super::finding::Findings;
use crate::{crd::gateway_settings::Unclaimed, report::Code, resource::ObjectKey};

/// Who gets a pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner<'c> {
    /// This namespace, by its oldest object.
    Namespace(&'c Arc<str>, &'c ObjectKey),
    Everybody,
    Nobody,
}

/// The owner of a pair that `oldest`, the oldest object, asks for.
pub(super) fn unclaimed(rule: Unclaimed, oldest: Option<&ObjectKey>) -> Owner<'_> {
    match rule {
        Unclaimed::Shared => Owner::Everybody,
        Unclaimed::Deny => Owner::Nobody,
        Unclaimed::FirstCome => oldest.map_or(Owner::Nobody, |oldest| {
            Owner::Namespace(&oldest.namespace, oldest)
        }),
    }
}

impl Owner<'_> {
    /// Whether an object may have the pair; if not, says so. With `is_part`, it has a part of its requests in a claim anyway.
    pub(super) fn admits(
        &self,
        key: &ObjectKey,
        pair: impl FnOnce() -> String,
        is_part: bool,
        findings: &mut Findings,
    ) -> bool {
        match self {
            Self::Everybody => true,
            Self::Namespace(namespace, _) if **namespace == key.namespace => true,
            Self::Namespace(namespace, first) => {
                let (code, of) = if is_part {
                    (Code::PartlyConflict, "Outside of its own claims, ")
                } else {
                    (Code::Conflict, "")
                };
                findings.push(
                    code,
                    "",
                    format!(
                        "{of}{} belongs to namespace {namespace}, whose object {first} is older",
                        pair()
                    ),
                    "Choose another hostname or path, or agree with that namespace",
                );
                false
            }
            Self::Nobody => {
                findings.push(
                    Code::Unclaimed,
                    "",
                    format!("No claim gives {} to namespace {}", pair(), key.namespace),
                    "Have a claim created, or another value set for `ownership.unclaimed`",
                );
                false
            }
        }
    }
}
