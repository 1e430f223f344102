//! Client certificates: what a Host asks of those who connect. A mistake here never lets anybody in who would not be otherwise.

use std::sync::Arc;

use bytes::Bytes;
use rustls::{RootCertStore, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::CertificateRevocationListDer;
use sha2::{Digest, Sha256};

use super::{
    finding::Findings,
    secret::{Referrer, SecretError, Secrets, key_of},
};
use crate::{
    crd::TlsContextSpec,
    graph::ClientCertificates,
    report::Code,
    resource::{ObjectKey, SecretData},
};

/// Where the settings of a Host are written: in it, or in a TLSContext.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) spec: &'a TlsContextSpec,
    /// Whose Secrets and grants these are.
    pub(super) key: &'a ObjectKey,
    /// How a finding names the field with this name.
    pub(super) field: &'a dyn Fn(&str) -> String,
}

/// Client certificates that are asked for and cannot be had, as far as no Secret needs to be read for it.
pub(super) fn check(asker: Asker<'_>, has_certificate: bool, findings: &mut Findings) {
    let spec = asker.spec;
    let insists = [
        (spec.cert_required == Some(true), "certRequired"),
        (spec.crl_secret.is_some(), "crlSecret"),
    ];
    let insists = insists.into_iter().find(|(is_so, _)| *is_so);
    match (&spec.ca_secret, insists) {
        (None, Some((_, name))) => findings.push(
            Code::MissingField,
            &(asker.field)(name),
            format!("`{name}` needs an authority, and there is no `caSecret`"),
            "Name the Secret with the authority in `caSecret`",
        ),
        (Some(_), _) if !has_certificate => findings.push(
            Code::MissingField,
            &(asker.field)("caSecret"),
            "Certificates of clients are asked for in TLS, and the Host has no `tlsSecret`",
            "Add a `tlsSecret`",
        ),
        _ => {}
    }
}

/// What clients are asked for; an Err, with a finding, when it cannot be found out.
pub(super) fn asked(
    asker: Asker<'_>,
    certificate: Option<&ObjectKey>,
    secrets: &mut Secrets<'_>,
    findings: &mut Findings,
) -> Result<Option<Arc<ClientCertificates>>, Code> {
    let before = findings.0.len();
    let failed = |findings: &Findings| {
        let found = findings.0.get(before);
        found.map_or(Code::InvalidCertificate, |found| found.code)
    };
    let spec = asker.spec;
    // Istio's Secrets hold the authority beside the certificate, and Emissary asks for what it has signed.
    let (secret, field) = match (&spec.ca_secret, certificate) {
        (Some(name), _) => (key_of(name, spec, &asker.key.namespace), "caSecret"),
        (None, Some(certificate)) if secrets.holds(certificate, "root-cert.pem") => {
            (certificate.clone(), "secret")
        }
        (None, _) => return Ok(None),
    };
    let by = Referrer {
        key: asker.key,
        field: &(asker.field)(field),
    };
    let Some((authorities, required)) = secrets.authorities(&by, &secret, findings) else {
        return Err(failed(findings));
    };
    let mut revoked = Vec::new();
    let crl = spec.crl_secret.as_deref();
    if let Some(secret) = crl.map(|name| key_of(name, spec, &asker.key.namespace)) {
        let by = Referrer {
            key: asker.key,
            field: &(asker.field)("crlSecret"),
        };
        match secrets.revoked(&by, &secret, findings) {
            Some(lists) => revoked = lists,
            None => return Err(failed(findings)),
        }
    }
    let required = required || spec.cert_required == Some(true);
    if let Err(error) = verifier(&authorities, &revoked) {
        findings.push(
            Code::InvalidCertificate,
            by.field,
            format!("{secret} cannot be used to verify clients: {error}"),
            "Put the PEM of the authorities in `tls.crt`",
        );
        return Err(Code::InvalidCertificate);
    }
    Ok(Some(Arc::new(ClientCertificates {
        digest: digest(&authorities, &revoked, required),
        authorities: authorities.into(),
        revoked: revoked.into(),
        required,
    })))
}

/// Whether the TLS library will take them.
fn verifier(authorities: &[Arc<[u8]>], revoked: &[Arc<[u8]>]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for der in authorities {
        let added = roots.add(der.to_vec().into());
        added.map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let lists = revoked.iter().map(|der| der.to_vec().into());
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .with_crls(lists)
        .build()
        .map(drop)
        .map_err(|error| error.to_string())
}

fn digest(authorities: &[Arc<[u8]>], revoked: &[Arc<[u8]>], required: bool) -> Arc<str> {
    let mut digest = Sha256::new();
    for list in [authorities, revoked] {
        digest.update((list.len() as u64).to_be_bytes());
        for der in list {
            digest.update((der.len() as u64).to_be_bytes());
            digest.update(der);
        }
    }
    digest.update([u8::from(required)]);
    format!("{:x}", Bytes::from_owner(digest.finalize())).into()
}

/// The lists of revoked certificates that a Secret holds.
pub(super) fn lists(secret: &SecretData) -> Result<Vec<Arc<[u8]>>, SecretError> {
    use rustls_pki_types::pem::PemObject;
    const NAME: &str = "crl.pem";
    /// Of the authorities of one Host.
    const MOST: usize = 100;
    let pem = secret.data.get(NAME).ok_or(SecretError::Missing(NAME))?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem.0)
        .take(MOST + 1)
        .collect();
    let lists = lists.map_err(|_| SecretError::Revoked(NAME))?;
    match lists.len() {
        0 => Err(SecretError::Revoked(NAME)),
        more if more > MOST => Err(SecretError::TooMany(NAME, MOST)),
        _ => Ok(lists.iter().map(|der| Arc::from(&**der)).collect()),
    }
}
