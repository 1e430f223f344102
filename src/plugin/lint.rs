//! `lint`: what is wrong with manifests, and in which line. `postern lint` is the same.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Console,
    args::Common,
    facts::{Compiled, Facts},
    output::{Format, Verdict, many},
    source::{
        cluster::{self, Connection},
        folder,
    },
    state::doubts,
};
use crate::{
    compile::{Options, compile},
    report::{
        Code, Diagnostic, ObjectReport, Report, Severity,
        code::{CODES, CodeInfo},
    },
    resource::{Origin, Position, ResourceSet},
};

#[derive(Args, Debug)]
pub(super) struct Lint {
    /// Look at the objects of the cluster, too: at conflicts with them, and at what the manifests refer to there
    #[arg(long, conflicts_with = "runs_in")]
    against_cluster: bool,

    /// Where the objects will be served: that decides which addresses may be dialled
    #[arg(long, value_name = "PLACE", default_value = "cluster")]
    runs_in: RunsIn,
}

/// Where linted objects will be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunsIn {
    /// By replicas in a cluster: loopback and link-local addresses are refused, and what is outside must be allowed
    Cluster,
    /// On this machine, by `postern serve DIR`: every address may be dialled
    Folder,
}

/// What is said of an address only where it is dialled from a cluster. The rest is the same in a folder.
const OF_CLUSTERS: &[Code] = &[
    Code::InvalidService,
    Code::ReferenceNotGranted,
    Code::ExternalNotAllowed,
    Code::AddressRefused,
];

/// One problem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `FILE:LINE:COLUMN`, or the carrier of an annotation.
    pub at: String,
    pub severity: &'static str,
    pub code: String,
    pub reason: &'static str,
    /// `Mapping apps/quote`; empty when it is about the file.
    pub object: String,
    pub field: String,
    pub message: String,
    pub next: String,
    /// What could not be read, if it may be there only because of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    #[serde(skip)]
    file: Option<(String, Position)>,
}

impl Lint {
    pub(super) async fn run(&self, common: &Common, console: &mut Console<'_>) -> Result<Verdict> {
        if common.files.is_empty() {
            bail!("which manifests? Name a file or a folder with -f");
        }
        let facts = self.facts(common).await?;
        facts.complain_of_objects(console)?;
        let Compiled { set, report, .. } = facts.compiled()?;
        let mut found = findings(set, report);
        if !self.against_cluster && self.runs_in == RunsIn::Cluster {
            let options = &facts.compiled()?.options;
            add_findings_of_clusters(&mut found, set, options);
        }
        found.retain(|finding| finding.file.is_some() || !self.against_cluster);
        doubt(&mut found, &facts);
        let objects = linted_objects(report);
        let errors = found.iter().filter(|f| f.severity == "error").count();
        let text = match common.output {
            Format::Table | Format::Wide => text(&found, objects),
            Format::Json => pretty(&json!(found))?,
            Format::Yaml => serde_saphyr::to_string(&found).context("writing YAML")?,
            Format::Sarif => pretty(&sarif(&found))?,
            Format::Github => github(&found),
            Format::Name => {
                let mut names: Vec<_> = found.iter().map(|f| format!("{}\n", f.object)).collect();
                names.dedup();
                names.concat()
            }
        };
        console.out.write_all(text.as_bytes())?;
        let is_doubtful = found.iter().any(|finding| finding.unknown.is_some());
        Ok(match errors {
            0 if is_doubtful => Verdict::Unknown,
            errors => Verdict::problems_if(errors > 0),
        })
    }

    /// The manifests, alone or among the objects of the cluster.
    async fn facts(&self, common: &Common) -> Result<Facts> {
        if !self.against_cluster {
            return folder::load(&common.of_files(common.files.clone()));
        }
        let connection = Connection::open(common).await?;
        let linted = common.in_namespace(connection.namespace.as_deref());
        let linted = folder::compile(&common.files, &linted)?;
        let cluster = common.of_cluster();
        let (_, after) = cluster::load_applied(&cluster, &connection, &linted.set).await?;
        Ok(after)
    }
}

/// An error that may be there only because something could not be read is none that is certain.
fn doubt(found: &mut [Finding], facts: &Facts) {
    let doubts = doubts(facts);
    for finding in found.iter_mut().filter(|found| found.severity == "error") {
        let which = (
            finding.object.clone(),
            finding.code.clone(),
            finding.field.clone(),
        );
        if let Some(why) = doubts.get(&which) {
            finding.severity = "warning";
            finding.unknown = Some(why.clone());
        }
    }
}

fn linted_objects(report: &Report) -> usize {
    let from_files = |object: &&std::sync::Arc<ObjectReport>| object.origin != Origin::Cluster;
    report.objects.iter().filter(from_files).count()
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value).context("writing JSON")? + "\n")
}

/// Everything that is wrong, in the order of files and lines.
pub fn findings(set: &ResourceSet, report: &Report) -> Vec<Finding> {
    let of_objects = report.objects.iter().flat_map(|object| {
        let finding = |diagnostic| of_object(set, object, diagnostic);
        object.diagnostics.iter().map(finding)
    });
    let of_files = report
        .files
        .iter()
        .map(|(origin, diagnostic)| finding(String::new(), diagnostic, place(origin, None)));
    let mut all: Vec<_> = of_objects.chain(of_files).collect();
    sort(&mut all);
    all
}

