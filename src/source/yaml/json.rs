//! JSON files: values as JSON has them, one after the other, with the positions that the YAML parser finds.

use serde_json::Value;

use super::{Document, Position, Reading, SyntaxError, SyntaxErrorKind, count, node, position_of};

/// Reads a text that begins with `{`. It is YAML all the same if it is not JSON, as kubectl has it.
pub(super) fn read(text: &str) -> Reading {
    let json = values(text);
    if json.errors.is_empty() {
        return json;
    }
    let mut yaml = Reading::default();
    for piece in super::pieces(text) {
        node::read(piece.text, piece.origin, &mut yaml);
    }
    if yaml.errors.is_empty() { yaml } else { json }
}

fn values(text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut end = 0;
    let mut origin = super::START;
    while let Some(value) = stream.next() {
        let start = text
            .get(end..)
            .map_or(end, |rest| end + rest.len() - rest.trim_start().len());
        let skipped = text.get(end..start).unwrap_or_default();
        origin = advance(origin, skipped);
        match value {
            Ok(value) => {
                end = stream.byte_offset();
                let source = text.get(start..end).unwrap_or_default();
                document(source, origin, value, &mut reading);
                origin = advance(origin, source);
            }
            Err(error) => {
                reading.errors.push(syntax(text, &error));
                break;
            }
        }
    }
    reading
}

fn document(source: &str, origin: Position, value: Value, reading: &mut Reading) {
    let mut located = Reading::default();
    node::read(source, origin, &mut located);
    // What only the YAML parser refuses (an escaped surrogate pair, say) costs the positions, not the document: except a
    // field that is there twice, of which JSON would silently take the last.
    located.errors.retain(node::is_duplicate);
    if located.errors.is_empty() {
        let found = located.documents.pop();
        reading.documents.push(Document {
            at: origin,
            value,
            positions: found.map(|found| found.positions).unwrap_or_default(),
        });
    }
    reading.errors.append(&mut located.errors);
}

fn syntax(text: &str, error: &serde_json::Error) -> SyntaxError {
    let mut message = error.to_string();
    if let Some(end) = message.rfind(" at line ") {
        message.truncate(end);
    }
    // serde_json counts columns in bytes.
    let line_start = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum::<usize>();
    let offset = line_start + error.column().saturating_sub(1);
    SyntaxError {
        at: position_of(text.as_bytes(), offset.min(text.len())),
        kind: SyntaxErrorKind::Syntax,
        message,
    }
}

/// The position after a text.
fn advance(from: Position, text: &str) -> Position {
    match text.rsplit_once('\n') {
        None => Position {
            column: from.column.saturating_add(count(text.chars().count())),
            ..from
        },
        Some((before, last)) => Position {
            line: from
                .line
                .saturating_add(count(before.matches('\n').count() + 1)),
            column: count(last.chars().count() + 1),
        },
    }
}
