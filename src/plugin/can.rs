//! `can claim`: whether a namespace may have a hostname, a path or a port. The compiler is asked, with an object that does not
//! exist.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    facts::{Compiled, Facts, Scope},
    output::{Page, Verdict},
    place::Place,
};
use crate::{
    graph::ClientTls,
    report::wire::{DiagnosticView, ObjectView},
    resource::{
        Kind, Origin, Positions,
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
    /// Whether a namespace would get the requests of a hostname and path, or the connections to a port, if it asked for them now
    Claim {
        /// The hostname, perhaps with a path, or the port, perhaps with the name that handshakes ask for: `example.com`, `example.com/cart/`, `:6379`, `tcp://db.example.com:5432`
        #[arg(value_name = "HOST[/PATH]|[HOST]:PORT")]
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
    /// Of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
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
        let told = if is_of_connections(place, facts) {
            tried_port(compiled, place, namespace)?
        } else {
            tried_path(compiled, place, namespace)?
        };
        let kind = match told.port {
            Some(_) => Kind::TcpMapping,
            None => Kind::Mapping,
        };
        let hidden = facts.unread(&[kind, Kind::RouteClaim], "");
        let what = match told.port {
            Some(port) => format!("{}:{port}", told.hostname),
            None => format!("{}{}", told.hostname, told.path),
        };
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

/// Whether no HTTP is meant: it is said, or the port is one where nothing else is served.
fn is_of_connections(place: &Place, facts: &Facts) -> bool {
    let listeners = || facts.graph.listeners.iter();
    let only_tcp = |port| listeners().any(|listener| listener.port == port && listener.only_tcp);
    place.raw || (place.path.is_none() && place.host.port.is_some_and(only_tcp))
}

fn tried_path(compiled: &Compiled, place: &Place, namespace: &str) -> Result<Told> {
    let path = place.path.clone().unwrap_or_else(|| "/".to_owned());
    let tried = |path: &str| tried(compiled, namespace, &mapping(place, path));
    let told = |found: Tried| found.told(place, path.clone(), namespace);
    let found = tried(&path)?;
    if found.because.is_none() && !path.ends_with('/') {
        // A prefix is no whole segment: what begins with the same letters may be free where what is asked for is not.
        let below = tried(&format!("{path}/"))?;
        if below.because.is_some() {
            return Ok(told(below));
        }
    }
    Ok(told(found))
}

fn tried_port(compiled: &Compiled, place: &Place, namespace: &str) -> Result<Told> {
    let Some(port) = place.host.port else {
        bail!("a connection has a port: write tcp://example.com:6379");
    };
    let found = tried(compiled, namespace, &tcp_mapping(compiled, place, port))?;
    let told = found.told(place, String::new(), namespace);
    Ok(Told {
        hostname: place
            .name()
            .map(|name| name.to_string())
            .unwrap_or_default(),
        port: Some(port),
        ..told
    })
}

fn mapping(place: &Place, path: &str) -> Value {
    json!({
        "kind": "Mapping",
        "spec": {
            "hostname": place.host.to_string(),
            "prefix": path,
            // It redirects, so that nothing depends on a Service; by a condition of its own it shares a route with nobody.
            "hostRedirect": true,
            "service": "example.invalid",
            "headers": { TRIED: "1" },
        },
    })
}

/// What becomes of the client's TLS is as with those that have the place already.
fn tcp_mapping(compiled: &Compiled, place: &Place, port: u16) -> Value {
    let listener = compiled.graph.listener(port);
    let name = place.name();
    let route = listener.zip(name.as_ref()).and_then(|(listener, name)| {
        let mut entries = listener.tcp.by_name.entries();
        entries.find(|(pattern, _)| *pattern == name)?.1.as_ref()
    });
    let ends_here = route.is_some_and(|route| route.client_tls == ClientTls::Terminate);
    // A name of DNS, so that nothing depends on a Service.
    let mut spec = json!({ "port": port, "service": "example.invalid:1" });
    if let Some(name) = name {
        spec["host"] = name.to_string().into();
        spec["clientTls"] = if ends_here {
            "Terminate"
        } else {
            "Passthrough"
        }
        .into();
    }
    json!({ "kind": "TCPMapping", "spec": spec })
}

/// What the compiler says about an object that does not exist.
struct Tried {
    because: Option<DiagnosticView>,
    warnings: Vec<DiagnosticView>,
}

impl Tried {
    fn told(self, place: &Place, path: String, namespace: &str) -> Told {
        Told {
            allowed: self.because.is_none(),
            hostname: place.host.to_string(),
            path,
            port: None,
            namespace: namespace.to_owned(),
            because: self.because,
            warnings: self.warnings,
        }
    }
}

/// What the compiler says about an object that is younger than all others.
fn tried(compiled: &Compiled, namespace: &str, what: &Value) -> Result<Tried> {
    let mut manifest = what.clone();
    manifest["apiVersion"] = "postern.dev/v1alpha1".into();
    manifest["metadata"] = json!({ "namespace": namespace, "name": TRIED });
    manifest["spec"]["ambassadorId"] = json!([&*compiled.options.installation]);
    let decoded = decode::object(&manifest, Origin::Cluster, namespace, Positions::default());
    let Decoded::Object(mut object) = decoded else {
        bail!("this is no place that an object could ask for");
    };
    object.meta_mut().revision_mut().created = Some(i64::MAX);
    let key = object.key().clone();
    let mut set = compiled.set.clone();
    set.insert(object);
    let tried = compiled.again(set);
    let report = tried
        .report
        .object(&key)
        .context("the compiler must report on every object")?;
    let view = ObjectView::of(report);
    let because = view.first_error().cloned();
    let warnings = view.diagnostics.into_iter();
    Ok(Tried {
        because,
        warnings: warnings.filter(|found| !found.is_error()).collect(),
    })
}
