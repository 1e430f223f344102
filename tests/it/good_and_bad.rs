//! A hundred good objects and a hundred bad ones, each bad in its own way: the good serve, the bad say why, and mending one
//! changes nothing about the others. The bad ones are in `tests/bad/objects.yaml`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{client::Request, gateway::Gateway};

const GOOD: usize = 100;

/// One bad object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bad {
    /// Its name.
    pub(crate) what: String,
    pub(crate) code: String,
    #[serde(default = "mapping")]
    pub(crate) kind: String,
    #[serde(default = "default_namespace")]
    pub(crate) namespace: String,
    #[serde(default)]
    pub(crate) spec: Map<String, Value>,
    pub(crate) text: Option<String>,
}

fn mapping() -> String {
    "Mapping".to_owned()
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// All of them, in the order of the file.
pub(crate) fn bad() -> Vec<Bad> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad/objects.yaml");
    let reading = postern::source::yaml::read(&fs::read(file).unwrap());
    assert!(reading.errors.is_empty(), "{:?}", reading.errors);
    let value = reading.documents.into_iter().next().unwrap().value;
    serde_json::from_value(value).unwrap()
}

pub(crate) fn good_mapping(number: usize) -> Value {
    object(
        "Mapping",
        "default",
        &format!("good-{number}"),
        &json!({ "hostname": "*", "prefix": format!("/good/{number}/"), "service": "s" }),
    )
}

/// What good and bad objects refer to.
pub(crate) fn surroundings() -> Vec<Value> {
    let secret = |namespace: &str, name: &str, data: Value| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
            "type": "Opaque", "stringData": data })
    };
    let pair = rcgen::generate_simple_self_signed(["a.com".to_owned()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let service = |namespace: &str| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s", "namespace": namespace },
            "spec": { "ports": [{ "name": "http", "port": 80 }] } })
    };
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other" } }),
        service("default"),
        service("other"),
        secret(
            "default",
            "no-pem",
            json!({ "tls.crt": "no", "tls.key": "pem" }),
        ),
        secret("default", "half", json!({ "tls.crt": certificate })),
        secret(
            "other",
            "pair",
            json!({ "tls.crt": certificate, "tls.key": key }),
        ),
        object(
            "Host",
            "default",
            "good",
            &json!({ "hostname": "good.com",
            "requestPolicy": { "insecure": { "action": "Route" } } }),
        ),
        object(
            "Listener",
            "default",
            "good",
            &json!({ "port": 8080, "protocol": "HTTP",
            "securityModel": "XFP", "hostBinding": { "namespace": { "from": "ALL" } } }),
        ),
        object("GatewaySettings", "default", "good", &json!({})),
    ]
}

fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "postern.dev/v1alpha1", "kind": kind,
        "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

impl Bad {
    pub(crate) fn manifest(&self) -> Value {
        let mut spec = match &*self.kind {
            "Mapping" => {
                json!({ "hostname": "*", "prefix": format!("/bad/{}/", self.what), "service": "s" })
            }
            _ => json!({}),
        };
        for (field, value) in &self.spec {
            let fields = spec.as_object_mut().unwrap();
            if value.is_null() {
                fields.remove(field);
            } else {
                fields.insert(field.clone(), value.clone());
            }
        }
        object(&self.kind, &self.namespace, &self.what, &spec)
    }

    fn file_text(&self) -> String {
        let manifest = || self.manifest().to_string();
        self.text.clone().unwrap_or_else(manifest)
    }

    fn file_name(&self) -> String {
        format!("{}.yaml", self.what)
    }
}

