//! The attempts of `hostile/dial.rs` in a real API server, without an echo server: nothing that must not be dialled is, and
//! every object says why.

use std::net::{TcpListener, TcpStream};

use postern::source::yaml;
use serde_json::{Value, json};

use super::{
    installation::{Installation, a_mapping, condition, figure, is_ready, ours, services},
    platform::shared,
    server::Server,
};
use crate::{
    gateway::Gateway,
    hostile::dial::{ATTEMPTS, Attempt, CLUSTER, OWN},
};

/// Other tests have objects in the same namespaces: these are for this installation alone.
const INSTALLATION: &str = "dial";

/// What the attempts have as the port of the diagnostics.
const DIAGNOSTICS: &str = "8878";

/// Takes connections, and answers none.
struct Trap(TcpListener);

impl Trap {
    /// On every address of this machine.
    fn set() -> Self {
        let trap = Self(TcpListener::bind("[::]:0").unwrap());
        trap.0.set_nonblocking(true).unwrap();
        let _own = TcpStream::connect(("127.0.0.1", trap.port())).unwrap();
        assert_eq!(trap.sprung(), 1, "the trap itself must work");
        trap
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// How many connections there were since it was last looked at.
    fn sprung(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

/// An attempt against one port of this machine.
struct Try {
    name: String,
    /// Whether what is wrong is only seen when an address is looked up.
    by_dns: bool,
    objects: Vec<Value>,
    service: String,
}

/// The test cluster has no addresses of IPv6: one like those of Services is nobody's there.
fn is_of_ipv6(attempt: &Attempt) -> bool {
    let texts = attempt.dns.iter().chain([&attempt.service]);
    texts.into_iter().any(|text| text.contains("fd00:96:"))
}

fn tries(ports: &[(&str, u16)]) -> Vec<Try> {
    let mut all = Vec::new();
    for attempt in ATTEMPTS.iter().filter(|attempt| !is_of_ipv6(attempt)) {
        let aims = [attempt.service, attempt.objects]
            .iter()
            .any(|text| text.contains(DIAGNOSTICS));
        let ports = if aims { ports } else { &ports[..1] };
        all.extend(ports.iter().map(|port| of(attempt, *port)));
    }
    all
}

fn of(attempt: &Attempt, (target, port): (&str, u16)) -> Try {
    let name = format!("{}-{target}", attempt.id);
    // What an attempt writes has its name, so that all can be there at once.
    let own = |text: &str| {
        text.replace("door", &format!("door-{name}"))
            .replace(DIAGNOSTICS, &port.to_string())
    };
    let documents = yaml::read(own(attempt.objects).as_bytes()).documents;
    Try {
        by_dns: !attempt.dns.is_empty(),
        objects: documents
            .into_iter()
            .map(|document| document.value)
            .collect(),
        service: own(attempt.service),
        name,
    }
}

impl Try {
    fn path(&self) -> String {
        a_mapping("apps", &self.name)
    }

    /// Writes all that the API server takes; returns what it says to the rest.
    fn write(&self, server: &Server) -> Vec<String> {
        let mut refused = Vec::new();
        for object in &self.objects {
            let place = place(object);
            refused.extend(server.create(&place, object).err());
        }
        let mapping = json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"namespace": "apps", "name": self.name},
            "spec": {"hostname": "*", "prefix": format!("/{}/", self.name), "service": self.service,
                "connectTimeoutMs": 500, "ambassadorId": [INSTALLATION]},
        });
        refused.extend(server.create(&ours("mappings", "apps"), &mapping).err());
        refused
    }

    /// What is wrong with what became of it, if anything.
    fn succeeded(&self, gateway: &Gateway, trap: &Trap) -> Option<String> {
        let answer = gateway.get(&format!("http://any/{}/", self.name));
        let sprung = trap.sprung();
        let refused = (500..600).contains(&answer.status) && sprung == 0;
        (!refused).then(|| format!("{}: {answer:?}, {sprung} connections", self.name))
    }

    /// What is missing in what the object says, if anything.
    fn silent(&self, server: &Server) -> Option<String> {
        let object = server.until(&self.path(), "it says something", |status| {
            status["observedGeneration"] == 1
        });
        let ready = condition(&object["status"], "Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        let says = ready["status"] == "False" && message.starts_with("PST3");
        (!says && !self.by_dns).then(|| format!("{} ({}): {ready}", self.name, self.service))
    }
}

fn place(object: &Value) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    match object["kind"].as_str().unwrap() {
        "Service" => services(namespace),
        "EndpointSlice" => {
            format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
        }
        other => panic!("where is a {other}?"),
    }
}

/// Makes the Services and EndpointSlices of the list; Kubernetes' own is there.
fn surround(server: &Server) {
    for document in yaml::read(CLUSTER.as_bytes()).documents {
        let mut object = document.value;
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        if !matches!(kind.as_str(), Some("Service" | "EndpointSlice")) || name == "kubernetes" {
            continue;
        }
        // The test cluster has one family of addresses.
        if let Some(addresses) = object.pointer_mut("/spec/clusterIPs") {
            addresses.as_array_mut().unwrap().truncate(1);
        }
        server.create(&place(&object), &object).unwrap();
    }
}

#[test]
fn no_attempt_to_dial_what_must_not_be_dialled_succeeds() {
    let server = shared();
    let teams = ["apps", "other", "postern", "default"];
    let installation = Installation::new(server, "dial-gateway", &teams);
    surround(server);
    let flags = ["--installation", INSTALLATION, "--pod-ip", OWN];
    let gateway = installation.with_flags("one", &flags);
    let trap = Trap::set();
    let ports = [
        ("trap", trap.port()),
        ("self", gateway.diagnostics().port()),
    ];
    let tries = tries(&ports);
    let taken_by_nobody: Vec<_> = tries.iter().flat_map(|t| t.write(server)).collect();
    figure(format_args!(
        "refused by the API server: {taken_by_nobody:#?}"
    ));
    let allowed = Try {
        name: "allowed".to_owned(),
        by_dns: false,
        objects: Vec::new(),
        service: "web".to_owned(),
    };
    assert_eq!(allowed.write(server), [""; 0]);
    server.until(&allowed.path(), "the own Service may be dialled", is_ready);

    let there: Vec<_> = tries
        .iter()
        .filter(|t| server.get(&t.path()).is_ok())
        .collect();
    assert!(there.len() >= 100, "{} are stored", there.len());
    let silent: Vec<_> = there.iter().filter_map(|t| t.silent(server)).collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    let succeeded: Vec<_> = there
        .iter()
        .filter_map(|t| t.succeeded(&gateway, &trap))
        .collect();
    assert!(succeeded.is_empty(), "{}", succeeded.join("\n"));
}
