//! From the parser's events to JSON values with positions.

use std::collections::{BTreeMap, HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::{Document, Reading, SyntaxError, SyntaxErrorKind, count, scalar};
use crate::resource::Position;

/// Deeper than any manifest, shallow enough for every function that walks a value by calling itself.
const MAX_DEPTH: usize = 100;
/// What anchors and aliases of one piece may add, in nodes and bytes of text: aliases of aliases grow without bound.
const MAX_ALIASED: usize = 4 << 20;
/// A field whose path is longer has no position of its own: its parent's is used.
const MAX_PATH: usize = 512;
/// What the paths of all the fields of one piece may take together.
const MAX_PATHS: usize = 64 << 20;

const DUPLICATE: &str = "is there twice";

/// Reads all the documents of a piece of a file that begins at `origin`.
pub(super) fn read(text: &str, origin: Position, reading: &mut Reading) {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        origin,
        anchors: HashMap::new(),
        aliased: 0,
        positions: BTreeMap::new(),
        path: String::new(),
        paths: 0,
    };
    loop {
        match reader.document() {
            Ok(Some(document)) if document.value.is_null() => {}
            Ok(Some(document)) => reading.documents.push(document),
            Ok(None) => return,
            Err(error) => {
                reading.errors.push(error);
                return;
            }
        }
    }
}

/// Whether this is about a field that is there twice.
pub(super) fn is_duplicate(error: &SyntaxError) -> bool {
    error.message.ends_with(DUPLICATE)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    origin: Position,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    positions: BTreeMap<String, Position>,
    /// The path of what is being read.
    path: String,
    paths: usize,
}

/// What an anchor names.
struct Anchored {
    value: Value,
    size: Size,
}

#[derive(Clone, Copy)]
struct Size {
    depth: usize,
    /// Nodes and bytes of text.
    cost: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Document>, SyntaxError> {
        loop {
            let (event, span) = match self.parser.next_event() {
                None => return Ok(None),
                Some(next) => next.map_err(|error| self.scan_error(&error))?,
            };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::Scalar(..)
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..) => {
                    let at = self.position(span);
                    self.path.clear();
                    let value = self.node(event, span, 0)?;
                    let positions = std::mem::take(&mut self.positions);
                    return Ok(Some(Document {
                        at,
                        value,
                        positions,
                    }));
                }
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::SequenceEnd
                | Event::MappingEnd => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Err(SyntaxError {
                at: self.origin,
                kind: SyntaxErrorKind::Syntax,
                message: "the document ends in the middle".to_owned(),
            }),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.error(span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (plain, tag) = kind(style, tag.as_deref());
                let value = scalar::value(&text, plain, tag)
                    .map_err(|message| self.error(span, message))?;
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            _ => return Err(self.error(span, "a value was expected here".to_owned())),
        };
        if anchor > 0 {
            let size = size_of(&value);
            self.charge(size, span)?;
            let value = value.clone();
            self.anchors.insert(anchor, Anchored { value, size });
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            let parent = self.path.len();
            self.path.push('[');
            self.path.push_str(&items.len().to_string());
            self.path.push(']');
            self.found(span);
            let item = self.node(event, span, depth + 1)?;
            self.path.truncate(parent);
            items.push(item);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut fields = Map::new();
        let mut names = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let (text, style, anchor, tag) = match event {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(text, style, anchor, tag) => (text, style, anchor, tag),
                Event::Alias(anchor) => {
                    let name = self.alias_key(anchor, span)?;
                    self.field(name, span, depth, &mut names, &mut fields)?;
                    continue;
                }
                _ => {
                    let message = "the key of a field must be a text".to_owned();
                    return Err(self.error(span, message));
                }
            };
            let (plain, tag) = kind(style, tag.as_deref());
            if text == "<<" && (plain || tag == Some("merge")) {
                self.merge(span, depth, &mut fields)?;
                continue;
            }
            let name =
                scalar::key(&text, plain, tag).map_err(|message| self.error(span, message))?;
            if anchor > 0 {
                let value = Value::from(name.as_str());
                let size = size_of(&value);
                self.charge(size, span)?;
                self.anchors.insert(anchor, Anchored { value, size });
            }
            self.field(name, span, depth, &mut names, &mut fields)?;
        }
    }

