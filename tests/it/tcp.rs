//! TCPMappings with real sockets: bytes both ways, weights, TLS ended here or passed through, changes and the end of the process.

mod attacks;
mod owners;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use rustix::process::Signal;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::{
    client::{tcp, tls},
    gateway::Gateway,
};

const LISTENERS: &str = r"
apiVersion: postern.dev/v1alpha1
kind: Listener
metadata: {name: plain}
spec: {port: 8080, protocol: TCP, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}
---
apiVersion: postern.dev/v1alpha1
kind: Listener
metadata: {name: tls}
spec: {port: 8443, protocol: PROTOCOL, securityModel: XFP, hostBinding: {namespace: {from: ALL}}}
";

fn tcp_mapping(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: postern.dev/v1alpha1\nkind: TCPMapping\nmetadata: {{name: {name}, namespace: db}}\nspec: {{{spec}}}\n"
    )
}

/// A server that greets with its name, then answers everything that came with the same in upper case once the client has ended.
struct Backend {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
}

impl Backend {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<AtomicUsize>::default();
        let counted = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Relaxed);
                thread::spawn(move || shout(stream, name));
            }
        });
        Self { address, taken }
    }

    fn flag(&self, service: &str) -> String {
        format!("{service}={}", self.address)
    }

    fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

fn shout(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.write_all(name.as_bytes())?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    stream.write_all(&said.to_ascii_uppercase())
}

/// What a greeting of so many bytes is.
fn greeting(stream: &mut impl Read, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn ask(address: SocketAddr, question: &[u8]) -> String {
    let mut stream = tcp(address).unwrap();
    stream.write_all(question).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// With a certificate for a name.
fn server_config(name: &str) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    Arc::new(config)
}

/// A server of TLS with a certificate for a name, which says `secret` and ends.
fn encrypted(name: &str) -> SocketAddr {
    let config = server_config(name);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // Whoever asks for another name does not get so far.
            let _said = stream.write_all(b"secret").and_then(|()| stream.flush());
        }
    });
    address
}

#[test]
fn bytes_go_both_ways_half_closed_and_what_went_through_is_counted() {
    let backend = Backend::start("hello ");
    let manifests = LISTENERS.replace("PROTOCOL", "TLS")
        + &tcp_mapping("orders", "port: 8080, service: 'orders:6379'");
    let flag = backend.flag("db/orders:6379");
    let gateway = Gateway::with_flags(&manifests, &["--backend", &flag]);
    let address = gateway.address(8080);
    assert_eq!(ask(address, b"question"), "hello QUESTION");
    let much = vec![b'x'; 3 << 20];
    assert_eq!(ask(address, &much).len(), much.len() + "hello ".len());
    let ended = "postern_tcp_connections_ended_total{listener=\"default/plain\",reason=\"closed\"}";
    let counted = gateway.eventually(|| {
        let metrics = gateway.metrics();
        let received = metrics.get("postern_tcp_received_bytes_total{listener=\"default/plain\"}");
        let is_told = metrics.get(ended) == Some(&2.0) && received == Some(&3_145_736.0);
        if is_told {
            Ok(())
        } else {
            Err(format!("{metrics:?}"))
        }
    });
    counted.unwrap();
}

#[test]
fn connections_are_shared_by_weight_and_live_through_changes() {
    let (stable, canary) = (Backend::start("stable"), Backend::start("canary"));
    let mappings = |weight: usize| {
        LISTENERS.replace("PROTOCOL", "TLS")
            + &tcp_mapping("stable", "port: 8080, service: stable")
            + &tcp_mapping(
                "canary",
                &format!("port: 8080, service: canary, weight: {weight}"),
            )
    };
    let flags = [stable.flag("db/stable:80"), canary.flag("db/canary:80")];
    let gateway = Gateway::with_flags(
        &mappings(30),
        &["--backend", &flags[0], "--backend", &flags[1]],
    );
    let address = gateway.address(8080);
    let mut first = tcp(address).unwrap();
    let name = greeting(&mut first, 6);
    for _ in 1..400 {
        ask(address, b"");
    }
    let share = canary.taken();
    assert_eq!(stable.taken() + share, 400);
    assert!(
        (75..=165).contains(&share),
        "{share} of 400 where 30% are meant"
    );
    // All go to one, as soon as that is said; what was open stays where it is.
    gateway.write("case.yaml", &mappings(0));
    let only_stable = || {
        let before = canary.taken();
        (0..20).for_each(|_| drop(ask(address, b"")));
        if canary.taken() == before {
            Ok(())
        } else {
            Err("a canary was asked".to_owned())
        }
    };
    gateway.eventually(only_stable).unwrap();
    first.write_all(b"still here").unwrap();
    first.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    first.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "STILL HERE", "of {name}");
}

