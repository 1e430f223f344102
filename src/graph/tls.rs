//! Certificates and keys, as bytes: the proxy makes of them what its TLS library needs.

use std::{fmt, sync::Arc};

/// A certificate chain with its private key, checked to belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of chain and key: equal digests mean the same certificate.
    pub digest: Arc<str>,
    /// DER, the leaf first.
    pub chain: Vec<Arc<[u8]>>,
    pub key: PrivateKey,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} in chain, [redacted])", self.chain.len())
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
