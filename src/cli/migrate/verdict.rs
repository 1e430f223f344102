//! The verdict on each object: what becomes of its fields, and what the compiler says about it as it is then.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;
use serde_json::Value;

use super::convert::{Asked, Conversion, Converted, FieldVerdict, name_of};
use crate::{
    compile::{Environment, Options, compile},
    config::compat::Verdict,
    report::{Code, Diagnostic, Severity},
    resource::{
        Group, ObjectKey, Origin, Positions, ResourceSet,
        decode::{self, Decoded},
        key,
    },
};

/// What there is to say about a conversion.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MigrationReport {
    pub(super) objects: Vec<ObjectVerdict>,
    /// What could not be read, or did not count before.
    pub(super) problems: Vec<String>,
    /// What is left to do by hand.
    pub(super) by_hand: Vec<String>,
}

/// The verdict on an object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectVerdict {
    /// `Mapping apps/quote`, as it was.
    pub(super) object: String,
    pub(super) at: String,
    /// As it is now; empty where it is left out.
    pub(super) becomes: String,
    pub(super) verdict: Word,
    pub(super) notes: Vec<String>,
    pub(super) fields: Vec<Field>,
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    #[serde(rename = "field")]
    pub(super) name: String,
    pub(super) verdict: Word,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) becomes: Option<String>,
}

/// What the compiler says about an object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) code: String,
    pub(super) is_error: bool,
    pub(super) field: String,
    pub(super) message: String,
    pub(super) next: String,
}

/// A verdict as it is written, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    Works,
    NoEffect,
    Differs,
    Refused,
}

// === impl Word ===

impl Word {
    pub(super) const ALL: [Self; 4] = [Self::Works, Self::NoEffect, Self::Differs, Self::Refused];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::NoEffect => "no effect",
            Self::Differs => "differs",
            Self::Refused => "refused",
        }
    }
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Works => Self::Works,
            Verdict::Differs => Self::Differs,
            Verdict::NoEffect => Self::NoEffect,
            Verdict::Refused => Self::Refused,
        }
    }
}

// === impl MigrationReport ===

impl MigrationReport {
    pub(super) fn is_refused(&self) -> bool {
        !self.problems.is_empty() || self.objects.iter().any(|o| o.verdict == Word::Refused)
    }
}

/// The verdicts, with the compiler's on the objects as they are now.
pub(super) fn of(conversion: &Conversion, asked: &Asked) -> MigrationReport {
    let manifests = { conversion.objects.iter() }
        .filter_map(|object| object.manifest.as_ref())
        .chain(&conversion.rest);
    let set = set_of(manifests, &asked.default_namespace);
    let (_, report) = compile(&set, &options(asked));
    let objects = conversion.objects.iter().map(|object| {
        let key = object.manifest.as_ref().and_then(key_of);
        let found = key.and_then(|key| report.object(&key));
        let diagnostics = found.map(|found| &*found.diagnostics);
        verdict(object, diagnostics.unwrap_or_default())
    });
    let by_hand = conversion.carriers.iter().map(|carrier| {
        format!("Remove the annotation `getambassador.io/config` of {carrier}: what was in it are objects of their own now.")
    });
    MigrationReport {
        objects: objects.collect(),
        problems: conversion.problems.clone(),
        by_hand: by_hand.collect(),
    }
}

/// As `postern lint` compiles: Services that are not there are taken to exist.
fn options(asked: &Asked) -> Options {
    Options {
        namespace: asked.namespace.as_str().into(),
        installation: asked.installation.as_str().into(),
        own_ports: crate::compile::OWN_PORTS.to_vec(),
        environment: Environment::Folder {
            backends: Vec::new(),
            echo: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9)),
        },
    }
}

fn set_of<'m>(manifests: impl Iterator<Item = &'m Value>, namespace: &str) -> ResourceSet {
    let mut set = ResourceSet::default();
    for manifest in manifests {
        let decoded = decode::object(manifest, Origin::Cluster, namespace, Positions::default());
        if let Decoded::Object(object) = decoded {
            set.insert(object);
        }
    }
    set
}

fn key_of(manifest: &Value) -> Option<ObjectKey> {
    let text = |pointer: &str| manifest.pointer(pointer)?.as_str();
    let (group, _) = text("/apiVersion")?.split_once('/')?;
    let kind = text("/kind")?;
    let (group, kind, _) = key::all().find(|row| row.0.name() == group && row.2 == kind)?;
    Some(ObjectKey::new(
        group,
        kind,
        text("/metadata/namespace")?,
        text("/metadata/name")?,
    ))
}

fn verdict(object: &Converted, diagnostics: &[Diagnostic]) -> ObjectVerdict {
    let findings: Vec<_> = { diagnostics.iter() }
        // Secrets are not among what is converted, and what was left out says so itself.
        .filter(|d| {
            !matches!(
                d.code,
                Code::SecretNotFound | Code::NoEffect | Code::PresetDecides
            )
        })
        .filter(|d| d.code.info().severity != Severity::Note)
        .map(Finding::of)
        .collect();
    let fields: Vec<_> = object.fields.iter().map(Field::of).collect();
    let of_fields = fields.iter().map(|field| field.verdict);
    let of_findings = findings.iter().map(|finding| {
        if finding.is_error {
            Word::Refused
        } else {
            Word::Differs
        }
    });
    let is_gone = object.manifest.is_none();
    let verdict = of_fields.chain(of_findings).max().unwrap_or(Word::Works);
    ObjectVerdict {
        object: object.was.clone(),
        at: object.at.clone(),
        becomes: object.manifest.as_ref().map(becomes).unwrap_or_default(),
        verdict: if is_gone && verdict == Word::Works {
            Word::NoEffect
        } else {
            verdict
        },
        notes: object.notes.clone(),
        fields,
        findings,
    }
}

/// `Mapping apps/quote`, and `TLSContext.getambassador.io apps/context` for what stays Emissary's.
fn becomes(manifest: &Value) -> String {
    match key_of(manifest) {
        Some(key) if key.group == Group::Emissary => key.to_string(),
        _ => name_of(manifest),
    }
}

// === impl Field ===

impl Field {
    fn of(field: &FieldVerdict) -> Self {
        Self {
            name: field.field.clone(),
            verdict: field.verdict.into(),
            text: field.text.clone(),
            becomes: field.becomes.clone(),
        }
    }
}

// === impl Finding ===

impl Finding {
    fn of(diagnostic: &Diagnostic) -> Self {
        Self {
            code: diagnostic.code.to_string(),
            is_error: diagnostic.is_error(),
            field: diagnostic.field.clone(),
            message: diagnostic.message.clone(),
            next: diagnostic.next.clone(),
        }
    }
}
