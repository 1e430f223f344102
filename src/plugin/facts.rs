//! What is known, wherever it came from.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::{Context, Result};

use super::{
    Console,
    source::{leases, replica::Diagnostics},
};
use crate::{
    compile::{Compiler, Options},
    crd::gateway_settings::Preset,
    graph::{
        Graph,
        certificate::CertificateView,
        why::{Answer, Question},
        wire::GraphView,
    },
    report::{
        Report,
        replica::Replica,
        wire::{FileView, ObjectView},
    },
    resource::{Kind, ResourceSet},
    source::kube::once::Unread,
};

/// Everything that verbs look at.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) origin: Origin,
    /// In the order of their keys.
    pub(super) objects: Vec<Known>,
    pub(super) files: Vec<FileView>,
    pub(super) graph: GraphView,
    /// By their digests.
    pub(super) certificates: BTreeMap<String, CertificateView>,
    pub(super) answers: Answers,
    /// None where there are none to ask for, or nobody may read them.
    pub(super) replicas: Option<Vec<ReplicaState>>,
    pub(super) unread: Vec<Unread>,
    /// Kinds that the installation needs and the API server does not serve.
    pub(super) missing_kinds: Vec<String>,
    pub(super) scope: Scope,
    pub(super) gateway_namespace: String,
}

/// Which namespaces are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// None: all.
    pub(super) namespace: Option<String>,
}

/// Where the facts came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Folder,
    Cluster,
    Replica,
}

/// Who says what becomes of a request.
#[derive(Debug)]
pub(super) enum Answers {
    Compiled(Box<Compiled>),
    Replica(Diagnostics),
}

/// What was compiled here.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) set: ResourceSet,
    pub(super) options: Options,
    /// What the replicas were started with.
    pub(super) preset: Preset,
    pub(super) graph: Arc<Graph>,
    pub(super) report: Arc<Report>,
}

/// An object, and what is known of it beside its report.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) view: ObjectView,
    /// How many of the live replicas serve it as it is now.
    pub(super) live: Option<Live>,
    /// Looked at only where something that decides was not read.
    pub(super) ruling: Ruling,
}

/// What its status says about whose its place is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Nothing of the object as it is now.
    #[default]
    None,
    Kept,
    /// It is, or a part of it is, somebody else's.
    Lost,
}

/// Of the replicas that are ready and alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Live {
    pub(super) reached: usize,
    pub(super) of: usize,
}

/// A replica, by its Lease.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplicaState {
    pub(super) namespace: String,
    /// Of the pod.
    pub(super) name: String,
    /// The name of its Lease.
    pub(super) lease: String,
    /// None when its Lease speaks another language.
    pub(super) says: Option<Replica>,
    /// Seconds since 1970.
    pub(super) renewed: Option<i64>,
    pub(super) expires_after: i64,
}

// === impl Facts ===

impl Facts {
    /// Says on standard error what could not be read, one line for each.
    pub(super) fn complain(&self, console: &mut Console<'_>) -> Result<()> {
        self.complain_of_objects(console)?;
        let broken = self.files.iter().filter(|file| file.diagnostic.is_error());
        for FileView { at, diagnostic } in broken {
            writeln!(
                console.err,
                "kubectl postern: {at}: {} ({}); what is there is not looked at",
                diagnostic.message, diagnostic.code
            )
            .context("writing to standard error")?;
        }
        Ok(())
    }

    /// The same, where files are told otherwise.
    pub(super) fn complain_of_objects(&self, console: &mut Console<'_>) -> Result<()> {
        let mut told: Vec<Unread> = Vec::new();
        for unread in &self.unread {
            let alike = |other: &&mut Unread| {
                unread.forbidden
                    && other.forbidden
                    && (&other.namespace, &other.except) == (&unread.namespace, &unread.except)
            };
            match told.iter_mut().find(alike) {
                Some(other) => other.resource = format!("{}, {}", other.resource, unread.resource),
                None => told.push(unread.clone()),
            }
        }
        for unread in &told {
            writeln!(console.err, "kubectl postern: {}", sentence(unread))
                .context("writing to standard error")?;
        }
        Ok(())
    }

    /// Those of the namespaces that are looked at. What has no namespace is everybody's.
    pub(super) fn in_scope<'f>(&'f self, scope: &'f Scope) -> impl Iterator<Item = &'f Known> {
        self.objects
            .iter()
            .filter(|known| scope.includes(&known.view.namespace))
    }

