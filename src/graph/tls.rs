//! Certificates and keys, as bytes: the proxy makes of them what its TLS library needs.

use std::{fmt, sync::Arc};

use super::{ClientCertificates, Offer, Terms};

/// A certificate chain with its private key, checked to belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of chain and key: equal digests mean the same certificate.
    pub digest: Arc<str>,
    /// DER, the leaf first.
    pub chain: Vec<Arc<[u8]>>,
    pub key: PrivateKey,
    /// DER of an OCSP response, as the Secret has it.
    pub staple: Option<Arc<[u8]>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} in chain, [redacted])", self.chain.len())
    }
}

/// How TLS is spoken with the clients of a Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Of all that follows: with equal digests a session of one is good for the other.
    pub digest: Arc<str>,
    pub certificate: Arc<Certificate>,
    pub terms: Terms,
    pub offer: Offer,
    /// None when clients are not asked for certificates.
    pub clients: Option<Arc<ClientCertificates>>,
}

impl ServerTls {
    pub fn new(
        certificate: Arc<Certificate>,
        terms: Terms,
        offer: Offer,
        clients: Option<Arc<ClientCertificates>>,
    ) -> Self {
        let plain = terms == Terms::default() && offer == Offer::default();
        let digest = match &clients {
            None if plain => Arc::clone(&certificate.digest),
            _ => {
                let clients = clients.as_deref().map(|clients| &*clients.digest);
                let own = &certificate.digest;
                let clients = clients.unwrap_or_default();
                format!("{own} {terms:?} {offer:?} {clients}").into()
            }
        };
        Self {
            digest,
            certificate,
            terms,
            offer,
            clients,
        }
    }

    /// What is not as usual, for people.
    pub fn told(&self) -> Vec<String> {
        let mut told = self.terms.told();
        if self.offer != Offer::default() {
            told.push(format!("{} only", self.offer.protocols().join(", ")));
        }
        if let Some(clients) = &self.clients {
            told.push(format!("client certificates {clients}"));
        }
        if self.certificate.staple.is_some() {
            told.push("OCSP response stapled".to_owned());
        }
        told
    }
}

impl From<Certificate> for ServerTls {
    fn from(certificate: Certificate) -> Self {
        Self::new(certificate.into(), Terms::default(), Offer::default(), None)
    }
}

/// DER of a private key; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pub format: KeyFormat,
    pub der: Arc<[u8]>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How the DER of a key is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    Pkcs1,
    Sec1,
    Pkcs8,
}

/// Whom an upstream's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The machine's trust store.
    System,
    /// These only, DER.
    Only(Arc<[Arc<[u8]>]>),
}
