//! What a mesh sees of Postern: the contract of `docs/guides/mesh.md`, on the wire, with a stand-in for the sidecar.

mod sidecar;
mod stop;

use std::{
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use self::sidecar::{Conduct, Seen, Sidecar};
use super::{
    cluster::{Cluster, file, shared},
    process::{Process, gateways_of},
};
use crate::client::{Answer, Request};

const NAMESPACE: &str = "meshed";
const POSTERN: &str = "-l=app.kubernetes.io/name=postern";
/// The path `/NAME/` leads to the Service, and the last one to the port of its pods.
const ROUTES: &[(&str, &str)] = &[
    ("echo", "echo"),
    ("echo-again", "echo:80"),
    ("declared-http", "declared-http"),
    ("declared-h2c", "declared-h2c"),
    ("declared-ws", "declared-ws"),
    ("remote", "remote"),
    ("idle", "idle"),
    ("ending", "ending"),
    ("silent", "silent"),
    ("broken", "broken"),
    ("wordy", "wordy"),
    ("headed", "headed"),
    ("undeclared", "echo:3000"),
];

/// An installation with a sidecar beside each replica.
#[derive(Debug)]
struct Meshed {
    /// Of the replicas, in the order of their sidecars.
    addresses: Vec<IpAddr>,
    sidecars: Vec<Sidecar>,
}

/// The installation, which the first test makes, as it is now.
fn meshed(cluster: &Cluster) -> Meshed {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(cluster));
    Meshed::of_replicas(cluster)
}

// === impl Meshed ===

impl Meshed {
    fn of_replicas(cluster: &Cluster) -> Self {
        let pods = cluster.get(&["pods", "-n", NAMESPACE, POSTERN]);
        let pods = pods["items"].as_array().unwrap();
        let addresses: Vec<IpAddr> = pods
            .iter()
            .map(|pod| pod["status"]["podIP"].as_str().unwrap().parse().unwrap())
            .collect();
        let gateways = gateways_of("meshed");
        let of = |address: &IpAddr| {
            let line = format!("{address}\n");
            let mut gateways = gateways.iter();
            let is_its = |table: String| table.contains(&line);
            let found = gateways.find(|gateway| is_its(gateway.network_table("fib_trie")));
            *found.unwrap()
        };
        Self {
            sidecars: addresses
                .iter()
                .map(|address| beside(of(address)))
                .collect(),
            addresses,
        }
    }

