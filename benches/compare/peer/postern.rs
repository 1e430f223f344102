//! Postern, serving a folder.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::Result;

use super::{CORE, Job, Peer, Running};
use crate::{
    harness::{
        gateway::{Gateway, PROGRAM},
        manifest::{self, host, mapping, object, secret},
        process,
    },
    scenario::{Body, Protocol, Routes},
};

#[derive(Debug)]
pub(super) struct Postern;

impl Peer for Postern {
    fn name(&self) -> &'static str {
        "postern"
    }

    fn version(&self) -> Result<String> {
        Ok(format!("Postern {}", env!("CARGO_PKG_VERSION")))
    }

    fn start(&self, job: &Job<'_>, folder: &Path) -> Result<Running> {
        let command = process::pinned(CORE, PROGRAM);
        let gateway = launch(command, job, folder, Duration::from_mins(2))?;
        let port = match job.scenario.protocol {
            Protocol::Tls => 8443,
            Protocol::Http1 | Protocol::Http2 | Protocol::Grpc => 8080,
        };
        Ok(Running {
            pid: gateway.pid(),
            address: gateway.address(port)?,
            _keeper: Box::new(gateway),
        })
    }
}

/// Starts it by `command`, which ends with the program, and waits until it is ready.
pub(crate) fn launch(
    command: Command,
    job: &Job<'_>,
    folder: &Path,
    patience: Duration,
) -> Result<Gateway> {
    let routes = match job.scenario.routes {
        Routes::One if job.scenario.protocol == Protocol::Grpc => {
            let spec = "{hostname: \"*\", prefix: /svc/, service: \"be:80\", grpc: true}";
            object("Mapping", "one", spec)
        }
        Routes::One => mapping("one", "*", "/svc/", "be:80"),
        Routes::Many { hosts, paths } => manifest::mappings(hosts, paths, "be:80"),
    };
    fs::write(folder.join("routes.yaml"), routes)?;
    let claims = manifest::claims(job.scenario.claims);
    fs::write(folder.join("claims.yaml"), claims)?;
    if job.scenario.body == Body::Text {
        let spec = "{compression: {codings: [Gzip], effort: Fast}}";
        let text = object("GatewaySettings", "postern", spec);
        fs::write(folder.join("settings.yaml"), text)?;
    }
    if job.scenario.protocol == Protocol::Tls {
        let text = secret("bench", job.pair) + &host("all", "*", "bench");
        fs::write(folder.join("host.yaml"), text)?;
    }
    let backend = format!("default/be:80={}", job.upstream);
    let folder = folder.display().to_string();
    let arguments = [&*folder, "--workers", "1", "--backend", &backend];
    let mut gateway = Gateway::launch(command, &arguments)?;
    gateway.wait_until_ready(patience)?;
    Ok(gateway)
}
