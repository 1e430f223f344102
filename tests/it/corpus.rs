//! The corpus: manifests of Emissary-ingress, each with requests and the answers that Emissary-ingress gives, as tables.
//!
//! ```yaml
//! alone: true                      # each case is served by itself: for what holds for the whole installation
//! world: [ ... ]                   # manifests beside those of the cases; a Host for every name unless told
//! cases:
//!   the sentence that the case shows:
//!     mapping: {prefix: /a/}       # specs of Mappings (`mappings` for several): hostname `$host` and service `s` unless told
//!     objects: [ ... ]             # whole manifests, in the namespace `corpus` unless told
//!     folder: why                  # for a folder only
//!     ask:
//!       /a/b?c=d x-a=b: 200 s /b?c=d       # [METHOD] target [header=value ...]: status [service] [path as the upstream sees it]
//!       POST /a/: {with: {body: text}, status: 200, headers: {x-b: c}, without: {status: 404}}
//! ```
//!
//! `$host` and `$name` stand for a name that no other case has. `with` and the rest are those of `cases.rs`. `without` is what is
//! answered without the settings that `postern migrate` writes; where it is not there, the same.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use postern::{
    cli::migrate::{Asked, convert},
    crd::{
        manifest::emissary::KINDS,
        schema::{respell, tree::Names},
    },
    source::dir::Manifest,
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    cases::{Case, pki},
    gateway::{Gateway, PATIENCE},
};

/// Cases that are served at the same time.
pub(crate) struct Step {
    pub(crate) name: String,
    manifests: Vec<Value>,
    /// What is there once all of it is served.
    last: String,
    requests: Vec<Value>,
    /// Those whose answers differ without settings.
    without: Vec<Value>,
    is_alone: bool,
    folder: Option<String>,
}

/// In which way the manifests of a step are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    AsWritten,
    /// Fields in the other spelling.
    Camel,
    /// As objects of `getambassador.io/v2`.
    OldVersion,
    /// Mappings in annotations of Services, as `ambassador/v1`.
    Annotated,
    Migrated,
    /// As they are written, without the settings that a migration writes.
    WithoutSettings,
}

const PRESET: &str = r#"{"apiVersion": "postern.dev/v1alpha1", "kind": "GatewaySettings",
    "metadata": {"name": "settings", "namespace": "default"}, "spec": {"preset": "emissary"}}"#;