    /// The name of the pod which [`Self::ask`] asks.
    fn pod(&self, cluster: &Cluster) -> String {
        let pods = cluster.get(&["pods", "-n", NAMESPACE]);
        let mut pods = pods["items"].as_array().unwrap().iter();
        let address = self.addresses[0].to_string();
        let pod = pods.find(|pod| pod["status"]["podIP"] == *address);
        pod.unwrap()["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// That of the replica which [`Self::ask`] asks.
    fn sidecar(&self) -> &Sidecar {
        &self.sidecars[0]
    }

    fn try_ask(&self, cluster: &Cluster, request: &Request) -> std::io::Result<Answer> {
        let address = SocketAddr::new(self.addresses[0], 8080);
        cluster.inside(|| request.try_send(address))
    }

    fn ask(&self, cluster: &Cluster, request: &Request) -> Answer {
        self.try_ask(cluster, request).unwrap()
    }

    fn get(&self, cluster: &Cluster, path: &str) -> Answer {
        self.ask(cluster, &Request::get(&format!("http://meshed{path}")))
    }

    /// The connections to a Service, which must have been dialled.
    fn seen(&self, cluster: &Cluster, service: &str) -> Vec<Seen> {
        let seen = self.sidecar().to(address(cluster, service));
        assert!(!seen.is_empty(), "nobody has dialled {service}");
        seen
    }
}

/// The sidecar of a replica, which is there from its first test on.
fn beside(replica: Process) -> Sidecar {
    static ALL: Mutex<Vec<Sidecar>> = Mutex::new(Vec::new());
    let mut all = ALL.lock();
    if let Some(sidecar) = all.iter().find(|sidecar| sidecar.of == replica) {
        return sidecar.clone();
    }
    let sidecar = Sidecar::beside(replica);
    all.push(sidecar.clone());
    sidecar
}

fn install(cluster: &Cluster) {
    let chart = file("helm/postern").display().to_string();
    let install = ["install", NAMESPACE, &chart, "-n", NAMESPACE];
    let flags = [
        "--create-namespace",
        "--set=fullnameOverride=meshed,mesh.provider=linkerd,service.type=ClusterIP,workers=1",
        "--set=installation=meshed,crds.install=false,rbac.teamRoles=false",
        "--set=drain.delaySeconds=2,drain.timeoutSeconds=3,resources.requests.cpu=50m",
    ];
    cluster.helm(&[&install[..], &flags].concat());
    let backends = file("tests/it/node/mesh/objects.yaml");
    let apply = ["apply", "-n", NAMESPACE, "-f"];
    cluster.kubectl(&[&apply[..], &[&backends.display().to_string()]].concat());
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings.yaml");
    std::fs::write(&mappings, routes()).unwrap();
    cluster.kubectl(&[&apply[..], &[&mappings.display().to_string()]].concat());
    let rolled_out = ["rollout", "status", "--timeout=60s", "-n", NAMESPACE];
    for deployment in ["deployment/meshed", "deployment/echo"] {
        cluster.kubectl(&[&rolled_out[..], &[deployment]].concat());
    }
}

fn routes() -> String {
    let mapping = |name: &str, service: &str, more: &str| {
        format!(
            "---\napiVersion: postern.dev/v1alpha1\nkind: Mapping\nmetadata: {{ name: {name} }}\n\
             spec: {{ ambassadorId: [meshed], hostname: \"*\", prefix: /{name}/, service: \"{service}\"{more} }}\n"
        )
    };
    let mut text: String = ROUTES
        .iter()
        .map(|(name, service)| mapping(name, service, ""))
        .collect();
    let affinity = ", loadBalancer: { policy: ring_hash, header: x-user }";
    text.push_str(&mapping("hashed", "echo", affinity));
    text
}

/// The ClusterIP of a Service, and its port.
fn address(cluster: &Cluster, service: &str) -> SocketAddr {
    let service = cluster.get(&["service", service, "-n", NAMESPACE]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    SocketAddr::new(address.parse().unwrap(), 80)
}

/// A condition of a Mapping, once it has one.
fn becomes(cluster: &Cluster, mapping: &str, kind: &str, [field, wanted]: [&str; 2]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mapping = cluster.get(&["mapping.postern.dev", mapping, "-n", NAMESPACE]);
        let conditions = mapping["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        if conditions.any(|condition| condition["type"] == kind && condition[field] == wanted) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "no {kind} of {wanted}: {mapping:#}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn it_dials_the_cluster_ip_and_the_port_of_a_service_and_nothing_else() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    for _ in 0..10 {
        assert_eq!(meshed.get(&cluster, "/echo/").status, 200);
    }
    meshed.seen(&cluster, "echo");
    let services = cluster.get(&["services", "-A"]);
    let declared: Vec<_> = services["items"].as_array().unwrap().iter().collect();
    for dialled in meshed.sidecar().destinations() {
        let is_declared = declared.iter().any(|service| {
            let mut ports = service["spec"]["ports"].as_array().unwrap().iter();
            service["spec"]["clusterIP"] == *dialled.ip().to_string()
                && ports.any(|port| port["port"] == dialled.port())
        });
        assert!(is_declared, "{dialled} is no Service and port");
    }
}

#[test]
fn the_address_comes_from_the_api_server_and_no_name_is_looked_up() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    for (name, _) in ROUTES.iter().take(3) {
        assert_eq!(meshed.get(&cluster, &format!("/{name}/")).status, 200);
    }
    assert_eq!(meshed.sidecar().names(), 0);
}

#[test]
fn mappings_of_one_service_share_its_idle_connections() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    meshed.sidecar().forget();
    for _ in 0..10 {
        for path in ["/echo/", "/echo-again/"] {
            assert_eq!(meshed.get(&cluster, path).status, 200);
        }
    }
    // One after another on one worker; none new if an earlier test has left one.
    let dialled = meshed.sidecar().to(address(&cluster, "echo")).len();
    assert!(dialled <= 1, "{dialled} connections for 20 requests");
}

#[test]
fn nothing_is_dialled_before_there_is_a_request_for_it() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    // Longer than any look at a backend would wait, and the routes have been there since the installation.
    thread::sleep(Duration::from_secs(2));
    let idle = address(&cluster, "idle");
    for sidecar in &meshed.sidecars {
        assert_eq!(sidecar.to(idle).len(), 0);
    }
    assert_eq!(meshed.get(&cluster, "/idle/").status, 200);
    let seen = meshed.seen(&cluster, "idle");
    assert_eq!(seen.len(), 1, "one request, one connection");
    assert!(
        seen[0].silent < Duration::from_millis(500),
        "{:?}",
        seen[0].silent
    );
}

/// One read decides what a connection is; fewer than 14 bytes, or a head that is cut, would make it opaque.
#[test]
fn the_first_write_holds_the_whole_head() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let long = "x".repeat(600);
    let requests = [
        Request::get("http://meshed/wordy/"),
        Request::get("http://meshed/wordy/").header("x-long", &long),
        Request::get("http://meshed/wordy/")
            .method("POST")
            .body("some words"),
    ];
    meshed.sidecar().forget();
    let wordy = address(&cluster, "wordy");
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    meshed
        .sidecar()
        .conduct(wordy, Conduct::AnswerAndEnd(answer));
    for request in &requests {
        assert_eq!(meshed.ask(&cluster, request).status, 200);
    }
    let seen = meshed.seen(&cluster, "wordy");
    assert_eq!(seen.len(), requests.len());
    for seen in seen {
        let first = String::from_utf8_lossy(&seen.first);
        assert!(first.contains("\r\n\r\n"), "a part of a head: {first}");
        assert!(first.contains(" / HTTP/1.1\r\n"), "{first}");
    }
}

