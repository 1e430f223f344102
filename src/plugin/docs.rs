//! The reference page and the man page, generated from the definitions of the command line.

use std::fmt::Write as _;

use clap::CommandFactory;

use super::{args::Cli, check::catalogue};

/// `docs/reference/kubectl-postern.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# kubectl postern\n\n\
         Put `kubectl-postern` into a folder of your `PATH`, and kubectl finds it. With `kubectl_complete-postern` beside it kubectl completes \
         verbs, flags, objects and hostnames: `kubectl postern completion kubectl` prints that program.\n\n\
         `status`, `routes` and `mine` take 0.2 s to 0.5 s for the 1,000 objects of a folder (2026-11-25, two cores that others kept busy, a \
         build without optimisation; 0.1 s of it is CPU time). `cargo bench --bench plugin` measures it.\n\n\
         What `--help` says:\n",
    );
    let mut root = command();
    root.build();
    section(&mut page, "kubectl postern", &root);
    for verb in root
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        section(
            &mut page,
            &format!("kubectl postern {}", verb.get_name()),
            verb,
        );
    }
    page
}

fn section(page: &mut String, title: &str, command: &clap::Command) {
    // What the environment of the machine holds has no place in a page.
    let mut command = command.clone().mut_args(|arg| arg.hide_env_values(true));
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    let _infallible = write!(page, "\n## {title}\n\n```text\n{}\n```\n", lines.join("\n"));
}

/// `docs/reference/checks.md`.
pub fn checks() -> String {
    let mut page = String::from(
        "# Checks\n\n\
         What `kubectl postern check` looks at, and what to do about it. An advice is no failure: the exit code stays 0. \
         `kubectl postern explain PCK105` says what stands here of one.\n\n\
         | code | check | asks | otherwise | remedy |\n|---|---|---|---|---|\n",
    );
    for check in catalogue::CHECKS {
        let catalogue::Check {
            code,
            name,
            asks,
            harm,
            remedy,
        } = check;
        let _infallible = writeln!(page, "| {code} | `{name}` | {asks} | {harm} | {remedy} |");
    }
    page
}

/// `docs/reference/kubectl-postern.1`.
pub fn man() -> String {
    let command = command().mut_args(|arg| arg.hide_env_values(true));
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .expect("writing to memory must succeed");
    String::from_utf8(page).expect("help texts must be UTF-8")
}

fn command() -> clap::Command {
    Cli::command().max_term_width(120).term_width(120)
}
