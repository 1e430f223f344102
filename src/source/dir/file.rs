//! From the bytes of a file to the objects in it.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use memchr::memmem;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::unknown;
use crate::{
    crd::schema::Problem,
    resource::{
        AnyObject, FileProblem, FileProblemKind, Group, Kind, Origin, Position, SharedPaths,
        decode::{self, Decoded},
    },
    source::{
        annotation,
        merge::{self, Contents, Found},
        yaml::{self, Document, SyntaxError, SyntaxErrorKind},
    },
};

/// A List in a List is taken apart as well, but not without end.
const MAX_LISTS: usize = 4;

/// Reads files.
#[derive(Debug)]
pub(super) struct Reader {
    default_namespace: String,
    paths: SharedPaths,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(default_namespace: String) -> Self {
        Self {
            default_namespace,
            paths: SharedPaths::default(),
        }
    }

    /// What the file holds. `before` is what it held: as long as it has a syntax error, what cannot be seen any more stays.
    pub(super) fn read(&mut self, path: &Arc<str>, bytes: &[u8], before: &Contents) -> Contents {
        let mut contents = Contents::default();
        // What grows step by step leaves its smaller sizes behind.
        contents.found.reserve(documents(bytes));
        let errors = yaml::each(bytes, &mut |document| {
            self.document(path, document, MAX_LISTS, &mut contents);
        });
        for error in errors {
            contents.problems.push(FileProblem {
                at: error.at,
                kind: match error.kind {
                    SyntaxErrorKind::Syntax => FileProblemKind::Syntax,
                    SyntaxErrorKind::Encoding => FileProblemKind::Encoding,
                    SyntaxErrorKind::Size => FileProblemKind::Size,
                },
                message: error.message,
            });
        }
        let broken = |problem: &FileProblem| problem.kind.hides_objects();
        if contents.problems.iter().any(broken) {
            keep(before, &mut contents);
        }
        contents.found.shrink_to_fit();
        contents
    }

    fn document(
        &mut self,
        path: &Arc<str>,
        document: Document,
        lists: usize,
        contents: &mut Contents,
    ) {
        let document = match items(document) {
            Ok(items) if lists > 0 => {
                for item in items {
                    self.document(path, item, lists - 1, contents);
                }
                return;
            }
            Ok(_) => return,
            Err(document) => *document,
        };
        let Document {
            at,
            mut value,
            positions,
        } = document;
        annotation::as_of_today(&mut value);
        let origin = Origin::File {
            path: path.clone(),
            at,
        };
        match decode::object(
            &value,
            origin,
            &self.default_namespace,
            self.paths.share(positions.into()),
        ) {
            Decoded::Object(object) => objects(object, &value, at, contents),
            Decoded::UnknownKind(version, kind) => {
                let mistake = unknown::mistake(&version, &kind);
                contents.problems.extend(mistake.map(|message| FileProblem {
                    at,
                    kind: FileProblemKind::UnknownKind,
                    message,
                }));
            }
            Decoded::Invalid(message) => contents.problems.push(FileProblem {
                at,
                kind: FileProblemKind::Document,
                message,
            }),
        }
    }
}

/// Adds an object, and those that it carries.
fn objects(object: AnyObject, value: &Value, at: Position, contents: &mut Contents) {
    contents.problems.extend(ignored_fields(&object, at));
    let carried = annotation::objects(&object);
    let annotation_at = object
        .positions()
        .get(&format!("metadata.annotations.{}", annotation::NAME))
        .unwrap_or(at);
    // There is nothing to read in an Ingress but what it carries.
    if object.key().kind != Kind::Ingress || !carried.objects.is_empty() {
        contents.found.push(found(object, value, at));
    }
    for (manifest, object) in carried.objects {
        contents.found.push(found(object, &manifest, annotation_at));
    }
    for message in carried.problems {
        contents.problems.push(FileProblem {
            at: annotation_at,
            kind: FileProblemKind::Annotation,
            message,
        });
    }
}

