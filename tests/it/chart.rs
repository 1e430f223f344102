//! The chart: what helm makes of a dozen sets of values, and what it refuses.
//!
//! `tests/chart/<sentence>.values.yaml` gives `<sentence>.manifests.yaml`; `UPDATE_GOLDEN=1` writes what is expected anew.

mod apply;
pub(crate) mod dashboard;
pub(crate) mod values;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use postern::crd::manifest::manifests;
use serde_json::Value;

use crate::cluster::server;

const FOLDER: &str = "tests/chart";
const VALUES: &str = ".values.yaml";
const MANIFESTS: &str = ".manifests.yaml";

/// Values that must be refused, and a word of why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["replica=3"], "replica"),
    (&["kind=StatefulSet"], "kind"),
    (&["rbac.secrets=some"], "secrets"),
    (&["rbac.secrets=namespaces"], "secretNamespaces"),
    (&["rbac.secrets=named"], "secretNames"),
    (
        &["rbac.secrets=named", "rbac.secretNames={certificate}"],
        "secretNames",
    ),
    (&["listeners[0].containerPort=70000"], "65,535"),
    (&["listeners={http}"], "listeners"),
    (&["mesh.provider=cilium"], "provider"),
    (&["drain.delaySeconds=-1"], "delaySeconds"),
    (&["drain.delaySeconds=5s"], "delaySeconds"),
    (&["watch.namespaces={Shop}"], "Shop"),
    (&["image.digest=latest"], "digest"),
    (&["service.type=ExternalName"], "type"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn helm(arguments: &[&str]) -> Result<String, String> {
    let programs = server::programs(&["helm"], "tests/cluster/build.sh chart");
    let output = Command::new(programs.join("helm"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(said)
    }
}

/// What the chart is rendered to for a release `postern` in the namespace `postern`.
fn render(more: &[&str]) -> Result<String, String> {
    let arguments = ["template", "postern", "helm/postern", "-n", "postern"];
    helm(&[&arguments[..], more].concat())
}

/// The rendered documents, without those that `drop` says.
fn documents(text: &str, drop: impl Fn(&str) -> bool) -> String {
    let kept: Vec<_> = text
        .split("\n---\n")
        .map(|document| document.trim_start_matches("---\n").trim_end())
        .filter(|document| !document.is_empty() && !drop(document))
        .collect();
    format!("---\n{}\n", kept.join("\n---\n"))
}

fn is_crd(document: &str) -> bool {
    document.contains("\nkind: CustomResourceDefinition\n")
}

fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(FOLDER)).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Compares with what is committed, or writes it anew.
fn golden(path: &Path, actual: &str, failures: &mut Vec<String>) {
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
        return;
    }
    let line = expected
        .lines()
        .zip(actual.lines())
        .take_while(|(expected, actual)| expected == actual)
        .count();
    failures.push(format!(
        "{}:{}: run `make golden` and look at the difference: expected {:?}, and it is {:?}",
        path.display(),
        line + 1,
        expected.lines().nth(line),
        actual.lines().nth(line),
    ));
}

#[test]
fn values_give_the_manifests_that_are_expected() {
    let mut failures = Vec::new();
    let mut outputs = BTreeSet::new();
    let mut cases_seen = 0;
    for path in cases() {
        let name = path.to_str().unwrap();
        let Some(name) = name.strip_suffix(VALUES) else {
            continue;
        };
        cases_seen += 1;
        let rendered = render(&["-f", path.to_str().unwrap()])
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let output = PathBuf::from(format!("{name}{MANIFESTS}"));
        golden(&output, &documents(&rendered, is_crd), &mut failures);
        outputs.insert(output);
    }
    assert!(cases_seen >= 12, "there must be a dozen cases in {FOLDER}");
    for path in cases() {
        let is_output = path.to_str().unwrap().ends_with(MANIFESTS);
        if is_output && !outputs.contains(&path) {
            failures.push(format!("{}: no values give this", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// For those who do not use helm, and for the tests against the API server, whose user has these roles and nothing else.
#[test]
fn the_plain_roles_are_those_of_the_chart() {
    let mut failures = Vec::new();
    for file in ["rbac.yaml", "team-roles.yaml"] {
        let roles = render(&["-s", &format!("templates/{file}")]).unwrap();
        let path = root().join("helm").join(file);
        golden(&path, &documents(&roles, |_| false), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn helm_lint_has_nothing_to_say() {
    for case in cases() {
        if case.to_str().unwrap().ends_with(VALUES) {
            let values = case.to_str().unwrap();
            helm(&["lint", "--strict", "--quiet", "helm/postern", "-f", values]).unwrap();
        }
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for (values, why) in REFUSED {
        let arguments: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
        let refusal = render(&arguments)
            .err()
            .unwrap_or_else(|| panic!("{values:?} must be refused"));
        assert!(refusal.contains(why), "{values:?}: {refusal}");
    }
}

#[test]
fn the_chart_installs_the_kinds_as_they_are_and_keeps_them() {
    let rendered = render(&[]).unwrap();
    let crds = documents(&rendered, |document| !is_crd(document));
    let mut names = Vec::new();
    for document in crds.split("---\n").filter(|document| is_crd(document)) {
        let mut found: Value = serde_saphyr::from_str(document).unwrap();
        let keep = &found["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(keep, "keep", "{document}");
        let metadata = found["metadata"].as_object_mut().unwrap();
        metadata.remove("annotations");
        metadata.remove("labels");
        let name = found["metadata"]["name"].as_str().unwrap().to_owned();
        let is_same = manifests().iter().any(|(_, text)| {
            let mut shipped: Value = serde_saphyr::from_str(text).unwrap();
            let metadata = shipped["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
            metadata.remove("labels");
            shipped == found
        });
        assert!(is_same, "{name} must be the one in crds/");
        names.push(name);
    }
    assert_eq!(names.len(), manifests().len(), "{names:?}");

    let without = render(&["--set", "crds.install=false"]).unwrap();
    assert!(!without.contains("CustomResourceDefinition"), "{without}");
}

/// Alerts ask for metrics that exist.
#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let known = dashboard::families();
    for file in ["rules.yaml", "dashboard.json"] {
        let text = fs::read_to_string(root().join("helm/postern/files").join(file)).unwrap();
        let asked: BTreeSet<_> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("postern_"))
            .collect();
        assert!(asked.len() > 5, "{file}: {asked:?}");
        for name in asked {
            let is_known = known.iter().any(|family| family.has(name));
            assert!(is_known, "{file} asks for {name}, which nothing tells");
        }
    }
}
