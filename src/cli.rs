//! The command line.

pub mod docs;
mod lint;
pub mod migrate;
mod probe;

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use self::{lint::Lint, migrate::Migrate, probe::Probe};
use crate::{
    app,
    config::{Log, LogFormat, Serve},
    crd::manifest::{manifests, of_emissary},
    echo::Echo,
    telemetry::{
        logs::{self, Format},
        metrics::VERSION,
    },
};

const AFTER_HELP: &str = "\
`postern COMMAND --help` shows the flags of a command, with examples.

Exit codes: 0 done, 1 failed (the message says what to do next), 2 wrong usage.";

/// A self-service API gateway for Kubernetes
#[derive(Debug, Parser)]
#[command(name = "postern", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve routes: those of a folder, or those of a cluster
    Serve(Box<Serve>),

    /// Check manifests, and say what is wrong with which line
    Lint(Lint),

    /// Write the objects of another gateway as Postern's own, and say what becomes of each
    Migrate(Migrate),

    /// Print the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds {
        /// Those of Emissary-ingress, for a cluster where its own are gone
        #[arg(long)]
        emissary: bool,
    },

    /// Answer every request with what it was sent, as a backend to try routes with
    Echo {
        /// Where to listen; port 0 lets the system choose
        #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
        address: SocketAddr,

        /// The service that it answers as
        #[arg(long, default_value = "echo")]
        name: String,

        #[command(flatten)]
        log: Log,
    },

    /// Ask a URL, and fail unless the answer is as expected
    Probe(Probe),

    /// Print a script that completes commands and flags in a shell
    ///
    /// For bash: source <(postern completions bash)
    Completions { shell: Shell },

    /// Print the version
    Version,
}

/// Runs what the arguments of the process say.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        // Whoever reads has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that standard error is closed.
            let _unseen = writeln!(io::stderr(), "postern: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .root_cause()
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(serve) => {
            let serve = serve.with_compat(|name| std::env::var(name).ok())?;
            start_logging(&serve.log)?;
            app::serve(&serve)?;
        }
        Command::Lint(lint) => return lint.run(),
        Command::Migrate(migrate) => return migrate.run(),
        Command::Crds { emissary } => {
            let manifests = if emissary { of_emissary() } else { manifests() };
            for (_, manifest) in manifests {
                write!(io::stdout(), "---\n{manifest}")?;
            }
        }
        Command::Echo { address, name, log } => {
            start_logging(&log)?;
            echo(address, &name)?;
        }
        Command::Probe(probe) => return probe.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "postern", &mut io::stdout());
        }
        Command::Version => writeln!(io::stdout(), "postern {VERSION}")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logging(log: &Log) -> Result<()> {
    let format = match log.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    logs::init(format, &log.log_level).context("setting up the log (--log-level)")
}

fn echo(address: SocketAddr, name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting threads")?;
    runtime.block_on(async {
        let echo = Echo::bind(address, name)
            .await
            .with_context(|| format!("binding {address}; choose another with `--address`"))?;
        info!(server.addr = %echo.address(), "Echoing");
        // The first process of a container ends by a signal only if it asks for it.
        let mut stop = signal(SignalKind::terminate()).context("listening for signals")?;
        tokio::select! {
            () = echo.run() => {}
            _ = stop.recv() => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_completions_for_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "postern", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {command}");
            }
        }
    }
}
