//! `bundle`: all that is needed to look into a problem elsewhere, as one JSON document without secrets.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::{
    Console,
    args::Common,
    facts::{Facts, Origin},
    output::Verdict,
    source,
};

#[derive(Args, Debug)]
pub(super) struct Bundle {
    /// Write it to this file. Default: standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Bundle {
    pub(super) async fn run(&self, common: &Common, console: &mut Console<'_>) -> Result<Verdict> {
        let facts = source::load(common).await?;
        if facts.origin == Origin::Folder {
            anyhow::bail!(
                "a bundle is of a running installation, so it needs a cluster: leave -f out. Of a folder the manifests say all"
            );
        }
        facts.complain(console)?;
        let text = serde_json::to_string_pretty(&document(&facts)).context("writing JSON")? + "\n";
        if let Some(path) = &self.to {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        } else {
            console.out.write_all(text.as_bytes())?;
        }
        Ok(Verdict::Clean)
    }
}

/// The views that have no secrets in them, and nothing else.
pub(super) fn document(facts: &Facts) -> serde_json::Value {
    let objects: Vec<_> = facts.objects.iter().map(|known| &known.view).collect();
    let replicas = facts.replicas.iter().flatten().map(|replica| {
        json!({
            "namespace": replica.namespace,
            "name": replica.name,
            "says": replica.says,
            "renewed": replica.renewed,
        })
    });
    let unread: Vec<_> = facts.unread.iter().map(|unread| &unread.resource).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "gatewayNamespace": facts.gateway_namespace,
        "objects": objects,
        "files": facts.files,
        "graph": facts.graph,
        "certificates": facts.certificates,
        "replicas": replicas.collect::<Vec<_>>(),
        "unread": unread,
        "missingKinds": facts.missing_kinds,
    })
}
