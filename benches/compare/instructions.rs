//! User-mode instructions of Postern per request, counted by callgrind: no noise, whatever else the machine does.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use super::{
    backend::Backend,
    harness::{
        gateway::PROGRAM,
        manifest,
        process::{output, pinned, tied},
    },
    load::Load,
    peer::{CORE, Job, launch_postern},
    scenario::Scenario,
};

/// Everything takes some fifty times as long under callgrind: reading 10,000 manifests too.
const START_LIMIT: Duration = Duration::from_mins(10);
/// Seconds of load before counting starts, so that connections are there and lazy things done.
const WARM_UP: u32 = 2;
/// Seconds of load that are counted.
const COUNTED: u32 = 4;
/// Requests that are in flight at the end are counted and not served: there must be few.
const CONNECTIONS: u32 = 8;

/// The count of one scenario.
#[derive(Debug)]
pub(super) struct Instructions {
    pub(super) title: &'static str,
    pub(super) requests: u64,
    pub(super) per_request: u64,
}

/// Counts the instructions of one scenario.
pub(super) fn count(scenario: &Scenario, backend: &Backend) -> Result<Instructions> {
    let pair = manifest::certificate(&["localhost"])?;
    let job = Job::new(scenario, backend, &pair);
    let (manifests, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut command = pinned(CORE, "valgrind");
    command
        .args(["--quiet", "--tool=callgrind", "--instr-atstart=no"])
        .arg("--separate-threads=yes")
        .arg(format!(
            "--callgrind-out-file={}",
            work.path().join("out").display()
        ))
        .arg(PROGRAM);
    let gateway = launch_postern(command, &job, manifests.path(), START_LIMIT)?;
    let scenario = Scenario {
        connections: CONNECTIONS,
        ..scenario.clone()
    };
    let load = Load::new(&scenario, gateway.address(8080)?, work.path())?;
    let pid = gateway.pid().to_string();
    load.run(WARM_UP)?;
    control(&["-i", "on", &pid])?;
    let served = load.run(COUNTED);
    control(&["-i", "off", &pid])?;
    control(&["-d", &pid])?;
    let requests = served?.requests;
    ensure!(requests > 0, "no request was answered under callgrind");
    Ok(Instructions {
        title: scenario.title,
        requests,
        per_request: of_worker(work.path())? / requests,
    })
}

fn control(arguments: &[&str]) -> Result<()> {
    output(tied("callgrind_control").args(arguments)).map(drop)
}

/// The total of the busiest thread: the worker. What others do by the clock, such as looking at the folder, would count fifty
/// times too much here, because requests are that much slower.
fn of_worker(folder: &Path) -> Result<u64> {
    let mut most = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"out"))
        {
            continue;
        }
        let text = fs::read_to_string(path)?;
        for line in text.lines() {
            if let Some(total) = line.strip_prefix("totals:") {
                most = most.max(total.trim().parse().context("callgrind's total")?);
            }
        }
    }
    if most == 0 {
        bail!("callgrind counted nothing");
    }
    Ok(most)
}
