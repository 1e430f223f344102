//! The cluster of `tests/cluster/node.sh`, and what is done to it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use parking_lot::{Mutex, MutexGuard};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::cluster::server;

const KUBECONFIG: &str = "/var/lib/postern-cluster/run/kubeconfig";
const FIRST_PROCESS: &str = "/var/lib/postern-cluster/first.pid";
/// What the API server has noted of service accounts, a JSON object a line.
pub(crate) const AUDIT_LOG: &str = "/var/lib/postern-cluster/run/log/audit.json";

const PROGRAMS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "kubectl",
    "helm",
    "crane",
];

/// A running cluster with Postern and the example in it.
#[derive(Debug)]
pub(crate) struct Cluster {
    programs: PathBuf,
    /// Its network namespace.
    network: File,
    /// What installing said, on standard output and standard error.
    pub(crate) example: (String, String),
    /// Ends the cluster when this process ends, because its standard input ends then.
    _supervisor: Child,
}

/// The cluster, for one test at a time.
pub(crate) fn shared() -> MutexGuard<'static, Cluster> {
    static SHARED: OnceLock<Mutex<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| Mutex::new(Cluster::start())).lock()
}

/// A file of this repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Cluster {
    fn start() -> Self {
        let programs = server::programs(PROGRAMS, "tests/cluster/build.sh node");
        let script = file("tests/cluster/node.sh");
        let mut supervisor = Command::new(&script)
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(supervisor.stdout.take().unwrap());
        let is_ready = said
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "ready");
        assert!(
            is_ready,
            "the cluster did not start: see above, and {}",
            script.display()
        );
        let first = std::fs::read_to_string(FIRST_PROCESS).unwrap();
        let network = File::open(format!("/proc/{}/ns/net", first.trim())).unwrap();
        let installed = Command::new(file("tests/cluster/example.sh"))
            .arg(env!("CARGO_BIN_EXE_postern"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let example = (text(&installed.stdout), text(&installed.stderr));
        assert!(installed.status.success(), "{}{}", example.0, example.1);
        Self {
            programs,
            network,
            example,
            _supervisor: supervisor,
        }
    }

    /// Does this on a thread that reaches the addresses of the cluster; programs that it starts do as well.
    pub(crate) fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let entered = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.network.as_fd(), kind).unwrap();
            work()
        };
        thread::scope(|scope| {
            let ended = scope.spawn(entered).join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What a program of the cluster prints, which must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (succeeded, said) = self.attempt(&self.programs.join(program), arguments);
        assert!(succeeded, "{program} {arguments:?}: {said}");
        said
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.run("kubectl", arguments)
    }

    /// An object, as JSON.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        serde_json::from_str(&self.kubectl(&arguments)).unwrap()
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        self.run("helm", arguments)
    }

    /// Whether it succeeded, and what it printed.
    pub(crate) fn attempt(&self, program: &Path, arguments: &[&str]) -> (bool, String) {
        let output = self.inside(|| {
            Command::new(program)
                .args(arguments)
                .env("KUBECONFIG", KUBECONFIG)
                .stdin(Stdio::null())
                .output()
                .unwrap()
        });
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// The address of Postern's Service of type LoadBalancer.
    pub(crate) fn address(&self) -> std::net::IpAddr {
        let service = self.get(&["service", "postern", "-n", "postern"]);
        let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str();
        address.unwrap().parse().unwrap()
    }

    /// The names of Postern's pods.
    pub(crate) fn pods(&self) -> Vec<String> {
        let pods = self.get(&["pods", "-n", "postern"]);
        let names = pods["items"].as_array().unwrap().iter();
        names
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }
}
