//! What the last compile was made of: tells which kinds of objects have changed since.

use std::sync::Arc;

use crate::{
    crd::{GatewaySettingsSpec, HostSpec, ListenerSpec, TlsContextSpec},
    resource::{EndpointSlice, Grant, Objects, ResourceSet, SecretData, Service},
};

/// The objects of the last compile, but for Mappings.
#[derive(Debug, Default)]
pub(super) struct Seen {
    started: bool,
    settings: Objects<GatewaySettingsSpec>,
    others: Objects<serde_json::Value>,
    services: Objects<Service>,
    slices: Objects<EndpointSlice>,
    namespaces: Objects<()>,
    grants: Objects<Grant>,
    contexts: Objects<TlsContextSpec>,
    secrets: Objects<SecretData>,
    absent: std::collections::BTreeSet<crate::resource::ObjectKey>,
    hosts: Objects<HostSpec>,
    listeners: Objects<ListenerSpec>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed {
    /// GatewaySettings and the kinds of Emissary.
    pub(super) settings: bool,
    /// Services, endpoints, namespaces and grants.
    pub(super) cluster: bool,
    /// TLSContexts and Secrets.
    pub(super) tls: bool,
    pub(super) hosts: bool,
    pub(super) listeners: bool,
}

impl Seen {
    pub(super) fn update(&mut self, now: &ResourceSet) -> Changed {
        let first = !std::mem::replace(&mut self.started, true);
        let absent = self.absent != now.absent_secrets;
        if absent {
            self.absent.clone_from(&now.absent_secrets);
        }
        // All are compared: each remembers what it saw.
        Changed {
            settings: first
                | replaced(&mut self.settings, &now.settings)
                | replaced(&mut self.others, &now.others),
            cluster: first
                | replaced(&mut self.services, &now.services)
                | replaced(&mut self.slices, &now.endpoint_slices)
                | replaced(&mut self.namespaces, &now.namespaces)
                | replaced(&mut self.grants, &now.grants),
            tls: first
                | absent
                | replaced(&mut self.contexts, &now.tls_contexts)
                | replaced(&mut self.secrets, &now.secrets),
            hosts: first | replaced(&mut self.hosts, &now.hosts),
            listeners: first | replaced(&mut self.listeners, &now.listeners),
        }
    }
}

/// Whether the objects are others than before; by identity, because an unchanged object keeps its `Arc`.
fn replaced<T>(before: &mut Objects<T>, now: &Objects<T>) -> bool {
    let same = before.len() == now.len()
        && before
            .values()
            .zip(now.values())
            .all(|(before, now)| Arc::ptr_eq(before, now));
    if !same {
        before.clone_from(now);
    }
    !same
}
