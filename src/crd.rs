//! The wire types: what a user writes, one file per kind. Doc comments are the user reference.
//!
//! Every field is optional for serde; which ones a kind requires, and what each may hold, is in its schema, and
//! [`schema`] checks an object against it before it is deserialised.

pub mod emissary;
pub mod gateway_settings;
pub mod host;
pub mod listener;
pub mod manifest;
pub mod mapping;
pub mod reference;
pub mod route_claim;
pub mod rule;
pub mod schema;
pub mod tcp_mapping;
pub mod tls_context;

pub use gateway_settings::GatewaySettingsSpec;
pub use host::HostSpec;
pub use listener::ListenerSpec;
pub use mapping::MappingSpec;
pub use route_claim::RouteClaimSpec;
pub use tcp_mapping::TcpMappingSpec;
pub use tls_context::TlsContextSpec;

/// The API group of Postern's own kinds.
pub const GROUP: &str = "postern.dev";
/// The version of Postern's own kinds.
pub const VERSION: &str = "v1alpha1";
/// The API group of Emissary-ingress, read through the same types.
pub const EMISSARY_GROUP: &str = "getambassador.io";
