//! Where facts come from: a folder, an API server, or a replica.

pub(super) mod cluster;
pub(super) mod folder;
pub(super) mod leases;
pub(super) mod replica;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use anyhow::Result;

use super::{
    args::Common,
    facts::{Answers, Compiled, Facts, Known, Origin, Scope},
};
use crate::{
    compile::Options,
    crd::gateway_settings::Preset,
    graph::wire::GraphView,
    report::wire::ReportView,
    resource::{AnyObject, ClusterIp, Object, ResourceSet, Service},
};

/// Loads what the flags say.
pub(super) async fn load(common: &Common) -> Result<Facts> {
    if !common.files.is_empty() {
        return folder::load(common);
    }
    if let Some(address) = common.from_address {
        let diagnostics = replica::Diagnostics::at(address);
        return replica::load(common, diagnostics, scope(common, None)).await;
    }
    let connection = cluster::Connection::open(common).await?;
    match &common.from_replica {
        Some(pod) => {
            let named = Some(pod.as_str()).filter(|pod| !pod.is_empty());
            let diagnostics = connection.replica(common, named).await?;
            let scope = scope(common, connection.namespace.clone());
            replica::load(common, diagnostics, scope).await
        }
        None => cluster::load(common, &connection).await,
    }
}

/// Which namespaces to look at, given the one that is current.
fn scope(common: &Common, current: Option<String>) -> Scope {
    let namespace = if common.all_namespaces {
        None
    } else {
        common.namespace.clone().or(current)
    };
    Scope { namespace }
}

/// What the compiler makes of a set.
pub(super) fn compiled(set: ResourceSet, options: Options) -> Compiled {
    Compiled::of(set, options, Preset::None)
}

/// Facts of what was compiled here.
pub(super) fn facts(compiled: Compiled, origin: Origin, scope: Scope) -> Facts {
    let view = ReportView::of(&compiled.report);
    let objects = view.objects.into_iter();
    Facts {
        origin,
        objects: objects
            .map(|view| Known {
                view,
                ..Known::default()
            })
            .collect(),
        files: view.files,
        graph: GraphView::of(&compiled.graph),
        certificates: compiled.graph.certificates(),
        gateway_namespace: compiled.options.namespace.to_string(),
        answers: Answers::Compiled(Box::new(compiled)),
        replicas: None,
        unread: Vec::new(),
        missing_kinds: Vec::new(),
        scope,
    }
}

/// Puts objects in the place of those of their names, as if they were applied.
fn insert_applied(applied: &ResourceSet, set: &mut ResourceSet) {
    for object in objects_of(applied, set) {
        set.insert(object);
    }
    set.files.clone_from(&applied.files);
}

/// The objects of a set as they would be if they were applied to another: what is there already keeps its age, and what is new
/// is younger than everything that has one.
fn objects_of(applied: &ResourceSet, now: &ResourceSet) -> Vec<AnyObject> {
    let has_ages = now
        .mappings
        .values()
        .any(|m| m.meta.revision.created.is_some());
    let mut objects: Vec<_> = applied.objects().collect();
    for object in &mut objects {
        let before = now
            .meta(object.key())
            .and_then(|meta| meta.revision.created);
        object.meta_mut().revision_mut().created = before.or(has_ages.then_some(i64::MAX));
        if let AnyObject::Service(service) = object {
            give_address(service, now);
        }
    }
    objects
}

/// As the API server does: a Service keeps its address, and a new one gets some, so that it is not missed here.
fn give_address(service: &mut Arc<Object<Service>>, now: &ResourceSet) {
    /// For documentation (RFC 5737): nobody has it.
    const SOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    if service.spec.cluster_ip != ClusterIp::None || service.spec.external_name.is_some() {
        return;
    }
    let kept = now
        .services
        .get(&service.key)
        .map(|old| &old.spec.cluster_ip);
    let kept = kept.filter(|address| **address != ClusterIp::None).cloned();
    Arc::make_mut(service).spec.cluster_ip = kept.unwrap_or(ClusterIp::Addresses(vec![SOME]));
}

/// Options with what the flags say of the installation.
fn options(common: &Common, namespace: &str, environment: crate::compile::Environment) -> Options {
    Options {
        namespace: Arc::from(namespace),
        installation: Arc::from(&*common.installation),
        own_ports: crate::compile::OWN_PORTS.to_vec(),
        environment,
    }
}
