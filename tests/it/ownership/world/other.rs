//! What routes look at beside each other: connections, TLS settings, grants, Services with and without annotations, Secrets.

use serde_json::{Value, json};

use super::{Drawer, PLATFORM, PORTS, TEAMS, secret};

impl Drawer<'_> {
    /// With a Service of its own namespace.
    pub(super) fn tcp_mapping(&mut self, namespace: &str) -> Value {
        let mut spec = json!({ "port": self.one(&PORTS) });
        if self.percent(75) {
            // With a wildcard at its end, who came first may take claimed names away (docs/known-limitations.md).
            let name = self.one(self.pool.names).replace(".*", ".com");
            spec["host"] = json!(name.split(':').next());
        }
        if self.percent(60) {
            spec["clientTls"] = json!("Passthrough");
        }
        if self.percent(25) {
            spec["weight"] = json!(self.one(&[0, 10, 60, 100, 120]));
        }
        spec["service"] = json!("quote");
        self.object("TCPMapping", namespace, &spec)
    }

    /// With a Service that may be another's.
    pub(super) fn hostile_tcp_mapping(&mut self, namespace: &str) -> Value {
        let mut mapping = self.tcp_mapping(namespace);
        let service = match self.random.u8(..10) {
            0..6 => "quote".to_owned(),
            6..8 => format!("quote.{}", self.one(&TEAMS)),
            8 => format!("quote.{PLATFORM}.svc.cluster.local:80"),
            _ => "a:b:c".to_owned(),
        };
        mapping["spec"]["service"] = json!(service);
        if self.percent(15) {
            mapping["spec"]["host"] = json!(self.one(&["x.*", "y.*"]));
        }
        mapping
    }

    /// An object that is no route.
    pub(super) fn other(&mut self, namespace: &str) -> Value {
        match self.random.u8(..5) {
            0 => self.context(namespace),
            1 => self.grant(namespace),
            2 => self.service(namespace, None),
            3 => self.annotated(namespace),
            _ => self.certificate(namespace),
        }
    }

    fn context(&mut self, namespace: &str) -> Value {
        let mut spec = json!({
            "secret": self.one(&["certificate", "certificate.alpha", "none"]),
        });
        if self.percent(70) {
            spec["hosts"] = json!([self.one(self.pool.names)]);
        }
        if self.percent(50) {
            spec["min_tls_version"] = json!("v1.3");
        }
        self.object("TLSContext", namespace, &spec)
    }

    /// That lets everybody at everything, as far as a grant of this namespace does.
    fn grant(&mut self, namespace: &str) -> Value {
        let from: Vec<_> = ["Mapping", "Host", "TCPMapping"]
            .into_iter()
            .flat_map(|kind| {
                let spaces = TEAMS.into_iter().chain([super::STRANGER]);
                spaces.map(move |space| json!({ "group": "postern.dev", "kind": kind, "namespace": space }))
            })
            .collect();
        let to = json!([{ "group": "", "kind": "Service" }, { "group": "", "kind": "Secret" }]);
        self.object(
            "ReferenceGrant",
            namespace,
            &json!({ "from": from, "to": to }),
        )
    }

    /// Under the names that others use for theirs.
    fn service(&mut self, namespace: &str, annotation: Option<&str>) -> Value {
        let name = self.one(&["quote", "o1", "o7", "certificate"]);
        let mut service = self.object("Service", namespace, &json!({ "ports": [{ "port": 80 }] }));
        service["metadata"]["name"] = json!(name);
        if let Some(text) = annotation {
            service["metadata"]["annotations"] = json!({ "getambassador.io/config": text });
        }
        service
    }

    /// With a Mapping, a Host or a TCPMapping in the annotation that Emissary-ingress reads, some of which say that they are another
    /// namespace's.
    fn annotated(&mut self, namespace: &str) -> Value {
        let mut carried = match self.random.u8(..3) {
            0 => self.host(namespace),
            1 => self.hostile_tcp_mapping(namespace),
            _ => self.mapping(namespace),
        };
        let mut flat = carried["spec"].take();
        flat["apiVersion"] = json!("getambassador.io/v3alpha1");
        flat["kind"] = carried["kind"].take();
        flat["name"] = carried["metadata"]["name"].take();
        if self.percent(30) {
            flat["namespace"] = json!(self.one(&TEAMS));
        }
        self.service(namespace, Some(&flat.to_string()))
    }

    /// Its own under any name.
    fn certificate(&mut self, namespace: &str) -> Value {
        let mut secret = secret(namespace);
        secret["metadata"]["name"] = json!(self.one(&["tls", "quote", "fallback"]));
        secret
    }
}
