use std::sync::Arc;

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::graph::path::canonical;

fn prefix(matched: &str, replacement: &str) -> Rewrite {
    Rewrite::Prefix {
        matched: matched.len(),
        replacement: replacement.into(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a regex rewrite is not anchored")]
fn regex(pattern: &str, substitution: &str) -> Arc<RegexRewrite> {
    Arc::new(RegexRewrite {
        regex: Regex::new(pattern).unwrap(),
        substitution: substitution.into(),
    })
}

fn apply(rewrite: &Rewrite, path: &str) -> Result<String, PathError> {
    let result = rewrite.apply(path, RequestPolicy::default());
    result.map(Cow::into_owned)
}

#[test]
fn replacement_and_rest_meet_at_one_slash() {
    for (matched, replacement, path, expected) in [
        ("/backend-api/", "/", "/backend-api/foo/bar", "/foo/bar"),
        (
            "/backend-api/",
            "/v1/",
            "/backend-api/foo/bar",
            "/v1/foo/bar",
        ),
        ("/backend-api", "/", "/backend-api/foo/bar", "/foo/bar"),
        ("/backend-api", "/v1/", "/backend-api/foo", "/v1/foo"),
        ("/backend-api/", "/v1", "/backend-api/foo", "/v1/foo"),
        ("/backend-api", "/v1", "/backend-api/foo", "/v1/foo"),
        ("/backend-api", "/v1", "/backend-api", "/v1"),
        ("/backend-api", "/", "/backend-api", "/"),
        ("/backend-api", "/v1", "/backend-api/", "/v1/"),
        ("/backend-api/", "/", "/backend-api/", "/"),
        ("/foo", "/", "/foobar", "/bar"),
        ("/foo", "/v1", "/foobar", "/v1bar"),
        ("/", "/v1", "/foo", "/v1/foo"),
        ("/", "/", "/foo", "/foo"),
        ("/FOO", "/x", "/foo/Y", "/x/Y"),
    ] {
        let rewrite = prefix(matched, replacement);
        assert_eq!(
            apply(&rewrite, path).as_deref(),
            Ok(expected),
            "{matched} -> {replacement}: {path}"
        );
    }
}

#[test]
fn a_rewrite_never_uncovers_a_dot_segment() {
    for (rewrite, path) in [
        (prefix("/files", "/"), "/files../etc"),
        (prefix("/files", "/srv/"), "/files../etc"),
        (prefix("/files", "/srv/"), "/files./x"),
        (Rewrite::Regex(regex("x", "")), "/a/.x./b"),
        (Rewrite::Regex(regex("_", "/")), "/a_.._b"),
    ] {
        assert_eq!(
            apply(&rewrite, path),
            Err(PathError::RewrittenDots),
            "{path}"
        );
    }
    let halved = Rewrite::Regex(regex("^/(..)", "/"));
    assert_eq!(apply(&halved, "/a%C3%A9"), Err(PathError::Encoding));
    let halved = Rewrite::Regex(regex("A", ""));
    assert_eq!(apply(&halved, "/a%3A"), Err(PathError::Escape));
}

#[test]
fn a_regex_replaces_every_match_and_may_match_nothing() {
    let rewrite = Rewrite::Regex(regex("/v([0-9]+)", "/version/${1}"));
    assert_eq!(
        apply(&rewrite, "/v1/a/v2").as_deref(),
        Ok("/version/1/a/version/2")
    );
    assert!(matches!(
        rewrite.apply("/none", RequestPolicy::default()),
        Ok(Cow::Borrowed("/none"))
    ));
    assert_eq!(
        apply(&Rewrite::Whole("/all".into()), "/a/b").as_deref(),
        Ok("/all")
    );
    assert_eq!(apply(&Rewrite::Keep, "/a/b").as_deref(), Ok("/a/b"));
}

#[test]
fn redirects_keep_the_query_unless_they_bring_one() {
    let prefixed = RedirectPath::Prefix {
        matched: "/p/".len(),
        replacement: "/new/".into(),
    };
    for (redirect, path, query) in [
        (RedirectPath::Keep, "/p/rest", "q=1"),
        (
            RedirectPath::Whole("/redirect/".into()),
            "/redirect/",
            "q=1",
        ),
        (
            RedirectPath::Whole("/redirect/?own".into()),
            "/redirect/",
            "own",
        ),
        (prefixed, "/new/rest", "q=1"),
        (RedirectPath::Regex(regex("^/p", "/r")), "/r/rest", "q=1"),
    ] {
        let target = redirect.apply("/p/rest", Some("q=1"), RequestPolicy::default());
        assert_eq!(target, Ok((Cow::Borrowed(path), Some(query))));
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_canonical(path in "/[a-c./%2F-]{0,12}", cut in 0..8_usize, slash: bool) {
        let policy = RequestPolicy::default();
        let Ok(path) = canonical(&path, policy) else { return Ok(()) };
        let rewrite = Rewrite::Prefix {
            matched: cut,
            replacement: if slash { "/new/".into() } else { "/new".into() },
        };
        if let Ok(out) = rewrite.apply(path.as_str(), policy) {
            let again = canonical(&out, policy).unwrap();
            prop_assert_eq!(again.as_str(), &*out);
            prop_assert!(out.starts_with("/new"));
        }
    }
}
