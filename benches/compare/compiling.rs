//! What the compile benchmark (`cargo bench --bench compile`) found, as criterion keeps it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

/// The time of one thing that the compiler does.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) took: Duration,
    /// Routes that share the time, where it is per route.
    pub(super) routes: Option<u32>,
}

/// Folder under `target/criterion`, title, routes.
const KNOWN: [(&str, &str, Option<u32>); 4] = [
    ("compile/fresh/1000", "fresh, 1,000 routes", Some(1000)),
    ("compile/fresh/10000", "fresh, 10,000 routes", Some(10_000)),
    (
        "compile/one-route-change/1000",
        "one route changed among 1,000",
        None,
    ),
    (
        "compile/one-route-change/10000",
        "one route changed among 10,000",
        None,
    ),
];

/// The figures of the last run of the compile benchmark; none where it has not run.
pub(super) fn figures() -> Result<Vec<Figure>> {
    // target/PROFILE/deps/this
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("no target folder")?;
    let mut figures = Vec::new();
    for (folder, title, routes) in KNOWN {
        let file = target
            .join("criterion")
            .join(folder)
            .join("new/estimates.json");
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        let estimates: Value = serde_json::from_str(&text)?;
        let nanoseconds = estimates["median"]["point_estimate"]
            .as_f64()
            .context("criterion's estimate")?;
        figures.push(Figure {
            title,
            took: Duration::try_from_secs_f64(nanoseconds / 1e9)?,
            routes,
        });
    }
    Ok(figures)
}
