//! What the figures were measured on. No names of machines, no paths.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use super::peer::Peer;

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) programs: Vec<String>,
    pub(super) date: String,
}

impl Machine {
    pub(super) fn this(peers: &[Box<dyn Peer>]) -> Result<Self> {
        let mut programs = peers
            .iter()
            .map(|peer| peer.version())
            .collect::<Result<Vec<_>>>()?;
        programs.push(wrk()?);
        programs.push(compiler()?);
        Ok(Self {
            cpu: cpu_model(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            programs,
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        })
    }
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    // Not every architecture names one there.
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.to_owned(),
    )
}

fn wrk() -> Result<String> {
    // It calls asking for its version an error.
    let output = Command::new("wrk").arg("-v").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    Ok(words.join(" "))
}

fn compiler() -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program)
        .arg("--version")
        .output()
        .context("asking rustc for its version")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" "))
}