    fn field(
        &mut self,
        name: String,
        key: Span,
        depth: usize,
        names: &mut HashSet<String>,
        fields: &mut Map<String, Value>,
    ) -> Result<(), SyntaxError> {
        if !names.insert(name.clone()) {
            let message = format!("the field `{}` {DUPLICATE}", scalar::shown(&name));
            return Err(self.error(key, message));
        }
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(&name);
        self.found(key);
        let (event, span) = self.next()?;
        let value = self.node(event, span, depth + 1)?;
        self.path.truncate(parent);
        fields.insert(name, value);
        Ok(())
    }

    /// Merges as go-yaml 2 does: what is merged takes the place of what stands before it, and of a list the first counts.
    fn merge(
        &mut self,
        key: Span,
        depth: usize,
        fields: &mut Map<String, Value>,
    ) -> Result<(), SyntaxError> {
        let parent = self.path.len();
        self.path.push_str(if parent > 0 { ".<<" } else { "<<" });
        let (event, span) = self.next()?;
        let value = self.node(event, span, depth + 1)?;
        self.path.truncate(parent);
        let sources = match value {
            Value::Array(items) => items,
            other => vec![other],
        };
        for source in sources.into_iter().rev() {
            let Value::Object(source) = source else {
                let message = "`<<` merges a mapping, or a list of them".to_owned();
                return Err(self.error(key, message));
            };
            for (name, value) in source {
                if parent > 0 {
                    self.path.push('.');
                }
                self.path.push_str(&name);
                self.found(key);
                self.path.truncate(parent);
                fields.insert(name, value);
            }
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Value, SyntaxError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(self.error(span, "an anchor must not contain itself".to_owned()));
        };
        let size = anchored.size;
        if depth + size.depth > MAX_DEPTH {
            return Err(self.error(span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.charge(size, span)?;
        Ok(self
            .anchors
            .get(&anchor)
            .map_or(Value::Null, |anchored| anchored.value.clone()))
    }

    fn alias_key(&mut self, anchor: usize, span: Span) -> Result<String, SyntaxError> {
        match self.alias(anchor, span, 0)? {
            Value::String(text) => Ok(text),
            Value::Bool(value) => Ok(value.to_string()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(self.error(span, "the key of a field must be a text".to_owned()))
            }
        }
    }

    /// Counts what an anchor or alias adds.
    fn charge(&mut self, size: Size, span: Span) -> Result<(), SyntaxError> {
        self.aliased = self.aliased.saturating_add(size.cost);
        if self.aliased > MAX_ALIASED {
            return Err(self.error(span, "aliases expand to too much".to_owned()));
        }
        Ok(())
    }

    /// Keeps the position of the field that is being read.
    fn found(&mut self, span: Span) {
        let cost = self.path.len();
        if cost > MAX_PATH || self.paths + cost > MAX_PATHS {
            return;
        }
        self.paths += cost;
        self.positions
            .insert(self.path.clone(), self.position(span));
    }

    fn position(&self, span: Span) -> Position {
        self.locate(span.start.line(), span.start.col())
    }

    /// From the parser's line (from 1) and column (from 0) in the piece to those of the file.
    fn locate(&self, line: usize, column: usize) -> Position {
        let below = count(line.max(1) - 1);
        let right = if below == 0 { self.origin.column } else { 1 };
        Position {
            line: self.origin.line.saturating_add(below),
            column: right.saturating_add(count(column)),
        }
    }

    fn error(&self, span: Span, message: String) -> SyntaxError {
        SyntaxError {
            at: self.position(span),
            kind: SyntaxErrorKind::Syntax,
            message,
        }
    }

    fn scan_error(&self, error: &saphyr_parser::ScanError) -> SyntaxError {
        let marker = error.marker();
        SyntaxError {
            at: self.locate(marker.line(), marker.col()),
            kind: SyntaxErrorKind::Syntax,
            message: error.info().to_owned(),
        }
    }
}

/// Whether a scalar may be something else than a text, and which tag of YAML's own it has.
fn kind(style: ScalarStyle, tag: Option<&Tag>) -> (bool, Option<&str>) {
    match tag {
        None => (style == ScalarStyle::Plain, None),
        Some(tag) if tag.is_yaml_core_schema() => (false, Some(tag.suffix.as_str())),
        Some(tag) => (false, tag.suffix.strip_prefix("tag:yaml.org,2002:")),
    }
}

fn size_of(value: &Value) -> Size {
    let mut size = Size { depth: 0, cost: 1 };
    let mut add = |inner: Size, name: usize| {
        size.depth = size.depth.max(inner.depth + 1);
        size.cost = size.cost.saturating_add(inner.cost + name);
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => size.cost += text.len(),
        Value::Array(items) => items.iter().for_each(|item| add(size_of(item), 0)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, field)| add(size_of(field), name.len())),
    }
    size
}
