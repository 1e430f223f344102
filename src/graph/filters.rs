//! What a route changes in headers.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

/// Removals, then additions, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeaderEdits {
    pub edits: Arc<[HeaderEdit]>,
}

/// One change of the headers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderEdit {
    Remove(HeaderName),
    /// Another line beside those that are there.
    Append(HeaderName, HeaderText),
    /// In the place of those that are there.
    Set(HeaderName, HeaderText),
}

/// The value of an added header: constant, or with parts that each request fills in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderText {
    Literal(HeaderValue),
    Format(Arc<[Part]>),
}

/// A part of a value, named as in Envoy's format strings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Text(Arc<str>),
    /// `%REQ(name)%`
    RequestHeader(HeaderName),
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`: address and port of the client.
    RemoteAddress,
    /// `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`
    RemoteIp,
    /// `%DOWNSTREAM_LOCAL_ADDRESS%`
    LocalAddress,
    /// `%PROTOCOL%`: `HTTP/1.1`, `HTTP/2`.
    Protocol,
    /// `%HOSTNAME%`: the name of the machine or pod.
    Hostname,
}
