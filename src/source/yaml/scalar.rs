//! What a scalar means, as kubectl has it: the rules of go-yaml 2 (YAML 1.1, minus base 60), and then of JSON.

use serde_json::{Number, Value};

/// A scalar that is not quoted.
enum Plain {
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
    Text,
}

/// The value of a scalar.
///
/// `tag` is the name of a tag of YAML's own (`str` of `!!str`); tags of other schemas are to be left out with `plain` false,
/// since kubectl takes what they tag as a string.
pub(super) fn value(text: &str, plain: bool, tag: Option<&str>) -> Result<Value, String> {
    match tag {
        None if !plain => Ok(Value::from(text)),
        None => json(resolve(text), text),
        Some("binary") => {
            Err("`!!binary` has no meaning in a manifest: write base64 without the tag".to_owned())
        }
        Some(tag @ ("null" | "bool" | "int" | "float")) => {
            let resolved = resolve(text);
            match (tag, &resolved) {
                ("null", Plain::Null)
                | ("bool", Plain::Bool(_))
                | ("int" | "float", Plain::Int(_))
                | ("float", Plain::Float(_)) => json(resolved, text),
                _ => Err(format!("the value is not of the type `!!{tag}`")),
            }
        }
        Some(_) => Ok(Value::from(text)),
    }
}

/// A scalar as the key of a JSON object.
pub(super) fn key(text: &str, plain: bool, tag: Option<&str>) -> Result<String, String> {
    if (plain || tag == Some("float"))
        && let Plain::Float(float) = resolve(text)
    {
        return Ok(float_key(float));
    }
    match value(text, plain, tag)? {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("the key of a field must not be null".to_owned())
        }
    }
}

/// The beginning of a text, short enough for a message.
pub(super) fn shown(text: &str) -> &str {
    match text.char_indices().nth(40) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

fn json(resolved: Plain, text: &str) -> Result<Value, String> {
    Ok(match resolved {
        Plain::Null => Value::Null,
        Plain::Bool(value) => Value::Bool(value),
        Plain::Int(number) => Value::Number(number),
        Plain::Text => Value::from(text),
        Plain::Float(float) => Value::Number(number(float).ok_or_else(|| {
            format!("`{text}` is not a number that JSON has; quote it if it is a text")
        })?),
    })
}

/// Go writes a float without a fraction like an integer, so that `1.0` and `1e3` are accepted as integers.
fn number(float: f64) -> Option<Number> {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() == 0.0 && float.abs() < TOO_LARGE {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number below 2^63 is an integer of 64 bits"
        )]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Plain::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or(Plain::Text, Plain::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let digits = text.replace('_', "");
            if let Some(number) = integer(&digits) {
                return Plain::Int(number);
            }
            float(&digits).map_or(Plain::Text, Plain::Float)
        }
        _ => Plain::Text,
    }
}

/// Go's `strconv.ParseInt` with base 0: `0x`, `0o`, `0b` and a leading zero give the base.
fn integer(text: &str) -> Option<Number> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (base, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0o" | "0O") => (8, digits.get(2..)?),
        Some("0b" | "0B") => (2, digits.get(2..)?),
        Some(_) if digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(size).map(Number::from);
    }
    if signed && i64::try_from(size).is_err() {
        return None;
    }
    Some(Number::from(size))
}

/// Digits with an optional fraction and exponent: Rust would also read `inf` and `+.e1`.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_digit() || b == b'.')
    {
        return None;
    }
    text.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// Go's `strconv.FormatFloat(key, 'g', -1, 32)`, which kubectl makes keys of floats with.
fn float_key(float: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "kubectl writes the key with the precision of 32 bits"
    )]
    let float = float as f32;
    let size = float.abs();
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    if size == 0.0 || (1e-4..1e6).contains(&size) {
        return format!("{float}");
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}
