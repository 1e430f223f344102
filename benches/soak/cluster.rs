//! With a real API server and three replicas: how soon a change is live and said to be, and what happens when the API server
//! or a replica goes away.
//!
//! It runs in a network namespace of its own, where every ClusterIP is this machine: what a cluster's kube-proxy does, the
//! kernel does here with one local route.

pub(super) mod attacks;
mod burst;
mod field;
pub(super) mod memory;
mod record;

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the harness of the tests, which use all of it"
)]
#[path = "../../tests/it/cluster/server.rs"]
mod server;

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "what the tests do in a small world"
)]
#[path = "../../tests/it/cluster/siege.rs"]
pub(super) mod siege;

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::{runtime::Handle, time::Instant};

use self::field::{Field, SERVICES};
use super::{
    changes::clients,
    harness::{
        process::{output, tied},
        text::{grouped, milliseconds},
    },
    load::Load,
};

/// How much is proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) routes: usize,
    pub(super) changes: usize,
    pub(super) outage: Duration,
}

/// A stopped replica counts until its Lease expires, 30 s after it was last written, and that is every 10 s.
const HELD_BACK_AT_LEAST: Duration = Duration::from_secs(15);
const HELD_BACK_AT_MOST: Duration = Duration::from_mins(2);

/// Runs this program again in a network namespace, and gives what it says.
pub(super) fn prove(arguments: &[String]) -> Result<String> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = tied("unshare");
    command.arg("--net");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .arg(program)
        .args(arguments)
        .arg("--in-namespace")
        .stderr(Stdio::inherit())
        .output()
        .context("making a network namespace by unshare")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        bail!("the process in the namespace has said why {text}");
    }
    Ok(text)
}

/// The proof itself, inside the namespace.
pub(super) fn prove_inside(extent: Extent, runtime: &Handle) -> Result<String> {
    for arguments in [
        "link set lo up".to_owned(),
        format!("route add local {SERVICES} dev lo"),
    ] {
        output(Command::new("ip").args(arguments.split(' ')))?;
    }
    let mut field = Field::new(extent.routes, runtime)?;
    let lines = [
        changes(&field, extent.changes, runtime)?,
        outage(&mut field, extent.outage, runtime)?,
        stopped_replica(&field, runtime)?,
        burst::burst(&field, runtime)?,
    ];
    Ok(format!(
        "three replicas, {} routes: all have their first status after {:.1} s; {}",
        grouped(extent.routes as u64),
        field.first_statuses.as_secs_f64(),
        lines.join("; ")
    ))
}

/// New routes, one after the other.
fn changes(field: &Field, changes: usize, runtime: &Handle) -> Result<String> {
    let times = runtime.block_on(field.create_all(changes))?;
    Ok(format!(
        "{} new routes, from the API server's answer: first 200 {}; 200 from all {}; Programmed {}",
        times.len(),
        figure(times.iter().map(|times| times.first)),
        figure(times.iter().map(|times| times.everywhere)),
        figure(times.iter().map(|times| times.programmed)),
    ))
}

/// Mean and maximum.
fn figure(times: impl ExactSizeIterator<Item = Duration> + Clone) -> String {
    let count = u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
    let most = times.clone().max().unwrap_or_default();
    let mean = times.sum::<Duration>() / count;
    format!("{} mean, {} max", milliseconds(mean), milliseconds(most))
}

/// The API server goes away under load, and comes back.
fn outage(field: &mut Field, outage: Duration, runtime: &Handle) -> Result<String> {
    let load = Load::start(runtime, field.place()?, &clients(), 1);
    field.server.stop_apiserver();
    thread::sleep(outage);
    field.server.start_apiserver();
    let back = Instant::now();
    let times = runtime.block_on(field.create("after-the-outage"))?;
    let caught_up = back.elapsed();
    let tally = load.stop(runtime);
    let answered = tally.count(|tally| &tally.answered);
    let failed = tally.count(|tally| &tally.failed);
    let dropped = tally.count(|tally| &tally.dropped) + tally.count(|tally| &tally.ended);
    ensure!(
        answered > 0 && failed == 0 && dropped == 0,
        "without the API server {failed} of {answered} requests failed, {dropped} connections ended: {}",
        tally.told()
    );
    Ok(format!(
        "API server away for {} s: {} requests, 0 failed, 0 connections ended; a route made after it came back is live in all \
         after {} and Programmed after {}",
        outage.as_secs(),
        grouped(answered),
        milliseconds(times.everywhere),
        milliseconds(caught_up.max(times.programmed)),
    ))
}

/// A replica that neither serves nor says so: nothing is called programmed until its Lease has expired.
fn stopped_replica(field: &Field, runtime: &Handle) -> Result<String> {
    let last = field.replicas.last().context("there are replicas")?;
    last.signal(Signal::STOP)?;
    let held_back =
        runtime.block_on(field.programmed_alone("while-one-is-stopped", HELD_BACK_AT_MOST));
    last.signal(Signal::CONT)?;
    let held_back = held_back?;
    ensure!(
        held_back >= HELD_BACK_AT_LEAST,
        "Programmed came {held_back:?} after the write, while a replica was stopped"
    );
    Ok(format!(
        "with a replica under SIGSTOP Programmed is held back for {:.1} s",
        held_back.as_secs_f64()
    ))
}
