//! The attacks as data: `tests/attacks/`.

use std::{fs, path::Path, sync::OnceLock};

use postern::source::yaml;
use serde::Deserialize;
use serde_json::{Value, json};

/// The namespace that writes them.
pub(crate) const ATTACKER: &str = "evil";

/// One attack: objects, and requests whose answers they are meant to change.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Attack {
    pub(crate) name: String,
    /// In words.
    pub(crate) what: String,
    /// The spec of a Mapping; `NUMBER` in it is that of the copy, as in that of a Host.
    mapping: Option<Value>,
    /// The spec of a Host.
    host: Option<Value>,
    /// The spec of a TCPMapping.
    tcp: Option<Value>,
    /// Any other object.
    object: Option<Value>,
    /// Those of either.
    #[serde(default)]
    labels: Value,
    /// Whether the objects say that they are older than everybody's. An API server lets nobody say that.
    #[serde(default)]
    pub(crate) old: bool,
    /// Whether they are deleted and made again.
    #[serde(default)]
    pub(crate) again: bool,
    /// Whether it takes rights on other kinds than Postern's own.
    #[serde(default)]
    pub(crate) elsewhere: bool,
    /// As many copies of either.
    times: Option<usize>,
    /// What the attacker's own requests must not reach, a Service or, by a URL of theirs, the certificate of others;
    /// without it, the requests are those of others.
    pub(crate) reaches: Option<String>,
    pub(crate) ask: Vec<Asked>,
    /// The code that says why it fails in claimed space.
    pub(crate) claimed: Option<String>,
    /// The same where nobody has claimed anything and first come holds; or `taken`.
    pub(crate) first_come: Option<String>,
}

/// A request; or a connection, as `tcp://:PORT`, or `tcp://NAME:PORT` for one with the name in a TLS handshake.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: std::collections::BTreeMap<String, String>,
}

/// What defends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defence {
    /// Nothing: equal matches share, and every Service may be named.
    None,
    FirstCome,
    Claims,
}

impl Attack {
    /// Whether it is one of TCPMappings.
    pub(crate) fn is_of_connections(&self) -> bool {
        self.tcp.is_some()
    }

    /// With no more copies of its objects than that.
    pub(crate) fn at_most(mut self, copies: usize) -> Self {
        if let Some(times) = self.times.filter(|times| *times > copies) {
            let (last, now) = ((times - 1).to_string(), (copies - 1).to_string());
            for asked in &mut self.ask {
                asked.url = asked.url.replace(&last, &now);
            }
            self.times = Some(copies);
        }
        self
    }

    pub(crate) fn objects(&self) -> Vec<Value> {
        let kinds = [
            ("Mapping", &self.mapping),
            ("Host", &self.host),
            ("TCPMapping", &self.tcp),
        ];
        let specs = kinds
            .into_iter()
            .filter_map(|(kind, spec)| Some((kind, spec.as_ref()?)));
        let numbers = 0..self.times.unwrap_or(1);
        let copies = specs.flat_map(|copy| numbers.clone().map(move |number| (copy, number)));
        let objects = copies.map(|((kind, spec), number)| {
            let spec = spec.to_string().replace("NUMBER", &number.to_string());
            let mut object = self.object(kind, number, &serde_json::from_str(&spec).unwrap());
            object["metadata"]["labels"] = self.labels.clone();
            object
        });
        objects.chain(self.object.clone()).collect()
    }

    fn object(&self, kind: &str, number: usize, spec: &Value) -> Value {
        let day = if self.old { "2025-01-01" } else { "2026-03-01" };
        let name = format!("{}-{number}", self.name);
        json!({
            "apiVersion": "postern.dev/v1alpha1",
            "kind": kind,
            "metadata": {
                "namespace": ATTACKER, "name": name,
                "creationTimestamp": format!("{day}T00:00:00Z"),
            },
            "spec": spec,
        })
    }
}

impl Asked {
    /// The port of a connection that is not HTTP, and the name that its handshake asks for.
    pub(crate) fn connection(&self) -> Option<(u16, Option<&str>)> {
        let (name, port) = self.url.strip_prefix("tcp://")?.split_once(':').unwrap();
        Some((
            port.parse().unwrap(),
            Some(name).filter(|name| !name.is_empty()),
        ))
    }
}

/// Those that succeed where nothing defends.
pub(crate) fn attacks() -> Vec<Attack> {
    read("attacks.yaml").into_iter().map(attack).collect()
}

/// Those that never do.
pub(crate) fn futile() -> Vec<Attack> {
    read("never.yaml").into_iter().map(attack).collect()
}

fn attack(document: Value) -> Attack {
    let text = document.to_string();
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Everybody else's objects, with what defends them.
pub(crate) fn world(defence: Defence) -> Vec<Value> {
    let mut all: Vec<_> = read("world.yaml")
        .into_iter()
        .map(with_certificate)
        .collect();
    if defence != Defence::Claims {
        all.retain(|object| object["kind"] != "RouteClaim");
    }
    all.extend(settings(defence));
    all
}

/// The GatewaySettings of a defence; without any it is the default.
pub(crate) fn settings(defence: Defence) -> Option<Value> {
    (defence == Defence::None).then(|| {
        json!({
            "apiVersion": "postern.dev/v1alpha1",
            "kind": "GatewaySettings",
            "metadata": { "namespace": "postern", "name": "settings" },
            "spec": { "ownership": { "unclaimed": "Shared" }, "references": { "services": "Allow" } },
        })
    })
}

fn read(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    let reading = yaml::read(&fs::read(folder.join(file)).unwrap());
    assert!(reading.errors.is_empty(), "{file}: {:?}", reading.errors);
    let documents = reading.documents.into_iter();
    let documents = documents.map(|document| document.value);
    documents.filter(|value| !value.is_null()).collect()
}

/// A Secret gets a certificate: for each namespace the same, as long as the process lives.
fn with_certificate(mut object: Value) -> Value {
    if object["kind"] != "Secret" {
        return object;
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let (certificate, key) = certificate(namespace);
    object["stringData"] = json!({ "tls.crt": certificate, "tls.key": key });
    object
}

/// As PEM.
pub(crate) fn certificate(namespace: &str) -> &'static (String, String) {
    static MADE: OnceLock<[(String, String); 3]> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        ["postern", "shop", ATTACKER].map(|owner| {
            let name = format!("certificate-of-{owner}.example.com");
            let made = rcgen::generate_simple_self_signed(vec![name]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        })
    });
    let [postern, shop, attacker] = made;
    match namespace {
        "postern" => postern,
        "shop" => shop,
        _ => attacker,
    }
}
