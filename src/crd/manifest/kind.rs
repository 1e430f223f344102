//! Names and printer columns: is it live, and if not why.

use serde_json::{Value, json};

/// What a CustomResourceDefinition says beside its schema.
pub(super) struct Definition {
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static str,
    /// `Namespaced` or `Cluster`.
    pub(super) scope: &'static str,
    /// Whether its status tells when a certificate ends.
    pub(super) has_certificate: bool,
    /// Whether its status tells where it is reachable.
    pub(super) has_addresses: bool,
    columns: &'static [Column],
}

#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    path: &'static str,
    kind: &'static str,
    /// Shown with `-o wide` only.
    is_wide: bool,
}

const fn column(name: &'static str, path: &'static str) -> Column {
    Column {
        name,
        path,
        kind: "string",
        is_wide: false,
    }
}

const fn wide(name: &'static str, path: &'static str) -> Column {
    Column {
        is_wide: true,
        ..column(name, path)
    }
}

const fn number(column: Column) -> Column {
    Column {
        kind: "integer",
        ..column
    }
}

const READY: Column = column("Ready", ".status.conditions[?(@.type==\"Ready\")].status");
const REASON: Column = column("Reason", ".status.conditions[?(@.type==\"Ready\")].reason");
const MESSAGE: Column = wide(
    "Message",
    ".status.conditions[?(@.type==\"Ready\")].message",
);
const AGE: Column = Column {
    kind: "date",
    ..column("Age", ".metadata.creationTimestamp")
};

pub(super) const MAPPING: Definition = Definition {
    kind: "Mapping",
    plural: "mappings",
    singular: "mapping",
    short: "mp",
    scope: "Namespaced",
    has_certificate: false,
    has_addresses: false,
    columns: &[
        READY,
        REASON,
        column("Hostname", ".spec.hostname"),
        column("Prefix", ".spec.prefix"),
        column("Service", ".spec.service"),
        AGE,
        number(wide("Weight", ".spec.weight")),
        wide("Method", ".spec.method"),
        MESSAGE,
    ],
};

pub(super) const TCP_MAPPING: Definition = Definition {
    kind: "TCPMapping",
    plural: "tcpmappings",
    singular: "tcpmapping",
    short: "tmp",
    scope: "Namespaced",
    has_certificate: false,
    has_addresses: false,
    columns: &[
        READY,
        REASON,
        number(column("Port", ".spec.port")),
        column("Host", ".spec.host"),
        column("Service", ".spec.service"),
        AGE,
        wide("Client-TLS", ".spec.clientTls"),
        number(wide("Weight", ".spec.weight")),
        MESSAGE,
    ],
};

pub(super) const HOST: Definition = Definition {
    kind: "Host",
    plural: "hosts",
    singular: "host",
    short: "hst",
    scope: "Namespaced",
    has_certificate: true,
    has_addresses: true,
    columns: &[
        READY,
        REASON,
        column("Hostname", ".spec.hostname"),
        column("Secret", ".spec.tlsSecret.name"),
        column("Expires", ".status.installations[0].certificateExpiry"),
        AGE,
        wide("Insecure", ".spec.requestPolicy.insecure.action"),
        MESSAGE,
    ],
};

pub(super) const LISTENER: Definition = Definition {
    kind: "Listener",
    plural: "listeners",
    singular: "listener",
    short: "lst",
    scope: "Namespaced",
    has_certificate: false,
    has_addresses: true,
    columns: &[
        READY,
        REASON,
        number(column("Port", ".spec.port")),
        column("Protocol", ".spec.protocol"),
        column("Stack", ".spec.protocolStack"),
        AGE,
        wide("Security", ".spec.securityModel"),
        number(wide("L7Depth", ".spec.l7Depth")),
        MESSAGE,
    ],
};

pub(super) const GATEWAY_SETTINGS: Definition = Definition {
    kind: "GatewaySettings",
    plural: "gatewaysettings",
    singular: "gatewaysettings",
    short: "gws",
    scope: "Namespaced",
    has_certificate: false,
    has_addresses: false,
    columns: &[
        READY,
        REASON,
        column("Default-Host", ".spec.defaultHost"),
        column("Unclaimed", ".spec.ownership.unclaimed"),
        column("Services", ".spec.references.services"),
        AGE,
        MESSAGE,
    ],
};

pub(super) const ROUTE_CLAIM: Definition = Definition {
    kind: "RouteClaim",
    plural: "routeclaims",
    singular: "routeclaim",
    short: "rcl",
    scope: "Cluster",
    has_certificate: false,
    has_addresses: false,
    columns: &[
        READY,
        REASON,
        column("Hostnames", ".spec.hostnames"),
        column("Paths", ".spec.paths"),
        column("Ports", ".spec.ports"),
        column("Namespaces", ".spec.namespaces.names"),
        column("Labels", ".spec.namespaces.selector"),
        AGE,
        wide("Contact", ".spec.contact"),
        MESSAGE,
    ],
};

// === impl Definition ===

impl Definition {
    pub(super) fn columns(&self) -> Value {
        self.columns.iter().map(Column::json).collect()
    }
}

// === impl Column ===

impl Column {
    fn json(&self) -> Value {
        let mut json = json!({"name": self.name, "type": self.kind, "jsonPath": self.path});
        if self.is_wide {
            json["priority"] = json!(1);
        }
        json
    }
}
