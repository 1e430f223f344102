//! A gateway on a folder that changes under it.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::Result;
use tempfile::TempDir;
use tokio::time::Instant;

use super::harness::{
    gateway::{Gateway, PROGRAM},
    process,
};

/// A change that is not a snapshot by then will never be one: an equal file changes nothing.
const CHANGE_LIMIT: Duration = Duration::from_secs(2);

/// The folder, and the gateway that serves it.
pub(super) struct Field {
    folder: TempDir,
    pub(super) gateway: Gateway,
}

impl Field {
    /// Starts a gateway on what `write` writes.
    pub(super) fn new(arguments: &[&str], write: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write(folder.path())?;
        let path = folder.path().display().to_string();
        let arguments = [&[&*path], arguments].concat();
        let mut gateway = Gateway::launch(process::tied(PROGRAM), &arguments)?;
        gateway.wait_until_ready(Duration::from_secs(30))?;
        Ok(Self { folder, gateway })
    }

    /// Snapshots so far.
    pub(super) fn generation(&self) -> Result<f64> {
        self.gateway.metric("postern_config_generation")
    }

    /// Makes a change, and waits until it is a snapshot; says how long that took.
    pub(super) fn make(&self, change: impl FnOnce(&Self) -> Result<()>) -> Result<Duration> {
        let before = self.generation()?;
        let written = Instant::now();
        change(self)?;
        while self.generation()? <= before && written.elapsed() < CHANGE_LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(written.elapsed())
    }

    /// Removes a file if it is there, makes it if not.
    pub(super) fn toggle(&self, name: &str, text: impl Fn() -> String) -> Result<()> {
        let path = self.folder.path().join(format!("{name}.yaml"));
        if path.exists() {
            Ok(fs::remove_file(path)?)
        } else {
            self.replace(name, &text())
        }
    }

    /// Replaces a file at once, as careful programs do.
    pub(super) fn replace(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder.path();
        let new = folder.join(format!(".{name}.new"));
        fs::write(&new, text)?;
        Ok(fs::rename(new, folder.join(format!("{name}.yaml")))?)
    }
}
