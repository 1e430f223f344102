//! Versions, cipher suites, key exchanges and protocols, in the spellings that people have for them.

use std::sync::Arc;

use super::finding::Findings;
use crate::{
    crd::{TlsContextSpec, tls_context::TlsVersion},
    graph::{Group, Offer, Suite, Terms, Versions},
    report::Code,
};

/// What OpenSSL and BoringSSL know beside what we have: old, or of TLS 1.3, whose suites cannot be chosen among.
const OTHER_SUITES: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "AES128-SHA256",
    "AES256-SHA256",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "DES-CBC3-SHA",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// Those of BoringSSL that we have not.
const OTHER_GROUPS: &[&str] = &[
    "P-224",
    "P-521",
    "secp224r1",
    "secp521r1",
    "X448",
    "CECPQ2",
    "X25519Kyber768Draft00",
];

/// The terms that a `tls` or a TLSContext at `path` asks for.
pub(super) fn terms(spec: &TlsContextSpec, path: &str, findings: &mut Findings) -> Terms {
    let suites = spec.cipher_suites.as_deref().unwrap_or_default();
    // BoringSSL takes several that are liked alike as `[a|b]`, and a list in one text.
    let suites = suites.iter().flat_map(|text| {
        let names = text.split([':', ',', '|', '[', ']']);
        names.map(str::trim).filter(|name| !name.is_empty())
    });
    let groups = spec.ecdh_curves.as_deref().unwrap_or_default();
    let groups = groups.iter().flat_map(|text| {
        let names = text.split([':', ',']);
        names.map(str::trim).filter(|name| !name.is_empty())
    });
    Terms {
        versions: versions(spec, path, findings),
        suites: chosen(
            &Names {
                field: &format!("{path}.cipherSuites"),
                what: "cipher suite",
                all: Suite::ALL,
                named: Suite::named,
                others: OTHER_SUITES,
            },
            suites,
            findings,
        ),
        groups: chosen(
            &Names {
                field: &format!("{path}.ecdhCurves"),
                what: "group for the key exchange",
                all: Group::ALL,
                named: Group::named,
                others: OTHER_GROUPS,
            },
            groups,
            findings,
        ),
    }
}

fn versions(spec: &TlsContextSpec, path: &str, findings: &mut Findings) -> Versions {
    let oldest = match spec.min_tls_version {
        Some(TlsVersion::V1_3) => 13,
        // Nothing older is spoken.
        Some(TlsVersion::V1_0 | TlsVersion::V1_1 | TlsVersion::V1_2) | None => 12,
    };
    let newest = match spec.max_tls_version {
        None | Some(TlsVersion::V1_3) => 13,
        Some(TlsVersion::V1_2) => 12,
        Some(TlsVersion::V1_0 | TlsVersion::V1_1) => 0,
    };
    match (oldest, newest) {
        (12, 13) => Versions::Both,
        (13, 13) => Versions::Only13,
        (12, 12) => Versions::Only12,
        _ => {
            findings.push(
                Code::InvalidValue,
                &format!("{path}.maxTlsVersion"),
                "No version is left: TLS 1.2 and 1.3 are spoken",
                "Write `v1.2` or `v1.3`, and not less than `minTlsVersion`",
            );
            Versions::Both
        }
    }
}

/// The names of one kind of thing.
struct Names<'n, T> {
    field: &'n str,
    what: &'n str,
    all: &'n [T],
    named: fn(&str) -> Option<T>,
    /// Names of what exists, and is not to be had.
    others: &'n [&'n str],
}

/// Those that are named. What exists and is not to be had is left out and told: the handshake is only the stricter for it. None,
/// for all, where nothing is named.
fn chosen<'t, T: Copy + PartialEq + std::fmt::Display>(
    names: &Names<'_, T>,
    asked: impl Iterator<Item = &'t str>,
    findings: &mut Findings,
) -> Option<Arc<[T]>> {
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    let all: Vec<_> = names.all.iter().map(ToString::to_string).collect();
    let next = format!("Choose among {}", all.join(", "));
    for text in asked {
        match (names.named)(text) {
            Some(one) if found.contains(&one) => {}
            Some(one) => found.push(one),
            None if names
                .others
                .iter()
                .any(|other| other.eq_ignore_ascii_case(text)) =>
            {
                left_out.push(text);
            }
            None => {
                let message = format!("{text:?} is not the name of a {}", names.what);
                findings.push(Code::InvalidValue, names.field, message, next.as_str());
            }
        }
    }
    if left_out.is_empty() {
        return (!found.is_empty()).then(|| found.into());
    }
    let code = if found.is_empty() {
        Code::InvalidValue
    } else {
        Code::NoEffect
    };
    let message = format!("There is no choosing {}", left_out.join(", "));
    findings.push(code, names.field, message, next);
    (!found.is_empty()).then(|| found.into())
}

