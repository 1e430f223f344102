//! Objects of one kind, namespace and name in both groups: two objects, which are easily taken for one.

use super::finding::Findings;
use crate::{
    report::Code,
    resource::{Group, ObjectKey},
};

/// The key in the other group; none for what only one group has.
pub(super) fn of(key: &ObjectKey) -> Option<ObjectKey> {
    let other = match key.group {
        Group::Postern => Group::Emissary,
        Group::Emissary => Group::Postern,
        Group::Core | Group::Discovery | Group::Networking | Group::Gateway => return None,
    };
    Some(ObjectKey::new(other, key.kind, &key.namespace, &key.name))
}

/// Says that the other is there, too.
pub(super) fn tell(twin: &ObjectKey, findings: &mut Findings) {
    findings.push(
        Code::SameNameInBothGroups,
        "",
        format!(
            "{} {}/{} of {} has the same name, and both count",
            twin.kind.name(),
            twin.namespace,
            twin.name,
            twin.group.name()
        ),
        "Delete one of the two once the other serves as it should",
    );
}
