//! One page for each code, with an example that is compiled: `tests/codes/PSTnnnn.diff`.
//!
//! An example is a difference: without its changes the code is said, with them it is not, nor any other error. `# echo` and
//! the like in its first lines are as in the golden tests. `@CERTIFICATE` and `@KEY` stand for what is too long to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use postern::{
    cli::docs,
    compile::compile,
    plugin::lint::{self, Finding},
    report::code::CODES,
    source::dir,
};

use super::golden::{forbid, options, with_former};

const EXAMPLES: &str = "tests/codes";
const PAGES: &str = "docs/reference/codes";
const ENDING: &str = ".diff";

/// A code that no change of manifests takes away, and why.
const UNMENDED: &[(u16, &str)] = &[
    (2015, "it says that all is as it is meant"),
    (6003, "it is a permission that lacks, and not an object"),
];

/// File names below `docs/reference/codes/`, and what they hold.
pub(super) fn pages() -> Vec<(String, String)> {
    let page = |info: &'static _| {
        let example = Example::read(info);
        let said = lines(&example.said(Side::Without));
        (
            format!("{}.md", info.code),
            docs::code_page(info, &example.shown(), &said),
        )
    };
    CODES.iter().map(page).collect()
}

type Info = postern::report::code::CodeInfo;

/// The text of an example.
struct Example(String);

#[derive(Clone, Copy)]
enum Side {
    Without,
    With,
}

impl Example {
    fn read(info: &Info) -> Self {
        let path = root().join(EXAMPLES).join(format!("{}{ENDING}", info.code));
        let text = fs::read_to_string(&path);
        Self(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn environment(&self) -> String {
        let lines = self.0.lines().take_while(|line| line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn difference(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip_while(|line| line.starts_with('#'))
    }

    fn has_changes(&self) -> bool {
        self.difference().any(|line| line.starts_with(['-', '+']))
    }

    /// As a reader sees it.
    fn shown(&self) -> String {
        let lines = self.difference().map(|line| {
            let line = line
                .replace("@CERTIFICATE", "-----BEGIN CERTIFICATE-----\\n...")
                .replace("@KEY", "-----BEGIN PRIVATE KEY-----\\n...");
            match line.split_once("-before") {
                Some((name, rest)) => format!("{name}{rest} # what it held before\n"),
                None => line + "\n",
            }
        });
        lines.collect()
    }

    fn manifests(&self, side: Side) -> String {
        let other = match side {
            Side::Without => '+',
            Side::With => '-',
        };
        let lines = self.difference().filter(|line| !line.starts_with(other));
        let lines: Vec<_> = lines.map(|line| line.get(1..).unwrap_or("")).collect();
        let pair = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
        let quoted = |pem: String| pem.trim_end().replace('\n', "\\n");
        lines
            .join("\n")
            .replace("@CERTIFICATE", &quoted(pair.cert.pem()))
            .replace("@KEY", &quoted(pair.signing_key.serialize_pem()))
    }

    /// What Postern says of one side.
    fn said(&self, side: Side) -> Vec<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("example.yaml");
        fs::write(&file, self.manifests(side)).unwrap();
        let mut set = dir::load(&[file], "default").unwrap();
        let environment = self.environment();
        forbid(&environment, &mut set);
        with_former(&mut set, &environment);
        let options = options(&environment);
        let (_, report) = compile(&set, &options);
        let absent = report.wanted_secrets.iter();
        set.absent_secrets = { absent }
            .filter(|key| !set.secrets.contains_key(key))
            .cloned()
            .collect();
        let (_, report) = compile(&set, &options);
        let mut found = lint::findings(&set, &report);
        let prefix = format!("{}/", folder.path().display());
        for finding in &mut found {
            finding.message = finding.message.replace(&prefix, "");
        }
        found
    }
}

fn lines(found: &[Finding]) -> String {
    let lines = found.iter().map(|finding| {
        let about = [&*finding.object, &*finding.field];
        let about = about.map(|part| match part {
            "" => String::new(),
            part => format!(" {part}"),
        });
        let (severity, code) = (finding.severity, &finding.code);
        let (message, next) = (&finding.message, &finding.next);
        format!("{severity} {code}{}: {message}\n    {next}", about.concat())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the files of a folder without the ending.
fn names(folder: &str, ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(root().join(folder)).unwrap();
    let name = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.strip_suffix(ending).map(ToOwned::to_owned).ok_or(name)
    };
    files
        .map(|file| name(file.unwrap().path()).unwrap_or_else(|name| panic!("{folder}/{name}")))
        .collect()
}

#[test]
fn an_example_is_said_without_its_changes_and_mended_by_them() {
    let unmended: BTreeMap<_, _> = UNMENDED.iter().copied().collect();
    let mut wrong = Vec::new();
    for info in CODES {
        let example = Example::read(info);
        let code = info.code.to_string();
        let without = example.said(Side::Without);
        if !without.iter().any(|finding| finding.code == code) {
            wrong.push(format!("{code} is not said: {}", lines(&without)));
        }
        if unmended.contains_key(&info.number) {
            assert!(!example.has_changes(), "{code} can be mended");
            continue;
        }
        let with = example.said(Side::With);
        let is_wrong = |finding: &Finding| finding.code == code || finding.severity == "error";
        if !example.has_changes() || with.iter().any(is_wrong) {
            wrong.push(format!("{code} is not mended: {}", lines(&with)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_its_page_and_its_example_and_nothing_else_is_there() {
    let codes: BTreeSet<_> = CODES.iter().map(|info| info.code.to_string()).collect();
    assert_eq!(names(EXAMPLES, ENDING), codes, "{EXAMPLES}");
    assert_eq!(names(PAGES, ".md"), codes, "{PAGES}");
    let index = fs::read_to_string(root().join("docs/reference/codes.md")).unwrap();
    for code in codes {
        assert!(index.contains(&format!("(codes/{code}.md)")), "{code}");
    }
}