/// The protocols that clients are offered.
pub(super) fn offer(spec: &TlsContextSpec, path: &str, findings: &mut Findings) -> Offer {
    let Some(text) = spec.alpn_protocols.as_deref() else {
        return Offer::Both;
    };
    let (mut http1, mut http2) = (false, false);
    let mut others = Vec::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match name {
            "h2" => http2 = true,
            "http/1.1" => http1 = true,
            other => others.push(other),
        }
    }
    if !others.is_empty() {
        findings.push(
            Code::NoEffect,
            &format!("{path}.alpnProtocols"),
            format!("Clients are not offered {}", others.join(", ")),
            "Write `h2`, `http/1.1`, or both",
        );
    }
    match (http1, http2) {
        (true, false) => Offer::OnlyHttp1,
        (false, true) => Offer::OnlyHttp2,
        _ => Offer::Both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn suites_have_the_names_of_openssl_and_of_iana() {
        use Suite::{EcdsaAes128, EcdsaChacha20, RsaAes256};
        for (names, expected, told) in [
            (
                &["ECDHE-ECDSA-AES128-GCM-SHA256"][..],
                Some(vec![EcdsaAes128]),
                None,
            ),
            (
                &["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
                Some(vec![RsaAes256]),
                None,
            ),
            (
                &["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]"],
                Some(vec![EcdsaAes128, EcdsaChacha20]),
                None,
            ),
            (
                &["ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"],
                Some(vec![RsaAes256]),
                Some(Code::NoEffect),
            ),
            (&["AES128-SHA"], None, Some(Code::InvalidValue)),
            (&["AES-HUNDRED"], None, Some(Code::InvalidValue)),
            (&[], None, None),
        ] {
            let spec = TlsContextSpec {
                cipher_suites: Some(list(names)),
                ..TlsContextSpec::default()
            };
            let mut findings = Findings::default();
            let found = terms(&spec, "spec", &mut findings).suites;
            assert_eq!(found.map(|found| found.to_vec()), expected, "{names:?}");
            let codes: Vec<_> = findings.0.iter().map(|found| found.code).collect();
            assert_eq!(codes, Vec::from_iter(told), "{names:?}");
        }
    }

    #[test]
    fn versions_are_those_between_both_ends() {
        use TlsVersion::{V1_0, V1_1, V1_2, V1_3};
        for (min, max, expected) in [
            (None, None, Some(Versions::Both)),
            (Some(V1_0), Some(V1_3), Some(Versions::Both)),
            (Some(V1_3), None, Some(Versions::Only13)),
            (None, Some(V1_2), Some(Versions::Only12)),
            (Some(V1_3), Some(V1_2), None),
            (None, Some(V1_1), None),
        ] {
            let spec = TlsContextSpec {
                min_tls_version: min,
                max_tls_version: max,
                ..TlsContextSpec::default()
            };
            let mut findings = Findings::default();
            let found = terms(&spec, "spec", &mut findings).versions;
            let found = findings.0.is_empty().then_some(found);
            assert_eq!(found, expected, "{min:?} {max:?}");
        }
    }

    #[test]
    fn clients_are_offered_what_is_named_and_spoken() {
        for (text, expected, told) in [
            (None, Offer::Both, false),
            (Some("h2, http/1.1"), Offer::Both, false),
            (Some("http/1.1"), Offer::OnlyHttp1, false),
            (Some("h2"), Offer::OnlyHttp2, false),
            (Some("istio"), Offer::Both, true),
            (Some("http/1.1,istio"), Offer::OnlyHttp1, true),
        ] {
            let spec = TlsContextSpec {
                alpn_protocols: text.map(str::to_owned),
                ..TlsContextSpec::default()
            };
            let mut findings = Findings::default();
            let found = offer(&spec, "spec.tls", &mut findings);
            assert_eq!(
                (found, !findings.0.is_empty()),
                (expected, told),
                "{text:?}"
            );
        }
    }
}
