//! The report as others read it: what a replica tells on its diagnostics port, and what whoever asked makes of it again.

use serde::{Deserialize, Serialize};

use super::{Asked, Diagnostic, ObjectReport, Report, Severity};
use crate::resource::ObjectKey;

/// A report, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportView {
    /// In the order of their keys.
    pub objects: Vec<ObjectView>,
    /// What is wrong with files as such.
    pub files: Vec<FileView>,
}

/// All there is to say about one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectView {
    pub group: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub origin: String,
    pub generation: i64,
    pub in_graph: bool,
    pub serves: Vec<String>,
    /// What it asks for and does not get, or not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asked>,
    /// By which of its fields it settles how requests are handled; none of a replica that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settles: Option<Vec<String>>,
    /// The TLSContext that the `tls` of a Mapping names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_context: Option<String>,
    /// The Secret that a Host has its certificate from, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// Of a RouteClaim: the namespaces that have what it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<String>>,
    pub diagnostics: Vec<DiagnosticView>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// Seconds since 1970.
    pub certificate_not_after: Option<i64>,
}

/// One thing to say about one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct DiagnosticView {
    /// `PST3002`.
    pub code: String,
    pub reason: String,
    /// `error` or `warning`.
    pub severity: String,
    pub field: String,
    pub message: String,
    pub next: String,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileView {
    pub at: String,
    pub diagnostic: DiagnosticView,
}

impl ReportView {
    pub fn of(report: &Report) -> Self {
        Self::part(report, |_| true)
    }

    /// Only the objects that are wanted, and everything about files.
    pub fn part(report: &Report, wanted: impl Fn(&ObjectReport) -> bool) -> Self {
        let objects = report.objects.iter().filter(|object| wanted(object));
        Self {
            objects: objects.map(|object| ObjectView::of(object)).collect(),
            files: report
                .files
                .iter()
                .map(|(origin, found)| FileView {
                    at: origin.to_string(),
                    diagnostic: DiagnosticView::of(found),
                })
                .collect(),
        }
    }
}

impl ObjectView {
    pub fn of(object: &ObjectReport) -> Self {
        let owners = object.settled.owners();
        Self {
            group: object.key.group.name().to_owned(),
            kind: object.key.kind.name().to_owned(),
            namespace: object.key.namespace.to_string(),
            name: object.key.name.to_string(),
            origin: object.origin.to_string(),
            generation: object.revision.generation,
            in_graph: object.in_graph,
            serves: object.serves.iter().map(ToString::to_string).collect(),
            asks: object.asks.as_deref().cloned(),
            settles: Some(object.settled.paths().collect()),
            tls_context: object.settled.context().map(str::to_owned),
            tls_secret: object.settled.secret().map(str::to_owned),
            owners: owners.map(|owners| owners.iter().map(ToString::to_string).collect()),
            created: object.revision.created,
            diagnostics: object.diagnostics.iter().map(DiagnosticView::of).collect(),
            certificate_not_after: object.certificate_not_after,
        }
    }

    /// `Mapping apps/quote`, as [`ObjectKey`] writes it.
    pub fn title(&self) -> String {
        let group = if self.group == crate::resource::Group::Emissary.name() {
            format!(".{}", self.group)
        } else {
            String::new()
        };
        if self.namespace.is_empty() {
            format!("{}{group} {}", self.kind, self.name)
        } else {
            format!("{}{group} {}/{}", self.kind, self.namespace, self.name)
        }
    }

    pub fn is(&self, key: &ObjectKey) -> bool {
        self.group == key.group.name()
            && self.kind == key.kind.name()
            && *self.namespace == *key.namespace
            && *self.name == *key.name
    }

    pub fn first_error(&self) -> Option<&DiagnosticView> {
        self.diagnostics.iter().find(|found| found.is_error())
    }
}

impl DiagnosticView {
    pub fn of(diagnostic: &Diagnostic) -> Self {
        let info = diagnostic.code.info();
        Self {
            code: diagnostic.code.to_string(),
            reason: info.reason.to_owned(),
            severity: match info.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            }
            .to_owned(),
            field: diagnostic.field.clone(),
            message: diagnostic.message.clone(),
            next: diagnostic.next.clone(),
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        report::{Code, Field, Settled},
        resource::{Group, Kind, Origin, Revision},
    };

    #[test]
    fn a_report_that_has_travelled_says_the_same() {
        for (group, title) in [
            (Group::Postern, "Mapping apps/quote"),
            (Group::Emissary, "Mapping.getambassador.io apps/quote"),
        ] {
            let key = ObjectKey::new(group, Kind::Mapping, "apps", "quote");
            let mut settled = Settled::default();
            settled.add(Field::Tls, false);
            settled.add_context("upstream");
            settled.add_secret("apps/site");
            let object = ObjectReport {
                key: key.clone(),
                origin: Origin::Cluster,
                revision: Arc::new(Revision {
                    generation: 3,
                    created: Some(7),
                    ..Revision::default()
                }),
                diagnostics: [Diagnostic::new(Code::Conflict, "", "it is not yours", "")].into(),
                in_graph: false,
                serves: Box::default(),
                asks: Some(Box::new(Asked {
                    hostname: "example.com".to_owned(),
                    path: "/quote/".to_owned(),
                    exact: false,
                })),
                settled,
                certificate_not_after: None,
            };
            let report = Report {
                objects: [Arc::new(object)].into_iter().collect(),
                ..Report::default()
            };
            let view = ReportView::of(&report);
            let text = serde_json::to_string(&view).unwrap();
            assert_eq!(serde_json::from_str::<ReportView>(&text).unwrap(), view);
            assert_eq!(view.objects[0].settles.as_deref().unwrap(), ["spec.tls"]);
            assert_eq!(view.objects[0].tls_context.as_deref(), Some("upstream"));
            assert_eq!(view.objects[0].tls_secret.as_deref(), Some("apps/site"));
            assert!(view.objects[0].is(&key));
            assert_eq!(view.objects[0].title(), title);
            assert_eq!(key.to_string(), title);
            assert_eq!(view.objects[0].first_error().unwrap().code, "PST2007");
        }
    }
}
