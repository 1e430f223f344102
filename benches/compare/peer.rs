//! The proxies, each told to do the same: take the prefix off, add X-Forwarded-For and X-Request-Id, keep connections to the
//! upstream, write no access log, one worker on core 0.

mod haproxy;
mod nginx;
mod postern;

use std::{any::Any, fmt, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    backend::{self, Backend},
    harness::{
        gateway::{answer, exchange},
        manifest::Pair,
        process,
    },
    scenario::{Body, Protocol, Scenario},
};

/// The core of the proxy.
pub(super) const CORE: usize = 0;

/// A proxy that can be measured.
pub(super) trait Peer: fmt::Debug {
    fn name(&self) -> &'static str;

    /// What it calls itself, for the table.
    fn version(&self) -> Result<String>;

    /// Starts it with the routes of the scenario. `folder` is its own.
    fn start(&self, job: &Job<'_>, folder: &Path) -> Result<Running>;
}

/// What a proxy has to do.
#[derive(Debug)]
pub(super) struct Job<'j> {
    pub(super) scenario: &'j Scenario,
    /// Where the backend listens.
    pub(super) upstream: SocketAddr,
    pub(super) pair: &'j Pair,
}

/// A proxy that listens.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) address: SocketAddr,
    /// Ends it when dropped.
    pub(super) _keeper: Box<dyn Any>,
}

/// The proxies with these names, in the order of the table.
pub(super) fn named(names: &[String]) -> Result<Vec<Box<dyn Peer>>> {
    let all: [Box<dyn Peer>; 3] = [
        Box::new(nginx::Nginx),
        Box::new(haproxy::Haproxy),
        Box::new(postern::Postern),
    ];
    let unknown = names
        .iter()
        .find(|name| !all.iter().any(|peer| peer.name() == **name));
    ensure!(unknown.is_none(), "no proxy is called {unknown:?}");
    let wanted = |peer: &dyn Peer| names.iter().any(|name| name == peer.name());
    Ok(all.into_iter().filter(|peer| wanted(&**peer)).collect())
}

pub(super) use postern::launch as launch_postern;

/// Fails unless JSON comes as gzip, and is as small as that makes it.
fn check_gzip(name: &str, address: SocketAddr) -> Result<()> {
    const MAGIC: &[u8] = &[0x1f, 0x8b];
    let request = "GET /svc/hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept-encoding: gzip\r\n\r\n";
    let (head, body) = answer(address, request, Duration::from_secs(30))
        .with_context(|| format!("asking {name} for gzip"))?;
    let head = head.to_ascii_lowercase();
    // A chunk may begin with its size.
    let begin = body.get(..16).unwrap_or_default();
    ensure!(
        head.contains("content-encoding: gzip")
            && begin.windows(MAGIC.len()).any(|bytes| bytes == MAGIC)
            && body.len() < backend::TEXT_BODY / 2,
        "{name} sends {} bytes that are no gzip:\n{head}",
        body.len()
    );
    eprintln!("{name}: {} bytes by gzip", body.len());
    Ok(())
}

// === impl Job ===

impl<'j> Job<'j> {
    pub(super) fn new(scenario: &'j Scenario, backend: &Backend, pair: &'j Pair) -> Self {
        let port = match (scenario.protocol, scenario.body) {
            (Protocol::Grpc, _) => backend.grpc,
            (_, Body::Small) => backend.small,
            (_, Body::Large) => backend.large,
            (_, Body::Text) => backend.text,
        };
        Self {
            scenario,
            upstream: process::local(port),
            pair,
        }
    }

    /// Fails unless the backend is sent what every proxy is to send.
    pub(super) fn check(&self, name: &str, running: &Running) -> Result<()> {
        if self.scenario.protocol != Protocol::Http1 {
            // The same configuration is looked at in cleartext HTTP/1 by the other scenarios.
            return Ok(());
        }
        let (host, path) = self.scenario.routes.example();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\naccept: */*\r\n\r\n"
        );
        let (status, seen) = exchange(running.address, &request, Duration::from_secs(30))
            .with_context(|| format!("asking {name}"))?;
        let seen = seen.to_ascii_lowercase();
        let wanted = [
            "get /a/seen http/1.1",
            &format!("host: {host}"),
            "x-forwarded-for: 127.0.0.1",
            "x-request-id: ",
        ];
        let absent = wanted.into_iter().find(|part| !seen.contains(part));
        ensure!(
            status == 200 && absent.is_none() && !seen.contains("connection: close"),
            "{name} does not do the same work ({absent:?}): {status}\n{seen}"
        );
        if self.scenario.body == Body::Text {
            check_gzip(name, running.address)?;
        }
        Ok(())
    }
}
