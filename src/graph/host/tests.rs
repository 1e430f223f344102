use super::*;

fn pattern(text: &str) -> HostPattern {
    text.parse().expect(text)
}

#[test]
fn patterns_take_their_one_spelling() {
    for (text, expected) in [
        ("*", "*"),
        ("*.", "*"),
        ("Example.COM.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("*example.com", "*example.com"),
        ("example.*", "example.*"),
        ("api-*", "api-*"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("*.b\u{fc}cher.example:8443", "*.xn--bcher-kva.example:8443"),
        ("*cher.b\u{fc}cher.example", "*cher.xn--bcher-kva.example"),
        ("quote.local:8500", "quote.local:8500"),
        ("_dmarc.example", "_dmarc.example"),
        ("192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(pattern(text).to_string(), expected);
        assert_eq!(pattern(expected), pattern(text), "{text} must be read back");
    }
}

#[test]
fn what_can_match_nothing_is_refused() {
    use HostPatternError::*;
    let long = "a".repeat(64);
    for (text, expected) in [
        ("", Empty),
        (".", Empty),
        (":80", Empty),
        ("a.*.com", Wildcard),
        ("*a*", Wildcard),
        ("**", Wildcard),
        ("*b\u{fc}cher.example", PartialLabel),
        ("b\u{fc}*", PartialLabel),
        ("a:b", Port("b".to_owned())),
        ("a:", Port(String::new())),
        ("a:0", Port("0".to_owned())),
        ("a:65536", Port("65536".to_owned())),
        ("::1", Ipv6),
        ("[::1]:80", Ipv6),
        (".example.com", Label),
        ("*..example.com", Label),
        ("a..b", Label),
        (&long, Label),
        ("a b", Name),
        ("a/b", Name),
        ("a\0", Name),
    ] {
        assert_eq!(text.parse::<HostPattern>(), Err(expected), "{text:?}");
    }
}

#[test]
fn overlap_is_whether_some_name_satisfies_both() {
    for (a, b, expected) in [
        ("a.com", "a.com", true),
        ("a.com", "A.com", true),
        ("a.com", "b.com", false),
        ("*", "a.com", true),
        ("*", "*.a.com", true),
        ("*", "a.*", true),
        ("*example.com", "example.com", false),
        ("*example.com", "x.example.com", true),
        ("*.com", "a.b.com", true),
        ("*.foo.bar", "baz.zing.*", true),
        ("*example.com", "*.example.com", true),
        ("*.a.example.com", "*.b.example.com", false),
        ("a.*", "a.b.*", true),
        ("a.b.*", "a.c.*", false),
        ("a.*", "a.com", true),
        ("a.*", "ab.com", false),
        // The port of a request is ignored unless the hostname names one, so these meet at `quote.local:8500`.
        ("*.local:8500", "quote.local", true),
        ("*.local:8500", "quote.local:8500", true),
        ("*.local:8500", "quote.local:80", false),
    ] {
        assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} ~ {b}");
        assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} ~ {a}");
    }
}

#[test]
fn a_port_counts_only_where_the_hostname_names_one() {
    assert!(pattern("a.com").matches("a.com", Some(8080)));
    assert!(pattern("a.com").matches("a.com", None));
    assert!(pattern("a.com:8080").matches("a.com", Some(8080)));
    assert!(!pattern("a.com:8080").matches("a.com", Some(80)));
    assert!(!pattern("a.com:8080").matches("a.com", None));
}
