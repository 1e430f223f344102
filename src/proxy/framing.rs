//! Where the requests of an HTTP/1 connection begin and end, read strictly (RFC 9112, section 6).
//!
//! hyper repairs some heads that two servers may read differently: it takes the last of Content-Length and Transfer-Encoding,
//! and one of two equal lengths. [`Framing`] sees the bytes before hyper does, and says which head must be refused.
//!
//! ```text
//!          ┌──────────────────────────────────────────────┐
//!          v                                              │
//!       [Head] ── length ──> [Fixed n] ── n bytes ────────┤
//!          │ └─── chunked ─> [Chunk size] ─> [data] ─ 0 ─> [trailers]
//!          └ upgrade, refused ─> [Opaque]     a chunk or trailer that is none ─> [Broken]
//! ```

use memchr::memchr;
use smallvec::SmallVec;

use super::error::Malformed;

/// Of a line that arrives in pieces, as much is kept: more than any Content-Length or Transfer-Encoding that is not refused.
const KEPT: usize = 64;

/// Bytes of one line with the size of a chunk, its extensions among them.
const CHUNK_LINE: usize = 256;

/// Follows one direction of a connection byte by byte.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    head: Head,
    /// The beginning of a line whose end has not arrived.
    line: SmallVec<[u8; KEPT]>,
    length: usize,
    last: u8,
}

/// What happened in the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A head is complete.
    Head(Result<(), Malformed>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Fixed(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd(u8),
    Trailers,
    /// Nothing that follows can be told apart.
    Opaque,
    /// The body does not go on as it must: nothing of it may be read any more.
    Broken,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    lines: u32,
    length: Option<u64>,
    encodings: u32,
    upgrade: bool,
    malformed: Option<Malformed>,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            head: Head::default(),
            line: SmallVec::new(),
            length: 0,
            last: 0,
        }
    }

    /// Looks at the next bytes; `seen` hears of each head that ends in them. Returns how many of them may be read: fewer than
    /// there are when a body breaks.
    pub(super) fn feed(&mut self, all: &[u8], mut seen: impl FnMut(Event)) -> usize {
        let mut bytes = all;
        while !bytes.is_empty() {
            let rest = match self.state {
                State::Head => self.head(bytes, &mut seen),
                State::Fixed(left) => self.data(bytes, left, State::Fixed, State::Head),
                State::ChunkData(left) => {
                    self.data(bytes, left, State::ChunkData, State::ChunkEnd(b'\r'))
                }
                State::ChunkEnd(expected) => self.chunk_end(bytes, expected),
                State::ChunkSize => self.chunk_size(bytes),
                State::Trailers => self.trailers(bytes),
                State::Opaque => return all.len(),
                State::Broken => bytes,
            };
            if self.state == State::Broken {
                return all.len() - bytes.len();
            }
            bytes = rest;
        }
        all.len()
    }

    /// Whether a body has broken.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_within_head(&self) -> bool {
        self.state == State::Head && (self.head.lines > 0 || self.length > 0)
    }

    fn head<'b>(&mut self, bytes: &'b [u8], seen: &mut impl FnMut(Event)) -> &'b [u8] {
        let Some((piece, rest)) = split_line(bytes) else {
            self.keep(bytes);
            return &[];
        };
        if !self.ends_with_crlf(piece) {
            self.head.refuse(Malformed::BareLineFeed);
        }
        let blank = self.length + piece.len() <= 2;
        if self.length == 0 {
            self.head.line(piece);
        } else {
            self.keep(piece);
            self.head.line(&self.line);
        }
        self.start_line();
        if blank && self.head.lines > 0 {
            self.end_of_head(seen);
        } else if !blank {
            self.head.lines += 1;
        }
        rest
    }

    fn end_of_head(&mut self, seen: &mut impl FnMut(Event)) {
        let head = std::mem::take(&mut self.head);
        let verdict = head.verdict();
        self.state = match (verdict, head.length) {
            (Err(_), _) => State::Opaque,
            (Ok(()), _) if head.upgrade => State::Opaque,
            (Ok(()), _) if head.encodings > 0 => State::ChunkSize,
            (Ok(()), Some(length)) if length > 0 => State::Fixed(length),
            (Ok(()), _) => State::Head,
        };
        seen(Event::Head(verdict));
    }

    fn data<'b>(
        &mut self,
        bytes: &'b [u8],
        left: u64,
        more: fn(u64) -> State,
        end: State,
    ) -> &'b [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.state = if left == 0 { end } else { more(left) };
        &bytes[here..]
    }

    fn chunk_end<'b>(&mut self, bytes: &'b [u8], expected: u8) -> &'b [u8] {
        self.state = match (bytes[0] == expected, expected) {
            (true, b'\r') => State::ChunkEnd(b'\n'),
            (true, _) => State::ChunkSize,
            (false, _) => State::Broken,
        };
        &bytes[1..]
    }

    fn chunk_size<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some((piece, rest)) = split_line(bytes) else {
            self.keep(bytes);
            if self.length > CHUNK_LINE {
                self.state = State::Broken;
            }
            return &[];
        };
        let is_whole = self.ends_with_crlf(piece);
        self.keep(piece);
        self.state = match chunk_size(&self.line) {
            Some(_) if !is_whole || self.length > CHUNK_LINE => State::Broken,
            Some(0) => State::Trailers,
            Some(size) => State::ChunkData(size),
            None => State::Broken,
        };
        self.start_line();
        rest
    }

    fn trailers<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some((piece, rest)) = split_line(bytes) else {
            self.keep(bytes);
            return &[];
        };
        if !self.ends_with_crlf(piece) {
            self.state = State::Broken;
        } else if self.length + piece.len() <= 2 {
            self.state = State::Head;
        }
        self.start_line();
        rest
    }

    /// Whether the line that `piece` is the end of ends as it must.
    fn ends_with_crlf(&self, piece: &[u8]) -> bool {
        piece.ends_with(b"\r\n") || piece.len() == 1 && self.last == b'\r'
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn start_line(&mut self) {
        self.line.clear();
        self.length = 0;
        self.last = 0;
    }
}

