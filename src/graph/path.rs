//! The one canonical path of a request: what is matched, logged and sent upstream (RFC 3986, section 6.2.2).
//!
//! Two steps. A scan looks at every byte once, refuses what no two servers read alike, and says whether the path is
//! canonical already: then it is borrowed. Only otherwise is it rebuilt.

use std::borrow::Cow;

use super::RequestPolicy;

/// A path in canonical form: it begins with `/`, has no dot segment, and every byte has one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'r> {
    text: Cow<'r, str>,
    escaped_slash: bool,
}

/// Why a path is refused. The texts are part of the reply and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    #[error("the path has a byte that must be escaped")]
    Byte,
    #[error("the path has a bad percent-escape")]
    Escape,
    #[error("the path has an escaped NUL")]
    Nul,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has escapes that are not UTF-8")]
    Encoding,
    #[error("the path has a disguised dot segment")]
    DisguisedDots,
    #[error("the path leads above its root")]
    AboveRoot,
    #[error("the rewritten path has a dot segment")]
    RewrittenDots,
}

/// Puts the path of a request (without its query) into canonical form.
///
/// Dot segments are resolved, escapes of unreserved characters decoded, the digits of the others in upper case, and `//`
/// merged if `policy` says so. What the characters mean to a server behind is never a matter of taste: see [`PathError`].
pub fn canonical(raw: &str, policy: RequestPolicy) -> Result<CanonicalPath<'_>, PathError> {
    let scan = Scan::of(raw, policy.merge_slashes)?;
    let text = if scan.canonical {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(resolve(&respell(raw), policy.merge_slashes)?)
    };
    Ok(CanonicalPath {
        text,
        escaped_slash: scan.escaped_slash,
    })
}

/// The same for a path that a rewrite has made of a canonical one: a dot segment in it was hidden in what the client sent
/// (`/files../etc` without `/files`), so it is refused instead of resolved.
pub(super) fn rewritten(
    text: Cow<'_, str>,
    policy: RequestPolicy,
) -> Result<Cow<'_, str>, PathError> {
    let scan = Scan::of(&text, policy.merge_slashes)?;
    if scan.dot_segments {
        return Err(PathError::RewrittenDots);
    }
    if scan.canonical {
        return Ok(text);
    }
    resolve(&respell(&text), policy.merge_slashes).map(Cow::Owned)
}

/// Spells the text of a prefix or an exact path as canonical paths spell it, so that `/caf%c3%a9` and `/café` of a resource
/// match. Segments are left alone: whether a dot segment or `//` can ever match is for the caller to say.
pub fn literal(text: &str) -> Result<Cow<'_, str>, PathError> {
    let plain = text.is_ascii();
    let mut spelled = String::new();
    for &byte in text.as_bytes().iter().filter(|_| !plain) {
        if byte.is_ascii() {
            spelled.push(char::from(byte));
        } else {
            push_escape(&mut spelled, byte);
        }
    }
    let source = if plain { text } else { &spelled };
    let mut scan = Scan {
        canonical: true,
        ..Scan::default()
    };
    for segment in source.split('/') {
        scan.bytes(segment)?;
    }
    Ok(if plain && scan.canonical {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(respell(source))
    })
}

impl<'r> CanonicalPath<'r> {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `%2F` is in it, or was in a segment that `..` took away: only routes that allow escaped slashes take such a
    /// request.
    pub fn has_escaped_slash(&self) -> bool {
        self.escaped_slash
    }

    pub fn into_text(self) -> Cow<'r, str> {
        self.text
    }
}

/// What one look at a path tells.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    canonical: bool,
    escaped_slash: bool,
    dot_segments: bool,
}

impl Scan {
    fn of(raw: &str, merge_slashes: bool) -> Result<Self, PathError> {
        let segments = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let mut scan = Self {
            canonical: true,
            ..Self::default()
        };
        let mut rest = segments;
        loop {
            let end = scan.bytes(rest)?;
            let (segment, after) = rest.split_at(end);
            scan.segment(segment, merge_slashes && !after.is_empty())?;
            let Some(next) = after.strip_prefix('/') else {
                return Ok(scan);
            };
            rest = next;
        }
    }

