//! Black-box cases: files with resources, requests and expected answers, run against the real binary.
//!
//! ```yaml
//! # What the case shows, and where it comes from.
//! resources: [ ... ]              # manifests; `certificate: NAME` stands for a Secret's data, see below
//! flags: [ --workers, "1" ]       # more flags of `postern serve`, after --echo
//! requests:
//! - send: GET http://x.com/api/   # http goes to the Listeners on 8080, https to those on 8443
//!   headers: { x-a: b }
//!   sni: other.com                # another name than the URL's in the TLS handshake
//!   body: text
//!   times: 200                    # for `shares`
//!   expect:
//!     status: 200                 # of the answer
//!     tls: unrecognized_name      # instead of an answer: the alert that the handshake ends with
//!     service: default/quote:80   # whom the echo server answered for
//!     path: /                     # path with query, as the upstream saw it
//!     host: x.com                 # Host, as the upstream saw it
//!     upstream: { x-a: [b], x-b: null }   # headers as the upstream saw them; null: absent
//!     headers: { location: ... }  # headers of the answer; null: absent
//!     text: part of the body
//!     shares: { default/a:80: 50 } # percent of `times`, give or take what chance does; 0 is exact
//! report:                         # codes that objects carry; others must have none
//!   Mapping default/a: [PST2007]
//! ```
//!
//! A Secret with the annotation `test/certificate: NAME[,NAME]` gets a fresh certificate for these names.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Answer, Request},
    gateway::Gateway,
};

/// Standard deviations that a share may be off: chance alone goes so far once in two million runs.
const TOLERANCE: f64 = 5.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    resources: Vec<Value>,
    #[serde(default)]
    flags: Vec<String>,
    requests: Vec<Exchange>,
    #[serde(default)]
    report: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    send: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    sni: Option<String>,
    #[serde(default)]
    body: String,
    #[serde(default = "once")]
    times: u32,
    expect: Expected,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: Option<u16>,
    tls: Option<String>,
    service: Option<String>,
    path: Option<String>,
    host: Option<String>,
    #[serde(default)]
    upstream: BTreeMap<String, Option<Vec<String>>>,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    text: Option<String>,
    #[serde(default)]
    shares: BTreeMap<String, f64>,
}

const fn once() -> u32 {
    1
}

fn files() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files = Vec::new();
    for folder in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files
}

#[test]
fn every_case_is_answered_as_it_says() {
    let files = files();
    assert!(files.len() > 20, "the cases must be there");
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy();
            let run = std::panic::catch_unwind(|| run(file));
            let wrong = match run {
                Ok(wrong) => wrong,
                Err(panic) => vec![
                    panic
                        .downcast_ref::<String>()
                        .map_or("it panicked", |text| text)
                        .to_owned(),
                ],
            };
            (!wrong.is_empty()).then(|| format!("{name}:\n  {}", wrong.join("\n  ")))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
}

