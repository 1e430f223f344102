//! What is kept of a request until it has ended, for the metrics and the access log.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use http::{HeaderValue, Method, StatusCode, Version};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    access_log::{self, Line},
    body::Upload,
    error::Reason,
    metrics::RouteCounters,
    peer::Peer,
    upstream::Reached,
};

/// Counted and written when it is dropped, which is when the last byte of the response has been handed over or the request
/// was given up.
#[derive(Debug)]
pub(super) struct Record {
    peer: Rc<Peer>,
    started: Instant,
    /// The peer, or whom trusted proxies name, then without a port.
    pub(super) client: SocketAddr,
    pub(super) status: StatusCode,
    pub(super) reason: Reason,
    /// Whether everything that was to be sent has been handed over.
    pub(super) complete: bool,
    bytes_out: u64,
    pub(super) upload: Option<Rc<Upload>>,
    /// Of the route, once there is one and if routes are counted.
    pub(super) route: Option<Arc<RouteCounters>>,
    /// Only when there is an access log.
    pub(super) told: Option<Box<Told>>,
}

/// What the access log tells beyond numbers.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) request_id: HeaderValue,
    pub(super) route: Option<Arc<str>>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) reached: Reached,
}

impl Record {
    pub(super) fn new(peer: Rc<Peer>, started: Instant) -> Self {
        peer.request_began();
        Self {
            client: peer.client,
            peer,
            started,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: Reason::ClientClosed,
            complete: false,
            bytes_out: 0,
            upload: None,
            route: None,
            told: None,
        }
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Bytes of the body were handed over.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes_out += bytes;
        self.peer.progressed();
    }

    fn line<'l>(&'l self, told: &'l Told, took: std::time::Duration) -> Line<'l> {
        Line {
            time: Timestamp::now(),
            method: told.method.as_str(),
            authority: &told.authority,
            path: &told.path,
            protocol: protocol(told.version),
            status: self.status.as_u16(),
            reason: self.reason.as_str(),
            duration_ms: access_log::milliseconds(took),
            bytes_in: self.bytes_in(),
            bytes_out: self.bytes_out,
            route: told.route.as_deref(),
            upstream: told.upstream.as_deref(),
            upstream_address: told.reached.get(),
            client: self.client,
            listener: &self.peer.listener,
            request_id: told.request_id.to_str().unwrap_or_default(),
        }
    }

    fn bytes_in(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.bytes())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.complete {
            self.reason = Reason::ClientClosed;
        }
        let now = Instant::now();
        let took = now - self.started;
        let counters = &self.peer.counters;
        counters.ended(self.status, self.reason, took);
        if let Some(route) = &self.route {
            route.ended(self.status, took);
        }
        counters.response_bytes.add(self.bytes_out);
        counters.request_bytes.add(self.bytes_in());
        if let (Some(log), Some(told)) = (&self.peer.log, &self.told) {
            log.write(&self.line(told, took));
        }
        self.peer.request_ended(now);
    }
}

/// As format strings and the access log name it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
