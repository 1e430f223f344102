use std::fmt::Write;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    let reading = read(text.as_bytes());
    assert_eq!(reading.errors, [], "{text}");
    assert_eq!(reading.documents.len(), 1, "{text}");
    reading.documents[0].value.clone()
}

fn error(text: &str) -> (u32, u32, String) {
    let reading = read(text.as_bytes());
    let error = reading
        .errors
        .first()
        .unwrap_or_else(|| panic!("no error in {text:.80}: {:?}", reading.documents.len()));
    (error.at.line, error.at.column, error.message.clone())
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let cases = [
        ("yes", json!(true)),
        ("On", json!(true)),
        ("y", json!(true)),
        ("N", json!(false)),
        ("OFF", json!(false)),
        ("yEs", json!("yEs")),
        ("'yes'", json!("yes")),
        ("\"on\"", json!("on")),
        ("!!str yes", json!("yes")),
        ("!!str 8080", json!("8080")),
        ("!!int \"8080\"", json!(8080)),
        ("!!float 3", json!(3)),
        ("!local 8080", json!("8080")),
        ("! 8080", json!("8080")),
        ("8080", json!(8080)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("0644", json!(420)),
        ("-017", json!(-15)),
        ("0b101", json!(5)),
        ("08", json!(8)),
        ("1_000", json!(1000)),
        ("+5", json!(5)),
        (
            "18446744073709551615",
            json!(18_446_744_073_709_551_615_u64),
        ),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5", json!(1.5)),
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        ("1e16", json!(10_000_000_000_000_000_i64)),
        (".5", json!(0.5)),
        ("1.2.3", json!("1.2.3")),
        ("10m", json!("10m")),
        ("3s", json!("3s")),
        ("0x", json!("0x")),
        ("12:30:45", json!("12:30:45")),
        ("2001-12-14", json!("2001-12-14")),
        ("1e999", json!("1e999")),
        ("~", Value::Null),
        ("NULL", Value::Null),
        ("", Value::Null),
        ("nUll", json!("nUll")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
        (">-\n  a\n  b\n", json!("a b")),
    ];
    for (text, value) in cases {
        assert_eq!(one(&format!("v: {text}\n")), json!({"v": value}), "{text}");
    }
}

#[test]
fn keys_become_texts_as_kubectl_makes_them() {
    let cases = [
        ("on", "true"),
        ("n", "false"),
        ("8080", "8080"),
        ("0x10", "16"),
        ("1.5", "1.5"),
        ("1e7", "1e+07"),
        (".inf", ".inf"),
        ("'on'", "on"),
        ("2001-12-14", "2001-12-14"),
    ];
    for (key, name) in cases {
        assert_eq!(one(&format!("{key}: v\n")), json!({name: "v"}), "{key}");
    }
    assert_eq!(
        error("~: v\n"),
        (1, 1, "the key of a field must not be null".into())
    );
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    let text = "base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  b: 3\nw:\n  <<: [{a: 5}, *b]\nz: *b\n";
    assert_eq!(
        one(text),
        json!({"base": {"a": 1, "b": 2}, "x": {"a": 1, "b": 3}, "w": {"a": 5, "b": 2}, "z": {"a": 1, "b": 2}})
    );
    assert_eq!(one("'<<': 1\n"), json!({"<<": 1}));
}

#[test]
fn every_field_has_its_position() {
    let text = "# comment\n---\nkind: Mapping\nspec:\n  headers:\n    x-a: b\n  list:\n  - ä\n  -   c: 1\n---\nkind: Host\n";
    let reading = read(text.as_bytes());
    assert_eq!(reading.errors, []);
    let [first, second] = reading.documents.as_slice() else {
        panic!("two documents")
    };
    let at = |path: &str| first.positions.get(path).map(ToString::to_string);
    assert_eq!(first.at.to_string(), "3:1");
    assert_eq!(at("spec").as_deref(), Some("4:1"));
    assert_eq!(at("spec.headers.x-a").as_deref(), Some("6:5"));
    assert_eq!(at("spec.list[0]").as_deref(), Some("8:5"));
    assert_eq!(at("spec.list[1].c").as_deref(), Some("9:7"));
    assert_eq!(second.positions["kind"].to_string(), "11:1");
}

#[test]
fn json_documents_have_positions_too() {
    let text = "{\"a\": \"\\ud83d\\ude00\"}\n  {\n\t\"b\": {\"c\": 1.0}} {\"d\": 1}";
    let reading = read(text.as_bytes());
    assert_eq!(reading.errors, []);
    assert_eq!(reading.documents[0].value, json!({"a": "😀"}));
    assert_eq!(reading.documents[1].at.to_string(), "2:3");
    assert_eq!(reading.documents[1].positions["b.c"].to_string(), "3:8");
    assert_eq!(reading.documents[2].positions["d"].to_string(), "3:20");
    assert_eq!(
        one("{a: b}"),
        json!({"a": "b"}),
        "YAML that begins like JSON"
    );
    assert_eq!(error("{\"a\": 1,\n \"b\" 2}").0, 2);
    assert_eq!(
        error("{\"a\": 1, \"a\": 2}"),
        (1, 10, "the field `a` is there twice".into())
    );
}

#[test]
fn a_syntax_error_has_a_position_and_hides_no_other_document() {
    let text = "a: 1\n---\nb: [1, 2\n---\nc: 3\n---\nd: 'e\n---\ne: 5\n";
    let reading = read(text.as_bytes());
    let values: Vec<_> = reading.documents.iter().map(|d| d.value.clone()).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"c": 3}), json!({"e": 5})]);
    let lines: Vec<_> = reading.errors.iter().map(|error| error.at.line).collect();
    assert_eq!(lines.len(), 2, "{:?}", reading.errors);
    assert!(lines[0] == 3 || lines[0] == 4, "{lines:?}");
    assert_eq!(lines[1], 7);
}