#[test]
fn tls_is_ended_here_or_passed_through_by_its_name() {
    let (plain, secret) = (Backend::start("orders"), encrypted("through.example.com"));
    let made = rcgen::generate_simple_self_signed(["db.example.com".to_owned()]).unwrap();
    let secret_object = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "db", "namespace": "db"},
        "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()},
    });
    for protocol in ["TLS", "HTTPS"] {
        let manifests = LISTENERS.replace("PROTOCOL", protocol)
            + &format!("---\n{secret_object}\n---\n")
            + "{apiVersion: postern.dev/v1alpha1, kind: Host, metadata: {name: db, namespace: db},\n spec: {hostname: db.example.com, tlsSecret: {name: db}}}\n"
            + &tcp_mapping("ended", "port: 8443, host: db.example.com, service: orders")
            + &tcp_mapping(
                "through",
                "port: 8443, host: '*.example.com', clientTls: Passthrough, service: secret",
            );
        let flags = [plain.flag("db/orders:80"), format!("db/secret:80={secret}")];
        let gateway = Gateway::with_flags(
            &manifests,
            &["--backend", &flags[0], "--backend", &flags[1]],
        );
        let address = gateway.address(8443);
        let certificate = |stream: &StreamOwned<rustls::ClientConnection, TcpStream>| {
            stream.conn.peer_certificates().unwrap()[0].clone()
        };
        let mut ended = tls(address, "db.example.com").unwrap();
        assert_eq!(certificate(&ended), *made.cert.der(), "{protocol}");
        assert_eq!(greeting(&mut ended, 6), "orders", "{protocol}");
        let mut through = tls(address, "through.example.com").unwrap();
        assert_ne!(certificate(&through), *made.cert.der(), "{protocol}");
        assert_eq!(greeting(&mut through, 6), "secret", "{protocol}");
        let refused = tls(address, "nobody.org").unwrap_err().to_string();
        assert!(
            refused.contains("UnrecognisedName"),
            "{protocol}: {refused}"
        );
    }
}

#[test]
fn what_has_no_upstream_is_closed_and_nobody_dials_the_gateway_itself() {
    let manifests = LISTENERS.replace("PROTOCOL", "TLS")
        + &tcp_mapping("missing", "port: 8080, service: 'nothing:6379'");
    let gateway = Gateway::with_flags(&manifests, &[]);
    let mut stream = tcp(gateway.address(8080)).unwrap();
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    let report = gateway.ask("/report");
    assert!(report.to_string().contains("PST3002"), "{report}");
}

#[test]
fn the_process_waits_for_connections_until_the_drain_timeout() {
    let backend = Backend::start("hello ");
    let flag = backend.flag("db/orders:6379");
    let manifests = LISTENERS.replace("PROTOCOL", "TLS")
        + &tcp_mapping("orders", "port: 8080, service: 'orders:6379'");
    // One that ends in time is finished, ...
    let mut gateway = Gateway::with_flags(&manifests, &["--backend", &flag, "--drain-delay", "0s"]);
    let mut stream = tcp(gateway.address(8080)).unwrap();
    greeting(&mut stream, 6);
    gateway.signal(Signal::TERM);
    let address = gateway.address(8080);
    let is_closed = || match TcpStream::connect(address) {
        Ok(_) => Err("it still listens".to_owned()),
        Err(_) => Ok(()),
    };
    gateway.eventually(is_closed).unwrap();
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "LAST WORDS");
    assert!(gateway.wait().success());
    // ... and one that does not is closed.
    let flags = [
        "--backend",
        &flag,
        "--drain-delay",
        "0s",
        "--drain-timeout",
        "300ms",
    ];
    let mut gateway = Gateway::with_flags(&manifests, &flags);
    let mut stream = tcp(gateway.address(8080)).unwrap();
    greeting(&mut stream, 6);
    gateway.signal(Signal::TERM);
    gateway.wait();
    let mut rest = Vec::new();
    // Reset or ended, as the system has it.
    let _closed = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

#[test]
fn routes_and_states_of_tcp_are_told_beside_the_others() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tcp");
    let told = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-postern"));
        let arguments = verb.split(' ').chain(["-f", folder, "-A"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let routes = told("routes");
    for line in [
        ":6379 tcp db/orders:6379 TCPMapping db/orders",
        "orders.db.example.com:9443 passthrough db/orders:6380 TCPMapping db/orders-tls",
    ] {
        assert!(routes.contains(line), "no {line:?} in {routes}");
    }
    let status = told("status");
    for line in [
        "orders TCPMapping :6379 - Live",
        "orders-tls TCPMapping orders.db.example.com:9443 - Live",
    ] {
        assert!(status.contains(line), "no {line:?} in {status}");
    }
}
