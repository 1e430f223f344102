//! Long proofs with figures: what must hold when a gateway is changed, stopped and attacked while it serves.
//!
//! Each prints one line, and fails loudly when what it claims is not so.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to people"
)]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "each of the programs that share it uses its own part"
)]
#[path = "../harness/harness.rs"]
mod harness;

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the client of the tests, of which the harness of their API server uses a part"
)]
#[path = "../../tests/it/client.rs"]
mod client;

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "what the tests attack with, of which a part is used here"
)]
mod attacks;

#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "what the tests compare, of which a part is used here"
)]
mod ownership;

mod agreement;
mod changes;
mod cluster;
mod connection;
mod drain;
mod field;
mod hostile;
mod load;
mod longlived;
mod tls;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;

use self::cluster::{Extent, siege::Size};

/// Proves what must hold under changes, drain and attack.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the proofs whose name contains this: changes, drain, longlived, hostile, agreement, attacks, cluster, memory
    #[arg(long, default_value = "")]
    only: String,
    /// Changes of the configuration in each of the two rounds
    #[arg(long, default_value_t = 1000)]
    changes: usize,
    /// WebSockets, gRPC streams, and changes of the configuration that they live through
    #[arg(long, num_args = 3, default_values_t = [2000, 500, 500])]
    lives: Vec<usize>,
    /// Bytes of the largest body
    #[arg(long, default_value_t = 2 << 30)]
    body: u64,
    /// Connections that say nothing
    #[arg(long, default_value_t = 5000)]
    idle: usize,
    /// Routes in the API server
    #[arg(long, default_value_t = 1000)]
    routes: usize,
    /// Routes that are added to them, one after the other
    #[arg(long, default_value_t = 500)]
    added: usize,
    /// Requests that are decided in three ways
    #[arg(long, default_value_t = 100_000)]
    compared: u32,
    /// Namespaces, routes and claims around the attacks
    #[arg(long, num_args = 3, default_values_t = [200, 5000, 400])]
    world: Vec<usize>,
    /// Mappings in the API server while memory is measured
    #[arg(long, default_value_t = 10_000)]
    mappings: usize,
    /// Seconds that the API server is away
    #[arg(long, default_value_t = 60)]
    outage: u64,
    /// This is the process in a network namespace that the proof with an API server runs in
    #[arg(long, hide = true)]
    in_namespace: bool,
    /// Given by `cargo bench`, and not by `cargo test --all-targets`
    #[arg(long, hide = true)]
    bench: bool,
}

/// A proof: its name, and what came of it, in one line.
type Proof = (
    &'static str,
    fn(&Arguments, &tokio::runtime::Handle) -> Result<String>,
);

const PROOFS: [Proof; 8] = [
    ("changes", |arguments, runtime| {
        changes::prove(arguments.changes, runtime)
    }),
    ("drain", |_, runtime| drain::prove(runtime)),
    ("longlived", |arguments, runtime| {
        let [tunnels, streams, changes] = *arguments.lives else {
            bail!("--lives takes three numbers");
        };
        longlived::prove(tunnels, streams, changes, runtime)
    }),
    ("hostile", |arguments, runtime| {
        hostile::prove(arguments.body, arguments.idle, runtime)
    }),
    ("agreement", |arguments, _| {
        agreement::prove(arguments.compared)
    }),
    ("attacks", |arguments, _| {
        let [namespaces, routes, claims] = *arguments.world else {
            bail!("--world takes three numbers");
        };
        cluster::attacks::prove(Size {
            namespaces,
            routes,
            claims,
        })
    }),
    ("cluster", |_, _| {
        let same: Vec<_> = std::env::args().skip(1).collect();
        cluster::prove(&same)
    }),
    ("memory", |arguments, runtime| {
        cluster::memory::prove(arguments.mappings, runtime)
    }),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("soak: run it with `make soak`");
        return ExitCode::SUCCESS;
    }
    match prove(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The proofs run on the main thread, which starts all processes; the load has threads of its own.
fn prove(arguments: &Arguments) -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok()
        .context("another provider of cryptography is there already")?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if arguments.in_namespace {
        let extent = Extent {
            routes: arguments.routes,
            changes: arguments.added,
            outage: Duration::from_secs(arguments.outage),
        };
        println!("{}", cluster::prove_inside(extent, runtime.handle())?);
        return Ok(());
    }
    let mut broken = Vec::new();
    for (name, proof) in PROOFS {
        if !name.contains(&arguments.only) {
            continue;
        }
        match proof(arguments, runtime.handle()) {
            Ok(line) => println!("{name}: {line}"),
            Err(error) => {
                println!("{name}: FAILED: {error:#}");
                broken.push(name);
            }
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}", broken.join(", "));
    }
    Ok(())
}

/// Thousands of connections need as many files; what cannot be had is missed later, by name.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _refused = setrlimit(Resource::Nofile, limit);
}