#[test]
fn what_cannot_be_meant_is_an_error_where_it_stands() {
    assert_eq!(
        error("a: 1\nb: 2\na: 3\n"),
        (3, 1, "the field `a` is there twice".into())
    );
    assert_eq!(error("a:\n  x: 1\n  'x': 2\n").0, 3);
    assert_eq!(error("a: !!int x\n").0, 1);
    assert_eq!(error("a: !!binary aGk=\n").0, 1);
    assert_eq!(error("a: .nan\n").0, 1);
    assert_eq!(error("? [a]\n: b\n").0, 1);
    assert_eq!(
        error("a: &x [*x]\n"),
        (1, 8, "an anchor must not contain itself".into())
    );
    assert_eq!(error("a: *nobody\n").0, 1);
    let utf8 = read(b"a: 1\nb: \xff\n");
    assert_eq!(utf8.errors[0].at.to_string(), "2:4");
    let nul = read(b"a: 1\nb: \0\n");
    assert_eq!(nul.errors[0].at.to_string(), "2:4");
}

#[test]
fn empty_documents_directives_and_byte_order_marks_are_passed_over() {
    for text in [
        "",
        "\n",
        "# only a comment\n",
        "---\n---\n# x\n---\n",
        "\u{feff}",
        "null\n",
    ] {
        assert_eq!(read(text.as_bytes()), Reading::default(), "{text:?}");
    }
    assert_eq!(one("\u{feff}a: 1\r\nb: 2\r\n"), json!({"a": 1, "b": 2}));
    assert_eq!(one("%YAML 1.1\n---\na: 1\n...\n"), json!({"a": 1}));
    assert_eq!(one("--- {a: 1}\n"), json!({"a": 1}));
    assert_eq!(read(b"a: 1\n...\n---\nb: 2\n").documents.len(), 2);
}

#[test]
fn nesting_and_aliases_are_bounded() {
    for unit in ["[", "{a: ", "- ", "? ", "&a [", "{\"a\":", "!!seq ["] {
        let reading = read(unit.repeat(100_000).as_bytes());
        assert_eq!(reading.errors.len(), 1, "{unit}");
    }
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for i in 1..2000 {
        let last = i - 1;
        let nine = vec![format!("*a{last}"); 9].join(", ");
        writeln!(laughs, "a{i}: &a{i} [{nine}]").unwrap();
        writeln!(chain, "a{i}: &a{i} [*a{last}]").unwrap();
    }
    assert_eq!(error(&laughs).2, "aliases expand to too much");
    assert_eq!(error(&chain).2, "nested deeper than 100 levels");
    let long = format!(
        "a: &a {}\nb:\n{}",
        "x".repeat(1 << 20),
        "- *a\n".repeat(10_000)
    );
    assert_eq!(error(&long).2, "aliases expand to too much");
}

/// Fragments from which something like YAML comes out.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "a: ", "b:\n", "  ", "- ", "[", "]", "{", "}", ",", "\n", "\n---\n", "...\n", "&x ", "*x", "<<: ", "!!str ",
            "!<", "%TAG ! x\n", "|\n", ">-\n", "\"", "'", "#", "? ", ": ", "\t", "\u{feff}", "\\u12", "\r",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn positions_lie_inside_of_the_text(parts in prop::collection::vec(fragment(), 0..60)) {
        let text = parts.concat();
        let reading = read(text.as_bytes());
        let lines = count(text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count()) + 1;
        let found = reading.documents.iter().flat_map(|d| d.positions.values().chain([&d.at]));
        for at in found.chain(reading.errors.iter().map(|error| &error.at)) {
            prop_assert!(at.line >= 1 && at.line <= lines && at.column >= 1, "{at} of {lines} in {text:?}");
        }
    }

    #[test]
    fn what_json_says_is_what_is_read(value in any_json()) {
        let text = serde_json::to_string_pretty(&json!({"v": value})).unwrap();
        prop_assert_eq!(one(&text), json!({"v": value}));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
