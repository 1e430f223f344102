//! `can claim`: whether a namespace may have a hostname or a path. The compiler is asked, with an object that does not exist.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    facts::{Compiled, Facts, Scope},
    output::{Page, Verdict},
    place::Place,
};
use crate::{
    compile::compile,
    report::wire::{DiagnosticView, ObjectView},
    resource::{
        Origin, Positions,
        decode::{self, Decoded},
    },
};

/// The name of the object that is tried, by which it comes after others of its age.
const TRIED: &str = "zzz-postern-can";

#[derive(Args, Debug)]
pub(super) struct Can {
    #[command(subcommand)]
    verb: CanVerb,
}

#[derive(Debug, Subcommand)]
enum CanVerb {
    /// Whether a namespace would get the requests of a hostname and path, if it asked for them now
    Claim {
        /// The hostname, perhaps with a path: `example.com`, `example.com/cart/`
        #[arg(value_name = "HOST[/PATH]")]
        place: Place,

        /// The namespace that would ask. Default: yours
        #[arg(long, value_name = "NAME")]
        as_namespace: Option<String>,
    },
}

/// Yes or no, and why not.
#[derive(Debug, Serialize)]
struct Told {
    allowed: bool,
    hostname: String,
    path: String,
    namespace: String,
    because: Option<DiagnosticView>,
    /// It would get only a part, or something stands before it.
    warnings: Vec<DiagnosticView>,
}

impl Can {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope) -> Result<Page> {
        let CanVerb::Claim {
            place,
            as_namespace,
        } = &self.verb;
        let namespace = as_namespace.as_ref().or(scope.namespace.as_ref());
        let Some(namespace) = namespace else {
            bail!("who would ask? Name a namespace with --as-namespace");
        };
        let Ok(compiled) = facts.compiled() else {
            bail!(
                "`can` tries a Mapping that does not exist, and a replica has only what exists: leave --from-replica out to ask the cluster, or name a folder with -f"
            );
        };
        let path = place.path.clone().unwrap_or_else(|| "/".to_owned());
        let mut told = tried(compiled, place, &path, namespace)?;
        if told.allowed && !path.ends_with('/') {
            // A prefix is no whole segment: what begins with the same letters may be free where what is asked for is not.
            let below = tried(compiled, place, &format!("{path}/"), namespace)?;
            if !below.allowed {
                told = Told { path, ..below };
            }
        }
        let hidden = facts.unread(
            &[
                crate::resource::Kind::Mapping,
                crate::resource::Kind::RouteClaim,
            ],
            "",
        );
        let what = format!("{}{}", told.hostname, told.path);
        let mut text = match &told.because {
            None => format!("yes: namespace {namespace} may have {what}"),
            Some(found) => format!("no: {} ({})\n    {}", found.message, found.code, found.next),
        };
        for warning in &told.warnings {
            text = format!("{text}\nbut {} ({})", warning.message, warning.code);
        }
        let verdict = match (&told.because, hidden) {
            (Some(_), _) => Verdict::Problems,
            (None, Some(unread)) => {
                text = format!("{text}\nas far as can be told: {unread}");
                Verdict::Unknown
            }
            (None, None) => Verdict::Clean,
        };
        Ok(Page::new(&told, verdict)?.with_text(text))
    }
}

/// What the compiler says about a Mapping that is younger than all others.
fn tried(compiled: &Compiled, place: &Place, path: &str, namespace: &str) -> Result<Told> {
    let manifest = serde_json::json!({
        "apiVersion": "postern.dev/v1alpha1",
        "kind": "Mapping",
        "metadata": { "namespace": namespace, "name": TRIED },
        "spec": {
            "hostname": place.host.to_string(),
            "prefix": path,
            // It redirects, so that nothing depends on a Service; by a condition of its own it shares a route with nobody.
            "hostRedirect": true,
            "service": "example.invalid",
            "headers": { TRIED: "1" },
            "ambassadorId": [&*compiled.options.installation],
        },
    });
    let decoded = decode::object(&manifest, Origin::Cluster, namespace, Positions::default());
    let Decoded::Object(mut object) = decoded else {
        bail!("this is no place that a Mapping could ask for");
    };
    object.meta_mut().revision_mut().created = Some(i64::MAX);
    let key = object.key().clone();
    let mut set = compiled.set.clone();
    set.insert(object);
    let (_, report) = compile(&set, &compiled.options);
    let report = report
        .object(&key)
        .context("the compiler must report on every object")?;
    let view = ObjectView::of(report);
    let because = view.first_error().cloned();
    let warnings = view
        .diagnostics
        .into_iter()
        .filter(|found| !found.is_error());
    Ok(Told {
        allowed: because.is_none(),
        hostname: place.host.to_string(),
        path: path.to_owned(),
        namespace: namespace.to_owned(),
        because,
        warnings: warnings.collect(),
    })
}
