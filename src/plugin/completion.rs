//! Completion: scripts for shells, and what kubectl asks for. kubectl runs the program `kubectl_complete-postern` in the `PATH`
//! with the words that stand after `kubectl postern`, of which the last is the one to complete; it prints one candidate in a
//! line, and at the end a number that says whether files are candidates, too.

use std::{ffi::OsString, time::Duration};

use anyhow::Result;
use clap::{Arg, ArgAction, Args, Command, CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;

use super::{
    Console,
    args::{Cli, Common, PROGRAM},
    explain,
    facts::Facts,
    kinds, routes, source,
};

/// As the first argument: the rest are words to complete.
pub(super) const VERB: &str = "__complete";

/// What `kubectl_complete-postern` is.
pub const SCRIPT: &str = "#!/bin/sh\n# kubectl completes the arguments of `kubectl postern` with what this prints: it must be in the PATH.\nexec kubectl-postern __complete \"$@\"\n";

/// Who presses the tabulator does not wait for longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More candidates help nobody.
const MAX_CANDIDATES: usize = 1000;

#[derive(Args, Debug)]
pub(super) struct Completion {
    /// For which shell; `kubectl` prints the program `kubectl_complete-postern`, by which `kubectl postern` is completed in all
    shell: For,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum For {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Kubectl,
}

/// What may stand where a word is to be completed.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'c> {
    Verb,
    Flag(Option<&'c str>),
    /// The value of a flag.
    Value(&'c str, String),
    /// The argument of a verb with this number.
    Argument(&'c str, usize),
}

/// Candidates, each with what it means, and whether files are some, too.
#[derive(Debug, Default)]
struct Candidates {
    all: Vec<(String, String)>,
    files: bool,
}

impl Completion {
    pub(super) fn script(&self) -> Vec<u8> {
        let shell = match self.shell {
            For::Bash => Shell::Bash,
            For::Elvish => Shell::Elvish,
            For::Fish => Shell::Fish,
            For::PowerShell => Shell::PowerShell,
            For::Zsh => Shell::Zsh,
            For::Kubectl => return SCRIPT.into(),
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
        script
    }
}

/// Prints what the last of the words may become. What cannot be told has no candidates: nobody reads an error here.
pub(super) async fn complete(words: &[String], console: &mut Console<'_>) -> Result<()> {
    let mut root = Cli::command();
    root.build();
    let (last, before) = match words.split_last() {
        Some((last, before)) => (&**last, before),
        None => ("", &[][..]),
    };
    let wanted = wanted(&root, before, last);
    let mut found = candidates(&root, &wanted, before).await;
    let prefix = match &wanted {
        // `--output=ya`: the shell completes what stands after the sign.
        Wanted::Value(_, written) => written,
        _ => last,
    };
    found.all.retain(|(value, _)| value.starts_with(prefix));
    found.all.truncate(MAX_CANDIDATES);
    for (value, meaning) in found.all {
        let before = last.strip_suffix(prefix).unwrap_or_default();
        let meaning = meaning.lines().next().unwrap_or_default();
        let tab = if meaning.is_empty() { "" } else { "\t" };
        writeln!(console.out, "{before}{value}{tab}{meaning}")?;
    }
    // ShellCompDirectiveDefault and ShellCompDirectiveNoFileComp of kubectl.
    writeln!(console.out, ":{}", if found.files { 0 } else { 4 })?;
    Ok(())
}

/// What the word after `before` is.
fn wanted<'c>(root: &'c Command, before: &[String], last: &str) -> Wanted<'c> {
    let mut verb: Option<&'c Command> = None;
    let mut arguments = 0;
    let mut value_of: Option<&'c Arg> = None;
    for word in before {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            let flag = flag(verb.unwrap_or(root), word);
            value_of = flag.filter(|flag| takes_value(flag) && !word.contains('='));
        } else if let Some(known) = verb {
            match known.find_subcommand(word) {
                Some(deeper) => verb = Some(deeper),
                None => arguments += 1,
            }
        } else {
            verb = root.find_subcommand(word);
        }
    }
    if let Some(flag) = value_of {
        return Wanted::Value(flag.get_id().as_str(), last.to_owned());
    }
    if let Some((name, written)) = last.split_once('=')
        && let Some(flag) = flag(verb.unwrap_or(root), name)
    {
        return Wanted::Value(flag.get_id().as_str(), written.to_owned());
    }
    let verb = verb.map(Command::get_name);
    match verb {
        _ if last.starts_with('-') => Wanted::Flag(verb),
        None => Wanted::Verb,
        Some(verb) => Wanted::Argument(verb, arguments),
    }
}

/// The flag that a word is: `--namespace=a`, `-n`.
fn flag<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.split('=').next().unwrap_or(word);
    let is_it = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => { arg.get_short() }
            .is_some_and(|short| name.strip_prefix('-') == Some(&*short.to_string())),
    };
    command.get_arguments().find(is_it)
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

async fn candidates(root: &Command, wanted: &Wanted<'_>, before: &[String]) -> Candidates {
    match wanted {
        Wanted::Verb => Candidates::of(root.get_subcommands().map(|verb| {
            let about = verb.get_about().map(ToString::to_string);
            (verb.get_name().to_owned(), about.unwrap_or_default())
        })),
        Wanted::Flag(verb) => {
            let command = verb
                .and_then(|verb| root.find_subcommand(verb))
                .unwrap_or(root);
            let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
            Candidates::of(shown.filter_map(|arg| {
                let help = arg.get_help().map(ToString::to_string);
                Some((format!("--{}", arg.get_long()?), help.unwrap_or_default()))
            }))
        }
        Wanted::Value(flag, _) => value(root, flag, before).await,
        Wanted::Argument(verb, 0) => argument(root, verb, before).await,
        Wanted::Argument(..) => Candidates::default(),
    }
}

/// What a flag may be set to.
async fn value(root: &Command, flag: &str, before: &[String]) -> Candidates {
    match flag {
        "files" | "kubeconfig" | "from" | "to" => Candidates {
            files: true,
            ..Candidates::default()
        },
        "namespace" | "gateway_namespace" | "as_namespace" => {
            let Some(facts) = facts(before).await else {
                return Candidates::default();
            };
            let spaces = facts
                .objects
                .iter()
                .map(|known| known.view.namespace.clone());
            let mut spaces: Vec<_> = spaces.filter(|space| !space.is_empty()).collect();
            spaces.sort();
            spaces.dedup();
            Candidates::of(spaces.into_iter().map(|space| (space, String::new())))
        }
        _ => {
            let all = { root.get_subcommands() }.flat_map(Command::get_arguments);
            let mut all = root.get_arguments().chain(all);
            all.find(|arg| arg.get_id() == flag)
                .map_or_else(Candidates::default, possible)
        }
    }
}

fn possible(arg: &Arg) -> Candidates {
    Candidates::of(arg.get_possible_values().into_iter().map(|value| {
        let help = value.get_help().map(ToString::to_string);
        (value.get_name().to_owned(), help.unwrap_or_default())
    }))
}

/// What the first argument of a verb may be.
async fn argument(root: &Command, verb: &str, before: &[String]) -> Candidates {
    match verb {
        "explain" => Candidates::of(explain::codes().map(|(code, name)| (code, name.to_owned()))),
        "status" => match facts(before).await {
            Some(facts) => objects(&facts),
            None => Candidates::default(),
        },
        "certs" => hostnames(before, "", "").await,
        "routes" | "who" | "endpoints" | "claim" => {
            let mut found = hostnames(before, "", "").await;
            found.all.extend(connections(before, "").await);
            found
        }
        "why" => {
            let mut found = hostnames(before, "https://", "/").await;
            found
                .all
                .extend(hostnames(before, "http://", "/").await.all);
            found.all.extend(connections(before, "tcp://").await);
            found
        }
        _ => {
            let Some(command) = root.find_subcommand(verb) else {
                return Candidates::default();
            };
            let below = command
                .get_subcommands()
                .map(|verb| (verb.get_name().to_owned(), String::new()));
            let below = Candidates::of(below.filter(|(name, _)| name != "help"));
            let first = command.get_positionals().next();
            match first {
                Some(arg) if below.all.is_empty() => possible(arg),
                _ => below,
            }
        }
    }
}

/// `mapping/cart`, with the namespace where there is more than one.
fn objects(facts: &Facts) -> Candidates {
    let own: Vec<_> = kinds::singular().collect();
    Candidates::of(facts.in_scope(&facts.scope).filter_map(|known| {
        let view = &known.view;
        let kind = view.kind.to_lowercase();
        let known = own.contains(&&*kind) || !view.group.is_empty();
        let meaning = match &*view.namespace {
            "" => String::new(),
            namespace => format!("in namespace {namespace}"),
        };
        known.then(|| (format!("{kind}/{}", view.name), meaning))
    }))
}

/// Those that anything is served for, and that are no patterns.
async fn hostnames(before: &[String], start: &str, end: &str) -> Candidates {
    let Some(facts) = facts(before).await else {
        return Candidates::default();
    };
    let sets = facts.graph.route_sets.iter();
    let tables = sets
        .flat_map(|set| &set.regions)
        .flat_map(|region| &region.hostnames);
    let names = tables.map(|table| &*table.hostname);
    let mut names: Vec<_> = names
        .filter(|name| !name.starts_with('~') && !name.contains('*'))
        .map(|name| (format!("{start}{name}{end}"), String::new()))
        .collect();
    names.sort();
    names.dedup();
    Candidates::of(names)
}

/// The places of TCPMappings that are no patterns.
async fn connections(before: &[String], start: &str) -> Vec<(String, String)> {
    let Some(facts) = facts(before).await else {
        return Vec::new();
    };
    let places = routes::tcp::all(&facts.graph).map(|row| {
        let host = row.host.unwrap_or_default();
        format!("{start}{host}:{}", row.port)
    });
    let plain = places.filter(|place| !place.contains('*'));
    plain.map(|place| (place, String::new())).collect()
}

/// What the flags that are there already say where to look.
async fn facts(before: &[String]) -> Option<Facts> {
    let common = common(before)?;
    let loaded = tokio::time::timeout(PATIENCE, source::load(&common));
    loaded.await.ok()?.ok()
}

/// The flags that all verbs have, of those that are there.
fn common(before: &[String]) -> Option<Common> {
    let mut root = Cli::command();
    root.build();
    let mut kept = vec![PROGRAM.to_owned(), "sync".to_owned()];
    let mut words = before.iter();
    while let Some(word) = words.next() {
        let Some(flag) = flag(&root, word) else {
            continue;
        };
        let value = if takes_value(flag) && !word.contains('=') {
            // Without one, it is being written.
            let Some(value) = words.next() else { break };
            Some(value)
        } else {
            None
        };
        kept.push(word.clone());
        kept.extend(value.cloned());
    }
    Cli::try_parse_from(kept).ok().map(|cli| cli.common)
}

impl Candidates {
    fn of(all: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            all: all.into_iter().collect(),
            files: false,
        }
    }
}

/// The words to complete, if that is what is asked for.
pub(super) fn words(arguments: &[OsString]) -> Option<Vec<String>> {
    let (_, rest) = arguments.split_first()?;
    let (verb, words) = rest.split_first()?;
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    (verb == VERB).then(|| words.iter().map(text).collect())
}

#[cfg(test)]
mod tests;
