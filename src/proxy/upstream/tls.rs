//! TLS to upstreams: the name and the chain are verified, unless the configuration says otherwise in so many words.

mod unverified;

use std::{collections::HashMap, io, sync::Arc};

use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier, crypto::CryptoProvider};
use rustls_pki_types::{
    CertificateDer, InvalidDnsNameError, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer, ServerName,
};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, runtime::Handle, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    graph::{
        Certificate, Terms, UpstreamProtocol, UpstreamTls,
        tls::{KeyFormat, Roots},
    },
    proxy::terms,
};

use unverified::Unverified;

/// Configurations that are kept. Every one holds a cache of sessions, so that the next connection need not do the whole
/// handshake again; beyond this many all are forgotten at once, and sessions begin anew.
const MAX_CONFIGS: usize = 1024;

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The upstream is to be verified, and there is nothing to verify it with.
    #[error("no trusted certificates")]
    NoRoots,
    #[error("server name is neither a hostname nor an address")]
    ServerName(#[source] InvalidDnsNameError),
    #[error("client certificate cannot be used")]
    ClientCertificate(#[source] rustls::Error),
    #[error("TLS settings cannot be used")]
    Settings(#[source] rustls::Error),
    /// The upstream is not whom it should be, or does not speak TLS.
    #[error("handshake failed")]
    Handshake(#[source] io::Error),
    /// The upstream did not choose `h2` in the handshake.
    #[error("upstream does not speak HTTP/2")]
    NoHttp2,
}

/// The TLS configurations of the process.
#[derive(Debug)]
pub(super) struct Configs {
    provider: Arc<CryptoProvider>,
    known: Mutex<HashMap<Key, Arc<ClientConfig>>>,
    system_roots: OnceCell<Arc<RootCertStore>>,
    /// Where the trust store of the machine is read: that takes milliseconds, and blocks.
    helper: Handle,
}

/// All that a configuration depends on. The server name is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    trust: Trust,
    client: Option<Arc<str>>,
    protocol: UpstreamProtocol,
    terms: Terms,
    /// The digest of the lists of revoked certificates.
    revoked: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trust {
    Anybody,
    System,
    /// The digest of the certificates.
    Only([u8; 32]),
}

// === impl Configs ===

impl Configs {
    pub(super) fn new(helper: Handle) -> Self {
        Self {
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            known: Mutex::default(),
            system_roots: OnceCell::new(),
            helper,
        }
    }

    /// The configuration for an upstream, made when it is asked for the first time.
    pub(super) async fn get(
        &self,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let key = Key::new(tls, protocol);
        if let Some(config) = self.known.lock().get(&key) {
            return Ok(config.clone());
        }
        let roots = match (&key.trust, &tls.roots) {
            (Trust::Anybody, _) => None,
            (_, Roots::System) => Some(self.system_roots().await?),
            (_, Roots::Only(certificates)) => {
                Some(store(certificates.iter().map(|der| der.to_vec().into()))?)
            }
        };
        let config = Arc::new(self.build(roots, tls, protocol)?);
        let mut known = self.known.lock();
        if known.len() >= MAX_CONFIGS {
            known.clear();
        }
        Ok(known.entry(key).or_insert(config).clone())
    }

    async fn system_roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let load = || async {
            let load = || store(rustls_native_certs::load_native_certs().certs.into_iter());
            // A panic while reading leaves nothing to trust.
            let loaded = self.helper.spawn_blocking(load).await;
            loaded.unwrap_or(Err(TlsError::NoRoots))
        };
        self.system_roots.get_or_try_init(load).await.cloned()
    }

    fn build(
        &self,
        roots: Option<Arc<RootCertStore>>,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<ClientConfig, TlsError> {
        let provider = if tls.terms == Terms::default() {
            self.provider.clone()
        } else {
            terms::provider(&tls.terms)
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(terms::versions(&tls.terms))
            .map_err(TlsError::Settings)?;
        let builder = match roots {
            Some(roots) if tls.revoked.is_empty() => builder.with_root_certificates(roots),
            Some(roots) => {
                let lists = tls.revoked.iter().map(|der| der.to_vec().into());
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .with_crls(lists)
                    .enforce_revocation_expiration()
                    .build()
                    .map_err(|error| {
                        TlsError::Settings(rustls::Error::General(error.to_string()))
                    })?;
                builder.with_webpki_verifier(verifier)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(self.provider.clone()))),
        };
        let mut config = match tls.client.as_deref() {
            Some(certificate) => {
                let (chain, key) = chain_and_key(certificate);
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TlsError::ClientCertificate)?
            }
            None => builder.with_no_client_auth(),
        };
        let alpn: &[&[u8]] = match protocol {
            UpstreamProtocol::Http1 => &[b"http/1.1"],
            UpstreamProtocol::Http2 => &[b"h2"],
            UpstreamProtocol::Tcp => &[],
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

// === impl Key ===

impl Key {
    fn new(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Self {
        let trust = match &tls.roots {
            _ if !tls.verify => Trust::Anybody,
            Roots::System => Trust::System,
            Roots::Only(certificates) => Trust::Only(digest(certificates)),
        };
        Self {
            trust,
            client: tls.client.as_ref().map(|client| client.digest.clone()),
            protocol,
            terms: tls.terms.clone(),
            revoked: (!tls.revoked.is_empty()).then(|| digest(&tls.revoked)),
        }
    }
}

fn digest(list: &[Arc<[u8]>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for der in list {
        digest.update((der.len() as u64).to_be_bytes());
        digest.update(der);
    }
    digest.finalize().into()
}

/// Shakes hands with the upstream at the other end of `tcp`.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    tls: &UpstreamTls,
    protocol: UpstreamProtocol,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    // An address is looked for among the addresses of the certificate, and never sent as SNI (RFC 6066, section 3).
    let name = ServerName::try_from(&*tls.server_name)
        .map_err(TlsError::ServerName)?
        .to_owned();
    let stream = TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(TlsError::Handshake)?;
    let chosen = stream.get_ref().1.alpn_protocol();
    match protocol {
        UpstreamProtocol::Http2 if chosen != Some(b"h2") => Err(TlsError::NoHttp2),
        UpstreamProtocol::Http1 | UpstreamProtocol::Http2 | UpstreamProtocol::Tcp => Ok(stream),
    }
}

/// Those of the certificates that can be trusted; a store of them that holds at least one.
fn store(
    certificates: impl Iterator<Item = CertificateDer<'static>>,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    Ok(Arc::new(roots))
}

fn chain_and_key(
    certificate: &Certificate,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = certificate
        .chain
        .iter()
        .map(|der| der.to_vec().into())
        .collect();
    let der = certificate.key.der.to_vec();
    let key = match certificate.key.format {
        KeyFormat::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
        KeyFormat::Sec1 => PrivateSec1KeyDer::from(der).into(),
        KeyFormat::Pkcs8 => PrivatePkcs8KeyDer::from(der).into(),
    };
    (chain, key)
}

#[cfg(test)]
mod tests;
