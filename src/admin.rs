//! What Postern answers about itself, on two ports that traffic never sees.
//!
//! The health port is for the kubelet and for Prometheus, so it is open to the pod network and tells nothing about the
//! configuration. The diagnostics port tells all of it, except secrets, and is for who may open a port-forward: it is bound to
//! loopback, and refuses requests that name a host, because a web page in somebody's browser could send those.

mod diagnostics;
mod emissary;
mod health;
mod server;
mod view;
mod why;

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;

pub use view::{digest, dump};

use crate::{graph::Graph, report::Report, telemetry::health::Health};

/// The configuration in use.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub generation: u64,
    pub graph: Arc<Graph>,
    pub report: Arc<Report>,
    pub versions: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

/// What the two ports tell about.
pub struct State {
    pub health: Health,
    pub registry: Registry,
    /// The settings of the process, as shown by `/config`.
    pub config: serde_json::Value,
    /// The configuration in use, once there is one.
    pub snapshot: Box<dyn Fn() -> Option<Snapshot> + Send + Sync>,
}

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Health,
    Diagnostics,
}

/// A port that has its address, and does not answer yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    port: Port,
    state: Arc<State>,
}

type Reply = Response<Full<Bytes>>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Admin {
    pub async fn bind(port: Port, address: SocketAddr, state: Arc<State>) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            port,
            state,
        })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the task is dropped.
    pub async fn run(self) {
        let Self {
            listener,
            port,
            state,
        } = self;
        server::run(listener, move |head| answer(port, &state, head)).await;
    }
}

fn answer(port: Port, state: &State, head: &Parts) -> Reply {
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut reply = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered\n",
        );
        let headers = reply.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match port {
        Port::Health => {
            emissary::answer(state, head).unwrap_or_else(|| health::answer(state, head.uri.path()))
        }
        Port::Diagnostics => diagnostics::answer(state, head),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    let mut body = serde_json::to_vec_pretty(value).expect("texts and numbers must become JSON");
    body.push(b'\n');
    reply(status, "application/json", body)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", text)
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    reply
}

fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "not found\n")
}

#[cfg(test)]
mod tests;
