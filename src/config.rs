//! What `postern serve` can be told: flags over environment over defaults, parsed into types.

pub mod compat;
pub mod value;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};

pub use value::{AccessLog, Backend, Bind, ObjectName};
use value::{duration, workers};

/// The namespace of manifests that name none, and Postern's own where nothing else says it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A request header from the proxy to the embedded echo server: the Service that it answers for. Not among what it tells.
pub const STAND_IN: &str = "x-postern-stand-in";

/// In a cluster: until every proxy in front of the pod has heard that it goes away. In a folder run nobody listens.
const CLUSTER_DRAIN_DELAY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  Try the routes of a folder on this machine; an echo server answers for every Service:
      postern serve examples/quickstart --echo

  The same, with one Service running on this machine:
      postern serve deploy/ --echo --backend shop/cart:80=127.0.0.1:3000

  In a cluster, or with the cluster of a kubeconfig:
      postern serve
      postern serve --kubeconfig ~/.kube/config --watch-namespaces shop,web

  As on port 80 and 443 of one address (Listeners keep the ports that they say, for matching):
      postern serve deploy/ --bind 8080=192.0.2.1:80 --bind 8443=192.0.2.1:443

Ask a running Postern:
  curl localhost:8877/ready      whether it is ready, and if not, what is missing
  curl localhost:8877/metrics    metrics for Prometheus
  curl localhost:8878/           what it has compiled, and what is wrong with which object

A duration is a number with a unit: 500ms, 5s, 2m. Every flag can be given in the environment instead, as shown with it;
the flag wins.";

/// The flags of `postern serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// A folder of manifests, or one file, watched for changes. Without it, Postern serves what the API server holds
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// The namespace of manifests that name none; in a cluster, the namespace that Postern itself runs in
    #[arg(long, short, env = "POSTERN_NAMESPACE", help_heading = "Resources")]
    pub namespace: Option<String>,

    /// The name of this installation: objects with another `ambassadorId` are not for it
    #[arg(
        long,
        env = "POSTERN_INSTALLATION",
        default_value = "default",
        value_name = "ID",
        help_heading = "Resources"
    )]
    pub installation: String,

    /// Take the place of another gateway: read the environment of its Deployment, begin with its preset, and answer at its paths
    #[arg(
        long,
        env = "POSTERN_COMPAT",
        value_name = "GATEWAY",
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub compat: Option<Compat>,

    /// Which objects are read, from the environment of another gateway only.
    #[arg(skip)]
    pub selector: Selector,

    /// The kubeconfig that names the API server. Without it: the pod's service account, then $KUBECONFIG, then ~/.kube/config
    #[arg(
        long,
        env = "POSTERN_KUBECONFIG",
        value_name = "FILE",
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub kubeconfig: Option<PathBuf>,

    /// Watch only these namespaces (Postern's own is always among them). Without it: all
    #[arg(
        long,
        env = "POSTERN_WATCH_NAMESPACES",
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub watch_namespaces: Vec<String>,

    /// Read Secrets of these namespaces only. Without it: of all that are watched
    #[arg(
        long,
        env = "POSTERN_SECRET_NAMESPACES",
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub secret_namespaces: Vec<String>,

    /// Only read the objects of these groups, and write no status of theirs: another gateway does, on the same objects
    #[arg(
        long,
        env = "POSTERN_NO_STATUS",
        value_name = "GROUP,…",
        value_delimiter = ',',
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub no_status: Vec<StatusGroup>,

    /// Read these Secrets, by watches that may see nothing else, and beside them only those of `--secret-namespaces`
    #[arg(
        long,
        env = "POSTERN_SECRET_NAMES",
        value_name = "NAMESPACE/NAME,…",
        value_delimiter = ',',
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub secret_names: Vec<ObjectName>,

    /// The Service that leads to Postern: its addresses are written into the status of Hosts and Listeners
    #[arg(
        long,
        env = "POSTERN_PUBLISH_SERVICE",
        value_name = "NAMESPACE/NAME",
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub publish_service: Option<ObjectName>,

    /// Addresses of the node that this replica is on: where no Service is published, those of the nodes with a ready replica are
    /// written into the status of Hosts and Listeners
    #[arg(
        long = "publish-node",
        env = "POSTERN_NODE_ADDRESSES",
        value_name = "ADDRESS",
        value_delimiter = ',',
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub node_addresses: Vec<IpAddr>,

    /// Keep the last good resource set in this folder, and start from it while the API server is away. It holds private keys: the
    /// folder must be in memory, in a pod `emptyDir: {medium: Memory}`. Without it: nothing is kept
    #[arg(
        long,
        env = "POSTERN_STATE_DIR",
        value_name = "DIR",
        conflicts_with = "dir",
        help_heading = "Resources"
    )]
    pub state_dir: Option<PathBuf>,

    /// The domain that names of Services end with
    #[arg(
        long,
        env = "POSTERN_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN",
        help_heading = "Resources"
    )]
    pub cluster_domain: String,

    /// Wait this long for more changes before a change is applied; never longer than 50 ms in all
    #[arg(
        long,
        env = "POSTERN_HOLD_OFF",
        default_value = "3ms",
        value_parser = duration,
        value_name = "DURATION",
        help_heading = "Resources"
    )]
    pub hold_off: Duration,

    /// Start an echo server on this machine, and let it stand in for every Service: of a folder, or of a cluster whose
    /// addresses cannot be reached from here
    #[arg(long, env = "POSTERN_ECHO", help_heading = "Backends")]
    pub echo: bool,

    /// Send what goes to this Service (on this port) to an address instead; with a folder only. May be given more than once
    #[arg(
        long = "backend",
        env = "POSTERN_BACKENDS",
        value_name = "NAMESPACE/NAME[:PORT]=HOST:PORT",
        value_delimiter = ',',
        requires = "dir",
        help_heading = "Backends"
    )]
    pub backends: Vec<Backend>,

    /// Threads that serve traffic, at most 512. Default: one for each core
    #[arg(
        long,
        env = "POSTERN_WORKERS",
        value_parser = workers,
        value_name = "N",
        help_heading = "Serving"
    )]
    pub workers: Option<NonZeroUsize>,

    /// Serve the Listeners with this port at another address; port 0 lets the system choose. May be given more than once
    #[arg(
        long = "bind",
        env = "POSTERN_BIND",
        value_name = "PORT=ADDRESS:PORT",
        value_delimiter = ',',
        help_heading = "Serving"
    )]
    pub binds: Vec<Bind>,

    /// After SIGTERM, keep serving new connections this long, until whoever sends them has noticed.
    /// Default: 0s for a folder, 5s in a cluster
    #[arg(
        long,
        env = "POSTERN_DRAIN_DELAY",
        value_parser = duration,
        value_name = "DURATION",
        help_heading = "Serving"
    )]
    pub drain_delay: Option<Duration>,

    /// After the drain delay, give running requests this long to finish. The default and the delay together stay within the
    /// 30s that Kubernetes waits before it kills a pod: raise `terminationGracePeriodSeconds` with it
    #[arg(
        long,
        env = "POSTERN_DRAIN_TIMEOUT",
        default_value = "20s",
        value_parser = duration,
        value_name = "DURATION",
        help_heading = "Serving"
    )]
    pub drain_timeout: Duration,

    /// Where health and metrics are served; `[::]` is every address of both families, or of IPv4 where there is no IPv6
    #[arg(
        long,
        env = "POSTERN_ADMIN_ADDRESS",
        default_value_t = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8877),
        value_name = "ADDRESS:PORT",
        help_heading = "Operation"
    )]
    pub admin_address: SocketAddr,

    /// Where diagnostics are served: they show the whole configuration, so keep this on loopback
    #[arg(
        long,
        env = "POSTERN_DIAGNOSTICS_ADDRESS",
        default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8878),
        value_name = "ADDRESS:PORT",
        help_heading = "Operation"
    )]
    pub diagnostics_address: SocketAddr,

    /// One line for each request: `off`, `json` or `text` to standard output, or JSON lines to a file
    #[arg(
        long,
        env = "POSTERN_ACCESS_LOG",
        default_value = "off",
        value_name = "off|json|text|FILE",
        help_heading = "Operation"
    )]
    pub access_log: AccessLog,

    /// Metrics of their own for so many routes, in the order in which they are first asked for: at most 17 series each. The others
    /// are counted together as `_other`; 0 counts none
    #[arg(
        long,
        env = "POSTERN_ROUTE_METRICS",
        default_value_t = 1000,
        value_name = "N",
        help_heading = "Operation"
    )]
    pub route_metrics: usize,

    #[command(flatten)]
    pub pod: Pod,

    #[command(flatten)]
    pub log: Log,
}

