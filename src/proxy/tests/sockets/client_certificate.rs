//! Certificates of clients, while what is asked of them changes.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{HandshakeKind, client::Resumption, pki_types::PrivatePkcs8KeyDer};

use super::*;
use crate::graph::{ClientCertificates, ForwardMode, ForwardedCert, Offer, Terms};

const NAME: &str = "a.example.com";

/// Who signs the certificates of clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A list of one who has been taken back.
    fn revoked(&self, serial: u64) -> Arc<[u8]> {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 2),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.0).unwrap();
        list.der().to_vec().into()
    }

    fn asks(&self, digest: &str, required: bool, revoked: &[u64]) -> ClientCertificates {
        let lists = revoked.iter().map(|serial| self.revoked(*serial));
        ClientCertificates {
            digest: digest.into(),
            authorities: [Arc::from(&**self.0.der())].into(),
            revoked: lists.collect(),
            required,
        }
    }
}

/// A server certificate, a backend, and a client with serial number 7.
struct Scene {
    authority: Authority,
    server: Arc<ServerTls>,
    client: Arc<ClientConfig>,
    backend: SocketAddr,
}

impl Scene {
    async fn new() -> Self {
        let (server, roots) = certificate(NAME);
        let authority = Authority::new();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(7_u64));
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &authority.0).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![made.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        client.resumption = Resumption::in_memory_sessions(8);
        Self {
            authority,
            server,
            client: Arc::new(client),
            backend: backend(HELLO).await,
        }
    }

    fn graph(&self, clients: Option<ClientCertificates>) -> Graph {
        let tls = ServerTls::new(
            self.server.certificate.clone(),
            Terms::default(),
            Offer::default(),
            clients.map(Arc::new),
        );
        let tls = HostTls::Certificate(Arc::new(tls));
        let mut listener = listener();
        listener.tls = true;
        let routes = vec![route("/", to(self.backend))];
        graph(listener, vec![host(NAME, tls, routes)])
    }

    async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(self.client.clone());
        connector.connect(name, stream).await.unwrap()
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut text = String::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !text.contains("hello") && !text.contains("request id") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    text.split("\r\n").next().unwrap_or_default().to_owned()
}

/// Makes the proxy serve this, and waits until an answer shows that it does.
async fn swap(running: &Running, graph: Graph) {
    running.graphs.send_replace(Some(Arc::new(graph)));
    // The workers take it from their own threads; there is nothing to see from here.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn an_open_connection_is_asked_again_when_what_is_asked_changes() {
    let scene = Scene::new().await;
    let asks = |digest: &str, revoked: &[u64]| Some(scene.authority.asks(digest, true, revoked));
    let running = start(scene.graph(asks("first", &[]))).await;
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");

    swap(&running, scene.graph(asks("another revoked", &[8]))).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");

    swap(&running, scene.graph(asks("this revoked", &[7]))).await;
    let refused = ask(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 421"), "{refused}");
    assert_eq!(ask(&mut stream).await, "", "the connection must end");

    // In TLS 1.3 the client learns it when it reads.
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "");
    assert_eq!(running.proxy.drain().await, 0);
}

#[tokio::test]
async fn a_connection_made_before_anything_was_asked_is_no_use_once_it_is_demanded() {
    let scene = Scene::new().await;
    let running = start(scene.graph(None)).await;
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");

    swap(
        &running,
        scene.graph(Some(scene.authority.asks("optional", false, &[]))),
    )
    .await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");

    swap(
        &running,
        scene.graph(Some(scene.authority.asks("demanded", true, &[]))),
    )
    .await;
    let refused = ask(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 421"), "{refused}");
    assert_eq!(running.proxy.drain().await, 0);
}

#[tokio::test]
async fn a_session_is_resumed_only_where_the_same_is_asked() {
    let scene = Scene::new().await;
    let kind = |stream: &TlsStream<TcpStream>| stream.get_ref().1.handshake_kind().unwrap();
    let running = start(scene.graph(None)).await;
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
    assert_eq!(kind(&stream), HandshakeKind::Resumed);

    let asked = scene.authority.asks("asked", true, &[]);
    swap(&running, scene.graph(Some(asked.clone()))).await;
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
    assert_eq!(kind(&stream), HandshakeKind::Full);
    // The certificate of the session that is resumed is told, too.
    let mut graph = scene.graph(Some(asked));
    graph.clients.forwarded_cert = ForwardedCert {
        mode: ForwardMode::SanitizeSet,
        ..ForwardedCert::default()
    };
    swap(&running, graph).await;
    let mut stream = scene.connect(running.address).await;
    assert_eq!(ask(&mut stream).await, "HTTP/1.1 200 OK");
    assert_eq!(kind(&stream), HandshakeKind::Resumed);
    assert_eq!(running.proxy.drain().await, 0);
}
