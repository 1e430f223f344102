use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn shown() -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::OrganizationName, "Ex, Ltd"),
        (DnType::CommonName, "al\"ice\u{7}"),
    ] {
        params.distinguished_name.push(kind, value);
    }
    let uri = "spiffe://x/y;Hash=0".try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(uri));
    let made = params.self_signed(&key).unwrap();
    Shown::new(vec![made.der().clone()], None)
}

fn told(shown: &Shown, mode: ForwardMode, details: CertDetails, came: &[&str]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for line in came {
        headers.append(FORWARDED_CERT, line.parse().unwrap());
    }
    shown.tell(ForwardedCert { mode, details }, &mut headers);
    let all = headers.get_all(FORWARDED_CERT).iter();
    all.map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_element_tells_what_is_asked_and_nothing_that_could_be_read_as_another() {
    let details = CertDetails {
        subject: true,
        dns: true,
        uri: true,
        ..CertDetails::default()
    };
    let told = told(
        &shown(),
        ForwardMode::SanitizeSet,
        details,
        &["Hash=forged"],
    );
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    let (hash, rest) = told.split_once(';').unwrap();
    assert!(hash.len() == 69 && hash.starts_with("Hash="), "{told}");
    assert_eq!(
        rest,
        r#"Subject="CN=al\\"ice?,O=Ex\, Ltd";URI="spiffe://x/y;Hash=0";DNS=a.example"#
    );
}

#[test]
fn a_certificate_is_told_whole_as_pem_in_the_encoding_of_urls() {
    let details = CertDetails {
        cert: true,
        chain: true,
        ..CertDetails::default()
    };
    let shown = shown();
    let told = told(&shown, ForwardMode::SanitizeSet, details, &[]).remove(0);
    let pem = told.split('"').nth(1).unwrap();
    let plain = pem
        .replace("%0A", "\n")
        .replace("%20", " ")
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    let read =
        <CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(plain.as_bytes());
    assert_eq!(read.unwrap(), shown.chain[0]);
    assert_eq!(told.split('"').nth(3), Some(pem));
}

#[test]
fn what_came_is_kept_before_what_is_added() {
    let details = CertDetails::default();
    let append = ForwardMode::AppendForward;
    let shown = shown();
    let own = told(&shown, append, details, &[]).remove(0);
    let both = told(&shown, append, details, &["Hash=1", "Hash=2"]);
    assert_eq!(both, [format!("Hash=1,Hash=2,{own}")]);
    let forward = told(&shown, ForwardMode::ForwardOnly, details, &["Hash=1"]);
    assert_eq!(forward, ["Hash=1"]);
    let nobody = told(&Shown::default(), append, details, &[]);
    assert!(nobody.is_empty(), "{nobody:?}");
}
