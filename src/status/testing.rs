//! What the tests of this module share.

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};

use super::{Timing, name::Names, replica::Replica};

/// The Lease of a replica that has reached this version of the Mappings, as it was renewed in this second.
pub(super) fn lease(pod: &str, ready: bool, version: &str, second: i64) -> Lease {
    let replica = Replica {
        ready,
        versions: [("mappings.postern.dev".into(), version.into())].into(),
        ..Replica::default()
    };
    let now = Timestamp::from_second(second).unwrap();
    let names = Names::new("default", pod);
    let mut lease = replica.lease(&names, None, &Timing::default(), now);
    lease.metadata.resource_version = Some(format!("{}", second + 1));
    lease
}
