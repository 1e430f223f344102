//! How HTTP is spoken with clients, whatever the route.

use std::sync::Arc;

use super::{ForwardedCert, compression::Compression};

/// What is spoken beyond the usual. Nothing as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientPolicy {
    /// Bytes. Bodies of requests go on when they are whole, and no longer than this.
    pub buffer: Option<u64>,
    /// Bytes of the head of a request, where that is less than the proxy takes anyway.
    pub max_head: Option<u32>,
    /// Of responses.
    pub compression: Option<Arc<Compression>>,
    /// Whether gRPC-Web becomes gRPC on the way to upstreams that speak HTTP/2.
    pub grpc_web: bool,
    /// Whether HTTP/1.0 is answered.
    pub http10: bool,
    /// Whether the names of header fields of HTTP/1 responses are written `Like-This`.
    pub title_case: bool,
    /// Whether the port of the Listener is taken out of Host.
    pub strips_own_port: bool,
    /// What upstreams are told of the certificates of clients.
    pub forwarded_cert: ForwardedCert,
    /// Whether anybody may name his request.
    pub keeps_request_ids: bool,
}
