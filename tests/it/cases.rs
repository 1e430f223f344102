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
//!   shows: authority/name         # the client's certificate
//!   version: "1.2"                # of TLS, the only one that the client speaks
//!   alpn: [h2]                    # what the client offers
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
//! folder: why                     # instead of running in a cluster too: what it has that only a folder can
//! refused:                        # objects that an API server refuses, with a part of what it says; then the answers are
//!   Mapping default/a: must be    # those of a folder only
//! ```
//!
//! A Secret with the annotation `test/certificate: NAME[,NAME]` gets a fresh certificate for these names, with `test/authority:
//! NAME[,NAME]` those of authorities, and with `test/revoked: "AUTHORITY: NAME NAME"` what that has revoked, in a list that is out of
//! date with `!AUTHORITY`.
//!
//! The same files are run by `cluster/cases.rs` with their resources in a real API server.

mod exchange;
pub(crate) mod pki;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use self::exchange::Exchange;
use super::gateway::Gateway;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) resources: Vec<Value>,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    requests: Vec<Exchange>,
    #[serde(default)]
    report: BTreeMap<String, Vec<String>>,
    pub(crate) folder: Option<String>,
    #[serde(default)]
    pub(crate) refused: BTreeMap<String, String>,
    /// Whether `report` says nothing about codes: for cases that look at answers only.
    #[serde(default, rename = "anyReport")]
    any_report: bool,
}

/// The files, in their order.
pub(crate) fn files() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files = Vec::new();
    for folder in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    assert!(files.len() > 20, "the cases must be there");
    files
}

/// Runs all the files, and fails with everything that is wrong with any of them.
pub(crate) fn all_of(files: &[PathBuf], mut run: impl FnMut(&Path) -> Vec<String>) {
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy();
            let wrong = catch_unwind(AssertUnwindSafe(|| run(file)))
                .unwrap_or_else(|panic| vec![message_of(&*panic)]);
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

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let fixed = || panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(fixed)
        .unwrap_or_else(|| "it panicked".to_owned())
}

#[test]
fn every_case_is_answered_as_it_says() {
    all_of(&files(), |file| {
        let case = Case::read(file);
        let manifests = case.resources.iter().map(ToString::to_string);
        let manifests: Vec<_> = manifests.collect();
        let mut flags = vec!["--echo"];
        flags.extend(case.flags.iter().map(String::as_str));
        let gateway = Gateway::with_flags(&manifests.join("\n---\n"), &flags);
        case.wrong(&gateway)
    });
}

// === impl Case ===

impl Case {
    pub(crate) fn read(file: &Path) -> Self {
        let reading = postern::source::yaml::read(&fs::read(file).unwrap());
        assert!(reading.errors.is_empty(), "{:?}", reading.errors);
        assert_eq!(reading.documents.len(), 1, "a case is one document");
        let value = reading.documents.into_iter().next().unwrap().value;
        let mut case: Self =
            serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"));
        case.resources = case.resources.into_iter().map(pki::with_data).collect();
        case
    }

    /// What is not as the case says.
    pub(crate) fn wrong(&self, gateway: &Gateway) -> Vec<String> {
        let mut wrong = Vec::new();
        for exchange in &self.requests {
            let found = exchange.run(gateway);
            wrong.extend(found.into_iter().map(|w| format!("{}: {w}", exchange.send)));
        }
        if !self.any_report {
            wrong.extend(compare_report(gateway, &self.report));
        }
        wrong
    }
}

/// Which objects carry other codes than the case says.
fn compare_report(gateway: &Gateway, wanted: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let report = gateway.ask("/report");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in report["objects"].as_array().unwrap() {
        let key = reported_name(object);
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

/// How a case names an object of the report.
pub(crate) fn reported_name(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    format!("{} {}/{}", text("kind"), text("namespace"), text("name"))
}
