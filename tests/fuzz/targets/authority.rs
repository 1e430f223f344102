//! Whom a request is for: an authority has one spelling, and that spelling is what hostname patterns know.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::graph::{Authority, HostPattern, host::NamePattern};

fuzz_target!(|text: &str| {
    let Ok(authority) = Authority::parse(text) else {
        return;
    };
    let host = authority.host();
    assert!(!host.is_empty() && host.len() <= 253, "{host:?}");
    assert!(!host.ends_with('.') && !host.starts_with('.'), "{host:?}");
    assert!(
        host.bytes()
            .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()),
        "{host:?}"
    );
    assert!(
        !host.contains(['/', '@', '?', '#', '%', '\\', ',']),
        "{host:?}"
    );
    let spelled = authority.to_string();
    assert_eq!(
        Authority::parse(&spelled).as_ref(),
        Ok(&authority),
        "{spelled:?} is spelled otherwise"
    );
    assert!(http::HeaderValue::from_str(&spelled).is_ok(), "{spelled:?}");
    let shouted = text.to_ascii_uppercase();
    assert_eq!(
        Authority::parse(&shouted).as_ref(),
        Ok(&authority),
        "case tells two hosts apart"
    );
    if let Ok(pattern) = spelled.parse::<HostPattern>()
        && matches!(pattern.name, NamePattern::Exact(_))
    {
        assert!(
            pattern.matches(host, authority.port()),
            "{pattern} does not match its own name"
        );
    }
    assert!(HostPattern::ANY.matches(host, authority.port()));
});
