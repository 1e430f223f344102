//! Facts of an API server, as far as the kubeconfig may read it.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail};
use kube::Client;

use super::{facts, folder, insert_applied, leases, options, replica::Diagnostics, scope};
use crate::{
    compile::{Environment, Options},
    plugin::{
        args::Common,
        facts::{Compiled, Facts, Live, Origin, ReplicaState, Scope},
        said,
    },
    report::version,
    resource::{Group, Kind, ObjectKey, Origin as Found, ResourceSet, key::KINDS},
    source::{
        self,
        kube::{KubeError, connect_as_kubectl, once},
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
            .map_err(no_cluster)?;
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

/// What to do about it, for people who run no pod.
fn no_cluster(error: KubeError) -> anyhow::Error {
    const NEXT: &str = "name another with --kubeconfig, or manifests with -f";
    match error {
        KubeError::Nowhere { kubeconfig, .. } => anyhow!(
            "there is no cluster to ask: the kubeconfig in $KUBECONFIG or ~/.kube/config cannot be used: {kubeconfig}; {NEXT}"
        ),
        KubeError::Context { kubeconfig } => {
            anyhow!("there is no cluster to ask: {kubeconfig}; see `kubectl config get-contexts`")
        }
        KubeError::Kubeconfig { path, cause } => anyhow!(
            "there is no cluster to ask: the kubeconfig {} cannot be used: {cause}; {NEXT}",
            path.display()
        ),
        other => anyhow::Error::new(other),
    }
}

/// What was read of an API server.
struct Read {
    once: once::Once,
    options: Options,
    leases: leases::Leases,
    scope: Scope,
}

/// Reads what may be read, and compiles it.
pub(in crate::plugin) async fn load(common: &Common, connection: &Connection) -> Result<Facts> {
    let read = Read::of(common, connection, &ResourceSet::default()).await?;
    Ok(read.facts(connection).await)
}

/// The Leases alone, as they are now.
pub(in crate::plugin) async fn replicas(common: &Common) -> Result<Option<Vec<ReplicaState>>> {
    let connection = Connection::open(common).await?;
    let found = leases::read(&connection.client, common, connection.namespace.as_deref()).await;
    Ok(found.replicas)
}

/// The same, and what it would be with these objects in the place of those of their names.
pub(in crate::plugin) async fn load_applied(
    common: &Common,
    connection: &Connection,
    applied: &ResourceSet,
) -> Result<(Facts, Facts)> {
    let read = Read::of(common, connection, applied).await?;
    let now = read.facts(connection).await;
    let mut set = now.compiled()?.set.clone();
    let once::Once { set: all, said, .. } = &read.once;
    said::restore(said, all, &mut set);
    insert_applied(applied, &mut set);
    let said = said::still_said(said, all, &set);
    let mut unread = now.unread.clone();
    let compiled = complete(connection, now.compiled()?.again(set), &mut unread).await;
    let mut after = facts(compiled, Origin::Cluster, read.scope.clone());
    unread.sort();
    after.unread = unread;
    said::believe(&mut after, &said);
    Ok((now, after))
}

impl Read {
    /// Where all namespaces may not be read: that of the context, Postern's own, and those of these objects.
    async fn of(common: &Common, connection: &Connection, applied: &ResourceSet) -> Result<Self> {
        let current = connection.namespace.as_deref();
        let leases = leases::read(&connection.client, common, current).await;
        let mut own = Connection::gateway_namespace(common, &leases);
        let of_mappings = applied.mappings.keys();
        let of_objects = of_mappings
            .chain(applied.tcp_mappings.keys())
            .chain(applied.hosts.keys());
        let namespaces: BTreeSet<String> = of_objects
            .map(|key| key.namespace.to_string())
            .chain(connection.namespace.clone())
            .chain([own.clone()])
            .collect();
        let namespaces: Vec<_> = namespaces.into_iter().collect();
        let once = once::read(&connection.client, &common.installation, &namespaces).await?;
        if common.gateway_namespace.is_none() && leases.replicas.iter().flatten().next().is_none() {
            own = folder::gateway_namespace(&once.set).unwrap_or(own);
        }
        Ok(Self {
            once,
            options: options(common, &own, environment(common)),
            leases,
            scope: scope(common, connection.namespace.clone()),
        })
    }

    async fn facts(&self, connection: &Connection) -> Facts {
        let mut unread = self.once.unread.clone();
        let set = self.once.set.clone();
        let compiled = Compiled::of(set, self.options.clone(), self.leases.preset());
        let compiled = complete(connection, compiled, &mut unread).await;
        let mut facts = facts(compiled, Origin::Cluster, self.scope.clone());
        facts.missing_kinds = missing_kinds(&self.once.served);
        unread.extend(self.leases.unread.clone());
        unread.sort();
        facts.unread = unread;
        facts.replicas.clone_from(&self.leases.replicas);
        count_live(&mut facts);
        said::believe(&mut facts, &self.once.said);
        facts
    }
}

/// Reads the Secrets that are wanted, and compiles with them.
async fn complete(
    connection: &Connection,
    mut compiled: Compiled,
    unread: &mut Vec<once::Unread>,
) -> Compiled {
    for _ in 0..ROUNDS {
        let asked = compiled.report.wanted_secrets.iter();
        let unasked: BTreeSet<ObjectKey> = asked
            .filter(|key| !is_known(key, &compiled.set, unread))
            .cloned()
            .collect();
        if unasked.is_empty() {
            break;
        }
        let more = once::read_secrets(&connection.client, &unasked, &mut compiled.set).await;
        unread.extend(more);
        compiled = Compiled::of(compiled.set, compiled.options, compiled.preset);
    }
    compiled
}

/// As the replicas compile.
pub(in crate::plugin) fn environment(common: &Common) -> Environment {
    in_domain(&common.cluster_domain)
}

/// As the replicas of a usual cluster compile.
pub(in crate::plugin) fn usual_environment() -> Environment {
    in_domain("cluster.local")
}

fn in_domain(domain: &str) -> Environment {
    Environment::Cluster {
        domain: domain.into(),
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
fn missing_kinds(served: &BTreeSet<(Group, Kind)>) -> Vec<String> {
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
            let mark = &compiled.set.meta(key)?.revision.resource_version;
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
