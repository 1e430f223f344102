//! TLS with clients: a certificate by the name that the client asks for, or the alert that says why not.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

use parking_lot::Mutex;
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    },
    server::{Acceptor, NoServerSessionStorage, danger::ClientCertVerifier},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use super::{
    client_certificate::{self, Shown},
    limits, terms,
};
use crate::graph::{
    Certificate, Graph, Handshake, HostTls, Listener, ServerTls, TcpRoute, tls::KeyFormat,
};

/// TLS configurations by the digest of all that they depend on, shared by all workers: a ticket that one has given, every other
/// one takes. Each has a key of its own for its tickets, and rustls resumes a session only for the name that it was made
/// for, so no session reaches another Host, or one that asks its clients for something else.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    configs: HashMap<Arc<str>, Result<Ready, Unusable>>,
    /// The snapshot that was swept for.
    swept: Option<Arc<Graph>>,
}

/// A configuration, and what the certificates of clients are verified with.
#[derive(Clone, Debug)]
struct Ready {
    config: Arc<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The TLS library takes no such certificate: the compiler checked less than it does.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the TLS library refuses the certificate or its key")]
pub(super) struct Unusable;

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no Host has this name and a certificate")]
    Unrecognized,
    #[error("the certificate of this name cannot be used")]
    Broken,
    /// It was good when the session began that the client resumes.
    #[error("the certificate of the client is not good any more")]
    Client(#[source] rustls::Error),
    #[error("it took too long")]
    Timeout,
    #[error("the client did not go through with it")]
    Failed(#[source] io::Error),
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Encrypted<IO> {
    pub(super) stream: Box<TlsStream<IO>>,
    /// Lower case, without a trailing dot.
    pub(super) sni: Option<Box<str>>,
    pub(super) is_http2: bool,
    pub(super) shown: Option<Box<Shown>>,
}

/// Alerts (RFC 8446, section 6) that rustls has no way to send before a configuration is chosen.
const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;

/// Makes the handshake, with the certificate that the Listener has for the name.
pub(super) async fn handshake<IO>(
    io: IO,
    listener: &Listener,
    certificates: &Certificates,
) -> Result<Encrypted<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + limits::HANDSHAKE;
    let hello = timeout_at(deadline, LazyConfigAcceptor::new(Acceptor::default(), io));
    let start = hello
        .await
        .map_err(|_| HandshakeError::Timeout)?
        .map_err(HandshakeError::Failed)?;
    let sni = start.client_hello().server_name().map(normal);
    let (alert, error) = match certificates.choose(listener.handshake(sni.as_deref())) {
        Ok((tls, ready)) => {
            let stream = timeout_at(deadline, start.into_stream(ready.config.clone()))
                .await
                .map_err(|_| HandshakeError::Timeout)?
                .map_err(HandshakeError::Failed)?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok(Encrypted {
                shown: shown(stream.get_ref().1, tls, &ready)?,
                stream: Box::new(stream),
                sni,
                is_http2,
            });
        }
        Err(refusal) => refusal,
    };
    refuse(start.io, alert, deadline).await;
    Err(error)
}

/// Makes the handshake of a connection that is not HTTP: whatever protocols the client speaks in it, one is not chosen.
pub(super) async fn handshake_for_tcp<IO>(
    io: IO,
    listener: &Listener,
    route: &TcpRoute,
    sni: Option<&str>,
    certificates: &Certificates,
) -> Result<TlsStream<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + limits::HANDSHAKE;
    let own = route.tls.as_ref().map(Handshake::Certificate);
    let handshake = own.unwrap_or_else(|| listener.handshake(sni));
    let (alert, error) = match certificates.choose(handshake) {
        Ok((tls, ready)) => {
            let mut config = ServerConfig::clone(&ready.config);
            config.alpn_protocols.clear();
            let accepted = TlsAcceptor::from(Arc::new(config)).accept(io);
            let stream = timeout_at(deadline, accepted)
                .await
                .map_err(|_| HandshakeError::Timeout)?
                .map_err(HandshakeError::Failed)?;
            shown(stream.get_ref().1, tls, &ready)?;
            return Ok(stream);
        }
        Err(refusal) => refusal,
    };
    refuse(io, alert, deadline).await;
    Err(error)
}

/// What the client has shown. In a session that it resumes nobody has looked at it.
fn shown(
    connection: &ServerConnection,
    tls: &ServerTls,
    ready: &Ready,
) -> Result<Option<Box<Shown>>, HandshakeError> {
    let (Some(asked), Some(verifier)) = (&tls.clients, &ready.clients) else {
        return Ok(None);
    };
    let chain = connection.peer_certificates().unwrap_or_default();
    let chain: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        client_certificate::verify(&chain, asked, &**verifier).map_err(HandshakeError::Client)?;
    }
    Ok(Some(Box::new(Shown::new(chain, Some(asked.clone())))))
}

