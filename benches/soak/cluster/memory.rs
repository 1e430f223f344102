//! What a replica keeps in memory with a real API server: with one Mapping, and with many.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::{runtime::Handle, time::Instant};

use super::{
    field::{self, PATIENCE},
    server::Server,
};
use crate::harness::{
    gateway::Gateway,
    kept,
    text::{grouped, mebibytes},
    usage,
};

/// For all statuses to be written.
const SETTLED_WITHIN: Duration = Duration::from_mins(10);
/// Nothing is written for so long, and nothing is left to write: all is said.
const QUIET: Duration = Duration::from_secs(5);
/// Mappings that are made at the same time.
const AT_ONCE: usize = 16;
const HOSTS: usize = 100;

/// Measures, and keeps the figures for the page that `make bench` writes.
pub(crate) fn prove(many: usize, runtime: &Handle) -> Result<String> {
    ensure!(many > 1, "more than one Mapping is to be compared with one");
    let server = Server::start();
    field::install(&server)?;
    let mappings = field::mappings(runtime.block_on(field::client(&server))?);
    let mut sizes = Vec::new();
    for (from, to) in [(0, 1), (1, many)] {
        runtime.block_on(create(&mappings, from, to))?;
        eprintln!("soak: {to} Mappings are there; a replica reads them and says so");
        sizes.push(resident_bytes(&server)?);
    }
    let [one, all] = *sizes else {
        unreachable!("there are two sizes");
    };
    let added = u64::try_from(many - 1)?;
    kept::write(
        "cluster-memory",
        &[
            ("one".to_owned(), one),
            ("many".to_owned(), all),
            ("mappings".to_owned(), added + 1),
        ]
        .into(),
    )?;
    Ok(format!(
        "one replica that leads: {} with one Mapping, {} with {}, {} bytes for each more",
        mebibytes(one),
        mebibytes(all),
        grouped(added + 1),
        grouped(all.saturating_sub(one) / added),
    ))
}

/// Like those of `make bench` from a folder.
async fn create(mappings: &Api<DynamicObject>, from: usize, to: usize) -> Result<()> {
    let plain = PostParams::default();
    let one = |number: usize| {
        let (host, path) = (number % HOSTS, number / HOSTS);
        let object = json!({
            "apiVersion": "postern.dev/v1alpha1",
            "kind": "Mapping",
            "metadata": { "name": format!("h{host}-p{path}") },
            "spec": {
                "hostname": format!("h{host}.example.com"),
                "prefix": format!("/p{path}/"),
                "service": "web:80",
            },
        });
        let plain = &plain;
        async move {
            let object = serde_json::from_value(object)?;
            mappings.create(plain, &object).await?;
            anyhow::Ok(())
        }
    };
    let all = stream::iter(from..to).map(one).buffer_unordered(AT_ONCE);
    all.try_collect::<()>().await.context("making Mappings")
}

/// Of a replica that leads, serves all Mappings and has said so in their statuses.
fn resident_bytes(server: &Server) -> Result<u64> {
    let mut replica = field::replica(server, 0)?;
    replica.wait_until_ready(PATIENCE)?;
    wait_until_settled(&replica)?;
    let bytes = usage::resident_bytes(replica.pid())?;
    replica.signal(Signal::TERM)?;
    let status = replica.wait(PATIENCE)?;
    ensure!(status.success(), "postern ended with {status}");
    Ok(bytes)
}

fn wait_until_settled(replica: &Gateway) -> Result<()> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    let mut settled = None;
    loop {
        let leads = replica.metric("postern_status_leader")? > 0.0;
        let unsettled = replica.metric("postern_status_unsettled_objects")?;
        if !leads || unsettled > 0.0 {
            settled = None;
        } else if settled.get_or_insert_with(Instant::now).elapsed() >= QUIET {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "after {SETTLED_WITHIN:?} the replica leads: {leads}, and {unsettled} statuses are not written"
        );
        thread::sleep(Duration::from_millis(100));
    }
}
