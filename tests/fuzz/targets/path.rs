//! The canonical path: one spelling, no dot segment in any disguise, and the same for what a rewrite makes of it.
//!
//! Input: a byte of settings, then the path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::graph::{RequestPolicy, Rewrite, path};

fuzz_target!(|input: (u8, &str)| {
    let (settings, raw) = input;
    let policy = RequestPolicy {
        merge_slashes: settings & 1 == 0,
        ..RequestPolicy::default()
    };
    let literal = path::literal(raw).map(std::borrow::Cow::into_owned);
    if let Ok(literal) = &literal {
        assert_eq!(
            path::literal(literal).as_deref(),
            Ok(&**literal),
            "a literal has two spellings"
        );
    }
    let Ok(canonical) = path::canonical(raw, policy) else {
        return;
    };
    let text = canonical.as_str();
    check(text, policy);
    assert!(text.len() <= raw.len() * 3, "{raw:?} grew to {text:?}");
    let again = path::canonical(text, policy).expect("a canonical path must be a path");
    assert_eq!(again.as_str(), text, "{raw:?} is not canonical after all");
    // The other way round it need not be: `..` may have taken the segment away.
    assert!(
        canonical.has_escaped_slash() || !again.has_escaped_slash(),
        "{raw:?}"
    );
    for rewrite in rewrites(settings, text.len()) {
        if let Ok(rewritten) = rewrite.apply(text, policy) {
            check(&rewritten, policy);
        }
    }
});

fn check(text: &str, policy: RequestPolicy) {
    assert!(text.starts_with('/'), "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert!(!text.contains(['?', '#', '\\', '"', '<', '>']), "{text:?}");
    assert!(!policy.merge_slashes || !text.contains("//"), "{text:?}");
    // What a server behind makes of it when it decodes before it looks for segments, or cuts parameters off.
    let decoded = decoded(text);
    assert!(
        !decoded.contains(&0) && !decoded.contains(&b'\\'),
        "{text:?}"
    );
    for segment in decoded.split(|byte| *byte == b'/') {
        let name = segment
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        assert!(
            !matches!(name, b"." | b".."),
            "{text:?} hides a dot segment"
        );
    }
    assert!(
        text.parse::<http::uri::PathAndQuery>().is_ok(),
        "{text:?} cannot be sent"
    );
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let (high, low) = high.zip(low).expect("an escape must be whole");
                u8::try_from(high * 16 + low).expect("two digits must make a byte")
            }
            byte => byte,
        });
    }
    decoded
}

fn rewrites(settings: u8, length: usize) -> Vec<Rewrite> {
    let matched = usize::from(settings >> 1).min(length);
    let prefix = |replacement: &str| Rewrite::Prefix {
        matched,
        replacement: replacement.into(),
    };
    vec![
        Rewrite::Keep,
        prefix("/"),
        prefix("/api"),
        prefix("/api/"),
        prefix("/a%2F"),
        prefix("/.."),
    ]
}
