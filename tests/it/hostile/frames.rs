//! HTTP/2 frames written by hand, and what the other side answers (RFC 9113, section 4; RFC 7541).

use std::{io::Write, net::TcpStream};

use super::{Received, receive_until};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const NONE: u8 = 0;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field, not indexed and not compressed: its name and value may be what no encoder would write.
pub(super) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.extend(integer(text.len(), 7, 0));
        field.extend(text);
    }
    field
}

/// The same, and put into the dynamic table.
pub(super) fn indexed_field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = field(name, value);
    field[0] = 0x40;
    field
}

/// An integer whose first byte has a prefix of so many bits (RFC 7541, section 5.1).
pub(super) fn integer(number: usize, bits: u8, first: u8) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if number < most {
        return vec![first | u8::try_from(number).unwrap()];
    }
    let mut bytes = vec![first | u8::try_from(most).unwrap()];
    let mut rest = number - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields
        .iter()
        .map(|(name, value)| field(name.as_bytes(), value.as_bytes()));
    fields.collect::<Vec<_>>().concat()
}

/// The head of a GET that is as it should be.
pub(super) fn get(authority: &str, path: &str) -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ])
}

/// The preface, settings, and an acknowledgement of those of the other side.
pub(super) fn hello() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, NONE, 0, &[]));
    bytes.extend(frame(SETTINGS, ACK, 0, &[]));
    bytes
}

/// What the other side answered on a connection.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Streams and the status of their answers.
    pub(super) answers: Vec<(u32, u16)>,
    /// Streams that were reset, and the code.
    pub(super) resets: Vec<(u32, u32)>,
    /// The code of the last GOAWAY.
    pub(super) goaway: Option<u32>,
    pub(super) pongs: usize,
    pub(super) closed: bool,
}

/// Sends bytes after the hello, and reads until the other side closes or has told what is waited for.
pub(super) fn exchange(mut stream: TcpStream, bytes: &[u8], done: impl Fn(&Told) -> bool) -> Told {
    // The other side may end it before it has all.
    let _sent = stream.write_all(&[&hello(), bytes].concat());
    Told::of(&receive_until(&mut stream, |received| {
        done(&Told::of(received))
    }))
}

impl Told {
    pub(super) fn of(received: &Received) -> Self {
        let mut told = Self {
            closed: received.closed,
            ..Self::default()
        };
        let mut rest = &*received.bytes;
        while let Some((header, after)) = rest.split_first_chunk::<9>() {
            let [length @ .., kind, _, _, _, _, _] = *header;
            let [.., s0, s1, s2, s3] = *header;
            let length = length
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            let stream = u32::from_be_bytes([s0, s1, s2, s3]);
            let Some((payload, next)) = after.split_at_checked(length) else {
                break;
            };
            let number = |at: usize| {
                let bytes = payload.get(at..at + 4)?.try_into().ok()?;
                Some(u32::from_be_bytes(bytes))
            };
            match kind {
                HEADERS => told
                    .answers
                    .extend(status(payload).map(|status| (stream, status))),
                RST_STREAM => told.resets.extend(number(0).map(|code| (stream, code))),
                GOAWAY => told.goaway = number(4).or(told.goaway),
                PING => told.pongs += 1,
                _ => {}
            }
            rest = next;
        }
        told
    }

    pub(super) fn status(&self, stream: u32) -> Option<u16> {
        let found = self.answers.iter().find(|(of, _)| *of == stream);
        found.map(|(_, status)| *status)
    }

    pub(super) fn is_reset(&self, stream: u32) -> bool {
        self.resets.iter().any(|(of, _)| *of == stream)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.closed || self.goaway.is_some()
    }
}

/// The status of an answer, which is its first field after changes of the table's size.
fn status(block: &[u8]) -> Option<u16> {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let mut rest = block;
    while rest.first().is_some_and(|byte| byte & 0xE0 == 0x20) {
        rest = &rest[1..];
    }
    let (first, rest) = rest.split_first()?;
    if let index @ 0x88..=0x8E = *first {
        return STATIC.get(usize::from(index - 0x88)).copied();
    }
    // A literal whose name is `:status`, which is number 8 in the table.
    if ![0x48, 0x08, 0x18].contains(first) {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let text = rest.get(..usize::from(length & 0x7F))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    digits(text)
}

/// Three digits in Huffman's code: `0` to `2` have five bits, the others six (RFC 7541, appendix B).
fn digits(text: &[u8]) -> Option<u16> {
    let bits = text
        .iter()
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = 8 * u32::try_from(text.len()).ok()?;
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> left.checked_sub(5)? & 0x1F;
        let digit = if five < 3 {
            left -= 5;
            five
        } else {
            left = left.checked_sub(6)?;
            (bits >> left & 0x3F).checked_sub(0x19)? + 3
        };
        number = number * 10 + digit;
    }
    u16::try_from(number).ok()
}

#[test]
fn statuses_are_read_in_every_spelling() {
    for (block, expected) in [
        (&[0x88_u8][..], Some(200)),
        (&[0x20, 0x8D], Some(404)),
        (&[0x48, 3, b'4', b'2', b'1'], Some(421)),
        // 431: 011010 011001 00001 and ones to the end of the byte.
        (
            &[0x48, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111],
            Some(431),
        ),
        (&[0x00, 1, b'a', 1, b'b'], None),
    ] {
        assert_eq!(status(block), expected, "{block:x?}");
    }
}
