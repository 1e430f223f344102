//! The versions that objects in annotations are written in, and what each field of an older one is called today.
//!
//! What has no counterpart stays as it is, and is told like every other field that nobody knows.

use std::str::FromStr;

use serde_json::{Map, Value, json};

/// The version that everything becomes.
pub(super) const NOW: &str = "getambassador.io/v3alpha1";

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `v0`, `v1` and `v2`: they differ in fields that are told apart by their names and types.
    Old,
    Now,
}

type Spec = Map<String, Value>;
type Convert = fn(&mut Spec);

/// What is different in an older version, by kind.
const OLD: &[(&str, &[Convert])] = &[
    (
        "Mapping",
        &[tls, host, presence, headers, origins, rate_limits, labels],
    ),
    ("TCPMapping", &[tls]),
    ("AuthService", &[auth_service, tls, auth_headers]),
    ("RateLimitService", &[tls]),
];

// === impl Version ===

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let version = text
            .strip_prefix("getambassador.io/")
            .or_else(|| text.strip_prefix("ambassador/"));
        match version {
            Some("v3alpha1") => Ok(Self::Now),
            Some("v0" | "v1" | "v2") => Ok(Self::Old),
            Some(_) | None if text.is_empty() => Err("an object has no `apiVersion`".to_owned()),
            Some(version) => Err(format!(
                "version {version} is not read: write getambassador.io/v3alpha1"
            )),
            None => Err(format!("apiVersion `{text}` cannot be written there")),
        }
    }
}

impl Version {
    /// Changes a spec into today's, and says of which kind it is then.
    pub(super) fn convert(self, kind: &str, name: &str, spec: &mut Spec) -> String {
        if self == Self::Now {
            return kind.to_owned();
        }
        let kind = match (kind, name) {
            // Before there was a kind for it.
            ("Module", "authentication") => {
                let config = spec.remove("config");
                spec.extend(
                    config
                        .as_ref()
                        .and_then(Value::as_object)
                        .cloned()
                        .into_iter()
                        .flatten(),
                );
                "AuthService"
            }
            (kind, _) => kind,
        };
        let steps = OLD.iter().filter(|row| row.0 == kind);
        for convert in steps.flat_map(|row| row.1) {
            convert(spec);
        }
        kind.to_owned()
    }
}

/// `tls: true` is the scheme of the service.
fn tls(spec: &mut Spec) {
    let Some(Value::Bool(tls)) = spec.get("tls") else {
        return;
    };
    let scheme = if *tls { "https://" } else { "http://" };
    spec.remove("tls");
    let name = if spec.contains_key("auth_service") {
        "auth_service"
    } else {
        "service"
    };
    if let Some(Value::String(service)) = spec.get_mut(name) {
        let rest = service
            .split_once("://")
            .map_or(service.as_str(), |(_, rest)| rest);
        *service = format!("{scheme}{rest}");
    }
}

/// Without a host a Mapping was for every name.
fn host(spec: &mut Spec) {
    let is_any = match spec.get("host") {
        None | Some(Value::Null) => true,
        Some(Value::String(host)) => {
            host.is_empty() || host == "*" && spec.get("host_regex") != Some(&Value::Bool(true))
        }
        Some(_) => false,
    };
    if is_any && !spec.contains_key("hostname") {
        spec.remove("host");
        spec.remove("host_regex");
        spec.insert("hostname".to_owned(), Value::from("*"));
    }
}

/// `true` in the place of a value asked only that the name is there. `false` asked for what cannot be said any more: it
/// stays, and the Mapping is refused.
fn presence(spec: &mut Spec) {
    for (exact, regex) in [
        ("headers", "regex_headers"),
        ("query_parameters", "regex_query_parameters"),
    ] {
        let Some(Value::Object(conditions)) = spec.get_mut(exact) else {
            continue;
        };
        let names: Vec<_> = conditions
            .iter()
            .filter(|(_, value)| **value == Value::Bool(true))
            .map(|(name, _)| name.clone())
            .collect();
        if names.is_empty() {
            continue;
        }
        conditions.retain(|_, value| *value != Value::Bool(true));
        if conditions.is_empty() {
            spec.remove(exact);
        }
        let there = spec.entry(regex).or_insert_with(|| json!({}));
        if let Value::Object(there) = there {
            for name in names {
                there.entry(name).or_insert_with(|| Value::from(".*"));
            }
        }
    }
}

