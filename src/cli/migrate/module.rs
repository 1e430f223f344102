//! The Module `ambassador`: which of its keys are settings of Postern, and which stay in it.

use serde_json::{Map, Value, json};

use super::convert::FieldVerdict;
use crate::{cli::docs::emissary::said_of_module, config::compat::Verdict};

/// What a key becomes: the setting, as a path below `spec`, and its value; none where the value is not one that counts.
type Becomes = fn(&Value) -> Option<Value>;

/// Keys with a setting that means the same.
const SETTINGS: &[(&str, &str, Becomes)] = &[
    ("merge_slashes", "paths.mergeSlashes", |value| {
        value.as_bool().map(Value::from)
    }),
    (
        "reject_requests_with_escaped_slashes",
        "paths.allowEscapedSlashes",
        |value| (value == &Value::Bool(true)).then_some(Value::Bool(false)),
    ),
    (
        "headers_with_underscores_action",
        "headers.underscores",
        |value| match value.as_str()? {
            "ALLOW" => Some(json!("Allow")),
            "REJECT_REQUEST" => Some(json!("Reject")),
            _ => None,
        },
    ),
    ("enable_grpc_web", "grpcWeb", |value| {
        value.as_bool().map(Value::from)
    }),
    ("resolver", "resolver", |value| match value.as_str()? {
        "kubernetes-service" => Some(json!("kubernetes-service")),
        "endpoint" | "kubernetes-endpoint" => Some(json!("endpoint")),
        _ => None,
    }),
];

/// Moves keys from the configuration of a Module into the spec of the settings.
pub(super) fn fold(config: &mut Map<String, Value>, settings: &mut Value) -> Vec<FieldVerdict> {
    let mut fields = Vec::new();
    for (key, value) in std::mem::take(config) {
        let snake = snake_case(&key);
        let (verdict, text) = said_of_module(&snake)
            .unwrap_or((Verdict::Refused, "There is no such key.".to_owned()));
        let mut field = FieldVerdict {
            field: format!("config.{key}"),
            verdict,
            text,
            becomes: None,
        };
        let row = SETTINGS.iter().find(|row| row.0 == snake);
        let pointer = row.map(|row| format!("/{}", row.1.replace('.', "/")));
        let is_decided = row.is_some_and(|row| row.0 != "resolver")
            && pointer
                .as_deref()
                .is_some_and(|at| settings.pointer(at).is_some());
        if let (true, Some((_, setting, _))) = (is_decided, row) {
            field.verdict = Verdict::NoEffect;
            field.text = format!("`{setting}` of the GatewaySettings decides it.");
        } else if let Some((setting, value)) = row.and_then(|row| Some((row.1, row.2(&value)?))) {
            field.becomes = Some(format!("GatewaySettings {setting}: {value}"));
            set(settings, setting, value);
        } else if verdict == Verdict::NoEffect {
            field.becomes = None;
        } else {
            field.becomes = Some("stays in the Module".to_owned());
            config.insert(key, value);
        }
        fields.push(field);
    }
    fields
}

/// Sets a value at a path of objects.
pub(super) fn set(spec: &mut Value, path: &str, value: Value) {
    let mut at = spec;
    for name in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
}

/// Emissary reads both spellings.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{
        GatewaySettingsSpec,
        schema::{Spelling, read},
    };

    fn folded(config: Value, settings: Value) -> (Value, Value) {
        let Value::Object(mut config) = config else {
            panic!("an object");
        };
        let mut settings = settings;
        fold(&mut config, &mut settings);
        let (_, problems) = read::<GatewaySettingsSpec>(settings.clone(), Spelling::Camel);
        assert_eq!(problems, []);
        (Value::Object(config), settings)
    }

    #[test]
    fn keys_with_a_setting_become_it_and_the_rest_stays() {
        let config = json!({
            "merge_slashes": true, "headersWithUnderscoresAction": "ALLOW", "resolver": "kubernetes-endpoint",
            "reject_requests_with_escaped_slashes": true, "cors": {"origins": ["https://a"]}, "ip_deny": [{"peer": "::/0"}],
            "statsd": {"enabled": true},
        });
        let (left, settings) = folded(config, json!({"preset": "emissary"}));
        assert_eq!(
            left,
            json!({"cors": {"origins": ["https://a"]}, "ip_deny": [{"peer": "::/0"}]})
        );
        assert_eq!(
            settings,
            json!({
                "preset": "emissary", "resolver": "endpoint", "headers": {"underscores": "Allow"},
                "paths": {"mergeSlashes": true, "allowEscapedSlashes": false},
            })
        );
    }

    #[test]
    fn settings_that_are_there_decide_and_values_that_cannot_be_read_stay() {
        let config = json!({"merge_slashes": true, "headers_with_underscores_action": "DROP_HEADER", "no_such": 1});
        let (left, settings) = folded(config, json!({"paths": {"mergeSlashes": false}}));
        assert_eq!(
            left,
            json!({"headers_with_underscores_action": "DROP_HEADER", "no_such": 1})
        );
        assert_eq!(settings, json!({"paths": {"mergeSlashes": false}}));
    }
}
