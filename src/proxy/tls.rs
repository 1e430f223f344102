//! TLS with clients: a certificate by the name that the client asks for, or the alert that says why not.

use std::{collections::HashMap, io, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
    },
    server::{Acceptor, NoServerSessionStorage},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use super::limits;
use crate::graph::{Certificate, Graph, Handshake, HostTls, Listener, tls::KeyFormat};

/// TLS configurations by the digest of their certificate, shared by all workers: a ticket that one has given, every other
/// one takes. Each has a key of its own for its tickets, and rustls resumes a session only for the name that it was made
/// for, so no session reaches another Host.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    configs: HashMap<Arc<str>, Result<Arc<ServerConfig>, Unusable>>,
    /// The snapshot that was swept for.
    swept: Option<Arc<Graph>>,
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
    let (alert, error) = match listener.handshake(sni.as_deref()) {
        Handshake::Certificate(certificate) => match certificates.config(certificate) {
            Ok(config) => {
                let stream = timeout_at(deadline, start.into_stream(config))
                    .await
                    .map_err(|_| HandshakeError::Timeout)?
                    .map_err(HandshakeError::Failed)?;
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                return Ok(Encrypted {
                    stream: Box::new(stream),
                    sni,
                    is_http2,
                });
            }
            Err(Unusable) => (INTERNAL_ERROR, HandshakeError::Broken),
        },
        Handshake::Unrecognized => (UNRECOGNIZED_NAME, HandshakeError::Unrecognized),
        Handshake::Broken(_) => (INTERNAL_ERROR, HandshakeError::Broken),
    };
    refuse(start.io, alert, deadline).await;
    Err(error)
}

/// Makes the handshake of a connection that is not HTTP: whatever protocols the client speaks in it, one is not chosen.
pub(super) async fn handshake_for_tcp<IO>(
    io: IO,
    listener: &Listener,
    sni: Option<&str>,
    certificates: &Certificates,
) -> Result<TlsStream<IO>, HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + limits::HANDSHAKE;
    let (alert, error) = match listener.handshake(sni) {
        Handshake::Certificate(certificate) => match certificates.config(certificate) {
            Ok(config) => {
                let mut config = ServerConfig::clone(&config);
                config.alpn_protocols.clear();
                let accepted = TlsAcceptor::from(Arc::new(config)).accept(io);
                return timeout_at(deadline, accepted)
                    .await
                    .map_err(|_| HandshakeError::Timeout)?
                    .map_err(HandshakeError::Failed);
            }
            Err(Unusable) => (INTERNAL_ERROR, HandshakeError::Broken),
        },
        Handshake::Unrecognized => (UNRECOGNIZED_NAME, HandshakeError::Unrecognized),
        Handshake::Broken(_) => (INTERNAL_ERROR, HandshakeError::Broken),
    };
    refuse(io, alert, deadline).await;
    Err(error)
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
    fn config(&self, certificate: &Certificate) -> Result<Arc<ServerConfig>, Unusable> {
        if let Some(known) = self.0.lock().configs.get(&certificate.digest) {
            return known.clone();
        }
        let config = server_config(certificate).map(Arc::new).map_err(|error| {
            tracing::error!(%error, "A certificate that was compiled cannot be used");
            Unusable
        });
        // Another worker may have been as fast: all must use one, or tickets would be refused.
        let mut known = self.0.lock();
        let slot = known.configs.entry(certificate.digest.clone());
        slot.or_insert(config).clone()
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
        let used: std::collections::HashSet<&Arc<str>> = hosts
            .filter_map(|host| match &host.tls {
                HostTls::Certificate(certificate) => Some(&certificate.digest),
                HostTls::None | HostTls::Broken(_) => None,
            })
            .collect();
        known.configs.retain(|digest, _| used.contains(digest));
        known.swept = Some(graph.clone());
    }
}

fn server_config(certificate: &Certificate) -> Result<ServerConfig, rustls::Error> {
    let chain = certificate.chain.iter();
    let chain = chain
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    let der = certificate.key.der.to_vec();
    let key = match certificate.key.format {
        KeyFormat::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        KeyFormat::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        KeyFormat::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each costs the client and us a few microseconds, and one is what a client uses.
    config.send_tls13_tickets = 1;
    Ok(config)
}
