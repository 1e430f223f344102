//! Facts of a folder of manifests, without any cluster.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Result, bail};

use super::{compiled, facts, insert_applied, options, scope};
use crate::{
    compile::{Environment, Options},
    config::DEFAULT_NAMESPACE,
    plugin::{
        args::Common,
        facts::{Compiled, Facts, Origin},
    },
    resource::{Group, Kind, Meta, Object, ObjectKey, Origin as Found, Positions, ResourceSet},
    source::dir,
};

/// The namespace that the guides install Postern in.
const USUAL_NAMESPACE: &str = "postern";

/// Loads and compiles the files that the flags name.
pub(in crate::plugin) fn load(common: &Common) -> Result<Facts> {
    let compiled = compile(&common.files, common)?;
    Ok(facts(compiled, Origin::Folder, scope(common, None)))
}

/// Reads and compiles these files. It is an error when they hold no object.
pub(in crate::plugin) fn compile(paths: &[PathBuf], common: &Common) -> Result<Compiled> {
    let namespace = common.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let set = dir::load(paths, namespace)?;
    let own = common.gateway_namespace.clone();
    let own = own
        .or_else(|| gateway_namespace(&set))
        .unwrap_or_else(|| elsewhere(&set, namespace).to_owned());
    let options = options(common, &own, environment());
    let compiled = complete(set, options);
    if compiled.report.objects.is_empty() && compiled.report.files.is_empty() {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        bail!(
            "there is no object to look at in {}: name files or folders that end in .yaml, .yml or .json",
            paths.join(", ")
        );
    }
    Ok(compiled)
}

/// Where Postern runs, as far as nothing says it. Its own namespace may decide what is claimed by others: where there are claims,
/// that of a team must not pass for it.
fn elsewhere<'n>(set: &ResourceSet, namespace: &'n str) -> &'n str {
    if set.claims.is_empty() {
        namespace
    } else {
        USUAL_NAMESPACE
    }
}

/// Compiles a set of which there is no more than this.
fn complete(set: ResourceSet, options: Options) -> Compiled {
    let mut compiled = compiled(set, options.clone());
    // What the folder does not hold, it will not hold later either.
    let wanted = compiled.report.wanted_secrets.iter();
    let absent: BTreeSet<_> = wanted
        .filter(|key| !compiled.set.secrets.contains_key(key))
        .cloned()
        .collect();
    if !absent.is_empty() {
        compiled.set.absent_secrets = absent;
        compiled = super::compiled(compiled.set, options);
    }
    compiled
}

/// What the facts of a folder would be with these objects in the place of those of their names.
pub(in crate::plugin) fn applied(now: &Facts, applied: &ResourceSet) -> Result<Facts> {
    let before = now.compiled()?;
    let mut set = before.set.clone();
    set.absent_secrets.clear();
    insert_applied(applied, &mut set);
    let compiled = complete(set, before.options.clone());
    Ok(facts(compiled, Origin::Folder, now.scope.clone()))
}

/// Adds the namespaces of routes that the files do not hold: where an object is, there is a namespace.
pub(in crate::plugin) fn assume_namespaces(set: &mut ResourceSet) {
    let of_routes: BTreeSet<_> = { set.mappings.keys() }
        .chain(set.tcp_mappings.keys())
        .map(|key| ObjectKey::new(Group::Core, Kind::Namespace, "", &key.namespace))
        .collect();
    for key in of_routes {
        let namespace = || {
            Arc::new(Object {
                key: key.clone(),
                origin: Found::Cluster,
                meta: Meta::default(),
                spec: (),
                problems: Box::default(),
                positions: Positions::default(),
            })
        };
        set.namespaces.entry(key.clone()).or_insert_with(namespace);
    }
}

/// Services that the files do not hold are taken to exist.
pub(in crate::plugin) fn environment() -> Environment {
    Environment::Folder {
        backends: Vec::new(),
        // Nothing is dialled: this only says that Services exist.
        echo: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9)),
    }
}

/// Postern's own namespace, as far as the objects say: where the GatewaySettings are, else the Listeners.
pub(in crate::plugin) fn gateway_namespace(set: &ResourceSet) -> Option<String> {
    let only = |namespaces: BTreeSet<String>| match namespaces.len() {
        1 => namespaces.into_iter().next(),
        _ => None,
    };
    let settings = set.settings.keys().map(|key| key.namespace.to_string());
    let listeners = set.listeners.keys().map(|key| key.namespace.to_string());
    only(settings.collect()).or_else(|| only(listeners.collect()))
}
