//! Compression of responses, as the GatewaySettings or the `gzip` of Emissary's Module ask for it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::settings::Settings;
use crate::{
    crd::gateway_settings::{Coding as Name, CompressionPolicy, Effort},
    graph::compression::{Coder, Coding, Compression},
};

/// Media types that shrink, where nobody says which: those that Envoy takes (emissary.md, section 1.10) and some younger ones.
const CONTENT_TYPES: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/problem+json",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/markdown",
    "text/plain",
    "text/xml",
];

/// Those of Envoy, where the Module says none.
const ENVOYS_CONTENT_TYPES: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/plain",
    "text/xml",
];

/// Bytes, where nobody says how many: below that, it costs more than it saves.
const MIN_LENGTH: u64 = 1024;
const ENVOYS_MIN_LENGTH: u64 = 30;

/// What Envoy and zlib mean by the default.
const ENVOYS_LEVEL: u8 = 6;

/// What the GatewaySettings ask for; nothing without a coding.
pub(super) fn lower(said: &CompressionPolicy) -> Option<Arc<Compression>> {
    let all = || vec![Name::Zstd, Name::Brotli, Name::Gzip];
    let effort = said.effort.unwrap_or(Effort::Balanced);
    let mut coders: Vec<Coder> = Vec::new();
    for name in said.codings.clone().unwrap_or_else(all) {
        let coder = coder(name, effort);
        if !coders.contains(&coder) {
            coders.push(coder);
        }
    }
    let types = said.content_types.as_ref();
    let content_types = types.map_or_else(
        || CONTENT_TYPES.iter().copied().map(Arc::from).collect(),
        |types| types.iter().map(|name| content_type(name)).collect(),
    );
    (!coders.is_empty()).then(|| {
        Arc::new(Compression {
            coders,
            min_length: said.min_length_bytes.unwrap_or(MIN_LENGTH),
            content_types,
            leaves_etags: false,
            hides_codings: false,
        })
    })
}

fn coder(name: Name, effort: Effort) -> Coder {
    let (coding, [fast, balanced, small]) = match name {
        Name::Gzip => (Coding::Gzip, [1, 6, 9]),
        Name::Brotli => (Coding::Brotli, [1, 4, 7]),
        Name::Zstd => (Coding::Zstd, [1, 3, 9]),
    };
    let level = match effort {
        Effort::Fast => fast,
        Effort::Balanced => balanced,
        Effort::Small => small,
    };
    Coder { coding, level }
}

/// As types are compared: in lower case, without parameters.
fn content_type(text: &str) -> Arc<str> {
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase().into()
}

/// The `gzip` of the Module. `window_bits`, `memory_level` and `compression_strategy` change how zlib works, and not what a
/// client sees: they are read, and nothing comes of them.
pub(super) fn of_module(value: &Value, settings: &mut Settings) -> Result<(), String> {
    settings.clients.compression = gzip(value)?;
    Ok(())
}

fn gzip(value: &Value) -> Result<Option<Arc<Compression>>, String> {
    let fields = match value {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::Object(fields) => fields,
        other => return Err(format!("{other} is not an object")),
    };
    if !flag(fields, "enabled", true)? {
        return Ok(None);
    }
    for (name, least, most) in [("window_bits", 9, 15), ("memory_level", 1, 9)] {
        number(fields, name, least, most)?;
    }
    strategy(fields)?;
    let coder = Coder {
        coding: Coding::Gzip,
        level: level(fields)?,
    };
    let most = u64::from(u32::MAX);
    let length = number(fields, "min_content_length", 0, most)?;
    Ok(Some(Arc::new(Compression {
        coders: vec![coder],
        min_length: length.unwrap_or(ENVOYS_MIN_LENGTH),
        content_types: content_types(fields)?,
        leaves_etags: flag(fields, "disable_on_etag_header", false)?,
        hides_codings: flag(fields, "remove_accept_encoding_header", false)?,
    })))
}

fn flag(fields: &Map<String, Value>, name: &str, otherwise: bool) -> Result<bool, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(otherwise),
        Some(Value::Bool(said)) => Ok(*said),
        Some(other) => Err(format!("`{name}` is {other}, and not true or false")),
    }
}

fn number(
    fields: &Map<String, Value>,
    name: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64();
            let number = number.filter(|number| (least..=most).contains(number));
            let wrong = || format!("`{name}` is {value}, and not a number from {least} to {most}");
            number.map(Some).ok_or_else(wrong)
        }
    }
}

