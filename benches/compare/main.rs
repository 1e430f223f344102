//! Postern beside nginx and HAProxy: the same work on the same machine, in interleaved runs.
//!
//! ```text
//!  core 0: one proxy, one worker          core 1: wrk or h2load ──> proxy ──> backend (this program again)
//! ```
//!
//! What counts is the scheduler time of the proxy divided by the requests that were answered, and of that the ratio to
//! the others in the same run: machines drift, ratios hardly.

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

mod backend;
mod compiling;
mod document;
mod instructions;
mod load;
mod machine;
mod measure;
mod peer;
mod scenario;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use self::{backend::Backend, document::Findings, machine::Machine, measure::Lengths};

/// Compares CPU per request, memory and compile time of Postern with those of nginx and HAProxy.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds of each measured run; an eighth of it goes before, to warm up
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Interleaved runs of each proxy; the median counts
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Only these proxies: nginx, haproxy, postern
    #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy,postern")]
    peers: Vec<String>,
    /// Only the scenarios whose id contains this
    #[arg(long, default_value = "")]
    only: String,
    /// No instructions under callgrind
    #[arg(long)]
    no_instructions: bool,
    /// Write docs/reference/performance.md
    #[arg(long)]
    write: bool,
    /// Write it even if other programs had a part of the proxy's core
    #[arg(long)]
    even_if_busy: bool,
    /// Be the backend of the measurements: answer on these ports, with a small body, a large one, JSON, and by gRPC
    #[arg(long, num_args = 4, hide = true)]
    backend: Vec<u16>,
    /// Given by `cargo bench`, and not by `cargo test --all-targets`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match *arguments.backend {
        [small, large, text, grpc] => backend::run([small, large, text, grpc]),
        _ if !arguments.bench => {
            println!("compare: run it with `make bench`");
            Ok(())
        }
        _ => compare(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    ensure!(
        !(arguments.write && cfg!(debug_assertions)),
        "only figures of an optimised build belong into the reference: leave out --write, or --profile dev"
    );
    let lengths = Lengths {
        seconds: arguments.seconds.max(1),
        runs: arguments.runs.max(1),
    };
    let backend = Backend::start()?;
    let peers = peer::named(&arguments.peers)?;
    let mut outcomes = Vec::new();
    for scenario in scenario::all() {
        if scenario.id.contains(&arguments.only) {
            eprintln!("{}: {} runs of each", scenario.title, lengths.runs);
            outcomes.push(measure::interleaved(&scenario, &peers, &backend, lengths)?);
        }
    }
    let (mut instructions, mut claimed) = (Vec::new(), Vec::new());
    if !arguments.no_instructions && arguments.peers.iter().any(|name| name == "postern") {
        let count = |scenario: &scenario::Scenario| {
            eprintln!("{}: instructions under callgrind", scenario.title);
            instructions::count(scenario, &backend)
        };
        let wanted = |scenario: &scenario::Scenario| {
            scenario.instructions && scenario.id.contains(&arguments.only)
        };
        for scenario in scenario::all().iter().filter(|scenario| wanted(scenario)) {
            instructions.push(count(scenario)?);
        }
        for scenario in scenario::claimed()
            .iter()
            .filter(|scenario| wanted(scenario))
        {
            claimed.push(count(scenario)?);
        }
    }
    let findings = Findings {
        machine: Machine::this(&peers)?,
        lengths,
        outcomes,
        instructions,
        claimed,
        compiling: compiling::figures()?,
        cluster_memory: harness::kept::read("cluster-memory")?,
    };
    print!("{}", findings.tables());
    if arguments.write {
        ensure!(
            !findings.is_busy() || arguments.even_if_busy,
            "docs/reference/performance.md stays as it was, because the machine was busy: repeat it when nothing else runs, or with \
             ARGS=--even-if-busy"
        );
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference/performance.md");
        fs::write(path, findings.page()).context("writing docs/reference/performance.md")?;
    }
    Ok(())
}