fn read(file: &PathBuf) -> Case {
    let reading = postern::source::yaml::read(&fs::read(file).unwrap());
    assert!(reading.errors.is_empty(), "{:?}", reading.errors);
    assert_eq!(reading.documents.len(), 1, "a case is one document");
    let value = reading.documents.into_iter().next().unwrap().value;
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

fn run(file: &PathBuf) -> Vec<String> {
    let case = read(file);
    let manifests: Vec<_> = case
        .resources
        .iter()
        .cloned()
        .map(|manifest| with_certificate(manifest).to_string())
        .collect();
    let mut flags = vec!["--echo"];
    flags.extend(case.flags.iter().map(String::as_str));
    let gateway = Gateway::with_flags(&manifests.join("\n---\n"), &flags);
    let mut wrong = Vec::new();
    for exchange in &case.requests {
        let found = exchange.run(&gateway);
        wrong.extend(found.into_iter().map(|w| format!("{}: {w}", exchange.send)));
    }
    wrong.extend(compare_report(&gateway, &case.report));
    wrong
}

/// The data of a Secret that asks for a certificate.
fn with_certificate(mut manifest: Value) -> Value {
    let asked = manifest["metadata"]["annotations"]["test/certificate"].as_str();
    if let Some(names) = asked {
        let names: Vec<_> = names.split(',').map(str::to_owned).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        manifest["stringData"] = json!({
            "tls.crt": made.cert.pem(),
            "tls.key": made.signing_key.serialize_pem(),
        });
    }
    manifest
}

impl Exchange {
    fn request(&self) -> Request {
        let (method, url) = self.send.split_once(' ').expect("METHOD URL");
        let mut request = Request::get(url).method(method).body(&self.body);
        request.sni.clone_from(&self.sni);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// What is not as expected.
    fn run(&self, gateway: &Gateway) -> Vec<String> {
        let request = self.request();
        let address = gateway.address(request.port());
        if let Some(alert) = &self.expect.tls {
            return match request.try_send(address) {
                Ok(answer) => vec![format!("answered {} without a TLS alert", answer.status)],
                Err(error) if describes(&error.to_string(), alert) => Vec::new(),
                Err(error) => vec![format!("the handshake ended with {error}, not {alert}")],
            };
        }
        let answers: Vec<_> = (0..self.times).map(|_| gateway.send(&request)).collect();
        let mut wrong = self.expect.compare(&answers[0]);
        if !self.expect.shares.is_empty() {
            wrong.extend(self.expect.compare_shares(&answers));
        }
        wrong
    }
}

/// Whether an error of rustls names the alert: it writes `UnrecognisedName`.
fn describes(error: &str, alert: &str) -> bool {
    let plain = |text: &str| {
        text.to_lowercase()
            .replace(['_', ' '], "")
            .replace('z', "s")
    };
    plain(error).contains(&plain(alert))
}

impl Expected {
    fn compare(&self, answer: &Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |what: &str, found: Option<String>, wanted: Option<String>| {
            if wanted.is_some() && found != wanted {
                wrong.push(format!("{what} is {found:?}, not {wanted:?}"));
            }
        };
        check(
            "status",
            Some(answer.status.to_string()),
            self.status.map(|status| status.to_string()),
        );
        if let Some(part) = &self.text {
            let holds = answer.text().contains(part);
            check(
                "text",
                (!holds).then(|| answer.text()),
                (!holds).then(|| part.clone()),
            );
        }
        for (name, value) in &self.headers {
            let found = answer.header(name).map(str::to_owned);
            if found != *value {
                check(name, Some(format!("{found:?}")), Some(format!("{value:?}")));
            }
        }
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        check("service", text("service"), self.service.clone());
        check("path", text("path"), self.path.clone());
        check("host", text("host"), self.host.clone());
        for (name, values) in &self.upstream {
            let found = &told["headers"][name];
            let wanted = values.as_ref().map_or(Value::Null, |values| json!(values));
            if *found != wanted {
                check(name, Some(found.to_string()), Some(wanted.to_string()));
            }
        }
        wrong
    }

    fn compare_shares(&self, answers: &[Answer]) -> Vec<String> {
        let number = f64::from(u32::try_from(answers.len()).unwrap());
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for answer in answers {
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let key = told["service"]
                .as_str()
                .map_or_else(|| answer.status.to_string(), str::to_owned);
            *counts.entry(key).or_default() += 100.0 / number;
        }
        let of = |map: &BTreeMap<String, f64>, name: &str| map.get(name).copied().unwrap_or(0.0);
        let mut names = self.shares.keys().chain(counts.keys());
        let wrong = names.any(|name| {
            let (wanted, found) = (of(&self.shares, name), of(&counts, name));
            let part = wanted / 100.0;
            let deviation = 100.0 * (part * (1.0 - part) / number).sqrt();
            // Rounding of the sum of many parts is no deviation.
            (wanted - found).abs() > TOLERANCE * deviation + 0.01
        });
        if wrong {
            return vec![format!("shares are {counts:?}, not {:?}", self.shares)];
        }
        Vec::new()
    }
}

/// Which objects carry other codes than the case says.
fn compare_report(gateway: &Gateway, wanted: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let report = gateway.ask("/report");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in report["objects"].as_array().unwrap() {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let key = format!("{} {}/{}", text("kind"), text("namespace"), text("name"));
        for diagnostic in object["diagnostics"].as_array().unwrap() {
            let code = diagnostic["code"].as_str().unwrap().to_owned();
            let codes = found.entry(key.clone()).or_default();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
    }
    if found == *wanted {
        return Vec::new();
    }
    vec![format!("the report is {found:?}, not {wanted:?}")]
}
