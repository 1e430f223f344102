use proptest::prelude::*;

use super::*;

const MERGING: RequestPolicy = RequestPolicy {
    allow_underscores: false,
    merge_slashes: true,
    allow_escaped_slashes: false,
};

const KEEPING: RequestPolicy = RequestPolicy {
    merge_slashes: false,
    ..MERGING
};

fn text(raw: &str, policy: RequestPolicy) -> Result<String, PathError> {
    canonical(raw, policy).map(|path| path.as_str().to_owned())
}

#[test]
fn paths_take_their_canonical_form() {
    for (raw, expected) in [
        ("/", "/"),
        ("/need-normalization/../X/", "/X/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/.", "/"),
        ("/a/../b/../c", "/c"),
        ("/%41%7e%2D%5f", "/A~-_"),
        ("/a%2eb", "/a.b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%3a%40", "/%3A%40"),
        ("/%252e%252e", "/%252e%252e"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("/{id}", "/%7Bid%7D"),
        ("/...", "/..."),
        ("/.hidden/..name", "/.hidden/..name"),
        ("/a;v=1/b", "/a;v=1/b"),
    ] {
        assert_eq!(text(raw, MERGING).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn slashes_are_kept_when_asked() {
    for (raw, expected) in [("//a///b//", "//a///b//"), ("/a//../b", "/a/b")] {
        assert_eq!(text(raw, KEEPING).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    use PathError::*;
    for (raw, expected) in [
        ("", NotAbsolute),
        ("a/b", NotAbsolute),
        ("*", NotAbsolute),
        ("/a b", Byte),
        ("/a\0", Byte),
        ("/a\u{1}", Byte),
        ("/a\u{7f}", Byte),
        ("/a#b", Byte),
        ("/café", Byte),
        ("/%", Escape),
        ("/%4", Escape),
        ("/%4g", Escape),
        ("/%%41", Escape),
        ("/a%00", Nul),
        ("/a\\b", Backslash),
        ("/a%5cb", Backslash),
        ("/a%5Cb", Backslash),
        ("/%ff", Encoding),
        ("/%c3", Encoding),
        ("/%c3a", Encoding),
        ("/%C0%AF", Encoding),
        ("/%ED%A0%80", Encoding),
        ("/a/%2e%2e/b", DisguisedDots),
        ("/a/%2E./b", DisguisedDots),
        ("/a/.%2e", DisguisedDots),
        ("/a/%2e/b", DisguisedDots),
        ("/a/..;/b", DisguisedDots),
        ("/a/..;x=1/b", DisguisedDots),
        ("/a/.;/b", DisguisedDots),
        ("/a/..%3b/b", DisguisedDots),
        ("/a/%2e%2e;/b", DisguisedDots),
        ("/a/..%2Fb", DisguisedDots),
        ("/a/b%2f..", DisguisedDots),
        ("/a/b%2f%2e%2e%2fc", DisguisedDots),
        ("/..", AboveRoot),
        ("/../a", AboveRoot),
        ("/a/../../b", AboveRoot),
        ("/./../b", AboveRoot),
    ] {
        assert_eq!(text(raw, MERGING), Err(expected), "{raw:?}");
    }
}

#[test]
fn an_escaped_slash_is_reported() {
    let path = canonical("/@scope%2fname/-/name.tgz", MERGING).unwrap();
    assert!(path.has_escaped_slash());
    assert_eq!(path.as_str(), "/@scope%2Fname/-/name.tgz");
    assert!(!canonical("/a%252Fb", MERGING).unwrap().has_escaped_slash());
}

#[test]
fn a_canonical_path_is_borrowed() {
    for raw in [
        "/",
        "/a/b.js",
        "/.well-known/x",
        "/caf%C3%A9",
        "/a%2Fb/c|d",
        "/a/",
    ] {
        let path = canonical(raw, MERGING).unwrap();
        assert!(matches!(path.into_text(), Cow::Borrowed(_)), "{raw}");
    }
}

#[test]
fn text_of_a_resource_is_spelled_as_paths_are() {
    assert_eq!(literal("/caf\u{e9}").as_deref(), Ok("/caf%C3%A9"));
    assert_eq!(literal("/%41/{x}").as_deref(), Ok("/A/%7Bx%7D"));
    assert!(matches!(literal("/plain/"), Ok(Cow::Borrowed("/plain/"))));
    assert_eq!(literal("/a b"), Err(PathError::Byte));
    assert_eq!(literal("/a%zz"), Err(PathError::Escape));
}

/// Paths rich in what the code above looks at.
fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-c]{1,2}",
        4 => Just("/".to_owned()),
        2 => "\\.{1,3}",
        1 => "%[0-9a-fA-F]{2}",
        1 => prop::sample::select(vec!["%2e", "%2F", "%41", "%c3%a9", ";", "{", "|", "%", "\\"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

#[test]
fn an_escaped_slash_counts_even_where_a_dot_segment_takes_it_away() {
    for raw in ["/%2F/..", "/a/b%2Fc/../d"] {
        let path = canonical(raw, MERGING).unwrap();
        assert!(!path.as_str().contains("%2F"), "{path:?}");
        // A server that decodes first takes another segment away.
        assert!(path.has_escaped_slash(), "{path:?}");
    }
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own(raw in raw_path(), merge_slashes: bool) {
        let policy = RequestPolicy { merge_slashes, ..MERGING };
        if let Ok(once) = canonical(&raw, policy) {
            let twice = canonical(once.as_str(), policy).unwrap();
            prop_assert_eq!(twice.as_str(), once.as_str());
            prop_assert!(once.has_escaped_slash() || !twice.has_escaped_slash());
            prop_assert!(matches!(twice.into_text(), Cow::Borrowed(_)));
            prop_assert!(rewritten(Cow::Borrowed(once.as_str()), policy).is_ok());
        }
    }

    #[test]
    fn no_dot_segment_is_left_in_any_spelling(raw in raw_path(), merge_slashes: bool) {
        let policy = RequestPolicy { merge_slashes, ..MERGING };
        if let Ok(path) = canonical(&raw, policy) {
            let decoded = path.as_str().replace("%2E", ".").replace("%2F", "/");
            prop_assert!(decoded.starts_with('/'));
            prop_assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(!merge_slashes || !path.as_str().contains("//"));
        }
    }

    #[test]
    fn any_text_is_answered_without_panic(raw: String) {
        let _ = canonical(&raw, MERGING).map(CanonicalPath::into_text);
        let _ = literal(&raw).map(Cow::into_owned);
    }
}
