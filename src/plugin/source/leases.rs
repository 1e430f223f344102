//! The Leases of the replicas: what each says about itself.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::ListParams};

use crate::{
    crd::gateway_settings::Preset,
    plugin::{args::Common, facts::ReplicaState},
    report::replica::{
        ANNOTATION, INSTALLATION_LABEL, REPLICA_ROLE, ROLE_LABEL, Replica, installation_label,
    },
    resource::Kind,
    source::kube::once::Unread,
};

/// The compiler has no kind for them.
pub(in crate::plugin) const RESOURCE: &str = "leases.coordination.k8s.io";
/// Where a Lease says nothing else.
const EXPIRES_AFTER: i64 = 30;

/// What could be read.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Leases {
    /// None when nobody may read them.
    pub(in crate::plugin) replicas: Option<Vec<ReplicaState>>,
    pub(in crate::plugin) unread: Option<Unread>,
}

/// Reads the Leases of an installation's replicas: in all namespaces, or where that may not be in Postern's own.
pub(in crate::plugin) async fn read(
    client: &Client,
    common: &Common,
    current: Option<&str>,
) -> Leases {
    let selector = format!(
        "{ROLE_LABEL}={REPLICA_ROLE},{INSTALLATION_LABEL}={}",
        installation_label(&common.installation)
    );
    let params = ListParams::default().labels(&selector);
    let said = common.gateway_namespace.as_deref();
    let everywhere = match said {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::<Lease>::all(client.clone()),
    };
    let failure = match everywhere.list(&params).await {
        Ok(list) => return Leases::of(&list.items),
        Err(failure) => failure,
    };
    for namespace in ["postern"].into_iter().chain(current) {
        let here: Api<Lease> = Api::namespaced(client.clone(), namespace);
        if let Ok(list) = here.list(&params).await
            && !list.items.is_empty()
        {
            return Leases::of(&list.items);
        }
    }
    let forbidden = matches!(&failure, kube::Error::Api(status) if status.code == 403);
    Leases {
        replicas: None,
        unread: Some(Unread {
            kind: Kind::Namespace,
            resource: RESOURCE.to_owned(),
            namespace: said.map(str::to_owned),
            except: Vec::new(),
            forbidden,
            why: failure.to_string(),
        }),
    }
}

impl Leases {
    pub(in crate::plugin) fn of(leases: &[Lease]) -> Self {
        let mut replicas: Vec<_> = leases.iter().map(state).collect();
        replicas.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Self {
            replicas: Some(replicas),
            unread: None,
        }
    }

    /// What the replicas were started with, as far as they say so.
    pub(in crate::plugin) fn preset(&self) -> Preset {
        let says = self.replicas.iter().flatten();
        let mut presets = says.filter_map(|replica| replica.says.as_ref()?.preset.clone());
        let preset = presets.next().map(serde_json::Value::String);
        let preset = preset.and_then(|preset| serde_json::from_value(preset).ok());
        preset.unwrap_or(Preset::None)
    }
}

fn state(lease: &Lease) -> ReplicaState {
    let metadata = &lease.metadata;
    let pod = metadata.owner_references.iter().flatten().next();
    let text = { metadata.annotations.iter() }.find_map(|all| all.get(ANNOTATION));
    let spec = lease.spec.as_ref();
    ReplicaState {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: pod
            .map(|pod| pod.name.clone())
            .or_else(|| metadata.name.clone())
            .unwrap_or_default(),
        lease: metadata.name.clone().unwrap_or_default(),
        says: text.and_then(|text| serde_json::from_str::<Replica>(text).ok()),
        renewed: spec
            .and_then(|spec| spec.renew_time.as_ref())
            .map(|time| time.0.as_second()),
        expires_after: spec
            .and_then(|spec| spec.lease_duration_seconds)
            .map_or(EXPIRES_AFTER, i64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let lease: Lease = serde_json::from_value(serde_json::json!({
            "metadata": {
                "namespace": "postern",
                "name": "postern-default-pod-1",
                "annotations": {"postern.dev/replica": "{\"build\":\"0.1.0\",\"ready\":true,\"digest\":\"d\",\"versions\":{\"mappings.postern.dev\":\"7\"}}"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "pod-1", "uid": "u"}],
            },
            "spec": {"leaseDurationSeconds": 30, "renewTime": "2026-11-25T00:00:00.000000Z"},
        }))
        .unwrap();
        let found = Leases::of(&[lease]).replicas.unwrap().remove(0);
        assert_eq!((&*found.namespace, &*found.name), ("postern", "pod-1"));
        let renewed = found.renewed.unwrap();
        assert!(found.is_ready() && found.is_alive(renewed + 30) && !found.is_alive(renewed + 31));
    }

    #[test]
    fn the_preset_is_that_of_the_replicas() {
        for (said, preset) in [
            (r#"{"build": "0.1.0"}"#, Preset::None),
            (
                r#"{"build": "0.1.0", "preset": "emissary"}"#,
                Preset::Emissary,
            ),
            (r#"{"build": "9.0.0", "preset": "something"}"#, Preset::None),
        ] {
            let lease = serde_json::json!({
                "metadata": {"namespace": "postern", "name": "a", "annotations": {ANNOTATION: said}},
            });
            let lease: Lease = serde_json::from_value(lease).unwrap();
            assert_eq!(Leases::of(&[lease]).preset(), preset, "{said}");
        }
    }
}
