//! YAML and JSON to JSON values, read as kubectl reads them, with the position of every field.
//!
//! A file is cut at its `---` lines and each piece is parsed on its own, so a syntax error hides no other document.
//! Everything is bounded: size, nesting, what aliases may expand to, and the memory for positions.

mod json;
mod node;
mod scalar;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resource::Position;

/// More than 100,000 Mappings in one file.
pub const MAX_BYTES: usize = 64 << 20;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where its first field is.
    pub at: Position,
    pub value: Value,
    /// Where each field was found, by its path from the root of the document: `spec.prefix`, `spec.protocolStack[0]`.
    pub positions: BTreeMap<String, Position>,
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub at: Position,
    pub kind: SyntaxErrorKind,
    /// One sentence without the final period.
    pub message: String,
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxErrorKind {
    /// The text is not YAML, or not JSON.
    Syntax,
    /// The bytes are not text.
    Encoding,
    /// There are too many bytes.
    Size,
}

/// What a file holds. Documents that hold nothing are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub documents: Vec<Document>,
    pub errors: Vec<SyntaxError>,
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    reading.errors = each(bytes, &mut |document| reading.documents.push(document));
    reading
}

/// Reads a file and calls with its documents, one after the other, so that they need not all be there at once.
pub fn each(bytes: &[u8], found: &mut dyn FnMut(Document)) -> Vec<SyntaxError> {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(error) => return vec![error],
    };
    if text.trim_start().starts_with('{') {
        let reading = json::read(text);
        reading.documents.into_iter().for_each(found);
        return reading.errors;
    }
    let mut errors = Vec::new();
    for piece in pieces(text) {
        let mut reading = Reading::default();
        node::read(piece.text, piece.origin, &mut reading);
        reading.documents.into_iter().for_each(&mut *found);
        errors.append(&mut reading.errors);
    }
    errors
}

/// The bytes as text without byte order mark, if it is text.
fn text(bytes: &[u8]) -> Result<&str, SyntaxError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        return Err(SyntaxError {
            at: START,
            kind: SyntaxErrorKind::Size,
            message,
        });
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(SyntaxError {
            at: START,
            kind: SyntaxErrorKind::Encoding,
            message: "the file is UTF-16 text, not UTF-8".to_owned(),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| SyntaxError {
        at: position_of(bytes, error.valid_up_to()),
        kind: SyntaxErrorKind::Encoding,
        message: "the file is not UTF-8 text".to_owned(),
    })?;
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    match bytes.iter().position(control) {
        Some(at) => Err(SyntaxError {
            at: position_of(bytes, at),
            kind: SyntaxErrorKind::Encoding,
            message: "the file holds a control character".to_owned(),
        }),
        None => Ok(text),
    }
}

const START: Position = Position { line: 1, column: 1 };

/// The position of a byte.
fn position_of(bytes: &[u8], offset: usize) -> Position {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default())
        .chars()
        .count()
        + 1;
    Position {
        line: count(line),
        column: count(column),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A part of a file, and the position of its first character.
struct Piece<'a> {
    text: &'a str,
    origin: Position,
}

/// Cuts at the lines that begin a document. A separator belongs to what follows it, as do directives before it.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut start_line, mut line, mut offset) = (0, 1, 1, 0);
    let mut empty = true;
    for content in text.split_inclusive('\n') {
        if separates(content) && !empty {
            pieces.push((start, offset, start_line));
            (start, start_line, empty) = (offset, line, true);
        }
        let bare = content.trim();
        empty = empty && (bare.is_empty() || bare.starts_with(['#', '%']));
        // A second separator ends a document that is only a separator.
        empty = empty && !separates(content);
        offset += content.len();
        line += 1;
    }
    pieces.push((start, text.len(), start_line));
    pieces
        .into_iter()
        .filter_map(|(from, to, line)| {
            Some(Piece {
                text: text.get(from..to)?,
                origin: Position { line, column: 1 },
            })
        })
        .collect()
}

fn separates(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests;