/// A name of Envoy's, in either of the versions of its configuration.
fn level(fields: &Map<String, Value>) -> Result<u8, String> {
    let value = match fields.get("compression_level") {
        None | Some(Value::Null) => return Ok(ENVOYS_LEVEL),
        Some(value) => value,
    };
    let name = value.as_str().unwrap_or_default();
    let numbered = name.strip_prefix("COMPRESSION_LEVEL_");
    let numbered = numbered.and_then(|digits| digits.parse().ok());
    match name {
        "DEFAULT" | "DEFAULT_COMPRESSION" => Ok(ENVOYS_LEVEL),
        "SPEED" | "BEST_SPEED" => Ok(1),
        "BEST" | "BEST_COMPRESSION" => Ok(9),
        _ => numbered
            .filter(|level| (1..=9).contains(level))
            .ok_or_else(|| {
                format!("`compression_level` is {value}, and not such as BEST_SPEED or COMPRESSION_LEVEL_6")
            }),
    }
}

fn strategy(fields: &Map<String, Value>) -> Result<(), String> {
    const KNOWN: &[&str] = &[
        "DEFAULT",
        "DEFAULT_STRATEGY",
        "FILTERED",
        "HUFFMAN",
        "HUFFMAN_ONLY",
        "RLE",
        "FIXED",
    ];
    match fields.get("compression_strategy") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(name)) if KNOWN.contains(&&**name) => Ok(()),
        Some(other) => Err(format!(
            "`compression_strategy` is {other}, and not one of {}",
            KNOWN.join(", ")
        )),
    }
}

fn content_types(fields: &Map<String, Value>) -> Result<Arc<[Arc<str>]>, String> {
    let wrong = || "`content_type` must be a list of media types".to_owned();
    let all = || {
        { ENVOYS_CONTENT_TYPES.iter().copied() }
            .map(Arc::from)
            .collect()
    };
    match fields.get("content_type") {
        None | Some(Value::Null) => Ok(all()),
        Some(Value::Array(items)) if items.is_empty() => Ok(all()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(content_type).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_module_compresses_as_envoy_does_where_it_says_nothing_else() {
        let plain = gzip(&json!({})).unwrap().unwrap();
        assert_eq!(plain.min_length, 30);
        assert_eq!(plain.coders.len(), 1);
        assert_eq!(plain.coders[0].level, 6);
        assert_eq!(plain.content_types.len(), 8);
        let said = json!({
            "min_content_length": 256,
            "compression_level": "BEST",
            "compression_strategy": "RLE",
            "window_bits": 15,
            "memory_level": 9,
            "content_type": ["Text/HTML; charset=utf-8"],
            "disable_on_etag_header": true,
            "remove_accept_encoding_header": true,
        });
        let said = gzip(&said).unwrap().unwrap();
        assert_eq!((said.min_length, said.coders[0].level), (256, 9));
        assert_eq!(&*said.content_types, ["text/html".into()]);
        assert!(said.leaves_etags && said.hides_codings);
    }

    #[test]
    fn what_the_module_turns_off_is_off_and_what_makes_no_sense_is_told() {
        for off in [json!(null), json!(false), json!({"enabled": false})] {
            assert_eq!(gzip(&off), Ok(None), "{off}");
        }
        for wrong in [
            json!(true),
            json!({"compression_level": "FAST"}),
            json!({"compression_level": "COMPRESSION_LEVEL_10"}),
            json!({"window_bits": 8}),
            json!({"memory_level": 10}),
            json!({"min_content_length": "many"}),
            json!({"compression_strategy": "NONE"}),
            json!({"content_type": "text/html"}),
            json!({"disable_on_etag_header": "yes"}),
        ] {
            assert!(gzip(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_settings_decide_about_order_and_effort() {
        let all = lower(&CompressionPolicy::default()).unwrap();
        let codings: Vec<_> = all.coders.iter().map(|coder| coder.coding).collect();
        assert_eq!(codings, [Coding::Zstd, Coding::Brotli, Coding::Gzip]);
        assert_eq!(all.min_length, 1024);
        let said = CompressionPolicy {
            codings: Some(vec![Name::Gzip, Name::Gzip]),
            effort: Some(Effort::Fast),
            min_length_bytes: Some(0),
            content_types: Some(vec!["A/B".to_owned()]),
        };
        let said = lower(&said).unwrap();
        let gzip = Coder {
            coding: Coding::Gzip,
            level: 1,
        };
        assert_eq!(said.coders, [gzip]);
        assert_eq!(
            (said.min_length, &*said.content_types),
            (0, &["a/b".into()][..])
        );
        let none = CompressionPolicy {
            codings: Some(Vec::new()),
            ..CompressionPolicy::default()
        };
        assert_eq!(lower(&none), None);
    }
}
