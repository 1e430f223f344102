//! Upstreams that do what they should not.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use socket2::SockRef;

/// What an upstream does with a connection.
#[derive(Clone, Copy)]
pub(super) enum Behaviour {
    /// Nobody listens.
    Refuses,
    /// There is not even a name.
    NoName,
    Hangs,
    /// Answers, and goes on.
    Says(&'static str),
    /// Says this, after the request or before it, and resets.
    Resets(&'static str, bool),
    /// The same with an orderly end.
    Closes(&'static str, bool),
    /// Says this after the request, says that it will say nothing more, and goes on listening.
    HalfCloses(&'static str),
    /// Answers the first request of a connection, and closes instead of answering the second.
    ClosesSecond,
    /// Answers, but its health check with 500 until it is healed.
    Sick(&'static str),
    /// Answers with a head that is too large.
    LargeHead,
    Tls(Certificate),
}

/// What a TLS server shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    Valid,
    Expired,
    OtherName,
}

/// A server that counts its connections, until the test process ends.
pub(super) struct Upstream {
    id: &'static str,
    address: Option<SocketAddr>,
    connections: Arc<AtomicUsize>,
    seen: Arc<Seen>,
    pem: Option<String>,
}

/// What has come over all connections.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    healed: AtomicBool,
}

const FIRST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
const SICK: &str = "HTTP/1.1 500 Sick\r\ncontent-length: 0\r\n\r\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
/// A connection has come about after this.
const CONNECTED: Duration = Duration::from_millis(100);
/// No connection stays longer.
const LONGEST: Duration = Duration::from_secs(20);

impl Upstream {
    pub(super) fn start(id: &'static str, behaviour: Behaviour) -> Self {
        Self::start_at([127, 0, 0, 1], id, behaviour)
    }

    /// At another address of this machine.
    pub(super) fn start_at(ip: [u8; 4], id: &'static str, behaviour: Behaviour) -> Self {
        let mut upstream = Self {
            id,
            address: None,
            connections: Arc::default(),
            seen: Arc::default(),
            pem: None,
        };
        if matches!(behaviour, Behaviour::NoName) {
            return upstream;
        }
        let listener = TcpListener::bind(SocketAddr::from((ip, 0))).unwrap();
        upstream.address = Some(listener.local_addr().unwrap());
        if matches!(behaviour, Behaviour::Refuses) {
            return upstream;
        }
        let mut tls = None;
        if let Behaviour::Tls(certificate) = behaviour {
            let (config, pem) = server(id, certificate);
            tls = Some(config);
            upstream.pem = Some(pem);
        }
        let connections = upstream.connections.clone();
        let seen = upstream.seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, SeqCst);
                let (tls, seen) = (tls.clone(), seen.clone());
                thread::spawn(move || converse(stream, behaviour, tls, &seen));
            }
        });
        upstream
    }

    /// For `--backend`.
    pub(super) fn address(&self) -> String {
        match self.address {
            Some(address) => address.to_string(),
            // Longer than a label may be: no name server needs to be asked.
            None => format!("{}.invalid:80", "a".repeat(64)),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Those that came whole.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(SeqCst)
    }

    /// From now on its check passes.
    pub(super) fn heal(&self) {
        self.seen.healed.store(true, SeqCst);
    }

    /// What has a Mapping trust it, where it speaks TLS.
    pub(super) fn trust(&self) -> String {
        let Some(pem) = &self.pem else {
            return String::new();
        };
        let id = self.id;
        let pem = serde_json::Value::from(pem.as_str());
        format!(
            "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {id}, namespace: default}}, stringData: {{ca.crt: {pem}}}}}\n\
             ---\n{{apiVersion: getambassador.io/v3alpha1, kind: TLSContext, metadata: {{name: {id}, namespace: default}}, spec: {{ca_secret: {id}}}}}\n"
        )
    }
}

fn server(id: &str, certificate: Certificate) -> (Arc<ServerConfig>, String) {
    let name = match certificate {
        Certificate::OtherName => "other.default.svc".to_owned(),
        Certificate::Valid | Certificate::Expired => format!("{id}.default.svc"),
    };
    let mut params = CertificateParams::new([name]).unwrap();
    if certificate == Certificate::Expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    (Arc::new(config), certificate.pem())
}

/// An end in the middle is what it is about: nothing that fails matters.
fn converse(
    mut stream: TcpStream,
    behaviour: Behaviour,
    tls: Option<Arc<ServerConfig>>,
    seen: &Seen,
) {
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    match behaviour {
        Behaviour::Refuses | Behaviour::NoName => {}
        Behaviour::Hangs => drop(stream.read_to_end(&mut Vec::new())),
        Behaviour::Says(answer) => answer_all(&mut stream, seen, |_| answer),
        Behaviour::Sick(answer) => answer_all(&mut stream, seen, |head| {
            let is_check = head.starts_with("get /healthz ");
            if is_check && !seen.healed.load(SeqCst) {
                SICK
            } else {
                answer
            }
        }),
        Behaviour::Resets(said, asked) => {
            say(&mut stream, said, asked);
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Behaviour::Closes(said, asked) => say(&mut stream, said, asked),
        Behaviour::HalfCloses(said) => {
            say(&mut stream, said, true);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Behaviour::ClosesSecond => {
            say(&mut stream, FIRST, true);
            say(&mut stream, "", true);
        }
        Behaviour::LargeHead => {
            let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
            say(&mut stream, &large, true);
        }
        Behaviour::Tls(_) => {
            let Some(session) = tls.and_then(|config| ServerConnection::new(config).ok()) else {
                return;
            };
            answer_all(&mut StreamOwned::new(session, stream), seen, |_| GOOD);
        }
    }
}

fn say(stream: &mut TcpStream, said: &str, asked: bool) {
    if !asked {
        // Until the connection has come about on the other side, too.
        thread::sleep(CONNECTED);
    }
    if !asked || request(stream).is_some() {
        let _ = stream.write_all(said.as_bytes());
    }
}

fn answer_all(
    stream: &mut (impl Read + Write),
    seen: &Seen,
    answer: impl Fn(&str) -> &'static str,
) {
    while let Some(head) = request(stream) {
        seen.requests.fetch_add(1, SeqCst);
        let answer = answer(&head);
        if stream.write_all(answer.as_bytes()).is_err() || stream.flush().is_err() {
            return;
        }
    }
}

/// Reads a request with a body of known length, and gives its head in lower case; none when there is no more.
fn request(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}
