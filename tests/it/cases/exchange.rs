//! A request of a case, and how its answer is compared with the expected one.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::pki;
use crate::{
    client::{Answer, Request},
    gateway::Gateway,
};

/// Standard deviations that a share may be off: chance alone goes so far once in two million runs.
const TOLERANCE: f64 = 5.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) send: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    sni: Option<String>,
    shows: Option<String>,
    version: Option<String>,
    #[serde(default)]
    alpn: Vec<String>,
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

impl Exchange {
    fn request(&self) -> Request {
        let (method, url) = self.send.split_once(' ').expect("METHOD URL");
        let mut request = Request::get(url).method(method).body(&self.body);
        request.sni.clone_from(&self.sni);
        request.handshake.version.clone_from(&self.version);
        request.handshake.alpn.clone_from(&self.alpn);
        request.handshake.identity = self.shows.as_deref().map(|text| {
            let (authority, name) = text.split_once('/').expect("authority/name");
            Arc::new(pki::authority(authority).identity(name))
        });
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// What is not as expected.
    pub(super) fn run(&self, gateway: &Gateway) -> Vec<String> {
        let request = self.request();
        let address = gateway.address(request.port());
        if let Some(alert) = &self.expect.tls {
            return match request.try_send(address) {
                Ok(answer) => vec![format!("answered {} without a TLS alert", answer.status)],
                Err(error) if describes(&error.to_string(), alert) => Vec::new(),
                Err(error) => vec![format!("the handshake ended with {error}, not {alert}")],
            };
        }
        let answers: Result<Vec<_>, _> =
            (0..self.times).map(|_| request.try_send(address)).collect();
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return vec![format!("no answer: {error}")],
        };
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
