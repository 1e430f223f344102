//! `diff`: which requests change hands if a folder is applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::{
    Console,
    args::Common,
    facts::{Compiled, Facts},
    output::{Page, Verdict, many},
    routes, source,
};
use crate::{
    compile::compile,
    graph::wire::GraphView,
    report::wire::{DiagnosticView, ReportView},
    resource::{AnyObject, ClusterIp, Object, ResourceSet, Service},
};

#[derive(Args, Debug)]
pub(super) struct Diff {
    /// Compare with these manifests instead of the cluster
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,
}

/// What would be different.
#[derive(Debug, Default, Serialize)]
struct Told {
    introduced: Vec<Problem>,
    fixed: Vec<Problem>,
    traffic: Vec<Moved>,
    unchanged: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Problem {
    object: String,
    #[serde(flatten)]
    found: DiagnosticView,
}

/// Requests of one match that go elsewhere.
#[derive(Debug, Serialize)]
struct Moved {
    place: String,
    /// None: it would be new.
    before: Option<String>,
    /// None: nobody would serve it any more.
    after: Option<String>,
}

impl Diff {
    pub(super) async fn page(&self, common: &Common, console: &mut Console<'_>) -> Result<Page> {
        if common.files.is_empty() {
            bail!("what would be applied? Name a folder with -f");
        }
        let now: Facts = if self.from.is_empty() {
            source::load(&common.of_cluster()).await?
        } else {
            source::load(&common.of_files(self.from.clone())).await?
        };
        now.complain(console)?;
        let namespace = common
            .namespace
            .as_deref()
            .or(now.scope.namespace.as_deref());
        let named = Common {
            namespace: namespace.map(str::to_owned),
            ..common.clone()
        };
        let applied = source::folder::compile(&common.files, &named)?;
        let told = compared(now.compiled()?, &applied.set);
        let problems = told
            .introduced
            .iter()
            .any(|problem| problem.found.is_error());
        let text = text(&told);
        Ok(Page::new(&told, Verdict::problems_if(problems))?.with_text(text))
    }
}

/// The same objects, and these in the place of those of their names.
fn compared(now: &Compiled, applied: &ResourceSet) -> Told {
    let mut set = now.set.clone();
    for object in objects_of(applied, &now.set) {
        set.insert(object);
    }
    let (graph, report) = compile(&set, &now.options);
    let problems = |report: &ReportView| -> BTreeSet<Problem> {
        let objects = report.objects.iter();
        objects
            .flat_map(|object| {
                object
                    .diagnostics
                    .iter()
                    .map(|found| (object.title(), found.clone()))
            })
            .map(|(object, found)| Problem { object, found })
            .collect()
    };
    let before = problems(&ReportView::of(&now.report));
    let after = problems(&ReportView::of(&report));
    let (traffic, unchanged) = moved(&GraphView::of(&now.graph), &GraphView::of(&graph));
    Told {
        introduced: after.difference(&before).cloned().collect(),
        fixed: before.difference(&after).cloned().collect(),
        traffic,
        unchanged,
    }
}

/// The objects of a set as they would be if they were applied to another: what is there already keeps its age, and what is new
/// is younger than everything that has one.
pub(super) fn objects_of(applied: &ResourceSet, now: &ResourceSet) -> Vec<AnyObject> {
    let has_ages = now.mappings.values().any(|m| m.meta.created.is_some());
    let mut objects = objects(applied);
    for object in &mut objects {
        let before = now.meta(object.key()).and_then(|meta| meta.created);
        object.meta_mut().created = before.or(has_ages.then_some(i64::MAX));
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

fn objects(set: &ResourceSet) -> Vec<AnyObject> {
    let mut all = Vec::new();
    all.extend(set.mappings.values().cloned().map(AnyObject::Mapping));
    all.extend(set.hosts.values().cloned().map(AnyObject::Host));
    all.extend(set.listeners.values().cloned().map(AnyObject::Listener));
    all.extend(
        set.settings
            .values()
            .cloned()
            .map(AnyObject::GatewaySettings),
    );
    all.extend(set.claims.values().cloned().map(AnyObject::RouteClaim));
    all.extend(
        set.tls_contexts
            .values()
            .cloned()
            .map(AnyObject::TlsContext),
    );
    all.extend(set.others.values().cloned().map(AnyObject::Other));
    all.extend(set.namespaces.values().cloned().map(AnyObject::Namespace));
    all.extend(set.services.values().cloned().map(AnyObject::Service));
    all.extend(
        set.endpoint_slices
            .values()
            .cloned()
            .map(AnyObject::EndpointSlice),
    );
    all.extend(set.secrets.values().cloned().map(AnyObject::Secret));
    all.extend(set.grants.values().cloned().map(AnyObject::Grant));
    all
}

/// What each match leads to: compared by hostname, path and conditions.
fn moved(before: &GraphView, after: &GraphView) -> (Vec<Moved>, usize) {
    let table = |graph: &GraphView| -> BTreeMap<String, String> {
        let rows = routes::rows(graph).into_iter();
        rows.map(|row| {
            let conditions = match row.conditions.to_string() {
                conditions if conditions.is_empty() => conditions,
                conditions => format!(" [{conditions}]"),
            };
            let kind = if row.path.kind() == "exact" {
                " (exact)"
            } else {
                ""
            };
            let place = format!("{}{}{kind}{conditions}", row.hostname, row.path);
            let to: Vec<_> = { row.to.iter() }
                .map(|to| format!("{} {}%", to.action, to.percent))
                .collect();
            (place, to.join(", "))
        })
        .collect()
    };
    let (before, after) = (table(before), table(after));
    let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut unchanged = 0;
    let mut moved = Vec::new();
    for place in places {
        let (old, new) = (before.get(place), after.get(place));
        if old == new {
            unchanged += 1;
        } else {
            moved.push(Moved {
                place: place.clone(),
                before: old.cloned(),
                after: new.cloned(),
            });
        }
    }
    (moved, unchanged)
}

fn text(told: &Told) -> String {
    let mut lines = Vec::new();
    for (word, problems) in [("introduced", &told.introduced), ("fixed", &told.fixed)] {
        lines.extend(problems.iter().map(|problem| {
            let found = &problem.found;
            format!(
                "{word:<12}{}  {}: {}",
                found.code, problem.object, found.message
            )
        }));
    }
    for moved in &told.traffic {
        let before = moved.before.as_deref().unwrap_or("nothing");
        let after = moved.after.as_deref().unwrap_or("nothing");
        lines.push(format!(
            "{:<12}{}   {before} -> {after}",
            "traffic", moved.place
        ));
    }
    lines.push(format!(
        "{:<12}{}",
        "unchanged",
        many(told.unchanged, "route")
    ));
    lines.join("\n")
}
