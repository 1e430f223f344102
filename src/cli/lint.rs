//! `postern lint`: what the compiler says about files, before any gateway sees them.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    compile::{Environment, Options, compile},
    config::DEFAULT_NAMESPACE,
    report::{Diagnostic, ObjectReport, Report, Severity},
    resource::{Origin, Position, ResourceSet},
    source::dir,
};

const AFTER_HELP: &str = "\
Each problem is one line, with the next step in the line after it:
  FILE:LINE:COLUMN: error PST2003 Mapping apps/quote spec.prefix: what is wrong

Services that the files do not hold are taken to exist; everything else is checked as `postern serve` does.

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
}

/// One line of the output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    /// `FILE:LINE:COLUMN`, or the carrier of an annotation.
    at: String,
    severity: &'static str,
    code: String,
    reason: &'static str,
    /// `Mapping apps/quote`; empty when it is about the file.
    object: String,
    field: String,
    message: String,
    next: String,
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
            environment: Environment::Folder {
                backends: Vec::new(),
                // Nothing is dialled: this only says that Services exist.
                echo: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9)),
            },
        };
        let (_, report) = compile(&set, &options);
        let findings = findings(&set, &report);
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
            Output::Text => text(&findings, errors, report.objects.len()),
            Output::Json => serde_json::to_string_pretty(&findings).context("writing JSON")? + "\n",
        };
        io::stdout()
            .write_all(text.as_bytes())
            .context("writing to standard output")?;
        Ok(ExitCode::from(u8::from(errors > 0)))
    }
}

/// Everything that is wrong, in the order of files and lines.
fn findings(set: &ResourceSet, report: &Report) -> Vec<Finding> {
    let of_objects = report.objects.iter().flat_map(|object| {
        let finding = |diagnostic| of_object(set, object, diagnostic);
        object.diagnostics.iter().map(finding)
    });
    let of_files = report.files.iter().map(|(origin, diagnostic)| {
        let (place, at) = place(origin, None);
        (place, at, finding(String::new(), diagnostic))
    });
    let mut all: Vec<_> = of_objects.chain(of_files).collect();
    all.sort_by(|(path, at, a), (other_path, other_at, b)| {
        (path, at, &a.code, &a.field).cmp(&(other_path, other_at, &b.code, &b.field))
    });
    all.into_iter()
        .map(|(path, at, finding)| Finding {
            at: at.map_or_else(|| path.clone(), |at| format!("{path}:{at}")),
            ..finding
        })
        .collect()
}

fn of_object(
    set: &ResourceSet,
    object: &ObjectReport,
    diagnostic: &Diagnostic,
) -> (String, Option<Position>, Finding) {
    let field_at = set.position(&object.key, &diagnostic.field);
    let (path, at) = place(&object.origin, field_at);
    (path, at, finding(object.key.to_string(), diagnostic))
}

fn place(origin: &Origin, field_at: Option<Position>) -> (String, Option<Position>) {
    match origin {
        Origin::File { path, at } => (path.to_string(), Some(field_at.unwrap_or(*at))),
        Origin::Cluster | Origin::Annotation { .. } => (origin.to_string(), None),
    }
}

fn finding(object: String, diagnostic: &Diagnostic) -> Finding {
    let info = diagnostic.code.info();
    Finding {
        at: String::new(),
        severity: match info.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        code: diagnostic.code.to_string(),
        reason: info.reason,
        object,
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        next: diagnostic.next.clone(),
    }
}

fn text(findings: &[Finding], errors: usize, objects: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for finding in findings {
        let about: Vec<&str> = [&*finding.object, &*finding.field]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let about = match about.join(" ") {
            about if about.is_empty() => String::new(),
            about => format!(" {about}"),
        };
        lines.push(format!(
            "{}: {} {}{about}: {}",
            finding.at, finding.severity, finding.code, finding.message
        ));
        if !finding.next.is_empty() {
            lines.push(format!("    {}", finding.next));
        }
    }
    let warnings = findings.len() - errors;
    let many = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    lines.push(format!(
        "{} and {} in {}",
        many(errors, "error"),
        many(warnings, "warning"),
        many(objects, "object")
    ));
    lines.join("\n") + "\n"
}
