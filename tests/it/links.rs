//! Links between pages lead somewhere: to a file that is there, and in it to a heading.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;

/// Files, and folders with everything below them.
const PAGES: &[&str] = &["README.md", "docs", "helm", "tests/cluster/README.md"];

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing of a user's is matched with it"
    )]
    Regex::new(r"\]\(([^)\s]+)\)").unwrap()
});

fn pages(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            pages(&entry.unwrap().path(), found);
        }
    } else if path.extension() == Some("md".as_ref()) {
        found.push(path.to_owned());
    }
}

/// What stands outside of code blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchor that a heading gets from those who show Markdown.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter_map(|letter| match letter {
        ' ' | '-' => Some('-'),
        '_' => Some('_'),
        letter => letter.is_alphanumeric().then_some(letter),
    });
    kept.collect()
}

fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let headings = prose(&text).filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
    anchors.any(|found| found == wanted)
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for page in PAGES {
        pages(&root.join(page), &mut all);
    }
    let (mut links, mut dead) = (0, Vec::new());
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        let targets = prose(&text).flat_map(|line| LINK.captures_iter(line));
        for target in targets.map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            if !file.exists() || !(heading.is_empty() || has_anchor(&file, heading)) {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(links > 100, "{links} links say little");
    assert!(dead.is_empty(), "{dead:#?}");
}