impl Head {
    /// Takes a line; of a line longer than [`KEPT`] perhaps only the beginning.
    fn line(&mut self, line: &[u8]) {
        if self.lines == 0 {
            return;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            self.refuse(Malformed::Folded);
        }
        // Only three names matter here; most lines are told by their first letter.
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(line, "content-length") {
                    self.content_length(value);
                }
            }
            Some(b't' | b'T') => {
                if let Some(value) = value_of(line, "transfer-encoding") {
                    self.encodings += 1;
                    if self.encodings > 1 || !value.eq_ignore_ascii_case(b"chunked") {
                        self.refuse(Malformed::Encoding);
                    }
                }
            }
            Some(b'u' | b'U') => self.upgrade |= value_of(line, "upgrade").is_some(),
            _ => {}
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok());
        match length {
            _ if self.length.is_some() => self.refuse(Malformed::DuplicateLength),
            Some(length) if digits => self.length = Some(length),
            _ => self.refuse(Malformed::Length),
        }
    }

    /// The first reason is kept.
    fn refuse(&mut self, malformed: Malformed) {
        self.malformed.get_or_insert(malformed);
    }

    fn verdict(&self) -> Result<(), Malformed> {
        match self.malformed {
            Some(malformed) => Err(malformed),
            None if self.encodings > 0 && self.length.is_some() => {
                Err(Malformed::LengthAndEncoding)
            }
            None => Ok(()),
        }
    }
}

/// The bytes up to and with the first line feed, and those after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)?;
    Some(bytes.split_at(end + 1))
}

/// The value of a line, if its name is `name`.
fn value_of<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
}

/// The size in a line that begins a chunk; what follows a `;` is left alone.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    match rest.trim_ascii_start().first() {
        None | Some(b';') => {
            let text = str::from_utf8(digits).ok()?;
            u64::from_str_radix(text, 16).ok()
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