fn found(object: AnyObject, value: &Value, at: Position) -> Found {
    Found {
        object,
        digest: digest(value),
        at,
    }
}

/// Every manifest of a file, with where it begins, and what is wrong with the file.
pub(super) fn manifests(bytes: &[u8]) -> (Vec<(Value, Position)>, Vec<SyntaxError>) {
    let mut found = Vec::new();
    let errors = yaml::each(bytes, &mut |document| {
        collect(document, MAX_LISTS, &mut found);
    });
    (found, errors)
}

fn collect(document: Document, lists: usize, found: &mut Vec<(Value, Position)>) {
    match items(document) {
        Ok(items) if lists > 0 => {
            for item in items {
                collect(item, lists - 1, found);
            }
        }
        Ok(_) => {}
        Err(document) => found.push((document.value, document.at)),
    }
}

/// About as many documents as there are.
fn documents(bytes: &[u8]) -> usize {
    memmem::find_iter(bytes, b"\n---").count() + 1
}

fn digest(value: &Value) -> merge::Digest {
    let whole: [u8; 32] = Sha256::digest(value.to_string().as_bytes()).into();
    std::array::from_fn(|at| whole[at])
}

/// What is wrong with an object of Kubernetes' own kinds: no report is about one, and no API server has looked at it.
fn ignored_fields(object: &AnyObject, at: Position) -> Vec<FileProblem> {
    let key = object.key();
    if matches!(key.group, Group::Postern | Group::Emissary) {
        return Vec::new();
    }
    let problem = |problem: &Problem| FileProblem {
        at: object.positions().nearest(&problem.field).unwrap_or(at),
        kind: FileProblemKind::Field,
        message: format!("{key} {}: {}", problem.field, problem.message),
    };
    object.problems().iter().map(problem).collect()
}

/// Adds the objects that were there before and are not now.
fn keep(before: &Contents, contents: &mut Contents) {
    let now: HashSet<_> = contents
        .found
        .iter()
        .map(|found| found.object.key())
        .collect();
    let kept: Vec<_> = before
        .found
        .iter()
        .filter(|old| !now.contains(old.object.key()))
        .cloned()
        .collect();
    contents.found.extend(kept);
    contents.found.sort_by_key(|found| found.at);
}

/// The items of a List, each as a document of its own; what is not a List comes back.
fn items(mut document: Document) -> Result<Vec<Document>, Box<Document>> {
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let (version, kind) = (
        text(&document.value, "apiVersion"),
        text(&document.value, "kind"),
    );
    let Some(item_kind) = kind.as_deref().and_then(|kind| kind.strip_suffix("List")) else {
        return Err(Box::new(document));
    };
    let Some(Value::Array(items)) = document.value.get_mut("items").map(Value::take) else {
        return Err(Box::new(document));
    };
    let items = items.into_iter().enumerate().map(|(index, mut value)| {
        // In a list of one kind, as the API server returns it, the items do not repeat what they are.
        if let (Value::Object(fields), false) = (&mut value, item_kind.is_empty()) {
            if let Some(version) = &version {
                fields
                    .entry("apiVersion")
                    .or_insert_with(|| Value::from(version.as_str()));
            }
            fields
                .entry("kind")
                .or_insert_with(|| Value::from(item_kind));
        }
        let prefix = format!("items[{index}]");
        Document {
            at: document
                .positions
                .get(&prefix)
                .copied()
                .unwrap_or(document.at),
            value,
            positions: below(&document.positions, &prefix),
        }
    });
    Ok(items.collect())
}

/// The positions below a path, by the rest of their paths.
fn below(positions: &BTreeMap<String, Position>, path: &str) -> BTreeMap<String, Position> {
    let prefix = format!("{path}.");
    positions
        .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
        .map_while(|(path, at)| Some((path.strip_prefix(&prefix)?.to_owned(), *at)))
        .collect()
}
