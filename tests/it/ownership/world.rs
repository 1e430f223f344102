//! Worlds: objects of several namespaces that nest, overlap and contradict each other, drawn from a seed.

#[path = "world/other.rs"]
mod other;

use std::sync::OnceLock;

use fastrand::Rng;
use serde_json::{Value, json};

/// Those that claims name. The last of all is never an owner by name.
pub(crate) const TEAMS: [&str; 3] = ["alpha", "bravo", "carol"];
pub(crate) const STRANGER: &str = "evil";
pub(crate) const PLATFORM: &str = "postern";
/// Of the Listeners, where the platform has some: TCP, HTTP with TLS, and TLS.
pub(crate) const PORTS: [u16; 3] = [6379, 8443, 9443];

/// What objects are made of: the fewer names, the more they meet.
pub(crate) struct Pool {
    pub(crate) claimed_names: &'static [&'static str],
    pub(crate) names: &'static [&'static str],
    pub(crate) claimed_paths: &'static [&'static str],
    pub(crate) paths: &'static [&'static str],
    pub(crate) regexes: &'static [&'static str],
    /// Whether there are objects that could close everything, copies of requests, rewrites, and the preset.
    pub(crate) is_harsh: bool,
}

pub(crate) const SMALL: Pool = Pool {
    claimed_names: &[
        "x.com",
        "x.com",
        "X.com.",
        "y.x.com",
        "*.x.com",
        "*.com",
        "*.y.x.com",
        "*",
        "bücher.com",
    ],
    names: &[
        "x.com",
        "x.com",
        "X.COM.",
        "y.x.com",
        "z.y.x.com",
        "*.x.com",
        "*.com",
        "*",
        "*",
        "x.*",
        "*x.com",
        "x.com:8080",
        "*.com:8080",
        "bücher.com",
        "xn--bcher-kva.com",
        "y.*",
        "*.y.x.com",
    ],
    claimed_paths: &["/", "/a", "/a/", "/%61/b", "/a/b", "/b", "/A", "//b"],
    paths: &[
        "/",
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/c",
        "/ab",
        "/A/",
        "/%61/b/",
        "/b",
        "/b/",
        "/.well-known/",
        "//a/",
        "/a//b",
        "/a%2F",
        "/%2Fb/",
    ],
    regexes: &[
        "/+a/.*",
        "/a(%2F|/)b",
        "/.*",
        ".*",
        "/a.*",
        "/a/.*",
        "/(a|b)/.*",
        "/a|/b",
        "/[ab]/?",
        "/a/b",
    ],
    is_harsh: true,
};

/// A world's objects, and where the next name comes from.
pub(crate) struct Drawer<'p> {
    pub(crate) random: Rng,
    pool: &'p Pool,
    number: u32,
}