/// Says that nobody has the name that a handshake asks for.
pub(super) async fn refuse_name(io: impl AsyncWrite + Unpin) {
    refuse(io, UNRECOGNIZED_NAME, Instant::now() + limits::HANDSHAKE).await;
}

/// Names compare without case and trailing dot.
pub(super) fn normal(name: &str) -> Box<str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase().into()
}

/// Sends a fatal alert. Nothing is encrypted yet, so it is seven bytes in the clear.
async fn refuse(mut io: impl AsyncWrite + Unpin, alert: u8, deadline: Instant) {
    let record = [21, 3, 3, 0, 2, 2, alert];
    // The client learns no more if it does not read.
    let _ = timeout_at(deadline, async {
        io.write_all(&record).await?;
        io.shutdown().await
    })
    .await;
}

impl Certificates {
    /// What a handshake is made with, or the alert that refuses it.
    fn choose<'g>(
        &self,
        handshake: Handshake<'g>,
    ) -> Result<(&'g ServerTls, Ready), (u8, HandshakeError)> {
        match handshake {
            Handshake::Certificate(tls) => match self.config(tls) {
                Ok(ready) => Ok((tls, ready)),
                Err(Unusable) => Err((INTERNAL_ERROR, HandshakeError::Broken)),
            },
            Handshake::Unrecognized => Err((UNRECOGNIZED_NAME, HandshakeError::Unrecognized)),
            Handshake::Broken(_) => Err((INTERNAL_ERROR, HandshakeError::Broken)),
        }
    }

    fn config(&self, tls: &ServerTls) -> Result<Ready, Unusable> {
        if let Some(known) = self.0.lock().configs.get(&tls.digest) {
            return known.clone();
        }
        let ready = ready(tls).map_err(|error| {
            tracing::error!(%error, "A certificate that was compiled cannot be used");
            Unusable
        });
        // Another worker may have been as fast: all must use one, or tickets would be refused.
        let mut known = self.0.lock();
        let slot = known.configs.entry(tls.digest.clone());
        slot.or_insert(ready).clone()
    }

    /// Whether what a client has shown is good for what a Host asks now.
    pub(super) fn admits(&self, shown: &Shown, tls: &HostTls) -> bool {
        let HostTls::Certificate(tls) = tls else {
            return false;
        };
        match (&tls.clients, self.config(tls)) {
            (
                Some(asked),
                Ok(Ready {
                    clients: Some(verifier),
                    ..
                }),
            ) => shown.is_good_for(asked, &*verifier),
            (None, Ok(_)) => true,
            (Some(_), Ok(_)) | (_, Err(Unusable)) => false,
        }
    }

    /// Forgets the certificates that no Host of the snapshot has, keys and all.
    pub(super) fn sweep(&self, graph: &Arc<Graph>) {
        let mut known = self.0.lock();
        let done = known
            .swept
            .as_ref()
            .is_some_and(|swept| Arc::ptr_eq(swept, graph));
        if done || known.configs.is_empty() {
            return;
        }
        let hosts = graph
            .listeners
            .iter()
            .flat_map(|listener| listener.hosts.iter());
        let of_hosts = hosts.filter_map(|host| match &host.tls {
            HostTls::Certificate(tls) => Some(&tls.digest),
            HostTls::None | HostTls::Broken(_) => None,
        });
        let routes = graph
            .listeners
            .iter()
            .flat_map(|listener| listener.tcp.routes());
        let of_routes = routes.filter_map(|route| Some(&route.tls.as_ref()?.digest));
        let used: HashSet<&Arc<str>> = of_hosts.chain(of_routes).collect();
        known.configs.retain(|digest, _| used.contains(digest));
        known.swept = Some(graph.clone());
    }
}

fn ready(tls: &ServerTls) -> Result<Ready, rustls::Error> {
    let asked = tls.clients.as_deref();
    let clients = asked.map(client_certificate::verifier).transpose()?;
    let config = Arc::new(server_config(tls, clients.clone())?);
    Ok(Ready { config, clients })
}

fn server_config(
    tls: &ServerTls,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let Certificate {
        chain, key, staple, ..
    } = &*tls.certificate;
    let chain = chain.iter();
    let chain = chain
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    let der = key.der.to_vec();
    let key = match key.format {
        KeyFormat::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        KeyFormat::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        KeyFormat::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
    };
    let builder = ServerConfig::builder_with_provider(terms::provider(&tls.terms))
        .with_protocol_versions(terms::versions(&tls.terms))?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let staple = staple.as_deref().unwrap_or_default().to_vec();
    let mut config = builder.with_single_cert_with_ocsp(chain, key, staple)?;
    let offered = tls.offer.protocols().iter();
    config.alpn_protocols = offered.map(|name| name.as_bytes().to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each costs the client and us a few microseconds, and one is what a client uses.
    config.send_tls13_tickets = 1;
    Ok(config)
}