#[test]
fn everything_is_answered_however_it_is_written() {
    let steps = steps();
    let asked: usize = steps.iter().map(|step| step.requests.len()).sum();
    let cases: usize = files().iter().map(|file| cases_of(file).len()).sum();
    println!("{cases} cases with {asked} requests");
    assert!(cases >= 150, "there are {cases} cases");
    // One worker: each takes what is new by itself, and the marker tells of one.
    let gateway = Gateway::with_flags("", &["--echo", "--workers", "1"]);
    let mut wrong = Vec::new();
    for writing in [
        Writing::AsWritten,
        Writing::Camel,
        Writing::OldVersion,
        Writing::Annotated,
        Writing::Migrated,
        Writing::WithoutSettings,
    ] {
        for step in &steps {
            // What is for the whole installation is written in one way only.
            let is_global = matches!(writing, Writing::OldVersion | Writing::Annotated);
            if step.is_alone && is_global {
                continue;
            }
            let found = step.run(&gateway, writing);
            wrong.extend(
                found
                    .iter()
                    .map(|w| format!("{writing:?} {}: {w}", step.name)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = fs::read_dir(root).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

fn read(file: &Path) -> Value {
    let reading = postern::source::yaml::read(&fs::read(file).unwrap());
    assert!(
        reading.errors.is_empty(),
        "{}: {:?}",
        file.display(),
        reading.errors
    );
    reading.documents.into_iter().next().unwrap().value
}

fn cases_of(file: &Path) -> Map<String, Value> {
    read(file)["cases"].as_object().cloned().unwrap()
}

/// Everything that there is, in the order in which it is served.
pub(crate) fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for file in files() {
        let topic = file.file_stem().unwrap().to_string_lossy().into_owned();
        let table = read(&file);
        let is_alone = table["alone"] == true;
        let world = table["world"].as_array().cloned();
        let world = world.unwrap_or_else(|| vec![host_for_all()]);
        let fresh = |name: String, folder: Option<String>| Step {
            name,
            manifests: Vec::new(),
            last: String::new(),
            requests: Vec::new(),
            without: Vec::new(),
            is_alone,
            folder,
        };
        let mut current: Vec<Step> = Vec::new();
        for (index, (sentence, case)) in cases_of(&file).iter().enumerate() {
            let name = format!("{topic}-{index:02}");
            let folder = case["folder"].as_str().map(str::to_owned);
            if is_alone {
                current.push(fresh(format!("{topic}: {sentence}"), folder));
            } else {
                let at = current.iter().position(|step| step.folder == folder);
                if at.is_none() {
                    current.push(fresh(topic.clone(), folder.clone()));
                }
                let at = at.unwrap_or(current.len() - 1);
                let last = current.len() - 1;
                current.swap(at, last);
            }
            current.last_mut().unwrap().add(sentence, &name, case);
        }
        for mut step in current {
            let own_world = world.iter().map(|manifest| named(manifest, &step.last));
            step.manifests.extend(own_world);
            step.manifests = step.manifests.into_iter().map(pki::with_data).collect();
            steps.push(step);
        }
    }
    steps
}

fn host_for_all() -> Value {
    json!({
        "apiVersion": "getambassador.io/v3alpha1", "kind": "Host",
        "metadata": {"name": "all", "namespace": "corpus"},
        "spec": {"hostname": "*", "requestPolicy": {"insecure": {"action": "Route"}}},
    })
}

/// With the names of a case, and the namespace of all.
fn named(value: &Value, name: &str) -> Value {
    let text = value.to_string();
    let text = text
        .replace("$host", &format!("{name}.test"))
        .replace("$name", name);
    let mut value: Value = serde_json::from_str(&text).unwrap();
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata
            .entry("namespace")
            .or_insert_with(|| json!("corpus"));
    }
    value
}

// === impl Step ===

impl Step {
    fn add(&mut self, sentence: &str, name: &str, case: &Value) {
        let mut specs: Vec<Value> = case["mappings"].as_array().cloned().unwrap_or_default();
        specs.extend(case.get("mapping").cloned());
        for (index, spec) in specs.iter().enumerate() {
            let mut spec = named(spec, name);
            let fields = spec.as_object_mut().unwrap();
            if !fields.contains_key("host") {
                fields
                    .entry("hostname")
                    .or_insert_with(|| json!(format!("{name}.test")));
            }
            fields.entry("service").or_insert_with(|| json!("s"));
            self.manifests.push(json!({
                "apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping",
                "metadata": {"name": format!("{name}-m{index}"), "namespace": "corpus"},
                "spec": spec,
            }));
        }
        let objects = case["objects"].as_array().into_iter().flatten();
        self.manifests
            .extend(objects.map(|object| named(object, name)));
        name.clone_into(&mut self.last);
        for (line, answer) in case["ask"].as_object().expect(sentence) {
            let line = line.replace("$host", &format!("{name}.test"));
            let line = line.replace("$name", name);
            let mut answer = named(answer, name);
            let without = answer
                .as_object_mut()
                .and_then(|fields| fields.remove("without"));
            self.requests.push(request(&line, name, &answer));
            self.without
                .push(request(&line, name, &without.unwrap_or(answer)));
        }
    }

    /// How many requests there are.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// The manifests as a case of `cases.rs`, for an API server.
    pub(crate) fn in_cluster(&self) -> Case {
        let mut case = case(&self.requests);
        case.resources = self.written(Writing::AsWritten);
        case.folder.clone_from(&self.folder);
        case
    }

    fn run(&self, gateway: &Gateway, writing: Writing) -> Vec<String> {
        // A marker that only this step in this writing has, and that is there once everything is.
        let marker = format!("{}-{writing:?}", self.last).to_lowercase();
        let mut manifests = self.written(writing);
        manifests.push(json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"name": marker, "namespace": "corpus"},
            "spec": {"hostname": format!("{marker}.test"), "prefix": "/", "service": "s"},
        }));
        let text: Vec<_> = manifests.iter().map(ToString::to_string).collect();
        gateway.write("case.yaml", &text.join("\n---\n"));
        wait_for(gateway, &marker);
        let requests = match writing {
            Writing::WithoutSettings => &self.without,
            _ => &self.requests,
        };
        // A Listener that is opened or closed takes a moment more than the routes.
        let case = case(requests);
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let wrong = case.wrong(gateway);
            if wrong.is_empty() || !self.is_alone || Instant::now() > deadline {
                return wrong;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn written(&self, writing: Writing) -> Vec<Value> {
        let preset: Value = serde_json::from_str(PRESET).unwrap();
        let manifests = self.manifests.clone().into_iter();
        match writing {
            Writing::AsWritten => manifests.chain([preset]).collect(),
            Writing::WithoutSettings => manifests.collect(),
            Writing::Camel => manifests.map(in_camel).chain([preset]).collect(),
            Writing::OldVersion => manifests.map(in_old_version).chain([preset]).collect(),
            Writing::Annotated => manifests.map(in_annotation).chain([preset]).collect(),
            Writing::Migrated => {
                let manifests = manifests.map(|value| Manifest {
                    value,
                    at: String::new(),
                });
                let asked = Asked {
                    default_namespace: "default".to_owned(),
                    namespace: "default".to_owned(),
                    installation: "default".to_owned(),
                    preset: true,
                    ignore: Vec::new(),
                };
                let conversion = convert(manifests.collect(), &asked);
                let objects = conversion.objects.into_iter().filter_map(|o| o.manifest);
                conversion.rest.into_iter().chain(objects).collect()
            }
        }
    }
}

fn case(requests: &[Value]) -> Case {
    let case = json!({"resources": [], "requests": requests, "anyReport": true});
    serde_json::from_value(case).unwrap()
}

fn wait_for(gateway: &Gateway, marker: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = gateway.ask("/report");
        let mut objects = report["objects"].as_array().unwrap().iter();
        if objects.any(|object| object["name"] == marker) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{marker} is not served\n{}",
            gateway.logged()
        );
        thread::sleep(Duration::from_millis(3));
    }
}

