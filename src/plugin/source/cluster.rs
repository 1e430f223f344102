//! Facts of an API server, as far as the kubeconfig may read it.

use anyhow::{Context, Result, bail};
use kube::Client;

use super::{compiled, facts, folder, leases, options, replica::Diagnostics, scope};
use crate::{
    compile::Environment,
    plugin::{
        args::Common,
        facts::{Facts, Live, Origin, ReplicaState},
    },
    report::version,
    resource::{Group, Kind, ObjectKey, Origin as Found, ResourceSet, key::KINDS},
    source::{
        self,
        kube::{connect_as_kubectl, once},
    },
};

/// Where Postern is by its chart and its documents.
const USUAL_NAMESPACE: &str = "postern";
/// Compiling tells which Secrets are wanted, and each may lead to others no more often than this.
const ROUNDS: usize = 3;

/// An API server, and the namespace that is current there.
pub(in crate::plugin) struct Connection {
    pub(in crate::plugin) client: Client,
    pub(in crate::plugin) namespace: Option<String>,
}

impl Connection {
    pub(in crate::plugin) async fn open(common: &Common) -> Result<Self> {
        let kubeconfig = common.kubeconfig.as_deref();
        let source::kube::Connection {
            client, namespace, ..
        } = connect_as_kubectl(kubeconfig, common.context.as_deref())
            .await
            .context("no cluster to ask; with -f a folder needs none")?;
        let namespace = common.namespace.clone().or(namespace);
        Ok(Self { client, namespace })
    }

    /// The diagnostics port of a replica: of the pod that is named, or of the first that is ready.
    pub(in crate::plugin) async fn replica(
        &self,
        common: &Common,
        pod: Option<&str>,
    ) -> Result<Diagnostics> {
        let found = leases::read(&self.client, common, self.namespace.as_deref()).await;
        let now = jiff::Timestamp::now().as_second();
        let (namespace, name) = match pod.map(|pod| pod.split_once('/').ok_or(pod)) {
            Some(Ok((namespace, name))) => (namespace.to_owned(), name.to_owned()),
            Some(Err(name)) => (Self::gateway_namespace(common, &found), name.to_owned()),
            None => {
                let replicas = found.replicas.iter().flatten();
                let ready = replicas.filter(|r| r.is_alive(now) && r.is_ready());
                match ready.min_by_key(|replica| &replica.name) {
                    Some(replica) => (replica.namespace.clone(), replica.name.clone()),
                    None => bail!(
                        "no replica of installation {} is known to be ready: name a pod with --from-replica=NAMESPACE/POD",
                        common.installation
                    ),
                }
            }
        };
        Ok(Diagnostics::forwarded(self.client.clone(), namespace, name))
    }

    /// Postern's own namespace: as it was said, else where the Leases are.
    pub(in crate::plugin) fn gateway_namespace(common: &Common, leases: &leases::Leases) -> String {
        let of_leases = leases.replicas.iter().flatten().next();
        common
            .gateway_namespace
            .clone()
            .or_else(|| of_leases.map(|replica| replica.namespace.clone()))
            .unwrap_or_else(|| USUAL_NAMESPACE.to_owned())
    }
}

/// Reads what may be read, and compiles it.
pub(super) async fn load(common: &Common, connection: &Connection) -> Result<Facts> {
    let found = leases::read(&connection.client, common, connection.namespace.as_deref()).await;
    let mut own = Connection::gateway_namespace(common, &found);
    let mut namespaces: Vec<String> = connection.namespace.iter().cloned().collect();
    namespaces.push(own.clone());
    namespaces.dedup();
    let mut once = once::read(&connection.client, &namespaces).await?;
    if common.gateway_namespace.is_none() && found.replicas.iter().flatten().next().is_none() {
        own = folder::gateway_namespace(&once.set).unwrap_or(own);
    }
    let options = options(common, &own, environment(common));
    let mut compiled = compiled(once.set, options.clone());
    for _ in 0..ROUNDS {
        let asked = compiled.report.wanted_secrets.iter();
        let unasked: std::collections::BTreeSet<ObjectKey> = asked
            .filter(|key| !is_known(key, &compiled.set, &once.unread))
            .cloned()
            .collect();
        if unasked.is_empty() {
            break;
        }
        let unread = once::read_secrets(&connection.client, &unasked, &mut compiled.set).await;
        once.unread.extend(unread);
        compiled = super::compiled(compiled.set, options.clone());
    }
    let missing = missing_kinds(&once.served);
    let mut facts = facts(
        compiled,
        Origin::Cluster,
        scope(common, connection.namespace.clone()),
    );
    facts.missing_kinds = missing;
    facts.unread = once.unread;
    facts.unread.extend(found.unread);
    facts.unread.sort();
    facts.replicas = found.replicas;
    count_live(&mut facts);
    Ok(facts)
}

/// As the replicas compile.
pub(in crate::plugin) fn environment(common: &Common) -> Environment {
    Environment::Cluster {
        domain: common.cluster_domain.as_str().into(),
        own_addresses: Vec::new(),
        echo: None,
    }
}

fn is_known(key: &ObjectKey, set: &ResourceSet, unread: &[once::Unread]) -> bool {
    let resource = format!("secrets/{}", key.name);
    set.secrets.contains_key(key)
        || set.absent_secrets.contains(key)
        || unread.iter().any(|unread| {
            unread.resource == resource && unread.namespace.as_deref() == Some(&*key.namespace)
        })
}

/// The kinds of `postern.dev` that the API server does not serve.
fn missing_kinds(served: &std::collections::BTreeSet<(Group, Kind)>) -> Vec<String> {
    let own = KINDS.iter().filter(|row| row.0 == Group::Postern);
    own.filter(|row| !served.contains(&(row.0, row.1)))
        .map(|row| format!("{}.{}", row.3, row.0.name()))
        .collect()
}

/// How many of the replicas that are ready and alive have compiled each object as it was read.
fn count_live(facts: &mut Facts) {
    let now = jiff::Timestamp::now().as_second();
    let Some(replicas) = &facts.replicas else {
        return;
    };
    let serving: Vec<&ReplicaState> = replicas
        .iter()
        .filter(|replica| replica.is_alive(now) && replica.is_ready())
        .collect();
    let Ok(compiled) = facts.compiled() else {
        return;
    };
    let live: Vec<_> = { compiled.report.objects.iter() }
        .map(|object| {
            let key = match &object.origin {
                Found::Annotation { of, .. } => of,
                Found::Cluster | Found::File { .. } => &object.key,
            };
            let mark = &compiled.set.meta(key)?.resource_version;
            let has_reached = |replica: &&&ReplicaState| {
                let versions = replica.says.as_ref().map(|says| &says.versions);
                versions
                    .and_then(|versions| version::of(versions, key))
                    .is_some_and(|reached| version::has_reached(reached, mark))
            };
            Some(Live {
                reached: serving.iter().filter(has_reached).count(),
                of: serving.len(),
            })
        })
        .collect();
    for (known, live) in facts.objects.iter_mut().zip(live) {
        known.live = live;
    }
}
