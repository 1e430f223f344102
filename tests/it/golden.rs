//! What resources compile to: `tests/golden/<feature>/<sentence>.in.yaml` gives `.graph.yaml` and `.report.yaml`.
//!
//! `UPDATE_GOLDEN=1` writes what is expected anew. Two lines at the top of an input may change the environment, because it is
//! not among the resources: `# echo` has the echo server stand in for every Service, `# folder` reads a folder without one,
//! `# claims may not be read` and `# namespaces may not be read` do as an installation without that permission. For a last one
//! see [`with_former`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use postern::{
    admin,
    compile::{Environment, Options, compile},
    report::code::CODES,
    resource::{Kind, Object, ObjectKey, ResourceSet, Unavailable},
    source::dir,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const INPUT: &str = ".in.yaml";

#[test]
fn resources_compile_to_what_is_expected() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = Vec::new();
    let mut outputs = BTreeSet::new();
    let files = files();
    let inputs: Vec<_> = files
        .iter()
        .filter(|path| path.to_str().unwrap().ends_with(INPUT))
        .collect();
    assert!(!inputs.is_empty(), "there must be cases in {FOLDER}");
    for input in inputs {
        let (graph, report) = compiled(input);
        for (kind, actual) in [("graph", graph), ("report", report)] {
            let output = output(input, kind);
            let expected = fs::read_to_string(&output).unwrap_or_default();
            if update && expected != actual {
                fs::write(&output, &actual).unwrap();
            } else if expected != actual {
                let difference = difference(&expected, &actual);
                failures.push(format!("{}\n{difference}", output.display()));
            }
            outputs.insert(output);
        }
    }
    for path in files {
        let is_input = path.to_str().unwrap().ends_with(INPUT);
        if !is_input && !outputs.contains(&path) {
            failures.push(format!("{}: no input gives this", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_code_has_a_case() {
    let reports: Vec<_> = files()
        .into_iter()
        .filter(|path| path.to_str().unwrap().ends_with(".report.yaml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for code in CODES {
        let shown = code.code.to_string();
        let has_case = reports.iter().any(|report| report.contains(&shown));
        assert!(has_case, "{shown} must be in a report of {FOLDER}");
    }
}

/// Takes the permissions away that the first lines of a case speak of.
pub(super) fn forbid(text: &str, resources: &mut ResourceSet) {
    for (line, kind) in [
        ("# claims may not be read", Kind::RouteClaim),
        ("# namespaces may not be read", Kind::Namespace),
    ] {
        if says(text, line) {
            let why = Unavailable::Forbidden;
            resources.unavailable.insert(kind, why);
        }
    }
}

fn compiled(input: &Path) -> (String, String) {
    let text = fs::read_to_string(input).unwrap();
    let mut resources = dir::load(&[input.to_owned()], "default").unwrap();
    forbid(&text, &mut resources);
    with_former(&mut resources, &text);
    let (graph, report) = compile(&resources, &options(&text));
    let (graph, mut report) = admin::dump(&graph, &report);
    relative(&mut report);
    (yaml(&graph), yaml(&report))
}

pub(super) fn says(text: &str, line: &str) -> bool {
    text.lines().take(2).any(|found| found == line)
}

/// With `# NAME-before holds what NAME held before`, such Secrets are former contents of others.
pub(super) fn with_former(resources: &mut ResourceSet, text: &str) {
    if !says(text, "# NAME-before holds what NAME held before") {
        return;
    }
    let former = { &mut resources.secrets }.extract_if(.., |key, _| key.name.ends_with("-before"));
    for (key, secret) in former.collect::<Vec<_>>() {
        let name = key.name.trim_end_matches("-before");
        let key = ObjectKey::new(key.group, key.kind, &key.namespace, name);
        let mut secret = Object::clone(&secret);
        secret.key = key.clone();
        resources.former_secrets.insert(key, secret.into());
    }
}

pub(super) fn options(text: &str) -> Options {
    let says = |line: &str| says(text, line);
    let environment = if says("# echo") {
        Environment::Folder {
            backends: Vec::new(),
            echo: Some(([127, 0, 0, 1], 9).into()),
        }
    } else if says("# folder") {
        Environment::Folder {
            backends: Vec::new(),
            echo: None,
        }
    } else {
        Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: vec![[10, 1, 0, 1].into()],
            echo: None,
        }
    };
    Options {
        namespace: "postern".into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment,
    }
}

/// Paths as they are in every clone.
fn relative(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace(&format!("{FOLDER}/"), ""),
        Value::Array(values) => values.iter_mut().for_each(relative),
        Value::Object(fields) => fields.values_mut().for_each(relative),
        _ => {}
    }
}

fn yaml(value: &Value) -> String {
    let mut slim = value.clone();
    prune(&mut slim);
    serde_saphyr::to_string(&slim).unwrap()
}

/// What is empty is not shown: a reader looks for what a case is about.
fn prune(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(prune),
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| match value {
                Value::Null => false,
                Value::Array(values) => !values.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                Value::String(text) => !text.is_empty(),
                _ => true,
            });
        }
        _ => {}
    }
}

fn output(input: &Path, kind: &str) -> PathBuf {
    let name = input.to_str().unwrap().strip_suffix(INPUT).unwrap();
    format!("{name}.{kind}.yaml").into()
}

pub(super) fn difference(expected: &str, actual: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, actual) = (lines(expected), lines(actual));
    let start = expected
        .iter()
        .zip(&actual)
        .take_while(|(a, b)| a == b)
        .count();
    let show = |mark: &str, lines: &[String]| -> String {
        let shown = lines.iter().skip(start).take(12);
        let shown: Vec<_> = shown.map(|line| format!("{mark} {line}")).collect();
        shown.join("\n")
    };
    format!(
        "line {}:\n{}\n{}",
        start + 1,
        show("-", &expected),
        show("+", &actual)
    )
}

/// The inputs, in their order.
pub(super) fn inputs() -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|path| path.to_str().unwrap().ends_with(INPUT));
    files
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in fs::read_dir(FOLDER).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files
}
