//! Secrets: from the bytes of a Secret to a certificate that is known to belong to its key.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};

use super::{client_certificate, cluster::Cluster, finding::Findings};
use crate::{
    crd::TlsContextSpec,
    graph::{
        Certificate, PrivateKey,
        tls::{KeyFormat, Roots},
    },
    report::Code,
    resource::{Group, Kind, Object, ObjectKey, ResourceSet, SecretData},
};

/// More certificates than this are no chain.
const MAX_CHAIN: usize = 20;
/// Of a list of trusted roots.
const MAX_ROOTS: usize = 1000;

/// A certificate, ready to be served.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) certificate: Arc<Certificate>,
    /// When it ends, in seconds since 1970.
    pub(super) not_after: Option<i64>,
}

/// Why the bytes of a Secret are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("`{0}` is not a string in base64")]
    Encoding(&'static str),
    #[error("`{0}` is not PEM of a certificate")]
    Certificate(&'static str),
    #[error("`{0}` holds no certificate")]
    Empty(&'static str),
    #[error("`{0}` holds more than {1} certificates")]
    TooMany(&'static str, usize),
    #[error("`{0}` is not PEM of a private key")]
    Key(&'static str),
    #[error("`{0}` is not PEM of a list of revoked certificates")]
    Revoked(&'static str),
    #[error("`{0}` is not DER of an OCSP response")]
    Staple(&'static str),
    #[error("the key cannot be used, or does not belong to the certificate")]
    Mismatch,
}

/// Certificates that were read before: reading one costs as much as compiling a thousand routes.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    read: HashMap<ObjectKey, Read>,
    /// What Secrets held before that hold none now.
    former: HashMap<ObjectKey, Read>,
}

/// A Secret and what it was read as.
type Read = (Arc<Object<SecretData>>, Result<Served, SecretError>);

/// Finds Secrets for those who may refer to them, and remembers which are wanted.
pub(super) struct Secrets<'c> {
    pub(super) resources: &'c ResourceSet,
    pub(super) cluster: &'c Cluster,
    pub(super) certificates: &'c mut Certificates,
    pub(super) wanted: BTreeSet<ObjectKey>,
}

/// Who refers to a Secret, and by which field.
pub(super) struct Referrer<'r> {
    pub(super) key: &'r ObjectKey,
    pub(super) field: &'r str,
}

impl Secrets<'_> {
    /// The certificate in a Secret, or None with a finding.
    pub(super) fn certificate(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        findings: &mut Findings,
    ) -> Option<Served> {
        let object = self.find(by, secret, findings)?;
        match read(&mut self.certificates.read, &object) {
            Ok(served) => Some(served),
            Err(error) => self.former(by, secret, &error, findings).or_else(|| {
                invalid(by, secret, &error, findings);
                None
            }),
        }
    }

    /// The certificates in a Secret that clients must be signed by, and whether it says that they must show one; or None with
    /// a finding. What Emissary reads counts first: beside it, `ca.crt` may be a wider authority.
    pub(super) fn authorities(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        findings: &mut Findings,
    ) -> Option<(Vec<Arc<[u8]>>, bool)> {
        const NAMES: [&str; 3] = ["tls.crt", "ca.crt", "root-cert.pem"];
        // Beside a certificate of Istio's is its authority.
        const OF_ISTIO: [&str; 3] = ["root-cert.pem", "tls.crt", "ca.crt"];
        let object = self.find(by, secret, findings)?;
        let data = &object.spec.data;
        let names = if data.contains_key("cert-chain.pem") {
            OF_ISTIO
        } else {
            NAMES
        };
        match Self::listed(&object, &names) {
            Ok(found) => {
                let text = data.get("cert_required").map(|value| value.0.trim_ascii());
                // Whatever is not a clear no.
                let required = text.is_some_and(|text| {
                    !text.is_empty() && !text.eq_ignore_ascii_case(b"false") && text != b"0"
                });
                Some((found, required))
            }
            Err(error) => {
                invalid(by, secret, &error, findings);
                None
            }
        }
    }

    /// The lists of revoked certificates in a Secret, or None with a finding.
    pub(super) fn revoked(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        findings: &mut Findings,
    ) -> Option<Vec<Arc<[u8]>>> {
        let object = self.find(by, secret, findings)?;
        let lists = client_certificate::lists(&object.spec);
        match lists.map_err(|error| error.explained(&object)) {
            Ok(lists) => Some(lists),
            Err(error) => {
                findings.push(
                    Code::InvalidCertificate,
                    by.field,
                    format!("{secret} cannot be used: {error}"),
                    "Put the PEM of the list in `crl.pem`",
                );
                None
            }
        }
    }

    /// Whether a Secret that is there has an entry.
    pub(super) fn holds(&self, secret: &ObjectKey, name: &str) -> bool {
        let found = self.resources.secrets.get(secret);
        found.is_some_and(|object| object.spec.data.contains_key(name))
    }

    /// The certificates of the first of some entries that is there.
    fn listed(
        object: &Object<SecretData>,
        names: &[&'static str],
    ) -> Result<Vec<Arc<[u8]>>, SecretError> {
        let is_there =
            |name: &&&str| object.spec.data.contains_key(**name) || is_unreadable(object, name);
        let found = names.iter().find(is_there);
        let found = found
            .ok_or(SecretError::Missing("tls.crt"))
            .and_then(|name| chain(&object.spec, name, MAX_ROOTS))
            .map_err(|error| error.explained(object))?;
        Ok(found.iter().map(|root| Arc::from(&**root)).collect())
    }

    /// The certificate that a Secret held before it held none.
    fn former(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        error: &SecretError,
        findings: &mut Findings,
    ) -> Option<Served> {
        let former = self.resources.former_secrets.get(secret)?;
        let served = read(&mut self.certificates.former, former).ok()?;
        let which = match &*former.meta.revision.resource_version {
            "" => "that it held before".to_owned(),
            version => format!("of its resourceVersion {version}"),
        };
        findings.push(
            Code::FormerCertificate,
            by.field,
            format!(
                "{secret} cannot be used: {error}. The certificate {which} is in use until it can, as long as the Secret is \
                 there and this replica runs"
            ),
            "",
        );
        Some(served)
    }

    /// The certificates in a Secret that others are trusted by, or None with a finding.
    pub(super) fn roots(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        findings: &mut Findings,
    ) -> Option<Roots> {
        const NAMES: [&str; 3] = ["ca.crt", "root-cert.pem", "tls.crt"];
        let object = self.find(by, secret, findings)?;
        match Self::listed(&object, &NAMES) {
            Ok(roots) => Some(Roots::Only(roots.into())),
            Err(error) => {
                invalid(by, secret, &error, findings);
                None
            }
        }
    }

    fn find(
        &mut self,
        by: &Referrer<'_>,
        secret: &ObjectKey,
        findings: &mut Findings,
    ) -> Option<Arc<Object<SecretData>>> {
        let granted = secret.namespace == by.key.namespace
            || self
                .cluster
                .grants(by.key, Kind::Secret, &secret.namespace, &secret.name);
        if !granted {
            findings.push(
                Code::ReferenceNotGranted,
                by.field,
                format!(
                    "No ReferenceGrant in namespace {} lets {} refer to {secret}",
                    secret.namespace, by.key
                ),
                self.cluster.next_for_grant(&secret.namespace),
            );
            return None;
        }
        self.wanted.insert(secret.clone());
        let found = self.resources.secrets.get(secret);
        if found.is_none() {
            let message = if self.resources.absent_secrets.contains(secret) {
                format!("{secret} does not exist")
            } else {
                format!("{secret} does not exist, or has not been read yet")
            };
            findings.push(
                Code::SecretNotFound,
                by.field,
                message,
                "Create the Secret, or correct its name or namespace",
            );
        }
        found.map(Arc::clone)
    }
}

fn invalid(by: &Referrer<'_>, secret: &ObjectKey, error: &SecretError, findings: &mut Findings) {
    findings.push(
        Code::InvalidCertificate,
        by.field,
        format!("{secret} cannot be used: {error}"),
        "Put the PEM of the chain in `tls.crt` and of the key in `tls.key`",
    );
}

impl Certificates {
    /// Forgets what nothing refers to any more.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<ObjectKey>) {
        self.read.retain(|key, _| wanted.contains(key));
        self.former.retain(|key, _| wanted.contains(key));
    }
}

fn read(
    before: &mut HashMap<ObjectKey, Read>,
    object: &Arc<Object<SecretData>>,
) -> Result<Served, SecretError> {
    if let Some((seen, result)) = before.get(&object.key)
        && Arc::ptr_eq(seen, object)
    {
        return result.clone();
    }
    let result = served(&object.spec).map_err(|error| error.explained(object));
    let entry = (Arc::clone(object), result.clone());
    before.insert(object.key.clone(), entry);
    result
}

/// Whether a Secret holds a certificate and the key that belongs to it.
pub fn holds_certificate(secret: &SecretData) -> bool {
    served(secret).is_ok()
}

impl SecretError {
    /// What is missing may be there, and not be readable.
    fn explained(self, secret: &Object<SecretData>) -> Self {
        match self {
            Self::Missing(name) if is_unreadable(secret, name) => Self::Encoding(name),
            error => error,
        }
    }
}

fn is_unreadable(secret: &Object<SecretData>, name: &str) -> bool {
    let is_of = |field: &str| field.strip_prefix("data.") == Some(name);
    secret.problems.iter().any(|problem| is_of(&problem.field))
}

/// The certificate and key that a Secret holds.
fn served(secret: &SecretData) -> Result<Served, SecretError> {
    // The second names are those of Istio's Secrets.
    let name = |names: [&'static str; 3]| {
        let found = names.iter().find(|name| secret.data.contains_key(**name));
        *found.unwrap_or(&names[0])
    };
    let chain_name = name(["tls.crt", "cert-chain.pem", "tls.crt"]);
    let key_name = name(["tls.key", "key.pem", "user.key"]);
    let chain = chain(secret, chain_name, MAX_CHAIN)?;
    let key = secret
        .data
        .get(key_name)
        .ok_or(SecretError::Missing(key_name))?;
    let key = PrivateKeyDer::from_pem_slice(&key.0).map_err(|_| SecretError::Key(key_name))?;
    CertifiedKey::from_der(
        chain.clone(),
        key.clone_key(),
        &aws_lc_rs::default_provider(),
    )
    .map_err(|_| SecretError::Mismatch)?;
    let not_after = chain.first().and_then(|leaf| not_after(leaf));
    let mut digest = Sha256::new();
    for certificate in &chain {
        digest.update(certificate);
    }
    digest.update(key.secret_der());
    let staple = staple(secret)?;
    if let Some(staple) = &staple {
        digest.update(staple);
    }
    Ok(Served {
        certificate: Arc::new(Certificate {
            digest: format!("{:x}", Bytes::from_owner(digest.finalize())).into(),
            chain: chain.iter().map(|der| Arc::from(&**der)).collect(),
            key: private_key(&key),
            staple,
        }),
        not_after,
    })
}

/// The OCSP response that is sent with the certificate (RFC 6960), as it was put there.
fn staple(secret: &SecretData) -> Result<Option<Arc<[u8]>>, SecretError> {
    const NAME: &str = "tls.ocsp-staple";
    /// Of what goes into one handshake.
    const MOST: usize = 64 << 10;
    let Some(response) = secret.data.get(NAME).map(|value| &value.0[..]) else {
        return Ok(None);
    };
    // A SEQUENCE that ends where the entry does; the client looks at the rest.
    let whole = x509_parser::der_parser::der::parse_der_sequence(response)
        .is_ok_and(|(rest, _)| rest.is_empty());
    if !whole || response.len() > MOST {
        return Err(SecretError::Staple(NAME));
    }
    Ok(Some(response.into()))
}

fn chain(
    secret: &SecretData,
    name: &'static str,
    most: usize,
) -> Result<Vec<CertificateDer<'static>>, SecretError> {
    let pem = secret.data.get(name).ok_or(SecretError::Missing(name))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.0)
        .take(most + 1)
        .collect();
    let chain = chain.map_err(|_| SecretError::Certificate(name))?;
    if chain.is_empty() {
        return Err(SecretError::Empty(name));
    }
    if chain.len() > most {
        return Err(SecretError::TooMany(name, most));
    }
    if chain
        .iter()
        .any(|der| x509_parser::parse_x509_certificate(der).is_err())
    {
        return Err(SecretError::Certificate(name));
    }
    Ok(chain)
}

fn not_after(leaf: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn private_key(key: &PrivateKeyDer<'_>) -> PrivateKey {
    PrivateKey {
        format: match key {
            PrivateKeyDer::Pkcs1(_) => KeyFormat::Pkcs1,
            PrivateKeyDer::Sec1(_) => KeyFormat::Sec1,
            _ => KeyFormat::Pkcs8,
        },
        der: key.secret_der().into(),
    }
}

/// Names a Secret.
pub(super) fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new(Group::Core, Kind::Secret, namespace, name)
}

/// `name`, or `name.namespace`, split at the last dot as Emissary does, unless the object says that names have no namespace.
pub(super) fn key_of(text: &str, spec: &TlsContextSpec, namespace: &str) -> ObjectKey {
    let (name, namespace) = match text.rsplit_once('.') {
        Some(both) if spec.secret_namespacing != Some(false) => both,
        _ => (text, namespace),
    };
    key(namespace, name)
}
