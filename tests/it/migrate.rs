//! `postern migrate emissary`: what it writes compiles to the graph of what it read.

use std::{fs, path::Path, process::Command};

use postern::{
    admin,
    cli::migrate::{Asked, Conversion, convert},
    compile::{Options, compile},
    resource::{Kind, Unavailable},
    source::dir::{self, Manifest},
};
use serde_json::Value;

use super::{cases, golden};

/// An object in an annotation has no age of its own, so that it loses against real ones. Once it is real, it has one.
const EXCEPT: &[&str] = &["an-annotation-has-no-age-of-its-own.in"];

/// Folder and file of objects, with what they are compiled with.
struct Input {
    name: String,
    manifests: Vec<Manifest>,
    options: Options,
    without_claims: bool,
}

fn asked(input: &Input, preset: bool) -> Asked {
    Asked {
        default_namespace: "default".to_owned(),
        namespace: input.options.namespace.to_string(),
        installation: input.options.installation.to_string(),
        preset,
        ignore: Vec::new(),
    }
}

fn inputs() -> Vec<Input> {
    let goldens = golden::inputs().into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let (manifests, _) = dir::manifests(std::slice::from_ref(&path)).unwrap();
        Input {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            manifests,
            options: golden::options(&text),
            without_claims: golden::says(&text, "# claims may not be read"),
        }
    });
    let cases = cases::files().into_iter().map(|path| {
        let case = cases::Case::read(&path);
        let manifests = { case.resources.into_iter() }.map(|value| Manifest {
            value,
            at: String::new(),
        });
        Input {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            manifests: manifests.collect(),
            options: Options {
                namespace: "default".into(),
                ..golden::options("# echo")
            },
            without_claims: false,
        }
    });
    goldens.chain(cases).collect()
}

