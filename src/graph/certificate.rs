//! What a certificate says of itself, for people. The key has no place in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Certificate, Graph, HostTls};

/// The leaf of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateView {
    /// Of chain and key.
    pub digest: String,
    /// The subject alternative names: DNS names and addresses.
    pub names: Vec<String>,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

impl CertificateView {
    /// None when the leaf cannot be read, which the compiler lets into no graph.
    pub fn of(certificate: &Certificate) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(certificate.chain.first()?).ok()?;
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Some(Self {
            digest: certificate.digest.to_string(),
            names: names.unwrap_or_default(),
            issuer: leaf.issuer().to_string(),
            not_before: leaf.validity().not_before.timestamp(),
            not_after: leaf.validity().not_after.timestamp(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(std::net::IpAddr::from),
        }
        .map(|address| address.to_string()),
        _ => None,
    }
}

impl Graph {
    /// The certificates of all Hosts, by their digests.
    pub fn certificates(&self) -> BTreeMap<String, CertificateView> {
        let mut found = BTreeMap::new();
        let hosts = self
            .listeners
            .iter()
            .flat_map(|listener| listener.hosts.iter());
        for host in hosts {
            if let HostTls::Certificate(tls) = &host.tls
                && let certificate = &tls.certificate
                && !found.contains_key(&*certificate.digest)
                && let Some(view) = CertificateView::of(certificate)
            {
                found.insert(certificate.digest.to_string(), view);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::graph::{PrivateKey, tls::KeyFormat};

    #[test]
    fn names_issuer_and_end_are_told_and_the_key_is_not() {
        let key = KeyPair::generate().unwrap();
        let names = vec!["a.example.com".to_owned(), "192.0.2.1".to_owned()];
        let made = CertificateParams::new(names).unwrap();
        let made = made.self_signed(&key).unwrap();
        let certificate = Certificate {
            digest: "d1".into(),
            chain: vec![made.der().as_ref().into()],
            key: PrivateKey {
                format: KeyFormat::Pkcs8,
                der: key.serialize_der().into(),
            },
            staple: None,
        };
        let view = CertificateView::of(&certificate).unwrap();
        assert_eq!(view.names, ["a.example.com", "192.0.2.1"]);
        assert!(view.not_before < view.not_after && !view.issuer.is_empty());
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(
            serde_json::from_str::<CertificateView>(&text).unwrap(),
            view
        );
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_view() {
        let certificate = Certificate {
            digest: "d1".into(),
            chain: vec![[1_u8, 2, 3].as_slice().into()],
            key: PrivateKey {
                format: KeyFormat::Pkcs8,
                der: [].as_slice().into(),
            },
            staple: None,
        };
        assert_eq!(CertificateView::of(&certificate), None);
    }
}
