//! The architecture, checked: who may import whom, that no file is orphaned, and that none has grown too large.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module, what it may import, and crates that it must never name.
struct Row {
    module: &'static str,
    imports: &'static [&'static str],
    never: &'static [&'static str],
}

/// Crates and modules that do input and output, and what has a clock or is random.
const PURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "h2",
    "tokio_rustls",
    "hickory_resolver",
    "axum",
    "kube::Client",
    "kube::client",
    "kube::runtime",
    "fastrand",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];
const NO_KUBERNETES: &[&str] = &["kube", "k8s_openapi"];

/// The layer table of `src/lib.rs`, from the bottom to the top.
const ROWS: &[Row] = &[
    row("crd", &[], PURE),
    row("graph", &[], PURE),
    row("telemetry", &[], &["hyper", "kube", "k8s_openapi"]),
    row("config", &[], &["hyper", "kube", "k8s_openapi"]),
    row("resource", &["crd"], PURE),
    row("report", &["resource"], PURE),
    row("compile", &["crd", "resource", "report", "graph"], PURE),
    row(
        "source",
        &["crd", "resource", "report", "config", "telemetry"],
        &["hyper"],
    ),
    row("proxy", &["graph", "config", "telemetry"], NO_KUBERNETES),
    row(
        "status",
        &["crd", "resource", "report", "config", "telemetry"],
        &["hyper"],
    ),
    row(
        "admin",
        &["resource", "report", "graph", "config", "telemetry"],
        NO_KUBERNETES,
    ),
    row("echo", &["config", "telemetry"], NO_KUBERNETES),
    row(
        "reconcile",
        &[
            "source",
            "resource",
            "compile",
            "report",
            "graph",
            "telemetry",
        ],
        &["kube", "k8s_openapi", "hyper"],
    ),
    row(
        "plugin",
        &[
            "crd", "resource", "report", "compile", "graph", "source", "config",
        ],
        &[],
    ),
    row(
        "app",
        &[
            "crd",
            "graph",
            "telemetry",
            "config",
            "resource",
            "report",
            "compile",
            "source",
            "proxy",
            "status",
            "admin",
            "echo",
            "reconcile",
        ],
        &[],
    ),
    row(
        "cli",
        &[
            "app",
            "admin",
            "compile",
            "config",
            "crd",
            "echo",
            "plugin",
            "report",
            "resource",
            "source",
            "telemetry",
        ],
        &[],
    ),
];

const fn row(
    module: &'static str,
    imports: &'static [&'static str],
    never: &'static [&'static str],
) -> Row {
    Row {
        module,
        imports,
        never,
    }
}

/// Lines of a file that are not its tests.
const MAX_LINES: usize = 800;
/// Lines of a `mod tests` inside a file: a longer one moves to a file of its own.
const MAX_INLINE_TESTS: usize = 150;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// A file under `src/`, without its tests.
struct Source {
    name: String,
    module: String,
    /// Without line comments.
    code: String,
    lines: usize,
    inline_tests: usize,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    rust_files(&root().join("src"))
        .iter()
        .map(|path| Source::read(path))
        .collect()
}

impl Source {
    fn read(path: &Path) -> Self {
        let name = relative(path);
        let text = fs::read_to_string(path).unwrap();
        let below = name.strip_prefix("src/").unwrap();
        let module = below
            .split(['/', '.'])
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_test = below.ends_with("tests.rs") || below.contains("/tests/");
        let (body, tests) = match text.find("#[cfg(test)]\nmod tests {") {
            Some(at) => text.split_at(at),
            None => text.split_at(text.len()),
        };
        let code = body
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        Self {
            lines: body.lines().count(),
            inline_tests: tests.lines().count(),
            name,
            module,
            code,
            is_test,
        }
    }

    /// The modules of this crate that the code names: after `crate::`, alone or in braces.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, start) in self.code.match_indices("crate::") {
            // `$crate::` and `pub(in crate::x)` say nothing about imports.
            let before = &self.code[..at];
            if before.ends_with('$') || before.ends_with("in ") {
                continue;
            }
            let rest = &self.code[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(heads(group)),
                None => found.extend(word(rest)),
            }
        }
        found
    }

    /// Whether the code names a crate, or a path in one: written out, or in the braces of a `use`.
    fn names(&self, path: &str) -> bool {
        self.writes(path) || self.uses().iter().any(|used| is_below(used, path))
    }

    /// The paths of all `use` declarations, without braces.
    fn uses(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, start) in self.code.match_indices("use ") {
            let before = self.code[..at].chars().next_back();
            let rest = &self.code[at + start.len()..];
            if before.is_none_or(char::is_whitespace)
                && let Some(end) = rest.find(';')
            {
                spread("", &rest[..end], &mut found);
            }
        }
        found
    }

    fn writes(&self, path: &str) -> bool {
        self.code.match_indices(path).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + path.len()..].chars().next();
            let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            // A method or field of that name is not the crate; `std::net::Tcp` is the start of two names.
            let starts = !part(before) && before != Some('.') && before != Some('"');
            let crate_like = path.contains("::") || path == "SystemTime" || after == Some(':');
            starts && crate_like && (path.ends_with("Tcp") || !part(after))
        })
    }
}