#[test]
fn what_is_written_compiles_to_the_graph_of_what_was_read() {
    let mut converted = 0;
    let mut failures = Vec::new();
    for input in inputs() {
        if EXCEPT.contains(&input.name.as_str()) {
            continue;
        }
        for preset in [false, true] {
            let conversion = convert(input.manifests.clone(), &asked(&input, preset));
            converted += conversion.objects.len();
            let before = graph(&input, &before(&input, &conversion, preset));
            let after = graph(&input, &after(&conversion));
            let before = called_as_now(&before, &conversion);
            let after = called_as_now(&after, &conversion);
            if before != after {
                let difference = golden::difference(&before, &after);
                failures.push(format!("{} (preset {preset}): {difference}", input.name));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    assert!(converted > 300, "only {converted} objects were converted");
}

/// What was read; with a preset, the settings that begin with it are among it.
fn before(input: &Input, conversion: &Conversion, preset: bool) -> Vec<Value> {
    let mut manifests: Vec<_> = input.manifests.iter().map(|m| m.value.clone()).collect();
    let written = { conversion.objects.iter() }
        .filter_map(|object| object.manifest.as_ref())
        .find(|manifest| manifest["kind"] == "GatewaySettings");
    if let (true, Some(written)) = (preset, written) {
        let name = &written["metadata"]["name"];
        manifests.retain(|m| m["kind"] != "GatewaySettings" || m["metadata"]["name"] != *name);
        manifests.push(written.clone());
    }
    manifests
}

fn after(conversion: &Conversion) -> Vec<Value> {
    let objects = conversion.objects.iter();
    let objects = objects.filter_map(|object| object.manifest.as_ref());
    conversion.rest.iter().chain(objects).cloned().collect()
}

/// The graph of manifests that went through a file, without the group of objects in their names.
fn graph(input: &Input, manifests: &[Value]) -> String {
    let texts = manifests
        .iter()
        .map(|manifest| serde_saphyr::to_string(manifest).unwrap());
    let text = texts.collect::<Vec<_>>().join("\n---\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    fs::write(&file, text).unwrap();
    let mut set = dir::load(&[file], "default").unwrap();
    if input.without_claims {
        let why = Unavailable::Forbidden;
        set.unavailable.insert(Kind::RouteClaim, why);
    }
    let (graph, report) = compile(&set, &input.options);
    let (mut graph, _) = admin::dump(&graph, &report);
    // A Listener is told by its port: its name does not say of which group it is.
    for listener in graph["listeners"].as_array_mut().unwrap() {
        listener["name"] = Value::Null;
    }
    serde_json::to_string_pretty(&graph).unwrap()
}

/// A graph with the names that objects have now: none is of Emissary's group, and names that Kubernetes does not accept, or
/// that were there in both groups, are others.
fn called_as_now(graph: &str, conversion: &Conversion) -> String {
    let graph = { conversion.objects.iter() }.fold(graph.to_owned(), |graph, object| {
        let Some(manifest) = &object.manifest else {
            return graph;
        };
        let (_, old) = object.was.split_once(' ').unwrap();
        let text = |name: &str| manifest["metadata"][name].as_str().unwrap();
        let now = format!("{}/{}", text("namespace"), text("name"));
        { GROUP.iter() }.fold(graph, |graph, (with, without)| {
            graph.replace(&format!("{with}{old}\""), &format!("{without}{now}\""))
        })
    });
    { GROUP.iter() }.fold(graph, |graph, (with, without)| graph.replace(with, without))
}

/// How a graph names an object of Emissary's group, and how one of ours.
const GROUP: [(&str, &str); 2] = [
    ("mapping.getambassador.io/", "mapping/"),
    ("getambassador.io:", ""),
];

/// Runs the command: its exit code, and what it says.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["migrate", "emissary"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const GOOD: &str = "
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata: {name: quote, namespace: apps}
spec: {hostname: '*', prefix: /q/, service: quote, timeout_ms: 4000, docs: {path: /x}}
---
apiVersion: v1
kind: Service
metadata:
  name: old
  namespace: apps
  annotations:
    getambassador.io/config: |
      apiVersion: ambassador/v1
      kind: Mapping
      name: old_one
      prefix: /old/
      service: old
spec: {ports: [{port: 80}]}
---
apiVersion: getambassador.io/v3alpha1
kind: Module
metadata: {name: ambassador, namespace: apps}
spec: {config: {merge_slashes: true}}
";

#[test]
fn manifests_go_into_a_folder_and_the_report_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    fs::write(&file, GOOD).unwrap();
    let out = folder.path().join("out");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let (code, report, errors) = run(&["-f", file, "-o", out]);
    assert_eq!((code, &*errors), (0, ""), "{report}");
    for part in [
        "| Mapping apps/quote | Mapping apps/quote | differs |",
        "It is called `old-one` now.",
        "`config.merge_slashes`: GatewaySettings paths.mergeSlashes: true.",
        "Remove the annotation `getambassador.io/config` of Service apps/old",
        "no effect: `docs`.",
    ] {
        assert!(report.contains(part), "{part} must be in:\n{report}");
    }
    let apps = fs::read_to_string(Path::new(out).join("apps.yaml")).unwrap();
    assert!(
        apps.contains("timeoutMs: 4000") && !apps.contains("docs"),
        "{apps}"
    );
    assert!(!apps.contains("Module"), "{apps}");
    let own = fs::read_to_string(Path::new(out).join("postern.yaml")).unwrap();
    assert!(
        own.contains("preset: emissary") && own.contains("mergeSlashes: true"),
        "{own}"
    );
    let (code, ..) = run(&["-f", file, "-o", out]);
    assert_eq!(code, 1, "a folder that is not empty is not written into");
}

#[test]
fn whatever_is_refused_is_named_with_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    let text = format!(
        "{GOOD}---\napiVersion: getambassador.io/v2\nkind: AuthService\nmetadata: {{name: auth, namespace: apps}}\nspec: {{auth_service: auth}}\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (code, manifests, report) = run(&["-f", file, "--report", "json"]);
    assert_eq!(code, 2, "{report}");
    assert!(
        manifests.contains("kind: AuthService"),
        "what protects stays: {manifests}"
    );
    let report: Value = serde_json::from_str(&report).unwrap();
    let objects = report["objects"].as_array().unwrap();
    let auth = objects
        .iter()
        .find(|o| o["object"] == "AuthService apps/auth")
        .unwrap();
    assert_eq!(auth["verdict"], "refused");
    assert_eq!(auth["becomes"], "AuthService.getambassador.io apps/auth");
    let (code, manifests, report) = run(&["-f", file, "--ignore", "AuthService"]);
    assert_eq!(code, 0, "{report}");
    assert!(manifests.contains("ignore:"), "{manifests}");
}

#[test]
fn what_cannot_be_read_fails_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    let file_name = file.to_str().unwrap();
    for (text, says) in [
        ("a: [", "in.yaml:"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
            "no object of Emissary-ingress",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, out, errors) = run(&["-f", file_name]);
        assert_eq!((code, &*out), (1, ""), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
}
