//! The schema of the status: conditions, and what each installation says.

use serde_json::{Value, json};

pub(super) fn schema(has_certificate: bool, has_addresses: bool) -> Value {
    let mut installation = json!({
        "name": {
            "type": "string",
            "maxLength": 63,
            "description": "The id of the installation.",
        },
        "observedGeneration": generation(),
        "conditions": conditions(),
        "serves": {
            "type": "array",
            "maxItems": 64,
            "items": {"type": "string", "maxLength": 2048},
            "description": "Where it serves, as a person writes it.",
        },
    });
    if has_certificate {
        installation["certificateExpiry"] = json!({
            "type": "string",
            "format": "date-time",
            "maxLength": 64,
            "description": "When the certificate that is served ends.",
        });
    }
    if has_addresses {
        installation["addresses"] = addresses();
    }
    let mut status = json!({
        "type": "object",
        "description": "What is so, written by Postern.",
        "properties": {
            "observedGeneration": generation(),
            "conditions": conditions(),
            "installations": {
                "type": "array",
                "maxItems": 64,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "description": "What each installation says. The conditions above sum it up.",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": installation,
                },
            },
        },
    });
    if has_addresses {
        status["properties"]["addresses"] = addresses();
    }
    status
}

/// As the addresses of a Gateway.
fn addresses() -> Value {
    json!({
        "type": "array",
        "maxItems": 16,
        "description": "Where it is reachable: the addresses of the Service that leads to Postern.",
        "items": {
            "type": "object",
            "required": ["type", "value"],
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 253,
                    "description": "`IPAddress` or `Hostname`.",
                },
                "value": {
                    "type": "string",
                    "maxLength": 253,
                    "description": "The address.",
                },
            },
        },
    })
}

fn generation() -> Value {
    json!({
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "description": "The generation of the object that this is about.",
    })
}

/// As `metav1.Condition`.
fn conditions() -> Value {
    json!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "description": "Accepted, ResolvedRefs and Programmed, and Ready, which is true when they all are.",
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 316,
                    "description": "What it is about.",
                },
                "status": {
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                    "description": "Whether it is so.",
                },
                "observedGeneration": generation(),
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "maxLength": 64,
                    "description": "When the status was another for the last time.",
                },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "description": "Why, in one word.",
                },
                "message": {
                    "type": "string",
                    "maxLength": 32768,
                    "description": "Why, with the code, the field and the next step.",
                },
            },
        },
    })
}
