//! Figures that one program keeps for another: `make soak` measures with an API server, `make bench` writes the page.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use anyhow::{Context, Result};

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, u64>;

pub(crate) fn write(name: &str, figures: &Figures) -> Result<()> {
    let path = path(name)?;
    fs::write(&path, serde_json::to_vec(figures)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// Those that were written last; none if there were never any.
pub(crate) fn read(name: &str) -> Result<Option<Figures>> {
    let path = path(name)?;
    match fs::read(&path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Beside those of criterion, in the target folder.
fn path(name: &str) -> Result<PathBuf> {
    // target/PROFILE/deps/this
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("no target folder")?;
    Ok(target.join(format!("{name}.json")))
}