impl<'p> Drawer<'p> {
    pub(crate) fn new(seed: u64, pool: &'p Pool) -> Self {
        Self {
            random: Rng::with_seed(seed),
            pool,
            number: 0,
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn metadata(&mut self, namespace: &str) -> Value {
        self.number += 1;
        let mut metadata = json!({ "namespace": namespace, "name": format!("o{}", self.number) });
        if self.percent(70) {
            let day = self.random.u8(1..6);
            metadata["creationTimestamp"] = json!(format!("2026-01-0{day}T00:00:00Z"));
        }
        if self.percent(40) {
            metadata["labels"] = json!({ "team": self.one(&["one", "two"]) });
        }
        metadata
    }

    fn object(&mut self, kind: &str, namespace: &str, spec: &Value) -> Value {
        let mut metadata = self.metadata(namespace);
        if kind == "RouteClaim" {
            metadata.as_object_mut().unwrap().remove("namespace");
        }
        let group = match kind {
            "AuthService" | "TLSContext" | "Module" => "getambassador.io/v3alpha1",
            "ReferenceGrant" => "gateway.networking.k8s.io/v1beta1",
            "Service" | "Secret" => "v1",
            _ => "postern.dev/v1alpha1",
        };
        json!({ "apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec })
    }

    /// What the platform has written: namespaces, certificates, settings and claims.
    pub(crate) fn platform(&mut self, claims: usize) -> Vec<Value> {
        let mut all = vec![self.settings()];
        for (position, namespace) in namespaces().into_iter().enumerate() {
            let label = if position % 2 == 0 { "one" } else { "two" };
            let mut labels = json!({ "team": label });
            if namespace == STRANGER {
                labels = json!({});
            }
            all.push(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": namespace, "labels": labels },
            }));
            all.push(secret(namespace));
        }
        all.extend((0..claims).map(|_| self.claim()));
        if self.pool.is_harsh && self.percent(70) {
            all.extend(listeners());
        }
        all
    }

    fn settings(&mut self) -> Value {
        let unclaimed = self.one(&["FirstCome", "FirstCome", "FirstCome", "Shared", "Deny"]);
        let default_host = self.one(&["Always", "Always", "Always", "Auto", "Never"]);
        let paths = json!({
            "mergeSlashes": !self.percent(15),
            "allowEscapedSlashes": self.percent(15),
        });
        let mut spec = json!({
            "ownership": { "unclaimed": unclaimed }, "defaultHost": default_host, "paths": paths,
        });
        if self.pool.is_harsh && self.percent(30) {
            // Without what the preset would decide otherwise.
            spec.as_object_mut()
                .unwrap()
                .retain(|_, _| self.random.bool());
            spec["preset"] = json!("emissary");
            if self.percent(20) {
                spec["instanceNamespaces"] = json!([]);
            }
        }
        self.object("GatewaySettings", PLATFORM, &spec)
    }

    fn claim(&mut self) -> Value {
        let pool = self.pool;
        let names: Vec<_> = (0..self.random.usize(1..3))
            .map(|_| self.one(pool.claimed_names))
            .collect();
        let mut spec = json!({ "hostnames": names });
        if self.percent(45) {
            let number = self.random.usize(1..3);
            let paths: Vec<_> = (0..number).map(|_| self.one(pool.claimed_paths)).collect();
            spec["paths"] = json!(paths);
        }
        spec["namespaces"] = if self.percent(25) {
            json!({ "selector": { "matchLabels": { "team": self.one(&["one", "two"]) } } })
        } else {
            let number = self.random.usize(1..3);
            let teams: Vec<_> = (0..number).map(|_| self.one(&TEAMS)).collect();
            json!({ "names": teams })
        };
        if self.pool.is_harsh && self.percent(30) {
            spec["ports"] = json!([self.one(&PORTS), self.one(&PORTS)]);
            if self.percent(30) {
                spec.as_object_mut().unwrap().remove("hostnames");
            }
        }
        self.object("RouteClaim", "", &spec)
    }

    pub(crate) fn host(&mut self, namespace: &str) -> Value {
        let mut spec = json!({});
        if self.percent(90) {
            spec["hostname"] = json!(self.one(self.pool.names));
        }
        if self.percent(70) {
            let action = self.one(&["Route", "Redirect", "Reject"]);
            spec["requestPolicy"] = json!({ "insecure": { "action": action } });
        }
        if self.percent(60) {
            spec["tlsSecret"] = json!({ "name": "certificate" });
        }
        if self.percent(15) {
            let team = self.one(&["one", "two"]);
            spec["mappingSelector"] = json!({ "matchLabels": { "team": team } });
        }
        self.object("Host", namespace, &spec)
    }

    /// The Service has the Mapping's name, so that whoever answers says which Mapping it was.
    pub(crate) fn mapping(&mut self, namespace: &str) -> Value {
        let mut spec = json!({ "rewrite": "" });
        if self.pool.is_harsh {
            spec["rewrite"] = json!(self.one(&["", "", "/", "/b/"]));
        }
        self.name(&mut spec);
        self.path(&mut spec);
        self.conditions(&mut spec);
        if self.percent(20) {
            spec["precedence"] = json!(self.random.i32(-1..4));
        }
        if self.percent(25) {
            spec["weight"] = json!(self.one(&[0, 10, 60, 100]));
        } else if self.pool.is_harsh && self.percent(4) {
            spec["shadow"] = json!(true);
        }
        let mut mapping = self.object("Mapping", namespace, &spec);
        mapping["spec"]["service"] = mapping["metadata"]["name"].clone();
        mapping
    }

    fn name(&mut self, spec: &mut Value) {
        let name = self.one(self.pool.names);
        match self.random.u8(..100) {
            0..76 => spec["hostname"] = json!(name),
            76..82 => spec["host"] = json!(name.replace('*', "w")),
            82..88 => spec["headers"] = json!({ ":authority": name.replace('*', "w") }),
            88..94 => {
                spec["host"] = json!(self.one(&["x[.]com", ".*", ".*[.]com"]));
                spec["hostRegex"] = json!(true);
            }
            _ => {}
        }
    }

    fn path(&mut self, spec: &mut Value) {
        spec["prefix"] = json!(self.one(self.pool.paths));
        match self.random.u8(..100) {
            0..60 => {}
            60..70 => spec["prefixExact"] = json!(true),
            70..80 => spec["caseSensitive"] = json!(false),
            _ => {
                spec["prefix"] = json!(self.one(self.pool.regexes));
                spec["prefixRegex"] = json!(true);
            }
        }
    }

    fn conditions(&mut self, spec: &mut Value) {
        if self.percent(12) {
            spec["method"] = json!(self.one(&["GET", "POST"]));
        }
        if self.percent(12) {
            spec["headers"]["x-team"] = json!(self.one(&["one", "two"]));
        }
        if self.percent(8) {
            spec["regexHeaders"] = json!({ "x-team": self.one(&[".*", "t.*"]) });
        }
        if self.percent(8) {
            spec["queryParameters"] = json!({ "q": self.one(&["1", "2"]) });
        }
    }

    /// Objects that a namespace with full rights on its own writes: good ones, spoilt ones, and those that it may not settle
    /// anything with.
    pub(crate) fn hostile(&mut self, namespace: &str, number: usize) -> Vec<Value> {
        (0..number)
            .map(|_| match self.random.u8(..100) {
                0..40 => self.mapping(namespace),
                40..58 => self.host(namespace),
                58..70 => self.hostile_tcp_mapping(namespace),
                70..82 => self.other(namespace),
                82..86 => self.spoilt(namespace),
                86..90 => self.object(
                    "Listener",
                    namespace,
                    &json!({ "port": 8080, "protocol": "HTTP", "securityModel": "INSECURE",
                        "hostBinding": { "namespace": { "from": "SELF" } } }),
                ),
                90..94 => self.object(
                    "GatewaySettings",
                    namespace,
                    &json!({ "defaultHost": "Never", "ownership": { "unclaimed": "Shared" } }),
                ),
                94..97 => self.object("AuthService", namespace, &json!({ "auth_service": "auth" })),
                _ => self.object(
                    "Module",
                    namespace,
                    &json!({ "config": { "ip_deny": ["remote: 0.0.0.0/0"] } }),
                ),
            })
            .collect()
    }

    fn spoilt(&mut self, namespace: &str) -> Value {
        let mut mapping = self.mapping(namespace);
        let (field, value) = self.one(&[
            ("prefix", "no-slash"),
            ("service", "a:b:c"),
            ("rewrite", "no-slash"),
            ("nonsense", "x"),
            ("hostname", "a.*.b"),
            ("weight", "much"),
        ]);
        mapping["spec"][field] = json!(value);
        mapping
    }

    /// What several namespaces have written.
    pub(crate) fn teams(&mut self, without: &str, mappings: usize, hosts: usize) -> Vec<Value> {
        let others: Vec<_> = TEAMS
            .into_iter()
            .chain([STRANGER])
            .filter(|name| *name != without)
            .collect();
        let mut all = Vec::new();
        for _ in 0..mappings {
            let namespace = self.one(&others);
            all.push(self.mapping(namespace));
        }
        if self.pool.is_harsh && self.percent(20) {
            let namespace = self.one(&others);
            all.extend(self.hostile(namespace, 2));
        }
        if self.pool.is_harsh {
            for _ in 0..self.random.usize(..9) {
                let namespace = self.one(&others);
                all.push(self.tcp_mapping(namespace));
            }
        }
        for _ in 0..hosts {
            let namespace = if self.percent(40) {
                PLATFORM
            } else {
                self.one(&others)
            };
            all.push(self.host(namespace));
        }
        all
    }
}

fn listeners() -> Vec<Value> {
    let listener = |port: u16, protocol: &str| {
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Listener",
            "metadata": { "name": protocol.to_lowercase(), "namespace": PLATFORM },
            "spec": { "port": port, "protocol": protocol, "securityModel": "XFP",
                      "hostBinding": { "namespace": { "from": "ALL" } } },
        })
    };
    let of_tcp = PORTS.into_iter().zip(["TCP", "HTTPS", "TLS"]);
    let all = of_tcp.chain([(8080, "HTTP")]);
    all.map(|(port, protocol)| listener(port, protocol))
        .collect()
}

pub(crate) fn namespaces() -> [&'static str; 5] {
    let [a, b, c] = TEAMS;
    [a, b, c, STRANGER, PLATFORM]
}

/// The certificate of a namespace: the same in every world, because it takes long to make.
pub(crate) fn secret(namespace: &str) -> Value {
    static MADE: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let make = |_| {
            let made = rcgen::generate_simple_self_signed(vec!["x.com".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        namespaces().into_iter().map(make).collect()
    });
    let at = namespaces()
        .iter()
        .position(|name| *name == namespace)
        .unwrap();
    let (certificate, key) = &made[at];
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "namespace": namespace, "name": "certificate" },
        "stringData": { "tls.crt": certificate, "tls.key": key },
    })
}