/// `postern echo` as a process of its own.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
            .args(["echo", "--address", "127.0.0.1:0", "--log-format", "json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let address = told["server.addr"].as_str().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Diagnostics by `Kind namespace/name`, without what differs from run to run.
fn diagnostics(gateway: &Gateway) -> BTreeMap<String, Vec<Value>> {
    let report = gateway.ask("/report");
    let objects = report["objects"].as_array().unwrap().iter();
    let mut all: BTreeMap<_, _> = objects
        .map(|object| {
            let text = |name: &str| object[name].as_str().unwrap().to_owned();
            let key = format!("{} {}/{}", text("kind"), text("namespace"), text("name"));
            (key, object["diagnostics"].as_array().unwrap().clone())
        })
        .collect();
    for file in report["files"].as_array().unwrap() {
        let at = file["at"].as_str().unwrap();
        let name = at.rsplit('/').next().unwrap().split(':').next().unwrap();
        all.entry(format!("file {name}"))
            .or_default()
            .push(file["diagnostic"].clone());
    }
    all
}

#[test]
fn a_hundred_bad_objects_say_why_and_a_hundred_good_ones_serve() {
    let echo = Echo::start();
    let bad = bad();
    assert_eq!(bad.len(), 100);
    let good = surroundings()
        .into_iter()
        .chain((0..GOOD).map(good_mapping))
        .map(|manifest| manifest.to_string())
        .collect::<Vec<_>>()
        .join("\n---\n");
    let backend = |namespace: &str| format!("{namespace}/s:80={}", echo.address);
    let backends = [backend("default"), backend("other")].join(",");
    let gateway = Gateway::with_flags(&good, &["--backend", &backends]);
    for bad in &bad {
        gateway.write(&bad.file_name(), &bad.file_text());
    }
    // Files, and Secrets that Hosts refer to, arrive in more than one snapshot.
    let mut before = BTreeMap::new();
    let all_said = gateway.eventually(|| {
        let last = std::mem::replace(&mut before, diagnostics(&gateway));
        // Whoever waits for a Secret says so until it was looked for: several hold-offs later that is over.
        std::thread::sleep(Duration::from_millis(300));
        if last != before {
            return Err("the report still changes".to_owned());
        }
        let wrong: Vec<_> = bad.iter().filter_map(|bad| silent(bad, &before)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} of {}:\n{}",
            wrong.len(),
            bad.len(),
            wrong.join("\n")
        ))
    });
    all_said.unwrap();
    for number in 0..GOOD {
        let answer = gateway.get(&format!("http://x.com/good/{number}/"));
        assert_eq!(answer.status, 200, "good-{number}: {answer:?}");
        assert!(before[&format!("Mapping default/good-{number}")].is_empty());
    }
    assert_eq!(gateway.get("http://good.com/good/1/").status, 200);

    let mended = bad
        .iter()
        .find(|bad| bad.what == "service-two-ports")
        .unwrap();
    let request = Request::get("http://x.com/bad/service-two-ports/");
    assert_eq!(gateway.send(&request).status, 503);
    let text = mended.file_text().replace("a:443:443", "s");
    gateway.write(&mended.file_name(), &text);
    gateway.send_until(&request, |answer| answer.status == 200);
    let key = "Mapping default/service-two-ports";
    let nothing_else_changed = gateway.eventually(|| {
        let mut after = diagnostics(&gateway);
        let said = after.insert(key.to_owned(), before[key].clone()).unwrap();
        if said.is_empty() && after == before {
            return Ok(());
        }
        let differs = after
            .iter()
            .filter(|(key, said)| before.get(*key) != Some(*said));
        Err(format!("{said:?}, {:#?}", differs.collect::<Vec<_>>()))
    });
    nothing_else_changed.unwrap();
}

/// What is missing in what a bad object says, if anything.
fn silent(bad: &Bad, diagnostics: &BTreeMap<String, Vec<Value>>) -> Option<String> {
    let key = match bad.text {
        Some(_) => format!("file {}", bad.file_name()),
        None => format!("{} {}/{}", bad.kind, bad.namespace, bad.what),
    };
    let Some(said) = diagnostics.get(&key) else {
        return Some(format!("{key}: is not in the report"));
    };
    let Some(error) = said.iter().find(|d| d["code"] == *bad.code) else {
        return Some(format!("{key}: {} is not among {said:#?}", bad.code));
    };
    let filled = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
    let about_all = bad.text.is_some() || matches!(&*bad.code, "PST1011" | "PST1012" | "PST2007");
    let complete = filled("message") && filled("next") && (about_all || filled("field"));
    (!complete).then(|| format!("{key}: message, field or next step is missing in {error}"))
}