/// A request of `cases.rs` from a line of a table.
fn request(line: &str, name: &str, answer: &Value) -> Value {
    let mut words = line.split(' ').peekable();
    let is_method = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
    let method = words.next_if(is_method).unwrap_or("GET");
    let target = words.next().expect("a line must have a target");
    let url = if target.starts_with('/') {
        format!("http://{name}.test{target}")
    } else {
        target.to_owned()
    };
    let headers = words.map(|word| word.split_once('=').expect("header=value"));
    let headers: Map<_, _> = headers
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    let mut request = json!({"send": format!("{method} {url}"), "headers": headers});
    let mut expect = answer.clone();
    if let Value::String(text) = answer {
        expect = expected(text);
    } else if let Value::Number(status) = answer {
        expect = json!({"status": status});
    } else if let Some(Value::Object(with)) = expect.as_object_mut().and_then(|e| e.remove("with"))
    {
        for (field, value) in with {
            request[field] = value;
        }
    }
    request["expect"] = expect;
    request
}

/// `200 s /b`: the status, perhaps who answers, perhaps what it sees.
fn expected(text: &str) -> Value {
    let mut expect = json!({});
    for word in text.split(' ') {
        if let Ok(status) = word.parse::<u16>() {
            expect["status"] = json!(status);
        } else if word.starts_with('/') {
            expect["path"] = json!(word);
        } else {
            expect["service"] = json!(match word.split_once('/') {
                Some(_) => word.to_owned(),
                None => format!("corpus/{word}"),
            });
            if !word.contains(':') {
                expect["service"] = json!(format!("{}:80", expect["service"].as_str().unwrap()));
            }
        }
    }
    expect
}

// === ways of writing ===

fn is_emissary(manifest: &Value) -> bool {
    manifest["apiVersion"] == "getambassador.io/v3alpha1"
}

fn in_camel(mut manifest: Value) -> Value {
    let row = KINDS.iter().find(|row| manifest["kind"] == row.name);
    if let Some(row) = row.filter(|row| is_emissary(&manifest) && row.names == Names::Snake) {
        let spec = manifest["spec"].take();
        manifest["spec"] = respell((row.tree)(), spec).0;
    }
    manifest
}

fn in_old_version(mut manifest: Value) -> Value {
    // There was no Listener.
    if is_emissary(&manifest) && manifest["kind"] != "Listener" {
        manifest["apiVersion"] = json!("getambassador.io/v2");
    }
    manifest
}

fn in_annotation(manifest: Value) -> Value {
    if !is_emissary(&manifest) || manifest["kind"] != "Mapping" {
        return manifest;
    }
    let mut flat = manifest["spec"].clone();
    flat["apiVersion"] = json!("ambassador/v1");
    flat["kind"] = json!("Mapping");
    flat["name"] = manifest["metadata"]["name"].clone();
    let mut labels = manifest["metadata"]["labels"].clone();
    if labels.is_null() {
        labels = json!({});
    }
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": format!("carrier-of-{}", manifest["metadata"]["name"].as_str().unwrap()),
            "namespace": "corpus",
            "labels": labels,
            "annotations": {"getambassador.io/config": serde_saphyr::to_string(&flat).unwrap()},
        },
        "spec": {"ports": [{"port": 80}]},
    })
}