#[test]
fn app_protocol_says_whether_http_2_is_spoken() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let cases = [
        ("echo", "GET / HTTP/1.1\r\n"),
        ("declared-http", "GET / HTTP/1.1\r\n"),
        ("declared-ws", "GET / HTTP/1.1\r\n"),
        ("declared-h2c", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ];
    for (service, begins) in cases {
        let answer = meshed.get(&cluster, &format!("/{service}/"));
        assert_eq!(answer.status, 200, "{service}: {answer:?}");
        for seen in meshed.seen(&cluster, service) {
            let first = String::from_utf8_lossy(&seen.first);
            assert!(first.starts_with(begins), "{service}: {first:?}");
        }
    }
}

#[test]
fn headers_of_the_mesh_pass_in_neither_direction() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nl5d-proxy-error: secret\r\nl5d-server-id: me\r\nx-kept: yes\r\n\r\n";
    meshed
        .sidecar()
        .conduct(address(&cluster, "headed"), Conduct::Answer(answer));
    let request = Request::get("http://meshed/headed/")
        .header("l5d-dst-override", "evil.example.com:80")
        .header("L5d-Client-Id", "somebody.else")
        .header("x-kept", "of-the-client");
    let answer = meshed.ask(&cluster, &request);
    assert_eq!(answer.header("x-kept"), Some("yes"), "{answer:?}");
    let names = answer.headers.iter().map(|(name, _)| name);
    let passed: Vec<_> = names.filter(|name| name.starts_with("l5d-")).collect();
    assert!(passed.is_empty(), "{passed:?}");
    let seen = meshed.seen(&cluster, "headed");
    let sent = seen.iter().map(Seen::text).collect::<String>();
    assert!(sent.contains("x-kept: of-the-client"), "{sent}");
    assert!(!sent.to_lowercase().contains("l5d-"), "{sent}");
}

#[test]
fn a_service_without_endpoints_is_dialled_all_the_same() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfar\n";
    meshed
        .sidecar()
        .conduct(address(&cluster, "remote"), Conduct::Answer(answer));
    let answer = meshed.get(&cluster, "/remote/");
    assert_eq!((answer.status, answer.text()), (200, "far\n".into()));
    becomes(&cluster, "remote", "Ready", ["status", "True"]);
}

#[test]
fn a_port_that_the_service_does_not_declare_is_refused_and_not_dialled() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let answer = meshed.get(&cluster, "/undeclared/");
    assert_eq!(answer.status, 503, "{answer:?}");
    let refused = ["reason", "PortNotFound"];
    becomes(&cluster, "undeclared", "ResolvedRefs", refused);
    let dialled = meshed.sidecar().destinations();
    assert!(dialled.iter().all(|to| to.port() != 3000), "{dialled:?}");
}

#[test]
fn what_chooses_among_endpoints_is_refused_aloud() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let refused = ["reason", "EndpointsNeeded"];
    becomes(&cluster, "hashed", "Ready", refused);
    assert_eq!(meshed.get(&cluster, "/hashed/").status, 503);
}

#[test]
fn a_request_that_fails_is_not_sent_again() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    meshed
        .sidecar()
        .conduct(address(&cluster, "broken"), Conduct::Reset);
    let answer = meshed.get(&cluster, "/broken/");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(meshed.seen(&cluster, "broken").len(), 1);
}

/// Nobody may be told that a connection is idle which the sidecar has ended in one direction.
#[test]
fn a_connection_that_the_sidecar_has_half_closed_is_not_used_again() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let ending = address(&cluster, "ending");
    meshed
        .sidecar()
        .conduct(ending, Conduct::AnswerAndEnd(answer));
    for _ in 0..5 {
        assert_eq!(meshed.get(&cluster, "/ending/").status, 200);
        thread::sleep(Duration::from_millis(20));
    }
    let seen = meshed.seen(&cluster, "ending");
    assert_eq!(seen.len(), 5, "each request needs a connection of its own");
    let twice = seen
        .iter()
        .any(|seen| seen.text().matches("GET ").count() > 1);
    assert!(!twice, "{seen:?}");
}

#[test]
fn a_sidecar_that_ends_without_an_answer_is_not_waited_for() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    meshed
        .sidecar()
        .conduct(address(&cluster, "silent"), Conduct::End);
    let began = Instant::now();
    let answer = meshed.get(&cluster, "/silent/");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_user_is_none_whose_traffic_a_sidecar_lets_pass() {
    let cluster = shared();
    let meshed = meshed(&cluster);
    // Of the proxies of Linkerd, Istio and Consul.
    let passed = [2102, 1337, 5995, 5996, 0];
    for user in meshed.sidecar().of.users() {
        assert!(!passed.contains(&user), "{user}");
    }
}