/// The paths of a tree of a `use` declaration.
fn spread(above: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    match tree.split_once('{') {
        Some((head, group)) => {
            let above = format!("{above}{}", head.trim());
            let group = group.strip_suffix('}').unwrap_or(group);
            let mut depth = 0;
            let entries = group.split(|character| {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                character == ',' && depth == 0
            });
            entries.for_each(|entry| spread(&above, entry, found));
        }
        None => found.extend(
            tree.split_whitespace()
                .next()
                .map(|path| format!("{above}{path}")),
        ),
    }
}

/// Whether a path is one that is looked for, or in it; `std::net::Tcp` is the start of two names.
fn is_below(used: &str, path: &str) -> bool {
    let rest = used.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || path.ends_with("Tcp"))
}

/// The first word of every entry of a use group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut entry = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => entry = true,
            _ if entry && character.is_alphabetic() => {
                found.extend(word(&group[at..]));
                entry = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let word = &text[..end.unwrap_or(text.len())];
    (!word.is_empty()).then(|| word.to_owned())
}

#[test]
fn modules_import_only_from_lower_layers() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let Some(row) = ROWS.iter().find(|row| row.module == source.module) else {
            assert!(
                matches!(&*source.module, "lib" | "main" | "bin"),
                "{} belongs to no module of the layer table",
                source.name
            );
            continue;
        };
        let known = |name: &str| ROWS.iter().any(|row| row.module == name);
        for import in source.imports() {
            let allowed = import == row.module || row.imports.contains(&import.as_str());
            if known(&import) && !allowed {
                wrong.push(format!("{} imports {import}", source.name));
            }
        }
        for path in row.never {
            if source.names(path) {
                wrong.push(format!("{} names {path}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layer table:\n{wrong:#?}");
}

#[test]
fn every_module_has_a_row_and_every_row_a_module() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: BTreeSet<_> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.module).collect();
    assert_eq!(modules, rows);
}

/// A file that no `mod` names is never compiled, and its tests never run.
#[test]
fn no_file_is_an_orphan() {
    let mut orphans = Vec::new();
    for folder in ["src", "tests/it"] {
        for path in rust_files(&root().join(folder)) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let parent = path.parent().unwrap();
            let is_root = matches!(
                &*relative(&path),
                "src/lib.rs" | "src/main.rs" | "tests/it/main.rs"
            ) || parent.ends_with("src/bin");
            if is_root {
                continue;
            }
            let main = if folder == "src" { "lib.rs" } else { "main.rs" };
            let above = if parent == root().join(folder) {
                parent.join(main)
            } else {
                parent.with_extension("rs")
            };
            let text = fs::read_to_string(&above).unwrap_or_default();
            let declared = text
                .lines()
                .any(|line| line.trim_end().ends_with(&format!("mod {stem};")));
            if !declared {
                orphans.push(format!(
                    "{}: no `mod {stem};` in {}",
                    relative(&path),
                    relative(&above)
                ));
            }
        }
    }
    assert!(orphans.is_empty(), "{orphans:#?}");
}

#[test]
fn no_file_is_oversized() {
    let mut large = Vec::new();
    for source in sources() {
        if source.lines > MAX_LINES {
            large.push(format!("{}: {} lines", source.name, source.lines));
        }
        if source.inline_tests > MAX_INLINE_TESTS {
            large.push(format!(
                "{}: {} lines of inline tests",
                source.name, source.inline_tests
            ));
        }
    }
    assert!(large.is_empty(), "split these: {large:#?}");
}

#[test]
fn the_checks_see_what_they_look_for() {
    let source = |code: &str| Source {
        name: String::new(),
        module: String::new(),
        code: code.to_owned(),
        lines: 0,
        inline_tests: 0,
        is_test: false,
    };
    let imports =
        source("use crate::{\n    graph::{Graph, path},\n    report,\n};\nuse crate::proxy::X;")
            .imports();
    assert_eq!(
        imports.iter().map(String::as_str).collect::<Vec<_>>(),
        ["graph", "proxy", "report"]
    );
    assert!(
        source("pub(in crate::proxy) struct X;")
            .imports()
            .is_empty()
    );
    assert!(source("use tokio::net::X;").names("tokio"));
    assert!(!source("let tokio = 1; my_tokio::x").names("tokio"));
    assert!(source("use std::net::TcpStream;").names("std::net::Tcp"));
    assert!(source("let now = SystemTime::now();").names("SystemTime"));
    assert!(source("let now = jiff::Timestamp::now();").names("Timestamp::now"));
    let grouped = source(
        "use std::{\n    collections::{BTreeMap, HashMap},\n    fs::{self, File},\n    net::{IpAddr, TcpStream},\n};",
    );
    for path in ["std::fs", "std::net::Tcp"] {
        assert!(grouped.names(path), "{path} of {:?}", grouped.uses());
    }
    assert!(!grouped.names("std::env") && !grouped.names("tokio"));
    assert!(source("use std::{fs as files, fmt};").names("std::fs"));
}
