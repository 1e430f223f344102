//! `why`, a slow reading of the manifests and the proxy say the same of very many requests.

use std::{fs, time::Duration};

use anyhow::{Result, anyhow, ensure};

use super::{
    harness::{
        gateway::{Gateway, PROGRAM},
        process,
        text::grouped,
    },
    ownership::{agreement::agree, world::PLATFORM},
};

/// Of each world so many requests are asked.
const EACH: u32 = 2000;

/// Proves it with so many requests.
pub(super) fn prove(requests: u32) -> Result<String> {
    let worlds = requests.div_ceil(EACH).max(1);
    let tally = agree(requests, worlds, |manifests| {
        serve(manifests).expect("a gateway must serve the world")
    });
    let tally = tally.map_err(|why| anyhow!(why))?;
    let percent = |part: u32| 100 * part / tally.asked.max(1);
    let line = format!(
        "{} requests in {worlds} worlds: why, the manifests and the proxy agree about all; {} % hit a route, {} % are not won by \
         the longest path, {} % are in claims",
        grouped(u64::from(tally.asked)),
        percent(tally.routed),
        percent(tally.not_longest),
        percent(tally.in_claims),
    );
    ensure!(tally.is_worth(), "too few of them say anything: {line}");
    Ok(line)
}

type Serving = (
    (Gateway, tempfile::TempDir),
    std::net::SocketAddr,
    std::net::SocketAddr,
);

fn serve(manifests: &str) -> Result<Serving> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("all.yaml"), manifests)?;
    let path = folder.path().display().to_string();
    let arguments = [&*path, "--echo", "--namespace", PLATFORM];
    let mut gateway = Gateway::launch(process::tied(PROGRAM), &arguments)?;
    gateway.wait_until_ready(Duration::from_secs(30))?;
    let (cleartext, tls) = (gateway.address(8080)?, gateway.address(8443)?);
    Ok(((gateway, folder), cleartext, tls))
}
