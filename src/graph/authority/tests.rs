use proptest::prelude::*;

use super::*;

#[test]
fn hosts_take_their_one_spelling() {
    for (raw, host, port) in [
        ("example.com", "example.com", None),
        ("EXAMPLE.com.", "example.com", None),
        ("example.com:8080", "example.com", Some(8080)),
        ("example.com.:80", "example.com", Some(80)),
        ("example.com:", "example.com", None),
        ("localhost", "localhost", None),
        ("a_b.example", "a_b.example", None),
        ("192.0.2.1:443", "192.0.2.1", Some(443)),
        ("[::1]", "[::1]", None),
        ("[2001:DB8:0::1]:8443", "[2001:db8::1]", Some(8443)),
    ] {
        let authority = Authority::parse(raw).expect(raw);
        assert_eq!((authority.host(), authority.port()), (host, port), "{raw}");
    }
}

#[test]
fn what_names_nobody_is_refused() {
    use AuthorityError::*;
    for (raw, expected) in [
        ("", Empty),
        (".", Empty),
        (":80", Empty),
        ("user@example.com", UserInfo),
        ("user:password@example.com:80", UserInfo),
        ("a b", Name),
        ("a\0b", Name),
        ("caf\u{e9}.example", Name),
        ("a..b", Name),
        (".example.com", Name),
        ("example.com..", Name),
        ("*.example.com", Name),
        ("a/b", Name),
        ("a%2eb", Name),
        ("::1", Port),
        ("[::1", Name),
        ("[::1]x", Name),
        ("[fe80::1%25eth0]", Name),
        ("[1.2.3.4]", Name),
        ("a:b", Port),
        ("a:+80", Port),
        ("a:0", Port),
        ("a:65536", Port),
        ("a:80:80", Port),
    ] {
        assert_eq!(Authority::parse(raw), Err(expected), "{raw:?}");
    }
    assert_eq!(Authority::parse(&"a".repeat(254)), Err(Name));
}

#[test]
fn a_name_in_lower_case_is_borrowed() {
    for raw in ["example.com", "example.com.", "example.com:80"] {
        let authority = Authority::parse(raw).unwrap();
        assert!(
            matches!(authority.host, Cow::Borrowed("example.com")),
            "{raw}"
        );
    }
}

proptest! {
    #[test]
    fn the_spelling_is_its_own(raw in "[a-cA-C.]{0,6}(:[0-9]{0,5})?|\\[[0-9a-fA-F:]{0,12}\\]") {
        if let Ok(once) = Authority::parse(&raw) {
            let text = once.to_string();
            prop_assert_eq!(Authority::parse(&text), Ok(once.clone()));
            prop_assert!(!text.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
    }
}
