//! What is generated from the code is committed, and the same to the byte.

use std::{collections::BTreeSet, fs, path::Path};

use postern::{
    cli::docs,
    crd::{manifest, reference},
    plugin,
};

use super::{
    chart::{dashboard, values},
    codes, fault,
};

/// Folder, and the files in it that are generated.
fn generated() -> Vec<(&'static str, Vec<(String, String)>)> {
    let named = |pages: Vec<(&'static str, String)>| {
        { pages.into_iter() }
            .map(|(name, text)| (name.to_owned(), text))
            .collect()
    };
    let mut pages = docs::pages();
    pages.extend(reference::pages());
    pages.push(("kubectl-postern.md", plugin::docs::page()));
    pages.push(("kubectl-postern.1", plugin::docs::man()));
    pages.push(("values.md", values::page()));
    vec![
        ("docs/reference", named(pages)),
        (
            "docs/reference",
            vec![("faults.md".to_owned(), fault::page())],
        ),
        ("docs/reference/codes", codes::pages()),
        ("crds", named(manifest::manifests())),
        ("crds/emissary", named(manifest::of_emissary())),
        // helm reads only what is inside of a chart.
        ("helm/postern/files/crds", named(manifest::manifests())),
        (
            "helm/postern/files",
            named(vec![("dashboard.json", dashboard::dashboard())]),
        ),
    ]
}

#[test]
fn generated_files_are_up_to_date() {
    let update = std::env::var_os("UPDATE_GENERATED").is_some();
    let mut stale = Vec::new();
    for (folder, files) in generated() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names: BTreeSet<_> = files.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names.len(), files.len(), "two files have one name");
        for (name, text) in files {
            let path = folder.join(name);
            if fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            if update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, text).unwrap();
            } else {
                stale.push(path);
            }
        }
    }
    assert!(stale.is_empty(), "run `make gen` and commit: {stale:#?}");
}