    /// Looks at the bytes up to the next slash, and returns where it is.
    fn bytes(&mut self, text: &str) -> Result<usize, PathError> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match CLASSES[usize::from(byte)] {
                Class::Plain => at += 1,
                Class::Slash => break,
                Class::Escape => at += self.escape(&bytes[at..])?,
                Class::MustEscape => {
                    self.canonical = false;
                    at += 1;
                }
                Class::Backslash => return Err(PathError::Backslash),
                Class::Refused => return Err(PathError::Byte),
            }
        }
        Ok(at)
    }

    /// Looks at the escape at the start of `bytes`, or at as many as make one character, and returns their length.
    fn escape(&mut self, bytes: &[u8]) -> Result<usize, PathError> {
        let byte = escaped(bytes).ok_or(PathError::Escape)?;
        match byte {
            0 => return Err(PathError::Nul),
            b'\\' => return Err(PathError::Backslash),
            b'/' => self.escaped_slash = true,
            _ if is_unreserved(byte) => self.canonical = false,
            _ => {}
        }
        let count = match byte {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        if count > 1 {
            let mut character = [0; 4];
            for (index, slot) in character[..count].iter_mut().enumerate() {
                let follows = bytes.get(index * 3..).and_then(escaped);
                *slot = follows.ok_or(PathError::Encoding)?;
            }
            str::from_utf8(&character[..count]).map_err(|_| PathError::Encoding)?;
        }
        let length = count * 3;
        if bytes[..length].iter().any(u8::is_ascii_lowercase) {
            self.canonical = false;
        }
        Ok(length)
    }

    fn segment(&mut self, segment: &str, merged_if_empty: bool) -> Result<(), PathError> {
        match segment.as_bytes() {
            [] => self.canonical &= !merged_if_empty,
            b"." | b".." => {
                self.canonical = false;
                self.dot_segments = true;
            }
            [b'.' | b'%', ..] => disguised(segment)?,
            // A dot part may also hide behind an escaped slash: `a%2F..`.
            _ if self.escaped_slash => disguised(segment)?,
            _ => {}
        }
        Ok(())
    }
}

/// Refuses what some server reads as a dot segment and another as a name: `%2e.`, `..;x`, `..%2Fx`.
fn disguised(segment: &str) -> Result<(), PathError> {
    let mut rest = segment.as_bytes();
    loop {
        let mut dots = 0;
        while let Some(length) = dot(rest) {
            dots += 1;
            rest = &rest[length..];
        }
        let ends = rest.is_empty() || rest[0] == b';' || matches!(escaped(rest), Some(b';' | b'/'));
        if ends && matches!(dots, 1 | 2) {
            return Err(PathError::DisguisedDots);
        }
        let Some(slash) = (0..rest.len()).find(|&at| escaped(&rest[at..]) == Some(b'/')) else {
            return Ok(());
        };
        rest = &rest[slash + 3..];
    }
}

/// The length of a dot in any spelling.
fn dot(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'.', ..] => Some(1),
        [b'%', b'2', b'e' | b'E', ..] => Some(3),
        _ => None,
    }
}

/// The byte that the escape at the start of `bytes` stands for.
pub(super) fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Gives every byte its one spelling. The text was scanned.
fn respell(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut spelled = String::with_capacity(bytes.len() + 8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match escaped(&bytes[at - 1..]) {
            Some(byte) => {
                at += 2;
                if is_unreserved(byte) {
                    spelled.push(char::from(byte));
                } else {
                    push_escape(&mut spelled, byte);
                }
            }
            None if matches!(CLASSES[usize::from(byte)], Class::MustEscape) => {
                push_escape(&mut spelled, byte);
            }
            None => spelled.push(char::from(byte)),
        }
    }
    spelled
}

/// Resolves dot segments and merges slashes, from left to right as servers do.
fn resolve(text: &str, merge_slashes: bool) -> Result<String, PathError> {
    let mut resolved = String::with_capacity(text.len());
    let mut segments = text[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if merge_slashes && !last => {}
            "." if last => resolved.push('/'),
            "." => {}
            ".." => {
                let parent = resolved.rfind('/').ok_or(PathError::AboveRoot)?;
                resolved.truncate(parent);
                if last {
                    resolved.push('/');
                }
            }
            segment => {
                resolved.push('/');
                resolved.push_str(segment);
            }
        }
    }
    Ok(resolved)
}

fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What a raw byte of a path is.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Escape,
    /// RFC 3986 has no place for it, but clients send it: escaped, as Envoy does.
    MustEscape,
    Backslash,
    Refused,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Refused; 256];
    let mut byte = 0x21_u8;
    while byte < 0x7F {
        classes[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'%' => Class::Escape,
            b'\\' => Class::Backslash,
            b'?' | b'#' => Class::Refused,
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'}' => Class::MustEscape,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests;
