//! What processes cost: scheduler time and memory, as the kernel counts them.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// A tick of `/proc/stat`: USER_HZ, 100 on every architecture that Linux still has.
const TICK: Duration = Duration::from_millis(10);

/// Scheduler time of a process, its threads and its children, so far.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for process in family(pid) {
        for task in tasks(process) {
            // A thread may end while its folder is read.
            let Ok(text) = fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next().context("no schedstat")?;
            nanoseconds += first.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory of the largest process of a family: of a master and its workers, the worker.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let sizes = family(pid)
        .into_iter()
        .filter_map(|pid| status_bytes(pid, "VmRSS:"));
    sizes.max().context("no process has a resident size")
}

/// The most that one process ever had resident.
pub(crate) fn peak_resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:").context("the process has no peak size")
}

/// Time that a core was not idle since the machine started, or was taken away by the host.
pub(crate) fn core_busy(core: usize) -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .context("no such core")?;
    // user nice system idle iowait irq softirq steal; what guests use is in user already.
    let fields = line.split_whitespace().take(8).enumerate();
    let busy = fields.filter(|(number, _)| !matches!(number, 3 | 4));
    let ticks: u32 = busy.filter_map(|(_, text)| text.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        for task in tasks(pid) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    all
}

fn tasks(pid: u32) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