/// A header to add could be its value alone.
fn headers(spec: &mut Spec) {
    for name in ["add_request_headers", "add_response_headers"] {
        let Some(Value::Object(headers)) = spec.get_mut(name) else {
            continue;
        };
        for header in headers.values_mut() {
            if header.is_string() {
                *header = json!({ "value": header.take() });
            }
        }
    }
}

/// Lists of CORS could be one text with commas.
fn origins(spec: &mut Spec) {
    let Some(Value::Object(cors)) = spec.get_mut("cors") else {
        return;
    };
    for name in ["origins", "methods", "headers", "exposed_headers"] {
        if let Some(value) = cors.get_mut(name)
            && let Value::String(text) = &*value
        {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            *value = parts.map(Value::from).collect();
        }
    }
}

/// `rate_limits` came before `labels`: each a descriptor with the headers whose values belong to it.
fn rate_limits(spec: &mut Spec) {
    let Some(Value::Array(limits)) = spec.get("rate_limits") else {
        return;
    };
    let groups: Vec<_> = limits
        .iter()
        .enumerate()
        .map(|(index, limit)| {
            let descriptor = limit.get("descriptor").and_then(Value::as_str);
            let constant = descriptor.map(|value| json!({"generic_key": {"value": value}}));
            let headers = limit.get("headers").and_then(Value::as_array);
            let headers = headers
                .into_iter()
                .flatten()
                .map(|header| json!({"request_headers": {"key": header, "header_name": header}}));
            let entries: Vec<_> = constant.into_iter().chain(headers).collect();
            json!({ format!("rate_limit_{index}"): entries })
        })
        .collect();
    spec.remove("rate_limits");
    spec.entry("labels")
        .or_insert_with(|| json!({ "ambassador": groups }));
}

/// The entries of labels were texts, or a key with what it is.
fn labels(spec: &mut Spec) {
    let Some(Value::Object(domains)) = spec.get_mut("labels") else {
        return;
    };
    let groups = domains
        .values_mut()
        .filter_map(Value::as_array_mut)
        .flatten();
    let entries = groups
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
        .filter_map(Value::as_array_mut)
        .flatten();
    for entry in entries {
        if let Some(now) = label(entry) {
            *entry = now;
        }
    }
}

