//! Where facts come from: a folder, an API server, or a replica.

pub(super) mod cluster;
pub(super) mod folder;
pub(super) mod leases;
pub(super) mod replica;

use std::sync::Arc;

use anyhow::Result;

use super::{
    args::Common,
    facts::{Answers, Compiled, Facts, Known, Origin, Scope},
};
use crate::{
    compile::{Options, compile},
    graph::wire::GraphView,
    report::wire::ReportView,
    resource::ResourceSet,
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
    let (graph, report) = compile(&set, &options);
    Compiled {
        set,
        options,
        graph,
        report,
    }
}

/// Facts of what was compiled here.
pub(super) fn facts(compiled: Compiled, origin: Origin, scope: Scope) -> Facts {
    let view = ReportView::of(&compiled.report);
    let objects = view.objects.into_iter();
    Facts {
        origin,
        objects: objects.map(|view| Known { view, live: None }).collect(),
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

/// Options with what the flags say of the installation.
fn options(common: &Common, namespace: &str, environment: crate::compile::Environment) -> Options {
    Options {
        namespace: Arc::from(namespace),
        installation: Arc::from(&*common.installation),
        environment,
    }
}
