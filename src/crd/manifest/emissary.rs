//! The CustomResourceDefinitions of Emissary-ingress, for clusters where its own are gone: the kinds that Postern reads, with
//! Emissary's names, scopes and status.

use serde_json::{Value, json};

use super::schema;
use crate::crd::{
    EMISSARY_GROUP, HostSpec, ListenerSpec, MappingSpec, TcpMappingSpec, TlsContextSpec,
    emissary::{
        AuthServiceSpec, ConsulResolverSpec, DevPortalSpec, KubernetesEndpointResolverSpec,
        KubernetesServiceResolverSpec, LogServiceSpec, ModuleSpec, RateLimitServiceSpec,
        TracingServiceSpec,
    },
    schema::{Node, Spec, tree::Names},
};

const VERSION: &str = "v3alpha1";

/// A kind of Emissary-ingress.
pub struct Kind {
    pub name: &'static str,
    plural: &'static str,
    /// The name of the file.
    file: &'static str,
    pub tree: fn() -> &'static Node,
    /// How the names of its fields are spelled.
    pub names: Names,
    required: &'static [&'static str],
    columns: &'static [(&'static str, &'static str, &'static str)],
    status: Option<fn() -> Value>,
}

const fn kind<S: Spec>(name: &'static str, plural: &'static str, file: &'static str) -> Kind {
    Kind {
        name,
        plural,
        file,
        tree: S::tree,
        names: Names::Snake,
        required: S::REQUIRED,
        columns: &[],
        status: None,
    }
}

/// Every kind of the group.
pub const KINDS: &[Kind] = &[
    Kind {
        columns: &[
            ("Source Host", "string", ".spec.hostname"),
            ("Source Prefix", "string", ".spec.prefix"),
            ("Dest Service", "string", ".spec.service"),
            ("State", "string", ".status.state"),
            ("Reason", "string", ".status.reason"),
        ],
        status: Some(mapping_status),
        ..kind::<MappingSpec>("Mapping", "mappings", "getambassador.io_mappings.yaml")
    },
    kind::<TcpMappingSpec>(
        "TCPMapping",
        "tcpmappings",
        "getambassador.io_tcpmappings.yaml",
    ),
    Kind {
        names: Names::Mixed,
        columns: &[
            ("Hostname", "string", ".spec.hostname"),
            ("State", "string", ".status.state"),
            ("Reason", "string", ".status.errorReason"),
            ("Age", "date", ".metadata.creationTimestamp"),
        ],
        status: Some(host_status),
        ..kind::<HostSpec>("Host", "hosts", "getambassador.io_hosts.yaml")
    },
    Kind {
        names: Names::Mixed,
        columns: &[
            ("Port", "integer", ".spec.port"),
            ("Protocol", "string", ".spec.protocol"),
            ("Stack", "string", ".spec.protocolStack"),
            ("StatsPrefix", "string", ".spec.statsPrefix"),
            ("Security", "string", ".spec.securityModel"),
            ("L7Depth", "integer", ".spec.l7Depth"),
        ],
        ..kind::<ListenerSpec>("Listener", "listeners", "getambassador.io_listeners.yaml")
    },
    kind::<TlsContextSpec>(
        "TLSContext",
        "tlscontexts",
        "getambassador.io_tlscontexts.yaml",
    ),
    kind::<ModuleSpec>("Module", "modules", "getambassador.io_modules.yaml"),
    kind::<AuthServiceSpec>(
        "AuthService",
        "authservices",
        "getambassador.io_authservices.yaml",
    ),
    kind::<RateLimitServiceSpec>(
        "RateLimitService",
        "ratelimitservices",
        "getambassador.io_ratelimitservices.yaml",
    ),
    kind::<LogServiceSpec>(
        "LogService",
        "logservices",
        "getambassador.io_logservices.yaml",
    ),
    kind::<TracingServiceSpec>(
        "TracingService",
        "tracingservices",
        "getambassador.io_tracingservices.yaml",
    ),
    kind::<KubernetesServiceResolverSpec>(
        "KubernetesServiceResolver",
        "kubernetesserviceresolvers",
        "getambassador.io_kubernetesserviceresolvers.yaml",
    ),
    kind::<KubernetesEndpointResolverSpec>(
        "KubernetesEndpointResolver",
        "kubernetesendpointresolvers",
        "getambassador.io_kubernetesendpointresolvers.yaml",
    ),
    kind::<ConsulResolverSpec>(
        "ConsulResolver",
        "consulresolvers",
        "getambassador.io_consulresolvers.yaml",
    ),
    kind::<DevPortalSpec>(
        "DevPortal",
        "devportals",
        "getambassador.io_devportals.yaml",
    ),
];

// === impl Kind ===

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Each definition: the name of its file, and its JSON.
pub(super) fn definitions() -> Vec<(&'static str, Value)> {
    KINDS
        .iter()
        .map(|kind| (kind.file, definition(kind)))
        .collect()
}

fn definition(kind: &Kind) -> Value {
    let tree = (kind.tree)();
    let mut spec = schema::named(tree, kind.names);
    spec["description"] = json!("What is wanted.");
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    });
    if let Some(status) = kind.status {
        properties["status"] = status();
    }
    let mut root = json!({
        "type": "object",
        "description": tree.description,
        "properties": properties,
    });
    if kind.required.iter().any(|field| !field.contains('.')) {
        root["required"] = json!(["spec"]);
    }
    let columns = kind.columns.iter();
    let columns =
        columns.map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}));
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": root},
    });
    if !kind.columns.is_empty() {
        version["additionalPrinterColumns"] = columns.collect();
    }
    if kind.status.is_some() {
        version["subresources"] = json!({"status": {}});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{EMISSARY_GROUP}", kind.plural),
            "labels": {"app.kubernetes.io/part-of": "postern"},
        },
        "spec": {
            "group": EMISSARY_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": format!("{}List", kind.name),
                "plural": kind.plural,
                "singular": kind.name.to_ascii_lowercase(),
                "categories": ["ambassador-crds"],
            },
            "versions": [version],
        },
    })
}

fn mapping_status() -> Value {
    json!({
        "type": "object",
        "description": "What is so, written by the gateway.",
        "properties": {
            "state": {
                "type": "string",
                "enum": ["", "Inactive", "Running"],
                "description": "Whether it is served.",
            },
            "reason": text("Why it is not served."),
        },
    })
}

fn host_status() -> Value {
    json!({
        "type": "object",
        "description": "What is so, written by the gateway.",
        "properties": {
            "state": {
                "type": "string",
                "enum": ["Initial", "Pending", "Ready", "Error"],
                "description": "Whether it is served.",
            },
            "errorReason": text("Why it is not served."),
            "tlsCertificateSource": {
                "type": "string",
                "enum": ["Unknown", "None", "Other", "ACME"],
                "description": "Not written.",
            },
            "phaseCompleted": text("Not written."),
            "phasePending": text("Not written."),
            "errorBackoff": text("Not written."),
            "errorTimestamp": {
                "type": "string",
                "format": "date-time",
                "maxLength": 64,
                "description": "Not written.",
            },
        },
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "maxLength": 4096, "description": description})
}
