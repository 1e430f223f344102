//! The reference pages that are generated from the code: `make gen` writes them, a test compares them.

mod code;
pub(super) mod emissary;

use std::fmt::Write;

use clap::CommandFactory;

pub use code::code_page;

use crate::{app, report::code::CODES};

/// File names below `docs/reference/`, and what they hold.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("codes.md", codes()),
        ("cli.md", commands()),
        ("metrics.md", families()),
        ("emissary.md", emissary::page()),
    ]
}

fn codes() -> String {
    let mut page = String::from(
        "# Codes\n\n\
         Everything that Postern says about an object has a number that never changes its meaning. An error makes the condition \
         false that stands with it. A warning makes none false, except that one about Programmed says why no request reaches \
         an object, which then is not programmed.\n\n\
         Each has a page with what causes it, an example, and what mends it; `kubectl postern explain PST2007` says it in a few lines.\n\n\
         | code | reason | severity | condition |\n|---|---|---|---|\n",
    );
    for info in CODES {
        let _infallible = writeln!(
            page,
            "| [{code}](codes/{code}.md) | {reason} | {severity} | {condition:?} |",
            code = info.code,
            reason = info.reason,
            severity = info.severity,
            condition = info.condition,
        );
    }
    page
}

fn families() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `/metrics` on the health port (8877) tells these, in the text format of OpenMetrics. A counter's series end in `_total`.\n\n\
         | family | type | what it says |\n|---|---|---|\n",
    );
    let text = app::metric_families();
    let mut rows: Vec<_> = text
        .lines()
        .filter_map(|line| family(line, &text))
        .collect();
    rows.sort();
    for row in rows {
        let _infallible = writeln!(page, "{row}");
    }
    page
}

/// The row of the family that a HELP line is about.
fn family(line: &str, all: &str) -> Option<String> {
    let (name, help) = line.strip_prefix("# HELP ")?.split_once(' ')?;
    let kind = all.lines().find_map(|line| {
        line.strip_prefix("# TYPE ")?
            .strip_prefix(name)?
            .strip_prefix(' ')
    })?;
    Some(format!("| `{name}` | {kind} | {help} |"))
}

fn commands() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         Flags win over the environment, which wins over the defaults.\n",
    );
    let mut root = super::Cli::command().max_term_width(120).term_width(120);
    root.build();
    for command in root.get_subcommands() {
        if command.get_name() == "help" {
            continue;
        }
        // What the environment of the machine holds has no place in a page.
        let mut command = command.clone().mut_args(|arg| arg.hide_env_values(true));
        let help = command.render_long_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        let _infallible = write!(
            page,
            "\n## postern {}\n\n```text\n{}\n```\n",
            command.get_name(),
            lines.join("\n")
        );
    }
    page
}