    /// What the report says of each object.
    pub(super) fn views(&self) -> Vec<ObjectView> {
        self.objects
            .iter()
            .map(|known| known.view.clone())
            .collect()
    }

    /// All of them by their titles, for who looks up many.
    pub(super) fn by_title(&self) -> HashMap<String, &Known> {
        let all = self.objects.iter();
        all.map(|known| (known.view.title(), known)).collect()
    }

    /// By its title: `Mapping shop/cart`.
    pub(super) fn object(&self, title: &str) -> Option<&Known> {
        self.objects
            .iter()
            .find(|known| known.view.title() == title)
    }

    pub(super) async fn why(&self, question: &Question) -> Result<Answer> {
        match &self.answers {
            Answers::Compiled(compiled) => Ok(compiled.graph.why(question)?),
            Answers::Replica(diagnostics) => diagnostics.why(question).await,
        }
    }

    /// What was compiled here; an error that says what to do instead where a replica did.
    pub(super) fn compiled(&self) -> Result<&Compiled> {
        match &self.answers {
            Answers::Compiled(compiled) => Ok(compiled),
            Answers::Replica(_) => anyhow::bail!(
                "a replica tells what it has compiled, not the objects: ask the cluster, or a folder with -f"
            ),
        }
    }

    /// Why there may be objects of these kinds that are not known, wherever they are.
    pub(super) fn hidden(&self, kinds: &[Kind]) -> Option<String> {
        let mut all = self.unread.iter();
        all.find(|unread| kinds.contains(&unread.kind) && unread.resource != leases::RESOURCE)
            .map(sentence)
    }

    /// Why nothing certain can be said about objects of a kind in a namespace, if that is so.
    pub(super) fn unread(&self, kinds: &[Kind], namespace: &str) -> Option<String> {
        let hides = |unread: &&Unread| {
            kinds.contains(&unread.kind)
                && unread.resource != leases::RESOURCE
                && unread.namespace.as_deref().is_none_or(|n| n == namespace)
                && !unread.except.iter().any(|n| n == namespace)
        };
        self.unread.iter().find(hides).map(sentence)
    }
}

fn sentence(unread: &Unread) -> String {
    let Unread {
        resource,
        namespace,
        except,
        ..
    } = unread;
    let place = match namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in all namespaces".to_owned(),
    };
    let nevertheless = if except.is_empty() {
        String::new()
    } else {
        format!(", only in {}", except.join(", "))
    };
    if unread.forbidden {
        format!("you may not read {resource} {place}{nevertheless}")
    } else {
        format!(
            "cannot read {resource} {place}{nevertheless}: {}",
            unread.why
        )
    }
}

#[cfg(test)]
impl Facts {
    /// Of a cluster that holds nothing.
    pub(super) fn for_tests() -> Self {
        use crate::compile::Environment;
        let options = Options {
            namespace: "postern".into(),
            installation: "default".into(),
            own_ports: crate::compile::OWN_PORTS.to_vec(),
            environment: Environment::Folder {
                backends: Vec::new(),
                echo: None,
            },
        };
        let compiled = super::source::compiled(ResourceSet::default(), options);
        super::source::facts(compiled, Origin::Cluster, Scope::default())
    }
}

// === impl Compiled ===

impl Compiled {
    /// What the same compiler makes of a set.
    pub(super) fn of(set: ResourceSet, options: Options, preset: Preset) -> Self {
        let mut compiler = Compiler::new(options.clone()).with_preset(preset);
        let (graph, report) = compiler.compile(&set);
        Self {
            set,
            options,
            preset,
            graph,
            report,
        }
    }

    /// The same, of another set.
    pub(super) fn again(&self, set: ResourceSet) -> Self {
        Self::of(set, self.options.clone(), self.preset)
    }
}

// === impl Scope ===

impl Scope {
    pub(super) fn includes(&self, namespace: &str) -> bool {
        namespace.is_empty() || self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    /// Whether more than one namespace is looked at.
    pub(super) fn is_wide(&self) -> bool {
        self.namespace.is_none()
    }
}

// === impl ReplicaState ===

impl ReplicaState {
    /// Whether its Lease has not expired, by the clock of this machine.
    pub(super) fn is_alive(&self, now: i64) -> bool {
        self.renewed
            .is_some_and(|renewed| now - renewed <= self.expires_after)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.says.as_ref().is_some_and(|replica| replica.ready)
    }
}
