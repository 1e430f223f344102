//! Authorities, the certificates that they sign and take back, by names that a case gives them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::client::Identity;

/// An authority of this process.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The authority with this name: every case that says it means the same.
pub(crate) fn authority(name: &str) -> Arc<Authority> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Authority>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock();
    let new = || Arc::new(Authority::new(name));
    known.entry(name.to_owned()).or_insert_with(new).clone()
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a client: each name has a serial number of its own.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial(name));
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.0).unwrap();
        Identity {
            chain: vec![made.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// The list of those who have been taken back, good now, or once.
    pub(crate) fn revoked(&self, names: &[&str], is_current: bool) -> String {
        let next_year = if is_current { 2100 } else { 2021 };
        let revoked = names.iter().map(|name| RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 2),
            next_update: date_time_ymd(next_year, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

fn serial(name: &str) -> SerialNumber {
    let number = name.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    SerialNumber::from(number >> 2 | 1)
}

/// The data of a Secret that asks for some.
pub(crate) fn with_data(mut manifest: Value) -> Value {
    let asked = |name: &str| {
        let all = &manifest["metadata"]["annotations"];
        all[format!("test/{name}")].as_str().map(str::to_owned)
    };
    let mut data = serde_json::Map::new();
    if let Some(names) = asked("certificate") {
        let names: Vec<_> = names.split(',').map(str::to_owned).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        data.insert("tls.crt".into(), json!(made.cert.pem()));
        data.insert("tls.key".into(), json!(made.signing_key.serialize_pem()));
    }
    if let Some(names) = asked("authority") {
        let all: String = names.split(',').map(|name| authority(name).pem()).collect();
        data.insert("tls.crt".into(), json!(all));
    }
    if let Some(text) = asked("revoked") {
        // `authority: name name`, and `!` before a list that is out of date.
        let (name, revoked) = text.split_once(':').unwrap();
        let is_current = !name.starts_with('!');
        let revoked: Vec<_> = revoked.split_whitespace().collect();
        let list = authority(name.trim_start_matches('!')).revoked(&revoked, is_current);
        data.insert("crl.pem".into(), json!(list));
    }
    if !data.is_empty() {
        let all = manifest["stringData"].as_object().cloned();
        data.extend(all.unwrap_or_default());
        manifest["stringData"] = data.into();
    }
    manifest
}
