//! The command line: from these definitions come help, man page, reference page and completion.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use super::{
    bundle::Bundle, can::Can, certs::Certs, check::Check, completion::Completion,
    conflicts::Conflicts, diff::Diff, endpoints::Endpoints, explain::Explain, lint::Lint,
    mine::Mine, output::Format, routes::Routes, status::Status, sync::Sync, who::Who, why::Why,
};

/// The name of the program: kubectl finds `kubectl postern` by it.
pub(super) const PROGRAM: &str = "kubectl-postern";

const AFTER_HELP: &str = "\
Where the objects come from: the API server of your kubeconfig, as far as you may read it; `-f` a folder of manifests,
without any cluster; `--from-replica` what a running replica has compiled. For the same objects all say the same.

Exit codes: 0 nothing is wrong, 1 something is, 2 it cannot be told.";

/// What Postern serves, and why: routes, their owners, and what is wrong with them
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    bin_name = "kubectl postern",
    version,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,

    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// What is live, what is not, and why
    Status(Status),
    /// One line for each hostname and path, whatever it came from
    Routes(Routes),
    /// Which rule takes a request, and why not the others
    Why(Why),
    /// Who owns a hostname or a path
    Who(Who),
    /// What a namespace owns
    Mine(Mine),
    /// Whether a namespace may have a hostname or a path
    Can(Can),
    /// Who lost to whom, by which rule
    Conflicts(Conflicts),
    /// What is wrong with manifests, and in which line
    Lint(Lint),
    /// Which requests change hands if a folder is applied
    Diff(Diff),
    /// Which replica has come how far
    Sync(Sync),
    /// Where the requests for a hostname or a path are sent
    Endpoints(Endpoints),
    /// Certificates: names, issuer and end; never keys
    Certs(Certs),
    /// Whether the installation is sound
    Check(Check),
    /// All that is needed to look into a problem elsewhere, without secrets
    Bundle(Bundle),
    /// What a code means
    Explain(Explain),
    /// A script that completes commands and flags in a shell
    Completion(Completion),
}

/// What every verb can be told.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// Read manifests instead of a cluster: files, or folders with everything below them
    #[arg(
        long = "filename",
        short = 'f',
        value_name = "PATH",
        global = true,
        help_heading = "Where from"
    )]
    pub(super) files: Vec<PathBuf>,

    /// Ask a running replica what it has compiled, by port-forward; without a name, the first that is ready
    #[arg(
        long,
        value_name = "POD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        global = true,
        conflicts_with = "files",
        help_heading = "Where from"
    )]
    pub(super) from_replica: Option<String>,

    /// Ask the diagnostics port at this address: of a Postern on this machine, or at the end of a port-forward of your own
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        value_parser = address,
        global = true,
        conflicts_with_all = ["files", "from_replica"],
        help_heading = "Where from"
    )]
    pub(super) from_address: Option<SocketAddr>,

    /// The kubeconfig to use
    #[arg(long, value_name = "FILE", global = true, help_heading = "Where from")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use
    #[arg(long, value_name = "NAME", global = true, help_heading = "Where from")]
    pub(super) context: Option<String>,

    /// Only this namespace. Default: that of the context; with a folder, all
    #[arg(long, short, value_name = "NAME", global = true)]
    pub(super) namespace: Option<String>,

    /// All namespaces
    #[arg(long, short = 'A', global = true, conflicts_with = "namespace")]
    pub(super) all_namespaces: bool,

    /// How it is printed
    #[arg(
        long,
        short,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true,
        global = true
    )]
    pub(super) output: Format,

    /// The installation to look at, as its objects' `ambassadorId` calls it
    #[arg(
        long,
        env = "POSTERN_INSTALLATION",
        value_name = "ID",
        default_value = "default",
        global = true,
        help_heading = "Where from"
    )]
    pub(super) installation: String,

    /// The namespace that Postern runs in: what is there speaks for everybody. Default: where its Leases are; without any, where all GatewaySettings are, else all Listeners; else `postern`, or for a folder without RouteClaims the namespace of `-n`
    #[arg(
        long,
        env = "POSTERN_NAMESPACE",
        value_name = "NAME",
        global = true,
        help_heading = "Where from"
    )]
    pub(super) gateway_namespace: Option<String>,

    /// The domain that names of Services end with
    #[arg(
        long,
        env = "POSTERN_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local",
        global = true,
        help_heading = "Where from"
    )]
    pub(super) cluster_domain: String,
}

/// `127.0.0.1:8878`; `localhost` is the same.
fn address(text: &str) -> Result<SocketAddr, String> {
    let spelled = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let address = spelled.as_deref().unwrap_or(text).parse();
    address
        .map_err(|_| "write an address and a port, such as 127.0.0.1:8878 or [::1]:8878".to_owned())
}

impl Common {
    /// The same, read from a folder.
    pub(super) fn of_files(&self, files: Vec<PathBuf>) -> Self {
        Self {
            files,
            from_replica: None,
            from_address: None,
            ..self.clone()
        }
    }

    /// The same, with this namespace where none is said.
    pub(super) fn in_namespace(&self, namespace: Option<&str>) -> Self {
        let said = self.namespace.as_deref().or(namespace);
        Self {
            namespace: said.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same, read from the cluster.
    pub(super) fn of_cluster(&self) -> Self {
        self.of_files(Vec::new())
    }
}