/// An entry of labels as it is written today; none where it is so already.
fn label(entry: &Value) -> Option<Value> {
    const ADDRESSES: [&str; 3] = ["source_cluster", "destination_cluster", "remote_address"];
    match entry {
        Value::String(text) if ADDRESSES.contains(&text.as_str()) => {
            Some(json!({ text: {"key": text} }))
        }
        Value::String(text) => Some(json!({"generic_key": {"value": text}})),
        Value::Object(fields) => {
            let (key, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
            let header = value.get("header")?;
            let omit = value.get("omit_if_not_present").cloned();
            let mut now = json!({"key": key, "header_name": header});
            if let Some(omit) = omit {
                now["omit_if_not_present"] = omit;
            }
            Some(json!({ "request_headers": now }))
        }
        _ => None,
    }
}

/// `allowed_headers` was for the request and for what comes back.
fn auth_service(spec: &mut Spec) {
    let Some(allowed) = spec.remove("allowed_headers") else {
        return;
    };
    for name in ["allowed_request_headers", "allowed_authorization_headers"] {
        spec.entry(name).or_insert_with(|| allowed.clone());
    }
}

/// Values of headers could be booleans.
fn auth_headers(spec: &mut Spec) {
    if let Some(Value::Object(headers)) = spec.get_mut("add_auth_headers") {
        for value in headers.values_mut() {
            if let Value::Bool(flag) = value {
                *value = Value::from(flag.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(version: &str, kind: &str, mut spec: Value) -> (String, Value) {
        let version: Version = version.parse().unwrap();
        let spec = spec.as_object_mut().unwrap();
        let kind = version.convert(kind, "authentication", spec);
        (kind, Value::Object(spec.clone()))
    }

    #[test]
    fn every_version_is_read_or_refused_by_name() {
        for (text, expected) in [
            ("ambassador/v0", Ok(Version::Old)),
            ("ambassador/v1", Ok(Version::Old)),
            ("ambassador/v2", Ok(Version::Old)),
            ("getambassador.io/v0", Ok(Version::Old)),
            ("getambassador.io/v1", Ok(Version::Old)),
            ("getambassador.io/v2", Ok(Version::Old)),
            ("getambassador.io/v3alpha1", Ok(Version::Now)),
            ("getambassador.io/v9", Err("version v9")),
            ("apps/v1", Err("`apps/v1` cannot")),
            ("v1", Err("`v1` cannot")),
            ("", Err("has no `apiVersion`")),
        ] {
            match (text.parse::<Version>(), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(words)) => assert!(found.contains(words), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn old_mappings_are_written_as_those_of_today() {
        let any = |spec: Value| {
            let mut spec = spec;
            spec["hostname"] = json!("*");
            spec
        };
        for (old, now) in [
            (json!({}), any(json!({}))),
            (json!({"host": "*"}), any(json!({}))),
            (json!({"host": "a.b"}), json!({"host": "a.b"})),
            (
                json!({"host": "*", "host_regex": true}),
                json!({"host": "*", "host_regex": true}),
            ),
            (
                json!({"service": "a:1", "tls": true}),
                any(json!({"service": "https://a:1"})),
            ),
            (
                json!({"service": "https://a", "tls": false}),
                any(json!({"service": "http://a"})),
            ),
            (
                json!({"service": "a", "tls": "upstream"}),
                any(json!({"service": "a", "tls": "upstream"})),
            ),
            (
                json!({"headers": {"a": "b", "c": true}}),
                any(json!({"headers": {"a": "b"}, "regex_headers": {"c": ".*"}})),
            ),
            (
                json!({"query_parameters": {"a": true}, "regex_query_parameters": {"b": "c"}}),
                any(json!({"regex_query_parameters": {"a": ".*", "b": "c"}})),
            ),
            (
                json!({"headers": {"a": false}}),
                any(json!({"headers": {"a": false}})),
            ),
            (
                json!({"add_request_headers": {"a": "b", "c": {"value": "d", "append": false}}}),
                any(
                    json!({"add_request_headers": {"a": {"value": "b"}, "c": {"value": "d", "append": false}}}),
                ),
            ),
            (
                json!({"cors": {"origins": "http://a, http://b,", "methods": ["GET"]}}),
                any(json!({"cors": {"origins": ["http://a", "http://b"], "methods": ["GET"]}})),
            ),
            (
                json!({"rate_limits": [{"descriptor": "d", "headers": ["x-a"]}]}),
                any(json!({"labels": {"ambassador": [{"rate_limit_0": [
                    {"generic_key": {"value": "d"}},
                    {"request_headers": {"key": "x-a", "header_name": "x-a"}},
                ]}]}})),
            ),
            (
                json!({"labels": {"d": [{"g": [
                    "remote_address", "word", {"k": {"header": "x-a", "omit_if_not_present": true}},
                    {"generic_key": {"value": "v"}},
                ]}]}}),
                any(json!({"labels": {"d": [{"g": [
                    {"remote_address": {"key": "remote_address"}},
                    {"generic_key": {"value": "word"}},
                    {"request_headers": {"key": "k", "header_name": "x-a", "omit_if_not_present": true}},
                    {"generic_key": {"value": "v"}},
                ]}]}})),
            ),
        ] {
            for version in ["ambassador/v0", "ambassador/v1", "getambassador.io/v2"] {
                let (_, found) = converted(version, "Mapping", old.clone());
                assert_eq!(found, now, "{old}");
            }
            let (_, found) = converted(NOW, "Mapping", old.clone());
            assert_eq!(found, old, "today's objects stay as they are");
        }
    }

    #[test]
    fn what_protected_before_there_was_a_kind_for_it_still_does() {
        let old = json!({"config": {"auth_service": "a", "tls": true, "allowed_headers": ["x"]}});
        let now = json!({
            "auth_service": "https://a",
            "allowed_request_headers": ["x"],
            "allowed_authorization_headers": ["x"],
        });
        let found = converted("ambassador/v0", "Module", old);
        assert_eq!(found, ("AuthService".to_owned(), now));
    }

    #[test]
    fn specs_of_every_shape_are_taken() {
        for value in [
            json!(null),
            json!(1),
            json!("a"),
            json!([[]]),
            json!({"a": {"b": []}}),
        ] {
            for name in [
                "tls",
                "host",
                "headers",
                "add_request_headers",
                "cors",
                "labels",
                "rate_limits",
                "config",
            ] {
                for kind in ["Mapping", "AuthService", "Module", "TCPMapping"] {
                    converted("ambassador/v1", kind, json!({ name: value }));
                }
            }
        }
    }
}
