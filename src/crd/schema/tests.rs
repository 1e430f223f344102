use serde_json::json;

use super::{ProblemKind, Spec, Spelling, read};
use crate::crd::{GatewaySettingsSpec, HostSpec, ListenerSpec, MappingSpec, TlsContextSpec};

fn problems(spec: serde_json::Value, spelling: Spelling) -> Vec<(String, ProblemKind, String)> {
    let (_, problems) = read::<MappingSpec>(spec, spelling);
    problems
        .into_iter()
        .map(|problem| (problem.field, problem.kind, problem.message))
        .collect()
}

#[test]
fn every_kind_has_a_tree_with_all_the_fields_that_it_names() {
    MappingSpec::tree();
    HostSpec::tree();
    ListenerSpec::tree();
    GatewaySettingsSpec::tree();
    TlsContextSpec::tree();
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    let spec = json!({
        "prefx": "/a/",
        "timeoutMs": "5000",
        "redirectResponseCode": 200,
        "headers": {"x-a": true, "x-b": "good"},
        "service": null,
        "method": ["GET"],
    });
    let found = problems(spec, Spelling::Camel);
    let found: Vec<_> = found
        .iter()
        .map(|(field, kind, message)| (field.as_str(), *kind, message.as_str()))
        .collect();
    let expected = [
        (
            "spec.headers.x-a",
            ProblemKind::WrongType,
            "the value must be a string, and is a boolean",
        ),
        (
            "spec.method",
            ProblemKind::WrongType,
            "the value must be a string, and is a list",
        ),
        (
            "spec.prefix",
            ProblemKind::MissingField,
            "the field `prefix` is required",
        ),
        (
            "spec.prefx",
            ProblemKind::UnknownField,
            "there is no field `prefx`; did you mean `prefix`?",
        ),
        (
            "spec.redirectResponseCode",
            ProblemKind::InvalidValue,
            "the value must be 301, 302, 303, 307 or 308, and is 200",
        ),
        (
            "spec.service",
            ProblemKind::MissingField,
            "the field `service` is required",
        ),
        (
            "spec.timeoutMs",
            ProblemKind::WrongType,
            "the value must be a whole number, and is a string",
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_number_that_is_too_large_has_no_fraction() {
    for (number, kind, message) in [
        (
            "99999999999999999999",
            ProblemKind::InvalidValue,
            "the number must be from -2147483648 to 2147483647, and is 1e+20",
        ),
        (
            "-1e300",
            ProblemKind::InvalidValue,
            "the number must be from -2147483648 to 2147483647, and is -1e+300",
        ),
        (
            "1.5",
            ProblemKind::WrongType,
            "the value must be a whole number, and is a number with a fraction",
        ),
    ] {
        let mut spec = json!({"prefix": "/a/", "service": "a"});
        spec["precedence"] = serde_json::from_str(number).unwrap();
        let found = problems(spec, Spelling::Camel);
        let expected = ("spec.precedence".to_owned(), kind, message.to_owned());
        assert_eq!(found, [expected], "{number}");
    }
}

#[test]
fn a_rule_blames_the_field_that_is_there_and_says_what_to_do() {
    let spec = json!({"prefix": "/a/", "service": "a", "redirectResponseCode": 302});
    let (_, problems) = read::<MappingSpec>(spec, Spelling::Camel);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].field, "spec.redirectResponseCode");
    assert_eq!(
        problems[0].message,
        "redirectResponseCode needs hostRedirect: true"
    );
    assert_eq!(
        problems[0].next,
        "Write `hostRedirect: true`, or remove `redirectResponseCode`"
    );
}

#[test]
fn what_is_good_is_read_and_a_bad_entry_takes_the_whole_map() {
    let spec = json!({
        "prefix": "/a/", "service": "a", "timeoutMs": true,
        "headers": {"x-a": 1, "x-b": "b"},
    });
    let (spec, _) = read::<MappingSpec>(spec, Spelling::Camel);
    assert_eq!(spec.prefix.as_deref(), Some("/a/"));
    assert_eq!((spec.timeout_ms, spec.headers), (None, None));
}

#[test]
fn snake_case_and_camel_case_say_the_same() {
    let snake = json!({
        "prefix": "/a/", "service": "a", "prefix_regex": true, "timeout_ms": 3,
        "add_request_headers": {"x_y": {"value": "1"}}, "regex_rewrite": {"pattern": "a", "substitution": "b"},
    });
    let camel = json!({
        "prefix": "/a/", "service": "a", "prefixRegex": true, "timeoutMs": 3,
        "addRequestHeaders": {"x_y": {"value": "1"}}, "regexRewrite": {"pattern": "a", "substitution": "b"},
    });
    let read = |spec, spelling| read::<MappingSpec>(spec, spelling);
    let (expected, problems) = read(camel.clone(), Spelling::Camel);
    assert_eq!(problems, []);
    assert_eq!(read(camel, Spelling::Snake), (expected.clone(), vec![]));
    assert_eq!(read(snake.clone(), Spelling::Snake), (expected, vec![]));
    let (_, problems) = read(snake, Spelling::Camel);
    let hint = "there is no field `prefix_regex`; did you mean `prefixRegex`?";
    assert!(
        problems.iter().any(|problem| problem.message == hint),
        "{problems:?}"
    );
}

#[test]
fn a_field_in_both_spellings_is_a_problem_and_neither_is_read() {
    let spec = json!({"prefix": "/a/", "service": "a", "timeout_ms": 3, "timeoutMs": 4});
    let (spec, problems) = read::<MappingSpec>(spec, Spelling::Snake);
    assert_eq!(spec.timeout_ms, None);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec.timeout_ms");
    assert_eq!(problems[0].kind, ProblemKind::InvalidValue);
}

#[test]
fn a_problem_keeps_the_spelling_and_is_found_by_the_camel_case_path() {
    let spec = json!({"prefix": "/a/", "service": "a", "regex_headers": {"x": 1}});
    let (_, problems) = read::<MappingSpec>(spec, Spelling::Snake);
    assert_eq!(problems[0].field, "spec.regex_headers.x");
    assert!(problems[0].concerns("spec.regexHeaders"));
    assert!(!problems[0].concerns("spec.regex"));
    assert!(!problems[0].concerns("spec.headers"));
}

#[test]
fn a_value_is_not_shown_where_a_secret_could_be() {
    let spec = json!({"prefix": "/a/", "service": {"password": "hunter2"}, "timeoutMs": "hunter2"});
    let (_, problems) = read::<MappingSpec>(spec, Spelling::Camel);
    assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
}

#[test]
fn what_is_not_a_spec_at_all_is_one_problem() {
    let (spec, problems) = read::<MappingSpec>(json!("prefix"), Spelling::Camel);
    assert_eq!(spec, MappingSpec::default());
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec");
}

#[test]
fn a_field_that_is_not_implemented_is_a_problem_unless_it_asks_for_nothing() {
    let off = json!({
        "prefix": "/a/", "service": "a", "shadow": false, "bypassAuth": false, "labels": {}, "cors": null,
        "loadBalancer": {"policy": "round_robin"}, "priority": "default", "enableIpv4": true,
    });
    let (spec, problems) = read::<MappingSpec>(off, Spelling::Camel);
    assert_eq!((spec.bypass_auth, problems), (None, vec![]));
    let on = json!({
        "prefix": "/a/", "service": "a", "bypassAuth": true, "labels": {"d": "not looked at"},
        "clusterTag": "any", "docs": 5, "statsName": "a",
    });
    let found = problems_of(on, Spelling::Camel);
    let expected = [
        ("spec.bypassAuth", ProblemKind::NotImplemented),
        ("spec.clusterTag", ProblemKind::NotImplemented),
        ("spec.docs", ProblemKind::NoEffect),
        ("spec.labels", ProblemKind::NotImplemented),
        ("spec.statsName", ProblemKind::NoEffect),
    ];
    assert_eq!(
        found,
        expected.map(|(field, kind)| (field.to_owned(), kind))
    );
}

#[test]
fn false_asks_for_something_where_the_default_is_true() {
    let spec = json!({
        "prefix": "/a/", "service": "a", "enable_ipv4": false, "enable_ipv6": false, "respect_dns_ttl": false,
        "dns_type": "logical_dns", "cluster_tag": "a", "bypass_auth": false,
    });
    let expected = [
        ("spec.cluster_tag", ProblemKind::NotImplemented),
        ("spec.dns_type", ProblemKind::NotImplemented),
        ("spec.enable_ipv4", ProblemKind::NotImplemented),
        ("spec.enable_ipv6", ProblemKind::NoEffect),
        ("spec.respect_dns_ttl", ProblemKind::NoEffect),
    ];
    assert_eq!(
        problems_of(spec, Spelling::Snake),
        expected.map(|(field, kind)| (field.to_owned(), kind))
    );
    let as_it_is = json!({
        "prefix": "/a/", "service": "a", "enable_ipv4": true, "enable_ipv6": true, "respect_dns_ttl": true,
        "dns_type": "strict_dns", "cluster_tag": "",
    });
    assert_eq!(problems_of(as_it_is, Spelling::Snake), []);
}

fn problems_of(spec: serde_json::Value, spelling: Spelling) -> Vec<(String, ProblemKind)> {
    let found = problems(spec, spelling).into_iter();
    found.map(|(field, kind, _)| (field, kind)).collect()
}

#[test]
fn a_host_of_emissary_without_a_certificate_authority_has_no_problem() {
    let spec = json!({
        "hostname": "a.example.com", "acmeProvider": {"authority": "none"}, "tlsSecret": {"name": "a"},
        "tls": {"min_tls_version": "v1.2", "alpn_protocols": "h2,http/1.1"}, "ambassador_id": ["default"],
    });
    let (host, problems) = read::<HostSpec>(spec, Spelling::Snake);
    assert_eq!(problems, []);
    assert_eq!(host.ambassador_id, Some(vec!["default".to_owned()]));
    let (_, problems) =
        read::<HostSpec>(json!({"tls": {"cert_chain_file": "/a"}}), Spelling::Snake);
    assert_eq!(problems[0].field, "spec.tls.cert_chain_file");
    assert_eq!(problems[0].kind, ProblemKind::NotImplemented);
}

#[test]
fn rules_about_several_fields_hold_without_an_api_server_and_not_for_emissary() {
    let both = json!({"prefix": "/a/", "service": "a", "prefixExact": true, "prefixRegex": true});
    assert_eq!(problems_of(both.clone(), Spelling::Snake), []);
    let found = problems(both, Spelling::Camel);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].2,
        "prefixExact and prefixRegex cannot both be true"
    );
    let unreadable = json!({
        "port": 80, "protocol": "HTPP", "securityModel": "XFP", "hostBinding": {"selector": {}},
    });
    let (_, problems) = read::<ListenerSpec>(unreadable, Spelling::Camel);
    assert_eq!(
        problems.len(),
        1,
        "a rule must not count a field that was taken out: {problems:?}"
    );
    assert_eq!(problems[0].next, "Write `HTTP`");
}

#[test]
fn what_a_conversion_left_behind_is_passed_over() {
    let spec = json!({"prefix": "/a/", "service": "a", "v2ExplicitTLS": {"tls": "x"}});
    assert_eq!(problems_of(spec.clone(), Spelling::Snake), []);
    let found = problems_of(spec, Spelling::Camel);
    assert_eq!(
        found,
        [("spec.v2ExplicitTLS".to_owned(), ProblemKind::UnknownField)]
    );
}

#[test]
fn what_is_too_long_or_too_many_is_refused_and_problems_are_bounded() {
    let many: serde_json::Map<_, _> = (0..500).map(|n| (format!("x-{n}"), json!("y"))).collect();
    let spec = json!({"prefix": "/".repeat(1025), "service": "a", "headers": many});
    let expected =
        ["spec.headers", "spec.prefix"].map(|f| (f.to_owned(), ProblemKind::InvalidValue));
    assert_eq!(problems_of(spec, Spelling::Camel), expected);
    let unknown: serde_json::Map<_, _> = (0..5000).map(|n| (format!("f{n}"), json!(1))).collect();
    assert_eq!(problems(unknown.into(), Spelling::Camel).len(), 64);
}
