use serde_json::{Value, json};

use super::{super::tests as fixture, *};
use crate::{compile::tests::options, resource::AnyObject};

fn lowered(spec: &Value) -> Lowered {
    let document = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "name": "m", "namespace": "apps" }, "spec": spec,
    });
    let AnyObject::Mapping(object) = fixture::object(&document) else {
        panic!("{document} must be a Mapping");
    };
    lower(
        &object,
        &object.spec.read(),
        &Settings::new(&options()),
        &mut Interner::default(),
    )
}

fn spec(fields: &Value) -> Value {
    let mut spec = json!({ "hostname": "*", "prefix": "/a/", "service": "quote" });
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

#[test]
fn the_rank_is_emissarys_sort_key() {
    // Precedence, path length, header weight, query weight, method.
    for (fields, expected) in [
        (json!({}), (0, 3, 11, 0, "GET")),
        (json!({ "hostname": "x.com" }), (0, 3, 15, 0, "GET")),
        (json!({ "precedence": -2 }), (-2, 3, 11, 0, "GET")),
        (json!({ "headers": { "X-A": "bc" } }), (0, 3, 16, 0, "GET")),
        (
            json!({ "regexHeaders": { "x-a": ".*" } }),
            (0, 3, 17, 0, "GET"),
        ),
        (json!({ "method": "put" }), (0, 3, 21, 0, "PUT")),
        (
            json!({ "method": "A|B", "methodRegex": true }),
            (0, 3, 22, 0, "A|B"),
        ),
        (
            json!({ "queryParameters": { "q": "1" } }),
            (0, 3, 11, 2, "GET"),
        ),
        (
            json!({ "prefix": "/[ab]+", "prefixRegex": true }),
            (0, 6, 11, 0, "GET"),
        ),
    ] {
        let matching = lowered(&spec(&fields)).matching.unwrap();
        let rank = matching.rank;
        let shown = (
            rank.precedence,
            rank.path_length,
            rank.header_weight,
            rank.query_weight,
            &*rank.method,
        );
        assert_eq!(shown, expected, "{fields}");
    }
}

#[test]
fn mappings_group_by_what_they_match_and_nothing_else() {
    let group = |fields: &Value| lowered(&spec(fields)).matching.unwrap().group;
    let plain = group(&json!({}));
    for same in [
        json!({ "service": "other" }),
        json!({ "rewrite": "/x/" }),
        json!({ "weight": 3 }),
        json!({ "timeoutMs": 1 }),
    ] {
        assert_eq!(group(&same), plain, "{same}");
    }
    let others = [
        json!({ "precedence": 1 }),
        json!({ "method": "GET" }),
        json!({ "method": "GET", "methodRegex": true }),
        json!({ "headers": { "a": "b" } }),
        json!({ "regexHeaders": { "a": "b" } }),
        json!({ "queryParameters": { "a": "b" } }),
    ];
    let mut groups: Vec<_> = others.iter().map(group).collect();
    groups.push(plain);
    groups.sort();
    groups.dedup();
    assert_eq!(groups.len(), others.len() + 1, "{groups:?}");
}

#[test]
fn the_pseudo_header_method_is_the_method() {
    let by_header = lowered(&spec(&json!({ "headers": { ":method": "PUT" } })));
    let by_field = lowered(&spec(&json!({ "method": "PUT" })));
    let (a, b) = (by_header.matching.unwrap(), by_field.matching.unwrap());
    assert_eq!((a.group, a.rank), (b.group, b.rank));
}

#[test]
fn a_path_is_spelled_as_canonical_paths_are() {
    for (prefix, expected) in [
        ("/caf%c3%a9", Some("/caf%C3%A9")),
        ("/café", Some("/caf%C3%A9")),
        ("/a%2fb", Some("/a%2Fb")),
        ("/%61/", Some("/a/")),
        ("/a/..", Some("/a/..")),
        ("/a/../b", None),
        ("/a//b", None),
        ("/a%zz", None),
        ("a", None),
        ("", None),
    ] {
        let lowered = lowered(&spec(&json!({ "prefix": prefix })));
        let text = lowered.matching.map(|matching| matching.path_key.text);
        assert_eq!(text.as_deref(), expected, "{prefix}");
    }
}

#[test]
fn a_bad_part_of_a_match_takes_the_match_with_it() {
    for fields in [
        json!({ "hostname": "a.*.b" }),
        json!({ "headers": { "x y": "a" } }),
        json!({ "regexHeaders": { "a": "(" } }),
        json!({ "regexQueryParameters": { "a": "(" } }),
        json!({ "method": 7 }),
        json!({ "precedence": "high" }),
        json!({ "prefixRegex": "yes" }),
    ] {
        let lowered = lowered(&spec(&fields));
        assert!(lowered.matching.is_none(), "{fields}");
        assert!(lowered.findings.first_error().is_some(), "{fields}");
    }
}

#[test]
fn what_there_is_of_every_mapping_is_small() {
    // Bytes; `make bench` says what a route comes to in all. What only few Mappings say belongs behind a pointer.
    for (what, size, most) in [
        ("object", size_of::<Mapping>(), 184),
        (
            "state",
            size_of::<crate::compile::state::MappingState>(),
            224,
        ),
        ("route", size_of::<crate::graph::Route>(), 104),
        ("rank", size_of::<crate::graph::route::Rank>(), 96),
        ("slot", size_of::<crate::compile::slot::Linked>(), 96),
    ] {
        assert!(size <= most, "{what}: {size}");
    }
}