/// What a pod knows of itself, from the downward API.
#[derive(Args, Clone, Debug)]
pub struct Pod {
    /// The name of this replica. Default: the name of the machine
    #[arg(
        long,
        env = "POSTERN_POD_NAME",
        value_name = "NAME",
        help_heading = "Operation"
    )]
    pub pod_name: Option<String>,

    /// The UID of the pod: what this replica keeps in the API server goes away with it
    #[arg(
        long,
        env = "POSTERN_POD_UID",
        value_name = "UID",
        help_heading = "Operation"
    )]
    pub pod_uid: Option<String>,

    /// The zone of the node: of a Service whose endpoints are meant for zones, those of this zone are used
    #[arg(
        long,
        env = "POSTERN_ZONE",
        value_name = "ZONE",
        help_heading = "Operation"
    )]
    pub zone: Option<String>,

    /// Addresses of the pod, beside those of its interfaces: no route leads to them
    #[arg(
        long = "pod-ip",
        env = "POSTERN_POD_IPS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Operation"
    )]
    pub pod_ips: Vec<IpAddr>,
}

/// How the program logs, to standard error.
#[derive(Args, Clone, Debug)]
pub struct Log {
    /// How log lines look
    #[arg(
        long,
        env = "POSTERN_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT",
        help_heading = "Operation"
    )]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace, or a list such as `info,postern::proxy=debug`
    #[arg(
        long,
        env = "POSTERN_LOG_LEVEL",
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Operation"
    )]
    pub log_level: String,
}

/// A gateway whose place can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Emissary-ingress
    Emissary,
}

/// Which objects are read, as the API server selects them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

/// A group whose objects have a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusGroup {
    #[value(name = "postern.dev")]
    Postern,
    #[value(name = "getambassador.io")]
    Emissary,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Serve {
    /// Threads that serve traffic.
    pub fn workers(&self) -> NonZeroUsize {
        self.workers.unwrap_or_else(default_workers)
    }

    pub fn drain_delay(&self) -> Duration {
        self.drain_delay.unwrap_or(if self.dir.is_some() {
            Duration::ZERO
        } else {
            CLUSTER_DRAIN_DELAY
        })
    }
}

/// One for each core that the process may use; one alone where the kernel does not spread connections over sockets that
/// share a port.
fn default_workers() -> NonZeroUsize {
    if cfg!(target_os = "linux") {
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    } else {
        NonZeroUsize::MIN
    }
}

#[cfg(test)]
mod tests;
