//! `postern lint`: what the compiler says about files, before any gateway sees them.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::{
    compile::{Environment, Options, compile},
    config::DEFAULT_NAMESPACE,
    plugin::lint::{self, RunsIn},
    source::dir,
};

const AFTER_HELP: &str = "\
Each problem is one line, with the next step in the line after it:
  FILE:LINE:COLUMN: error PST2003 Mapping apps/quote spec.prefix: what is wrong

Services that the files do not hold are taken to exist; everything else is checked as `postern serve` does: in a cluster, or
with `--runs-in folder` as `postern serve DIR` does on this machine.

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 a path cannot be read or holds no object.";

#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Lint {
    /// Files, or folders with everything below them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The namespace of manifests that name none
    #[arg(long, short, env = "POSTERN_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    namespace: String,

    /// The name of the installation: objects with another `ambassadorId` are not looked at
    #[arg(
        long,
        env = "POSTERN_INSTALLATION",
        default_value = "default",
        value_name = "ID"
    )]
    installation: String,

    /// Where the objects will be served: that decides which addresses may be dialled
    #[arg(long, value_name = "PLACE", default_value = "cluster")]
    runs_in: RunsIn,

    /// How problems are printed
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people, and for programs that jump to a line
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands, which annotate a pull request
    Github,
}

impl Lint {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let set = match dir::load(&self.paths, &self.namespace) {
            Ok(set) => set,
            Err(error) => {
                let error = anyhow::Error::new(error);
                writeln!(io::stderr(), "postern: {error:#}")?;
                return Ok(ExitCode::from(2));
            }
        };
        let options = Options {
            namespace: self.namespace.as_str().into(),
            installation: self.installation.as_str().into(),
            own_ports: crate::compile::OWN_PORTS.to_vec(),
            environment: Environment::Folder {
                backends: Vec::new(),
                // Nothing is dialled: this only says that Services exist.
                echo: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9)),
            },
        };
        let (_, report) = compile(&set, &options);
        let mut findings = lint::findings(&set, &report);
        if self.runs_in == RunsIn::Cluster {
            lint::add_findings_of_clusters(&mut findings, &set, &options);
        }
        let errors = findings.iter().filter(|f| f.severity == "error").count();
        if report.objects.is_empty() && findings.is_empty() {
            let paths: Vec<_> = self.paths.iter().map(|p| p.display().to_string()).collect();
            writeln!(
                io::stderr(),
                "postern: there is no object to look at in {}: name files or folders that end in .yaml, .yml or .json",
                paths.join(", ")
            )?;
            return Ok(ExitCode::from(2));
        }
        let text = match self.output {
            Output::Text => lint::text(&findings, report.objects.len()),
            Output::Json => serde_json::to_string_pretty(&findings).context("writing JSON")? + "\n",
            Output::Sarif => {
                let log = lint::sarif(&findings);
                serde_json::to_string_pretty(&log).context("writing JSON")? + "\n"
            }
            Output::Github => lint::github(&findings),
        };
        io::stdout()
            .write_all(text.as_bytes())
            .context("writing to standard output")?;
        Ok(ExitCode::from(u8::from(errors > 0)))
    }
}
