//! `kubectl postern`: what is served, and why, for people. It only reads.
//!
//! ```text
//! folder of manifests ──┐ load
//! API server ───────────┼───────> Facts ──> a verb ──> Page ──> table, JSON, YAML, names
//! replica's diagnostics ┘ compile
//! ```
//!
//! A folder and the objects of an API server are compiled here, by the compiler of the gateway; a replica tells what it has
//! compiled. Verbs see facts, not where they came from: for the same objects they say the same.

mod args;
mod backing;
mod bundle;
mod can;
mod certs;
mod check;
pub mod completion;
mod conflicts;
mod diff;
mod difference;
pub mod docs;
mod endpoints;
mod explain;
mod facts;
mod kinds;
pub mod lint;
mod mine;
mod output;
mod place;
mod routes;
mod said;
mod source;
mod state;
mod status;
mod sync;
mod who;
mod why;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use jiff::Timestamp;

use self::{
    args::{Cli, Verb},
    check::Check,
    facts::Facts,
    output::{Page, Verdict},
};

/// How soon `--watch` looks again.
const WATCH: Duration = Duration::from_secs(2);

/// Where the output goes, and what is known of the moment.
pub struct Console<'c> {
    pub out: &'c mut dyn Write,
    pub err: &'c mut dyn Write,
    pub colour: bool,
    pub now: Timestamp,
}

impl std::fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("colour", &self.colour)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Runs what the arguments of the process say.
pub fn run() -> ExitCode {
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let mut console = Console {
        out: &mut stdout.lock(),
        err: &mut io::stderr(),
        colour,
        now: Timestamp::now(),
    };
    ExitCode::from(answer(env::args_os(), &mut console))
}

/// Runs what these arguments say, of which the first is the name of the program; gives the exit code.
pub fn answer(arguments: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(words) = completion::words(&arguments) {
        // Whatever goes wrong there has no place on the command line of somebody who types.
        let completed =
            runtime().and_then(|own| own.block_on(completion::complete(&words, console)));
        return completed
            .map_or(Verdict::Unknown, |()| Verdict::Clean)
            .code();
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render();
            // There is nowhere left to say that the output is closed.
            let _unseen = if error.use_stderr() {
                write!(console.err, "{text}")
            } else {
                write!(console.out, "{text}")
            };
            return u8::try_from(error.exit_code()).unwrap_or(Verdict::Unknown.code());
        }
    };
    match dispatch(&cli, console) {
        Ok(verdict) => verdict.code(),
        // Whoever reads has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => Verdict::Clean.code(),
        Err(error) => {
            let _unseen = writeln!(console.err, "kubectl postern: {error:#}");
            Verdict::Unknown.code()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dispatch(cli: &Cli, console: &mut Console<'_>) -> Result<Verdict> {
    let common = &cli.common;
    match &cli.verb {
        Verb::Completion(completion) => {
            console.out.write_all(&completion.script())?;
            return Ok(Verdict::Clean);
        }
        Verb::Explain(what) => return print(&what.page(), cli, console),
        _ => {}
    }
    runtime()?.block_on(async {
        match &cli.verb {
            Verb::Lint(lint) => lint.run(common, console).await,
            Verb::Diff(diff) => {
                let page = diff.page(common, console).await?;
                print(&page, cli, console)
            }
            Verb::Check(check) if check.pre_upgrade => {
                let page = check.before_upgrade(common, console).await?;
                print(&page, cli, console)
            }
            Verb::Check(check) if Check::asks_a_cluster(common) => {
                let page = check.of_cluster(common, console).await?;
                print(&page, cli, console)
            }
            Verb::Bundle(bundle) => bundle.run(common, console).await,
            Verb::Status(status) if status.watch => watch(cli, console).await,
            _ => once(cli, console).await,
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut own = tokio::runtime::Builder::new_current_thread();
    own.enable_all().build().context("starting a thread")
}

async fn once(cli: &Cli, console: &mut Console<'_>) -> Result<Verdict> {
    let mut facts = source::load(&cli.common).await?;
    if matches!(cli.verb, Verb::Sync(_)) {
        sync::settle(&mut facts, &cli.common).await?;
    }
    facts.complain(console)?;
    let page = page(cli, &facts, console.now).await?;
    print(&page, cli, console)
}

/// Prints the status again whenever it is another one, until it is interrupted.
async fn watch(cli: &Cli, console: &mut Console<'_>) -> Result<Verdict> {
    let mut before = None;
    loop {
        let now = Timestamp::now();
        let facts = source::load(&cli.common).await?;
        let page = page(cli, &facts, now).await?;
        if before.as_ref() != Some(&page.data) {
            if before.is_none() {
                facts.complain(console)?;
            } else {
                writeln!(console.out)?;
            }
            print(&page, cli, console)?;
            console.out.flush()?;
            before = Some(page.data);
        }
        tokio::time::sleep(WATCH).await;
    }
}

async fn page(cli: &Cli, facts: &Facts, now: Timestamp) -> Result<Page> {
    let scope = &facts.scope;
    Ok(match &cli.verb {
        Verb::Status(status) => status.page(facts, scope, now),
        Verb::Routes(routes) => routes.page(facts, scope),
        Verb::Why(why) => why.page(facts, now).await?,
        Verb::Who(who) => who.page(facts),
        Verb::Mine(mine) => mine.page(facts, scope),
        Verb::Can(can) => can.page(facts, scope)?,
        Verb::Conflicts(conflicts) => conflicts.page(facts, scope),
        Verb::Endpoints(endpoints) => endpoints.page(facts),
        Verb::Certs(certs) => certs.page(facts, scope, now),
        Verb::Sync(sync) => sync.page(facts, now)?,
        Verb::Check(_) => Check::page(facts, now),
        Verb::Lint(_)
        | Verb::Diff(_)
        | Verb::Bundle(_)
        | Verb::Explain(_)
        | Verb::Completion(_) => unreachable!("these are answered without facts"),
    })
}

fn print(page: &Page, cli: &Cli, console: &mut Console<'_>) -> Result<Verdict> {
    let text = page.render(cli.common.output, console.colour)?;
    console.out.write_all(text.as_bytes())?;
    Ok(page.verdict)
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
