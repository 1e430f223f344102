//! What a replica says about itself in its Lease.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference},
    jiff::Timestamp,
};
use kube::api::ObjectMeta;

use super::{
    Timing,
    name::{Names, REPLICA_ROLE},
    version,
};
pub(super) use crate::report::replica::{ANNOTATION, Replica};

/// All annotations of an object may have 256 KiB together. With watches of very many namespaces the versions are put together
/// by type, which is never more than what was reached.
const MAX_ANNOTATION_BYTES: usize = 128 * 1024;

impl Replica {
    /// The Lease to apply.
    pub(super) fn lease(
        &self,
        names: &Names,
        owner: Option<&OwnerReference>,
        timing: &Timing,
        now: Timestamp,
    ) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(names.replica()),
                labels: Some(names.labels(REPLICA_ROLE)),
                annotations: Some([(ANNOTATION.to_owned(), self.to_json())].into()),
                owner_references: owner.map(|owner| vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(names.replica()),
                lease_duration_seconds: Some(whole_seconds(timing.replica_expiry)),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Reads a Lease; none when it is not that of a replica that speaks this language. Such a replica is not ready: nobody knows
    /// what it serves.
    pub(super) fn read(lease: &Lease) -> Option<Self> {
        let text = lease.metadata.annotations.as_ref()?.get(ANNOTATION)?;
        serde_json::from_str(text).ok()
    }

    fn to_json(&self) -> String {
        let text = |replica: &Self| {
            serde_json::to_string(replica).expect("texts and numbers must become JSON")
        };
        let whole = text(self);
        if whole.len() <= MAX_ANNOTATION_BYTES {
            return whole;
        }
        text(&Self {
            versions: version::by_type(&self.versions),
            ..self.clone()
        })
    }
}

/// A duration as Leases have it: rounded up, and at least one.
pub(super) fn whole_seconds(duration: std::time::Duration) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up.max(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{version::Versions, *};

    fn replica(namespaces: usize) -> Replica {
        Replica {
            build: "0.1.0".to_owned(),
            ready: true,
            digest: "d".to_owned(),
            versions: (0..namespaces)
                .map(|n| {
                    let watch = format!("team-{n}/mappings.postern.dev");
                    (watch.into(), (1000 + n).to_string().into())
                })
                .collect(),
            ..Replica::default()
        }
    }

    #[test]
    fn a_lease_tells_what_was_put_into_it() {
        let names = Names::new("default", "pod-1");
        let lease = replica(2).lease(&names, None, &Timing::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(Replica::read(&lease), Some(replica(2)));
        assert_eq!(lease.spec.unwrap().lease_duration_seconds, Some(30));
    }

    #[test]
    fn very_many_watches_are_put_together() {
        let names = Names::new("default", "pod-1");
        let many = replica(20_000);
        let lease = many.lease(&names, None, &Timing::default(), Timestamp::UNIX_EPOCH);
        let read = Replica::read(&lease).unwrap();
        assert_eq!(
            read.versions,
            Versions::from([("mappings.postern.dev".into(), "1000".into())])
        );
    }
}
