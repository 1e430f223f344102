//! Certificates that clients show: verified in the handshake, and told to upstreams in X-Forwarded-Client-Cert.

use std::{cell::RefCell, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    prelude::{FromDer, GeneralName},
};

use super::base64;
use crate::graph::{CertDetails, ClientCertificates, ForwardMode, ForwardedCert, Terms};

pub(super) const FORWARDED_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// What verifies the certificates of clients.
pub(super) fn verifier(
    asked: &ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for der in asked.authorities.iter() {
        roots.add(der.to_vec().into())?;
    }
    let provider = super::terms::provider(&Terms::default());
    let lists = asked.revoked.iter().map(|der| der.to_vec().into());
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .with_crls(lists)
        // A list that is out of date says nothing about those who have been revoked since.
        .enforce_revocation_expiration();
    let builder = if asked.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    let built = builder.build();
    built.map_err(|error| rustls::Error::General(error.to_string()))
}

/// What a client has shown on a connection, and what that was good for.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The client's own first; empty when it has shown none.
    chain: Vec<CertificateDer<'static>>,
    /// What has been asked of it, and satisfied.
    satisfies: RefCell<Option<Arc<ClientCertificates>>>,
    /// What upstreams are told, made when it is needed.
    told: RefCell<Option<(CertDetails, HeaderValue)>>,
}

impl Shown {
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        satisfies: Option<Arc<ClientCertificates>>,
    ) -> Self {
        Self {
            chain,
            satisfies: RefCell::new(satisfies),
            told: RefCell::default(),
        }
    }

    pub(super) fn has_certificate(&self) -> bool {
        !self.chain.is_empty()
    }

    pub(super) fn satisfies(&self) -> Option<Arc<ClientCertificates>> {
        self.satisfies.borrow().clone()
    }

    /// Whether what was shown is good for something else that is asked now; then it is kept in mind.
    pub(super) fn is_good_for(
        &self,
        asked: &Arc<ClientCertificates>,
        verifier: &dyn ClientCertVerifier,
    ) -> bool {
        let is_good = verify(&self.chain, asked, verifier).is_ok();
        if is_good {
            self.satisfies.replace(Some(asked.clone()));
        }
        is_good
    }

    /// Says in the headers for the upstream what the client has shown. What the client must not say has been taken out.
    pub(super) fn tell(&self, forwarded: ForwardedCert, headers: &mut HeaderMap) {
        if !forwarded.mode.tells() || self.chain.is_empty() {
            return;
        }
        let own = self.element(forwarded.details);
        if forwarded.mode == ForwardMode::AppendForward
            && let Some(joined) = joined(headers, &own)
        {
            headers.insert(FORWARDED_CERT, joined);
        } else {
            headers.insert(FORWARDED_CERT, own);
        }
    }

    fn element(&self, details: CertDetails) -> HeaderValue {
        let mut told = self.told.borrow_mut();
        if let Some((of, element)) = &*told
            && *of == details
        {
            return element.clone();
        }
        let made = HeaderValue::try_from(element(&self.chain, details));
        let made = made.unwrap_or(HeaderValue::from_static(""));
        *told = Some((details, made.clone()));
        made
    }
}

/// Whether a chain is what is asked for.
pub(super) fn verify(
    chain: &[CertificateDer<'static>],
    asked: &ClientCertificates,
    verifier: &dyn ClientCertVerifier,
) -> Result<(), rustls::Error> {
    let Some((own, others)) = chain.split_first() else {
        return if asked.required {
            Err(rustls::Error::NoCertificatesPresented)
        } else {
            Ok(())
        };
    };
    verifier
        .verify_client_cert(own, others, UnixTime::now())
        .map(drop)
}

/// What came, and one element more; none when nothing came.
fn joined(headers: &HeaderMap, own: &HeaderValue) -> Option<HeaderValue> {
    let mut all = Vec::new();
    for line in headers.get_all(FORWARDED_CERT) {
        all.extend_from_slice(line.as_bytes());
        all.push(b',');
    }
    if all.is_empty() {
        return None;
    }
    all.extend_from_slice(own.as_bytes());
    HeaderValue::from_bytes(&all).ok()
}

/// One element of the field, as Envoy writes it.
fn element(chain: &[CertificateDer<'static>], details: CertDetails) -> String {
    let Some(own) = chain.first() else {
        return String::new();
    };
    let mut parts = vec![format!("Hash={}", hex(&Sha256::digest(own)))];
    if details.cert {
        parts.push(format!("Cert=\"{}\"", pem(own)));
    }
    if details.chain {
        let all: Vec<_> = chain.iter().map(pem).collect();
        parts.push(format!("Chain=\"{}\"", all.concat()));
    }
    let parsed = X509Certificate::from_der(own).ok();
    let parsed = parsed.as_ref().map(|(_, certificate)| certificate);
    if details.subject {
        let subject = parsed.map(subject).unwrap_or_default();
        parts.push(format!("Subject=\"{}\"", escaped(&subject)));
    }
    let names =
        parsed.and_then(|certificate| certificate.subject_alternative_name().ok().flatten());
    let names = names.map(|names| &names.value.general_names[..]);
    let names = names.unwrap_or_default();
    if details.uri {
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(format!("URI={}", quoted(uri))),
            _ => None,
        });
        let before = parts.len();
        parts.extend(uris);
        if parts.len() == before {
            parts.push("URI=".to_owned());
        }
    }
    if details.dns {
        parts.extend(names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(format!("DNS={}", quoted(name))),
            _ => None,
        }));
    }
    parts.join(";")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// PEM in the encoding of URLs.
fn pem(der: &CertificateDer<'_>) -> String {
    let text = String::from_utf8_lossy(&base64::encoded(der)).into_owned();
    let mut out = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            out.push_str("%0A");
        }
        match character {
            '+' => out.push_str("%2B"),
            '/' => out.push_str("%2F"),
            '=' => out.push_str("%3D"),
            other => out.push(other),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}

/// The subject as RFC 2253 writes it: the last part first.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let names: Vec<_> = certificate.subject().iter_rdn().collect();
    let parts = names.into_iter().rev().map(|parts| {
        let parts = parts.iter().map(|part| {
            let oid = part.attr_type();
            let kind = x509_parser::objects::oid2abbrev(oid, registry)
                .map_or_else(|_| oid.to_id_string(), str::to_owned);
            let value = part.as_str().unwrap_or_default();
            format!("{kind}={}", rfc2253(value))
        });
        parts.collect::<Vec<_>>().join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn rfc2253(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (position, character) in value.chars().enumerate() {
        let at_end = character == ' ' && (position == 0 || position == last);
        let at_start = character == '#' && position == 0;
        if at_end || at_start || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// For a value between quotes. Who makes certificates must not be able to write a field of his own; what is not printable
/// ASCII is not told.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
    out
}

/// Quoted, where it would otherwise be read as more than one value.
fn quoted(value: &str) -> String {
    let text = escaped(value);
    if text.contains([',', ';', '=', '"', ' ']) {
        format!("\"{text}\"")
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
