//! `postern migrate emissary`: objects of Emissary-ingress as those of `postern.dev`, with a verdict for each object and field.
//!
//! ```text
//!  files, or an API server ─> manifests ─> convert ─> manifests of postern.dev ─> compile ─> what is refused ─┐
//!                                             └─────> what becomes of each field ─────────────────────────────┴─> report
//! ```

mod convert;
mod module;
mod naming;
mod output;
mod rules;
mod verdict;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

pub use self::convert::{Asked, Conversion, Converted, FieldVerdict, convert};
use crate::{
    config::DEFAULT_NAMESPACE,
    source::{
        dir::{self, Manifest},
        kube::{connect_as_kubectl, once},
    },
};

/// Where Postern is by its chart and its documents.
const USUAL_NAMESPACE: &str = "postern";

const AFTER_HELP: &str = "\
With -o the manifests go into a folder and the report to standard output; without it the manifests go to standard output
and the report to standard error. Nothing is changed anywhere else: docs/guides/migrate-from-emissary.md says what to do
with the manifests.

Exit codes: 0 nothing is refused, 1 it failed, and the message says why, 2 something is refused, and the report says what.

  postern migrate emissary -f manifests/ -o converted/
  postern migrate emissary --cluster -o converted/ --report json";

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Objects of getambassador.io, of every version, and those in annotations of Services and Ingresses
    Emissary(Emissary),
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
struct Emissary {
    /// Files, or folders with everything below them
    #[arg(
        short,
        long = "file",
        value_name = "PATH",
        required_unless_present = "cluster"
    )]
    files: Vec<PathBuf>,

    /// Read the objects of the cluster of the kubeconfig
    #[arg(long, conflicts_with = "files")]
    cluster: bool,

    /// The kubeconfig, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE", requires = "cluster")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig, instead of the current one
    #[arg(long, value_name = "NAME", requires = "cluster")]
    context: Option<String>,

    /// A folder to write the manifests into, one file for each namespace; it must be empty, or not be there
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// How the report is written
    #[arg(long, default_value = "md", value_name = "FORMAT")]
    report: ReportFormat,

    /// What the settings begin with, where there are none
    #[arg(long, default_value = "emissary", value_name = "PRESET")]
    preset: Preset,

    /// A kind (AuthService) or a key of the Module (lua_scripts) that protects, that Postern does not implement, and that
    /// traffic may go without
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,

    /// The namespace of manifests that name none
    #[arg(long, short, default_value = DEFAULT_NAMESPACE)]
    namespace: String,

    /// The namespace that Postern will run in, which is where its settings belong
    #[arg(long, default_value = USUAL_NAMESPACE, value_name = "NAMESPACE")]
    gateway_namespace: String,

    /// The name of the installation that the settings are for
    #[arg(long, default_value = "default", value_name = "ID")]
    installation: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReportFormat {
    /// Markdown
    Md,
    /// One JSON document
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// What a running installation of Emissary-ingress counts on
    Emissary,
    /// Nothing: each difference of Postern holds
    None,
}

// === impl Migrate ===

impl Migrate {
    pub(super) fn run(&self) -> Result<ExitCode> {
        match &self.from {
            From::Emissary(emissary) => emissary.run(),
        }
    }
}

// === impl Emissary ===

impl Emissary {
    fn run(&self) -> Result<ExitCode> {
        if let Some(folder) = &self.output {
            check_empty(folder)?;
        }
        let manifests = self.manifests()?;
        let conversion = convert(manifests, &self.asked());
        if conversion.is_empty() {
            bail!("there is no object of Emissary-ingress in what was read");
        }
        let report = verdict::of(&conversion, &self.asked());
        let report_text = match self.report {
            ReportFormat::Md => output::markdown(&report),
            ReportFormat::Json => {
                serde_json::to_string_pretty(&report).context("writing JSON")? + "\n"
            }
        };
        let files = output::files(&conversion)?;
        if let Some(folder) = &self.output {
            write_all(folder, &files)?;
            io::stdout().write_all(report_text.as_bytes())?;
        } else {
            for (_, text) in &files {
                io::stdout().write_all(text.as_bytes())?;
            }
            io::stderr().write_all(report_text.as_bytes())?;
        }
        Ok(ExitCode::from(if report.is_refused() { 2 } else { 0 }))
    }

    fn asked(&self) -> Asked {
        Asked {
            default_namespace: self.namespace.clone(),
            namespace: self.gateway_namespace.clone(),
            installation: self.installation.clone(),
            preset: self.preset == Preset::Emissary,
            ignore: self.ignore.clone(),
        }
    }

    fn manifests(&self) -> Result<Vec<Manifest>> {
        if self.cluster {
            return self.of_cluster();
        }
        let (manifests, problems) = dir::manifests(&self.files)?;
        if !problems.is_empty() {
            bail!(
                "what cannot be read would be missing: {}",
                problems.join("; ")
            );
        }
        Ok(manifests)
    }

    fn of_cluster(&self) -> Result<Vec<Manifest>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting a thread")?;
        let manifests = runtime.block_on(async {
            let connection =
                connect_as_kubectl(self.kubeconfig.as_deref(), self.context.as_deref())
                    .await
                    .context(
                        "there is no cluster to ask: name a kubeconfig, or manifests with -f",
                    )?;
            anyhow::Ok(once::manifests(&connection.client).await?)
        })?;
        let manifests = manifests.into_iter().map(|value| Manifest {
            value,
            at: "cluster".to_owned(),
        });
        Ok(manifests.collect())
    }
}

/// Files of another time among the new ones would be applied with them.
fn check_empty(folder: &Path) -> Result<()> {
    let is_empty = fs::read_dir(folder).map(|mut entries| entries.next().is_none());
    match is_empty {
        Ok(false) => bail!(
            "{} is not empty: name another folder with -o",
            folder.display()
        ),
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("reading {}", folder.display())),
    }
}

fn write_all(folder: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
