//! The processes of a cluster, as this machine numbers them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(Pid);

/// Those whose command line begins with this.
fn processes(begins: impl Fn(&[u8]) -> bool) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| begins(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
        .filter_map(|pid| Pid::from_raw(pid).map(Process))
        .collect()
}

/// Postern in its pods: the path of the program is that in the image.
pub(crate) fn gateways() -> Vec<Process> {
    gateways_of("default")
}

/// Postern in the pods of an installation.
pub(crate) fn gateways_of(installation: &str) -> Vec<Process> {
    let begins = format!("/postern\0serve\0--installation={installation}\0");
    processes(|command| command.starts_with(begins.as_bytes()))
}

/// The API server of the cluster.
pub(crate) fn api_server() -> Process {
    let found = processes(|command| {
        let mut words = command.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        program.ends_with(b"/kube-apiserver")
            && words.any(|word| word == b"--advertise-address=10.244.0.1")
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

impl Process {
    pub(crate) fn send(self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }

    /// The network namespace that it is in.
    pub(crate) fn network(self) -> File {
        File::open(self.entry("ns/net")).unwrap()
    }

    /// The users that it runs as: real, effective, saved, and of files.
    pub(crate) fn users(self) -> Vec<u32> {
        let status = fs::read_to_string(self.entry("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let users = line.unwrap().split_whitespace();
        users.map(|user| user.parse().unwrap()).collect()
    }

    /// Puts another process into the control group for memory that this one is in, and limits the group. Of the two, the
    /// kernel ends this one when they need more. Returns where the kernel counts whom it has ended in the group.
    pub(crate) fn share_memory(self, other: u32, limit: u64) -> PathBuf {
        let groups = fs::read_to_string(self.entry("cgroup")).unwrap();
        let of = |controller: &str| {
            let mut lines = groups.lines().map(|line| line.splitn(3, ':'));
            lines.find_map(|mut line| {
                let found = line.nth(1)? == controller;
                found.then(|| line.next().unwrap().trim_start_matches('/').to_owned())
            })
        };
        let (folder, name, events) = match of("memory") {
            Some(group) => (
                Path::new("/sys/fs/cgroup/memory").join(group),
                "memory.limit_in_bytes",
                "memory.oom_control",
            ),
            None => (
                Path::new("/sys/fs/cgroup").join(of("").unwrap()),
                "memory.max",
                "memory.events",
            ),
        };
        fs::write(self.entry("oom_score_adj"), "1000").unwrap();
        fs::write(folder.join(name), limit.to_string()).unwrap();
        fs::write(folder.join("cgroup.procs"), other.to_string()).unwrap();
        folder.join(events)
    }

    pub(crate) fn is_there(self) -> bool {
        self.entry("root").symlink_metadata().is_ok()
    }

    /// A table of the kernel about the network that this process is in.
    pub(crate) fn network_table(self, name: &str) -> String {
        fs::read_to_string(self.entry("net").join(name)).unwrap()
    }

    fn entry(self, name: &str) -> PathBuf {
        let pid = self.0.as_raw_nonzero();
        Path::new("/proc").join(format!("{pid}")).join(name)
    }
}

/// How many processes the kernel has ended for want of memory, by what [`Process::share_memory`] has returned; none once the group is gone.
pub(crate) fn oom_kills(events: &Path) -> u64 {
    let text = fs::read_to_string(events).unwrap_or_default();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("oom_kill "));
    count.map_or(0, |count| count.trim().parse().unwrap())
}