/// Adds what a cluster would say of addresses that a folder does not: what is dialled, and whether it may be. Services that the
/// files do not hold are still taken to exist, and so are the namespaces of all objects.
pub fn add_findings_of_clusters(found: &mut Vec<Finding>, set: &ResourceSet, options: &Options) {
    let mut set = set.clone();
    folder::assume_namespaces(&mut set);
    let options = Options {
        environment: cluster::usual_environment(),
        ..options.clone()
    };
    let (_, report) = compile(&set, &options);
    let is_of_clusters = |finding: &Finding| {
        OF_CLUSTERS
            .iter()
            .any(|code| code.to_string() == finding.code)
    };
    let known = |finding: &Finding| {
        let same = |other: &Finding| {
            (&other.object, &other.code, &other.field)
                == (&finding.object, &finding.code, &finding.field)
        };
        found.iter().any(same)
    };
    let more = findings(&set, &report).into_iter();
    let more: Vec<_> = more
        .filter(|finding| is_of_clusters(finding) && !known(finding))
        .collect();
    found.extend(more);
    sort(found);
}

fn sort(all: &mut [Finding]) {
    all.sort_by(|a, b| {
        let key = |finding: &Finding| match &finding.file {
            Some((path, at)) => (path.clone(), Some(*at)),
            None => (finding.at.clone(), None),
        };
        (key(a), &a.code, &a.field).cmp(&(key(b), &b.code, &b.field))
    });
}

fn of_object(set: &ResourceSet, object: &ObjectReport, diagnostic: &Diagnostic) -> Finding {
    let field_at = set.position(&object.key, &diagnostic.field);
    finding(
        object.key.to_string(),
        diagnostic,
        place(&object.origin, field_at),
    )
}

fn place(origin: &Origin, field_at: Option<Position>) -> (String, Option<Position>) {
    match origin {
        Origin::File { path, at } => (path.to_string(), Some(field_at.unwrap_or(*at))),
        Origin::Annotation { of, at } => {
            let at = field_at.unwrap_or(*at);
            (Origin::Annotation { of: of.clone(), at }.to_string(), None)
        }
        Origin::Cluster => (origin.to_string(), None),
    }
}

fn finding(
    object: String,
    diagnostic: &Diagnostic,
    (path, at): (String, Option<Position>),
) -> Finding {
    let info = diagnostic.code.info();
    Finding {
        at: at.map_or_else(|| path.clone(), |at| format!("{path}:{at}")),
        file: at.map(|at| (path, at)),
        severity: severity(info),
        code: diagnostic.code.to_string(),
        reason: info.reason,
        object,
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        next: diagnostic.next.clone(),
        unknown: None,
    }
}

fn severity(info: &CodeInfo) -> &'static str {
    match info.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// One line for each problem, with the next step in the line after it.
pub fn text(findings: &[Finding], objects: usize) -> String {
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
        if let Some(why) = &finding.unknown {
            lines.push(format!("    not certain: {why}"));
        }
        if !finding.next.is_empty() {
            lines.push(format!("    {}", finding.next));
        }
    }
    let errors = findings.iter().filter(|f| f.severity == "error").count();
    lines.push(format!(
        "{} and {} in {}",
        many(errors, "error"),
        many(
            findings.iter().filter(|f| f.severity == "warning").count(),
            "warning"
        ),
        many(objects, "object")
    ));
    lines.join("\n") + "\n"
}

/// SARIF 2.1.0: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
pub fn sarif(findings: &[Finding]) -> Value {
    let is_used = |info: &&CodeInfo| findings.iter().any(|f| f.code == info.code.to_string());
    let rules = CODES.iter().filter(is_used).map(|info| {
        json!({
            "id": info.code.to_string(),
            "name": info.reason,
            "shortDescription": { "text": info.cause },
            "help": { "text": info.remedy },
            "defaultConfiguration": { "level": severity(info) },
        })
    });
    let results = findings.iter().map(|finding| {
        let locations: Vec<_> = { finding.file.iter() }
            .map(|(path, at)| {
                json!({ "physicalLocation": {
                    "artifactLocation": { "uri": path },
                    "region": { "startLine": at.line, "startColumn": at.column },
                }})
            })
            .collect();
        json!({
            "ruleId": finding.code,
            "level": finding.severity,
            "message": { "text": format!("{}: {}. {}.", finding.object, finding.message, finding.next) },
            "locations": locations,
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "postern",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// Workflow commands of GitHub Actions.
pub fn github(findings: &[Finding]) -> String {
    let value = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| value(text).replace(':', "%3A").replace(',', "%2C");
    let lines = findings.iter().map(|finding| {
        let place = finding
            .file
            .as_ref()
            .map_or_else(String::new, |(path, at)| {
                format!(
                    "file={},line={},col={},",
                    property(path),
                    at.line,
                    at.column
                )
            });
        let title = property(&format!("{} {}", finding.code, finding.reason));
        let text = value(&format!(
            "{}: {}. {}.",
            finding.object, finding.message, finding.next
        ));
        let command = if finding.severity == "note" {
            "notice"
        } else {
            finding.severity
        };
        format!("::{command} {place}title={title}::{text}\n")
    });
    lines.collect()
}
