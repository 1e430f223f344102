use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use tokio::{io::AsyncWriteExt, net::TcpListener, task::spawn_local};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    graph::{PrivateKey, Target, Upstream},
    proxy::upstream::{
        UpstreamError,
        tests::{Bench, local, upstream},
    },
};

/// An authority that signs what it is asked to.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self(issuer.unwrap())
    }

    fn roots(&self) -> Roots {
        Roots::Only([self.0.der().to_vec().into()].into())
    }

    fn sign(&self, name: &str) -> (CertificateDer<'static>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), key.serialize_der())
    }
}

/// Serves the certificate to everybody, and answers every request with the name that was asked for.
async fn serve(
    (certificate, key): (CertificateDer<'static>, Vec<u8>),
    clients: Option<&Authority>,
    alpn: &[u8],
) -> Upstream {
    let builder = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivatePkcs8KeyDer::from(key).into();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            spawn_local(async move {
                // Refusals are what some tests are about.
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let (_, session) = tls.get_ref();
                if session.alpn_protocol() == Some(b"h2") {
                    return answer_http2(tls).await;
                }
                let name = session.server_name().unwrap_or("none").to_owned();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", name.len());
                let _ = tls.write_all((head + &name).as_bytes()).await;
                let _ = tokio::io::copy(&mut tls, &mut tokio::io::sink()).await;
            });
        }
    });
    upstream(Target::Addresses([address].into()))
}

async fn answer_http2(tls: tokio_rustls::server::TlsStream<TcpStream>) {
    let mut server = h2::server::handshake(tls).await.unwrap();
    while let Some(Ok((request, mut respond))) = server.accept().await {
        let scheme = request.uri().scheme_str().unwrap_or("none").to_owned();
        let mut body = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.send_data(bytes::Bytes::from(scheme), true).unwrap();
    }
}

fn settings(server_name: &str, roots: Roots) -> UpstreamTls {
    UpstreamTls {
        server_name: server_name.into(),
        verify: true,
        roots,
        client: None,
        terms: crate::graph::Terms::default(),
        revoked: Arc::default(),
    }
}

/// What comes of a request with these settings.
async fn ask(upstream: &Upstream, tls: UpstreamTls) -> Result<String, UpstreamError> {
    let mut upstream = upstream.clone();
    upstream.tls = Some(Arc::new(tls));
    Bench::new().get(&Arc::new(upstream)).await
}

#[tokio::test]
async fn name_and_chain_are_verified_unless_told_otherwise() {
    local(async {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let by_name = serve(ours.sign("shop.example"), None, b"http/1.1").await;
        let wildcard = serve(ours.sign("*.shop.example"), None, b"http/1.1").await;
        let by_address = serve(ours.sign("127.0.0.1"), None, b"http/1.1").await;
        let cases = [
            (&by_name, "shop.example", &ours, Some("200 shop.example")),
            (&by_name, "SHOP.example", &ours, Some("200 shop.example")),
            (&by_name, "cart.example", &ours, None),
            (&by_name, "shop.example", &theirs, None),
            (&by_name, "127.0.0.1", &ours, None),
            (
                &wildcard,
                "a.shop.example",
                &ours,
                Some("200 a.shop.example"),
            ),
            (&wildcard, "a.b.shop.example", &ours, None),
            (&by_address, "127.0.0.1", &ours, Some("200 none")),
            (&by_address, "127.0.0.2", &ours, None),
            (&by_address, "shop.example", &ours, None),
        ];
        for (upstream, name, authority, expected) in cases {
            let got = ask(upstream, settings(name, authority.roots())).await;
            match expected {
                Some(expected) => assert_eq!(got.unwrap().to_lowercase(), expected, "{name}"),
                None => assert!(
                    matches!(got, Err(UpstreamError::Tls(TlsError::Handshake(_)))),
                    "{name}: {got:?}"
                ),
            }
        }
        let unknown = ask(&by_name, settings("shop.example", Roots::System)).await;
        assert!(matches!(unknown, Err(UpstreamError::Tls(_))), "{unknown:?}");
        let mut open = settings("cart.example", theirs.roots());
        open.verify = false;
        assert_eq!(ask(&by_name, open).await.unwrap(), "200 cart.example");
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    local(async {
        let authority = Authority::new();
        let upstream = serve(
            authority.sign("shop.example"),
            Some(&authority),
            b"http/1.1",
        )
        .await;
        let without = ask(&upstream, settings("shop.example", authority.roots())).await;
        assert!(without.is_err(), "{without:?}");

        let (certificate, key) = authority.sign("gateway.example");
        let mut tls = settings("shop.example", authority.roots());
        tls.client = Some(Arc::new(Certificate {
            digest: "first".into(),
            chain: vec![certificate.to_vec().into()],
            key: PrivateKey {
                format: KeyFormat::Pkcs8,
                der: key.into(),
            },
            staple: None,
        }));
        assert_eq!(
            ask(&upstream, tls.clone()).await.unwrap(),
            "200 shop.example"
        );

        let unusable = Certificate {
            digest: "second".into(),
            chain: vec![certificate.to_vec().into()],
            key: PrivateKey {
                format: KeyFormat::Sec1,
                der: Arc::from(*b"secret"),
            },
            staple: None,
        };
        tls.client = Some(Arc::new(unusable));
        let failed = ask(&upstream, tls).await.unwrap_err();
        assert!(
            matches!(failed, UpstreamError::Tls(TlsError::ClientCertificate(_))),
            "{failed:?}"
        );
        assert!(!format!("{failed:?}").contains("secret"));
    })
    .await;
}

#[tokio::test]
async fn http2_must_be_agreed_on_in_the_handshake() {
    local(async {
        let authority = Authority::new();
        for (alpn, agreed) in [(&b"h2"[..], true), (b"http/1.1", false)] {
            let mut upstream = serve(authority.sign("shop.example"), None, alpn).await;
            upstream.protocol = UpstreamProtocol::Http2;
            let got = ask(&upstream, settings("shop.example", authority.roots())).await;
            match got {
                Ok(got) => assert!(agreed && got == "200 https", "{got}"),
                Err(error) => assert!(!agreed && matches!(error, UpstreamError::Tls(_))),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn configurations_are_shared_by_what_they_depend_on() {
    let configs = Configs::new(Handle::current());
    let (one, two) = (Authority::new().roots(), Authority::new().roots());
    let get = async |name: &str, roots: &Roots, protocol| {
        let tls = settings(name, roots.clone());
        configs.get(&tls, protocol).await.unwrap()
    };
    let first = get("a.example", &one, UpstreamProtocol::Http1).await;
    let same = get("b.example", &one, UpstreamProtocol::Http1).await;
    assert!(Arc::ptr_eq(&first, &same));
    for (roots, protocol) in [
        (&one, UpstreamProtocol::Http2),
        (&two, UpstreamProtocol::Http1),
    ] {
        let other = get("a.example", roots, protocol).await;
        assert!(!Arc::ptr_eq(&first, &other));
    }
    let nothing = settings("a.example", Roots::Only(Arc::new([])));
    let failed = configs.get(&nothing, UpstreamProtocol::Http1).await;
    assert!(matches!(failed, Err(TlsError::NoRoots)), "trusts nobody");
}
