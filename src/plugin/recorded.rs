//! What `sync` and `bundle` say of a cluster, as if its objects were `tests/plugin/objects` and its Leases
//! `tests/plugin/leases.yaml`. `UPDATE_GOLDEN=1` writes anew what is expected, into `tests/plugin/recorded`.

use std::{fs, path::Path, sync::Arc};

use clap::Parser as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::{
    args::Cli,
    bundle,
    facts::{Facts, Origin, Scope},
    output::{Format, Verdict},
    source::{self, folder, leases::Leases},
    sync::Sync,
};

const OBJECTS: &str = "tests/plugin/objects";
const LEASES: &str = "tests/plugin/leases.yaml";
const GOLDEN: &str = "tests/plugin/recorded";

/// A while after the Leases were renewed.
const NOW: &str = "2026-11-25T00:00:00Z";

/// Every object has a version, as in a cluster: 101 and so on, in the order of their keys.
fn facts() -> Facts {
    let cli = Cli::parse_from(["kubectl-postern", "sync", "-f", OBJECTS]);
    let mut compiled = folder::compile(&cli.common.files, &cli.common).unwrap();
    let objects: Vec<_> = compiled.set.objects().collect();
    for (number, mut object) in objects.into_iter().enumerate() {
        let revision = Arc::make_mut(&mut object.meta_mut().revision);
        revision.resource_version = (number + 101).to_string().into();
        compiled.set.insert(object);
    }
    let compiled = source::compiled(compiled.set, compiled.options);
    let mut facts = source::facts(compiled, Origin::Cluster, Scope::default());
    let text = fs::read_to_string(LEASES).unwrap();
    let leases = serde_saphyr::from_multiple::<Lease>(&text).unwrap();
    facts.replicas = Leases::of(&leases).replicas;
    facts
}

/// Compares with the file, or writes it.
fn golden(name: &str, actual: &str) {
    let path = Path::new(GOLDEN).join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, actual, "{}", path.display());
}

#[test]
fn how_far_replicas_have_come_is_told_as_expected() {
    let now: Timestamp = NOW.parse().unwrap();
    let page = Sync {}.page(&facts(), now).unwrap();
    assert_eq!(page.verdict, Verdict::Problems);
    for (format, ending) in [
        (Format::Table, "txt"),
        (Format::Wide, "wide.txt"),
        (Format::Json, "json"),
        (Format::Yaml, "yaml"),
        (Format::Name, "name.txt"),
    ] {
        let text = page.render(format, false).unwrap();
        golden(&format!("sync.{ending}"), &text);
    }
    let guide = fs::read_to_string("docs/guides/troubleshoot.md").unwrap();
    let text = page.render(Format::Table, false).unwrap();
    assert!(guide.contains(&text), "the guide shows it:\n{text}");
}

#[test]
fn a_bundle_holds_what_is_expected_and_no_secret() {
    let mut document = bundle::document(&facts());
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    document["version"] = "VERSION".into();
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    golden("bundle.json", &text);
}
