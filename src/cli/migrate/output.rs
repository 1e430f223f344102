//! What a conversion is written as: files of manifests, and a page for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use anyhow::{Context, Result};

use super::{
    convert::Conversion,
    verdict::{Field, MigrationReport, ObjectVerdict, Word},
};

/// The manifests, one file for each namespace.
pub(super) fn files(conversion: &Conversion) -> Result<Vec<(String, String)>> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for manifest in conversion
        .objects
        .iter()
        .filter_map(|o| o.manifest.as_ref())
    {
        let namespace = manifest
            .pointer("/metadata/namespace")
            .and_then(|n| n.as_str());
        // A namespace that is none is no part of a path.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let namespace = namespace.filter(|name| !name.is_empty() && name.chars().all(is_plain));
        let name = format!("{}.yaml", namespace.unwrap_or("namespace"));
        let text = serde_saphyr::to_string(manifest).context("writing YAML")?;
        let file = files.entry(name).or_default();
        let _infallible = writeln!(file, "---\n{}", text.trim_end());
    }
    Ok(files.into_iter().collect())
}

/// The report as a page.
pub(super) fn markdown(report: &MigrationReport) -> String {
    let mut page = String::from("# From Emissary-ingress to Postern\n");
    counts(&mut page, report);
    refused(&mut page, report);
    list(
        &mut page,
        "## What could not be read, or did not count",
        &report.problems,
    );
    list(&mut page, "## By hand", &report.by_hand);
    objects(&mut page, report);
    differences(&mut page, report);
    page
}

fn counts(page: &mut String, report: &MigrationReport) {
    page.push_str("\n| | works | no effect | differs | refused |\n|---|---|---|---|---|\n");
    let row = |page: &mut String, name: &str, words: &[Word]| {
        let _infallible = write!(page, "| {name} |");
        for word in Word::ALL {
            let number = words.iter().filter(|found| **found == word).count();
            let _infallible = write!(page, " {number} |");
        }
        page.push('\n');
    };
    let of_objects: Vec<_> = report.objects.iter().map(|object| object.verdict).collect();
    row(page, "objects", &of_objects);
    let fields = report.objects.iter().flat_map(|object| &object.fields);
    let of_fields: Vec<_> = fields.map(|field| field.verdict).collect();
    row(page, "fields", &of_fields);
}

fn refused(page: &mut String, report: &MigrationReport) {
    let objects: Vec<_> = { report.objects.iter() }
        .filter(|object| object.verdict == Word::Refused)
        .collect();
    if objects.is_empty() {
        return;
    }
    page.push_str("\n## Refused\n");
    for object in objects {
        let _infallible = write!(page, "\n### {}\n\n{}\n\n", object.object, object.at);
        for field in object.fields.iter().filter(|f| f.verdict == Word::Refused) {
            let _infallible = writeln!(page, "* `{}`: {}", field.name, field.text);
        }
        for finding in object.findings.iter().filter(|finding| finding.is_error) {
            let _infallible = writeln!(
                page,
                "* {} `{}`: {}. {}.",
                finding.code, finding.field, finding.message, finding.next
            );
        }
    }
}

fn list(page: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _infallible = write!(page, "\n{title}\n\n");
    for line in lines {
        let _infallible = writeln!(page, "* {line}");
    }
}

fn objects(page: &mut String, report: &MigrationReport) {
    page.push_str("\n## Objects\n\n| was | is now | verdict | |\n|---|---|---|---|\n");
    for object in &report.objects {
        let _infallible = writeln!(
            page,
            "| {} | {} | {} | {} |",
            object.object,
            object.becomes,
            object.verdict.text(),
            remarks(object)
        );
    }
}

fn remarks(object: &ObjectVerdict) -> String {
    let mut remarks = object.notes.clone();
    for word in [Word::Differs, Word::NoEffect, Word::Refused] {
        let fields = object.fields.iter().filter(|field| field.verdict == word);
        let names: Vec<_> = fields.map(|field| format!("`{}`", field.name)).collect();
        if !names.is_empty() {
            remarks.push(format!("{}: {}.", word.text(), names.join(", ")));
        }
    }
    for field in &object.fields {
        if let Some(becomes) = &field.becomes {
            remarks.push(format!("`{}`: {becomes}.", field.name));
        }
    }
    for finding in object.findings.iter().filter(|finding| !finding.is_error) {
        remarks.push(format!("{}: {}.", finding.code, finding.message));
    }
    remarks.join(" ").replace('|', "\\|")
}

/// Each way in which a field differs, once.
fn differences(page: &mut String, report: &MigrationReport) {
    let mut rows = BTreeSet::new();
    for object in &report.objects {
        let kind = object.object.split(' ').next().unwrap_or_default();
        let said = |field: &&Field| {
            matches!(field.verdict, Word::Differs | Word::NoEffect) && !field.text.is_empty()
        };
        for field in object.fields.iter().filter(said) {
            rows.insert((kind, field.name.as_str(), field.text.as_str()));
        }
    }
    if rows.is_empty() {
        return;
    }
    page.push_str("\n## How fields differ, or why they have no effect\n\n| | | |\n|---|---|---|\n");
    for (kind, field, text) in rows {
        let _infallible = writeln!(page, "| {kind} | `{field}` | {text} |");
    }
}
