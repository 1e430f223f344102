//! The only place that builds regular expressions.
//!
//! A pattern means what RE2 makes of it. It is rewritten into the syntax of the regex crate, which differs in a few places:
//! `\d`, `\w`, `\s` and `\b` are ASCII, `\Q..\E` quotes, and inside of a class `[`, `&&`, `--` and `~~` are plain characters.
//! What RE2 does not know (`\u`, the flags `x` and `u`) is refused. Texts are UTF-8, as in RE2, so `.` is one character.

use std::{iter::Peekable, str::Chars, sync::Arc};

use regex::{Regex, RegexBuilder};

use crate::graph::route::{Pattern, RegexRewrite};

/// Of a pattern's text.
const MAX_TEXT: usize = 1024;
/// Of the compiled program. Matching is linear in the text; this bounds the factor.
const MAX_PROGRAM: usize = 256 * 1024;
/// Groups nested deeper than this are nobody's routing.
const MAX_NESTING: u32 = 50;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("it is longer than {MAX_TEXT} bytes")]
    TooLong,
    #[error("it is too large: {MAX_PROGRAM} bytes are the most that it may need")]
    TooLarge,
    #[error("RE2 has no escape `\\{0}`")]
    Escape(char),
    #[error("it ends with a backslash")]
    Backslash,
    #[error("RE2 has no flag `{0}`")]
    Flag(char),
    #[error("a character class does not end")]
    Class,
    #[error("{0}")]
    Syntax(String),
    #[error("the substitution refers to group {group}, and the pattern has {count}")]
    Group { group: usize, count: usize },
    #[error("the substitution has a `\\` that no digit and no `\\` follows")]
    Substitution,
}

/// A pattern that matches a text as a whole.
pub(super) fn anchored(text: &str) -> Result<Arc<Pattern>, PatternError> {
    let inner = translate(text)?;
    // On its own first: `a)(b` must not close the group that is put around it.
    build(&inner)?;
    let regex = build(&format!("^(?:{inner})$"))?;
    let text = text.into();
    Ok(Arc::new(Pattern { text, regex }))
}

/// A pattern whose matches are replaced; `\1` in the substitution stands for a group, `\0` for the whole match.
pub(super) fn replacement(
    pattern: &str,
    substitution: &str,
) -> Result<Arc<RegexRewrite>, PatternError> {
    let regex = build(&translate(pattern)?)?;
    let substitution = translate_substitution(substitution, regex.captures_len() - 1)?;
    let substitution = substitution.into();
    Ok(Arc::new(RegexRewrite {
        regex,
        substitution,
    }))
}

fn build(text: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(text)
        .size_limit(MAX_PROGRAM)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            other => PatternError::Syntax(last_line(&other.to_string())),
        })
}

