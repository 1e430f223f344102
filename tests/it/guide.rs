//! The guides in `docs/guides`, typed: what stands after a prompt in a `console` block is run, and what it prints compared.
//!
//! A prompt is `WHO$ `, or `$ ` for what needs no cluster. A `yaml` block whose first line is `# NAME.yaml` is that file in the
//! folder that everything is typed in. Ages, addresses and the like are not compared, nor, where a guide does not show it, what may
//! not be read. `UPDATE_GOLDEN=1` writes the output anew.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    thread,
    time::Duration,
};

use regex::Regex;
use tempfile::TempDir;
use tokio::time::Instant;

/// How the plugin begins to say what the kubeconfig may not read.
const UNREAD: &str = "kubectl postern: you may not read";

/// Until what was changed is seen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the commands are typed, and what they find there.
pub(crate) struct Desk {
    folder: TempDir,
    pub(crate) path: String,
}

/// Who types: environment of the commands after a prompt.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// What became of a guide.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The guide with what was printed.
    text: String,
    /// Command and output, one after the other.
    pub(crate) transcript: String,
    failures: Vec<String>,
}

// === impl Desk ===

impl Desk {
    /// A folder in which the files of the repository are that guides name, and a `PATH` with these folders before all others.
    pub(crate) fn new(programs: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["crds", "helm", "tests"] {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-postern"));
        let own = [folder.path().join("bin"), plugin.parent().unwrap().into()];
        fs::create_dir(folder.path().join("bin")).unwrap();
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let all = own.into_iter().chain(programs.iter().cloned());
        let path = std::env::join_paths(all.chain(std::env::split_paths(&usual))).unwrap();
        Self {
            folder,
            path: path.into_string().unwrap(),
        }
    }

    /// A program of the guide's that stands for another one.
    pub(crate) fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What a command prints, on both streams, but for what may not be read if nobody expects it.
    fn run(&self, command: &str, environment: &Environment, expected: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let here = format!("{}/", self.folder.path().display());
        let there = format!("{}/", root().display());
        let text = text.replace(&here, "").replace(&there, "");
        let is_shown = |line: &&str| !line.starts_with(UNREAD) || expected.contains(UNREAD);
        let lines = text.lines().filter(is_shown);
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

// === a guide ===

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The prompt and the command of a line.
fn command(line: &str) -> Option<(&str, &str)> {
    let (who, command) = line.split_once("$ ")?;
    let is_name = who.bytes().all(|byte| byte.is_ascii_lowercase());
    is_name.then_some((who, command))
}

/// Types a guide: for each prompt `who` says with which environment, or nothing if it is not typed here. `marker` is told of
/// every comment `<!-- test: ... -->`.
pub(crate) fn follow(
    guide: &str,
    desk: &Desk,
    who: impl Fn(&str) -> Option<Environment>,
    mut marker: impl FnMut(&str),
) -> Outcome {
    let text = fs::read_to_string(root().join(guide)).unwrap();
    let mut outcome = Outcome::default();
    let mut lines = text.lines().peekable();
    let mut block: Option<String> = None;
    while let Some(line) = lines.next() {
        outcome.line(line);
        if let Some(language) = line.strip_prefix("```") {
            block = block.is_none().then(|| language.to_owned());
            let name = lines.peek().and_then(|line| line.strip_prefix("# "));
            if let (Some("yaml"), Some(name)) = (block.as_deref(), name)
                && Path::new(name).extension() == Some("yaml".as_ref())
            {
                let rest = lines.clone().take_while(|line| *line != "```");
                let text: Vec<_> = rest.collect();
                desk.put(name, &(text.join("\n") + "\n"));
            }
        } else if let Some(said) = line.strip_prefix("<!-- test: ") {
            marker(said.trim_end_matches(" -->"));
        } else if block.as_deref() == Some("console")
            && let Some((prompt, first)) = command(line)
        {
            let mut typed = first.to_owned();
            while typed.ends_with('\\') {
                let next = lines.next().unwrap();
                outcome.line(next);
                typed = format!("{typed}\n{next}");
            }
            let mut expected = String::new();
            while let Some(said) = lines.next_if(|line| *line != "```" && command(line).is_none()) {
                let _infallible = writeln!(expected, "{said}");
            }
            let actual = who(prompt).map_or_else(
                || expected.clone(),
                |environment| outcome.type_in(desk, (prompt, &typed), &environment, &expected),
            );
            outcome.text += &actual;
        }
    }
    outcome
}

// === impl Outcome ===

impl Outcome {
    fn line(&mut self, line: &str) {
        let _infallible = writeln!(self.text, "{line}");
    }

    /// What a command prints; what it changes may take a moment to be seen.
    fn type_in(
        &mut self,
        desk: &Desk,
        (prompt, typed): (&str, &str),
        environment: &Environment,
        expected: &str,
    ) -> String {
        let wanted = masked(expected);
        let looks = ["kubectl postern", "kubectl get", "curl", "kubectl auth"];
        let changes_nothing = looks.iter().any(|verb| typed.starts_with(verb));
        let deadline = Instant::now() + PATIENCE;
        let mut actual = desk.run(typed, environment, expected);
        while masked(&actual) != wanted && Instant::now() < deadline {
            // A binding counts a moment after it was made.
            if !changes_nothing && !actual.contains("Forbidden") {
                break;
            }
            thread::sleep(Duration::from_millis(250));
            actual = desk.run(typed, environment, expected);
        }
        let _infallible = write!(self.transcript, "{prompt}$ {typed}\n{actual}");
        if masked(&actual) == wanted {
            return expected.to_owned();
        }
        self.failures.push(format!(
            "{prompt}$ {typed}\n--- expected\n{expected}--- printed\n{actual}"
        ));
        actual
    }

    /// Fails if something was printed that does not stand in the guide, or writes it there.
    pub(crate) fn settle(&self, guide: &str) {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(root().join(guide), &self.text).unwrap();
        } else {
            assert!(
                self.failures.is_empty(),
                "{guide} is not true (UPDATE_GOLDEN=1 writes it anew):\n{}",
                self.failures.join("\n\n")
            );
        }
    }
}

/// Without what is another one each time: ages, addresses, times, digests, the version of Kubernetes, and how wide columns are for them.
fn masked(text: &str) -> String {
    static CHANGING: LazyLock<Regex> = LazyLock::new(|| {
        let address = r"\d+\.\d+\.\d+\.\d+(:\d+)?";
        let time = r"\d{4}-\d\d-\d\d(T[0-9:.]+Z)?";
        let age = r"\b\d+(ms|s|m|h|d)\b";
        let digest = r"\b[0-9a-f]{8}\b";
        let kubernetes = r"\bv1\.\d+\.\d+\b";
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing of a user's is matched with it"
        )]
        Regex::new(&format!("{address}|{time}|{age}|{digest}|{kubernetes}")).unwrap()
    });
    let lines = text.lines().map(|line| {
        let line = CHANGING.replace_all(line, "~");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_changes_each_time_is_not_compared_and_all_else_is() {
    let one = "pod  10.0.0.1:80   3s  2026-11-25T10:00:00.5Z 0a1b2c3d";
    assert_eq!(masked(one), "pod ~ ~ ~ ~");
    assert_ne!(masked("cart Live 3s"), masked("cart Refused 3s"));
    assert_eq!(
        command("shop$ kubectl get mp"),
        Some(("shop", "kubectl get mp"))
    );
    assert_eq!(command("costs 3$ each"), None);
}

#[test]
fn what_needs_no_cluster_is_as_the_guide_says() {
    const GUIDE: &str = "docs/guides/troubleshoot.md";
    let desk = Desk::new(&[]);
    // Without a cluster the plugin is called by its own name.
    desk.program(
        "kubectl",
        "shift; exec kubectl-postern \"$@\" -f tests/plugin/objects",
    );
    let who = |prompt: &str| prompt.is_empty().then(Environment::new);
    follow(GUIDE, &desk, who, |_| ()).settle(GUIDE);
}