/// The errors of the regex crate draw the pattern on several lines; the last one says what is wrong.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// From RE2's syntax to that of the regex crate.
fn translate(text: &str) -> Result<String, PatternError> {
    if text.len() > MAX_TEXT {
        return Err(PatternError::TooLong);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => escape(&mut rest, false, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '{' if !is_repetition(rest.clone()) => out.push_str("\\{"),
            '(' => {
                out.push('(');
                flags(rest.clone())?;
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// `{2}`, `{2,}`, `{2,3}`: in RE2 every other brace is a plain character.
fn is_repetition(mut rest: Peekable<Chars<'_>>) -> bool {
    let mut digits = 0;
    while rest.next_if(char::is_ascii_digit).is_some() {
        digits += 1;
    }
    if rest.next_if_eq(&',').is_some() {
        while rest.next_if(char::is_ascii_digit).is_some() {}
    }
    digits > 0 && rest.next() == Some('}')
}

fn flags(mut rest: Peekable<Chars<'_>>) -> Result<(), PatternError> {
    if rest.next() != Some('?') || matches!(rest.peek(), Some('P' | '<' | ':')) {
        return Ok(());
    }
    for flag in rest {
        match flag {
            ':' | ')' => break,
            'i' | 'm' | 's' | 'U' | '-' => {}
            other => return Err(PatternError::Flag(other)),
        }
    }
    Ok(())
}

fn escape(
    rest: &mut Peekable<Chars<'_>>,
    in_class: bool,
    out: &mut String,
) -> Result<(), PatternError> {
    let escaped = rest.next().ok_or(PatternError::Backslash)?;
    let perl = match escaped.to_ascii_lowercase() {
        'd' => Some("0-9"),
        'w' => Some("0-9A-Za-z_"),
        's' => Some("\\t\\n\\f\\r "),
        _ => None,
    };
    if let Some(set) = perl {
        let negated = escaped.is_ascii_uppercase();
        match (in_class, negated) {
            (true, false) => out.push_str(set),
            (_, true) => out.extend(["[^", set, "]"]),
            (false, false) => out.extend(["[", set, "]"]),
        }
        return Ok(());
    }
    match escaped {
        'b' | 'B' if !in_class => out.extend(['(', '?', '-', 'u', ':', '\\', escaped, ')']),
        'A' | 'z' if !in_class => out.extend(['\\', escaped]),
        'Q' if !in_class => quoted(rest, out),
        'E' if !in_class => {}
        'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'p' | 'P' | 'x' => out.extend(['\\', escaped]),
        '0'..='7' => octal(escaped, rest, out)?,
        other if other.is_ascii_punctuation() => push_plain(other, out),
        other => return Err(PatternError::Escape(other)),
    }
    Ok(())
}

/// `\Q` up to `\E` or the end.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(character) = rest.next() {
        if character == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        push_plain(character, out);
    }
}

/// `\0`, `\07`, `\123`. RE2 has no back references: a lone digit other than 0 is none of its escapes.
fn octal(
    first: char,
    rest: &mut Peekable<Chars<'_>>,
    out: &mut String,
) -> Result<(), PatternError> {
    let mut value = first.to_digit(8).unwrap_or_default();
    let mut digits = 1;
    while digits < 3
        && let Some(digit) = rest.peek().and_then(|next| next.to_digit(8))
    {
        rest.next();
        value = value * 8 + digit;
        digits += 1;
    }
    if first != '0' && digits == 1 {
        return Err(PatternError::Escape(first));
    }
    let character = char::from_u32(value).ok_or(PatternError::Escape(first))?;
    push_plain(character, out);
    Ok(())
}

/// A class, from behind its bracket.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), PatternError> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match rest.next().ok_or(PatternError::Class)? {
            ']' if !first => break,
            '\\' => escape(rest, true, out)?,
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for character in rest.by_ref() {
                    out.push(character);
                    if character == ']' {
                        break;
                    }
                }
            }
            '-' if rest.peek() == Some(&']') || first => out.push_str("\\-"),
            '-' => {
                out.push('-');
                // The end of a range, not a set operation.
                if rest.next_if_eq(&'-').is_some() {
                    out.push_str("\\-");
                }
            }
            plain @ ('[' | ']' | '&' | '~') => out.extend(['\\', plain]),
            other => out.push(other),
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

fn push_plain(character: char, out: &mut String) {
    out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}

fn translate_substitution(text: &str, groups: usize) -> Result<String, PatternError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '$' => out.push_str("$$"),
            '\\' => match rest.next() {
                Some('\\') => out.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = usize::try_from(u32::from(digit) - u32::from('0')).unwrap_or(0);
                    if group > groups {
                        return Err(PatternError::Group {
                            group,
                            count: groups,
                        });
                    }
                    out.extend(['$', '{', digit, '}']);
                }
                _ => return Err(PatternError::Substitution),
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Equal texts are equal patterns; shown as written.
pub(super) fn text(pattern: &Pattern) -> &Arc<str> {
    &pattern.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text_and_means_what_re2_makes_of_it() {
        for (pattern, text, expected) in [
            ("/foo", "/foo", true),
            ("/foo", "/foo/bar", false),
            ("/foo", "/x/foo", false),
            ("a|b", "ab", false),
            (r"/\d+", "/12", true),
            (r"/\d+", "/\u{0661}", false),
            (r"\w+", "é", false),
            (r"\W", "é", true),
            (r"[\W]", "é", true),
            (r"[^\d]", "\u{0661}", true),
            (r"\s", "\u{a0}", false),
            (".", "é", true),
            ("[[:word:]]+", "ab_1", true),
            ("[[a]", "[", true),
            ("[a&&b]", "&", true),
            ("[a-c&&b]", "a", true),
            ("[+--]", ",", true),
            ("[a-]", "-", true),
            ("[]a]", "]", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b\E", "axb", false),
            ("a{", "a{", true),
            ("a{,2}", "a{,2}", true),
            ("a{2}", "aa", true),
            (r"\<a\>", "<a>", true),
            (r"\101", "A", true),
            ("(?i)abc", "ABC", true),
            (r"\bfoo\b", "foo", true),
            (".*", "", true),
        ] {
            let built = anchored(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(built.regex.is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_a_reason() {
        for (pattern, reason) in [
            ("/a(b", "unclosed group"),
            ("a)(b", "unopened group"),
            (r"a\", "it ends with a backslash"),
            (r"\u0041", "RE2 has no escape `\\u`"),
            (r"\1", "RE2 has no escape `\\1`"),
            ("(?x)a", "RE2 has no flag `x`"),
            ("[a", "a character class does not end"),
            ("(?:a{1000}){1000}", "it is too large"),
            (&"a".repeat(2000), "it is longer than"),
        ] {
            let error = anchored(pattern).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{pattern}: {error}");
        }
    }

    #[test]
    fn substitutions_name_groups_as_re2_does() {
        for (pattern, substitution, text, expected) in [
            (r"/a/(\d+)", r"/b/\1", "/a/12", Ok("/b/12")),
            ("x", "$1", "x", Ok("$1")),
            ("x", r"\0\0", "x", Ok("xx")),
            ("(x)", r"\1y", "x", Ok("xy")),
            ("x", r"\\", "x", Ok(r"\")),
            (
                "x",
                r"\1",
                "",
                Err(PatternError::Group { group: 1, count: 0 }),
            ),
            ("x", r"\n", "", Err(PatternError::Substitution)),
        ] {
            let result = replacement(pattern, substitution).map(|rewrite| {
                rewrite
                    .regex
                    .replace_all(text, &*rewrite.substitution)
                    .into_owned()
            });
            assert_eq!(result, expected.map(str::to_owned), "{substitution}");
        }
    }
}
