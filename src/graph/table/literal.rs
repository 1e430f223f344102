//! The literal text that every match of a regular expression begins with.

/// Errs on the side of less: an empty answer is never wrong.
pub fn literal_prefix(pattern: &str) -> String {
    // Flags may change what any character means.
    let has_flags = pattern
        .match_indices("(?")
        .any(|(at, _)| !pattern[at + 2..].starts_with([':', 'P', '<']));
    if has_flags || has_top_level_alternative(pattern) {
        return String::new();
    }
    let mut literal = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let plain = match character {
            '\\' => match characters.next() {
                // `\<` and `\>` are word boundaries.
                Some(escaped) if escaped.is_ascii_punctuation() && !"<>".contains(escaped) => {
                    escaped
                }
                _ => break,
            },
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => break,
            plain => plain,
        };
        if matches!(characters.peek(), Some('*' | '+' | '?' | '{')) {
            break;
        }
        literal.push(plain);
    }
    literal
}

fn has_top_level_alternative(pattern: &str) -> bool {
    let mut groups = 0_usize;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '(' => groups += 1,
            ')' => groups = groups.saturating_sub(1),
            '|' if groups == 0 => return true,
            '[' if !skip_class(&mut characters) => return true,
            _ => {}
        }
    }
    false
}

/// Skips a character class after its bracket; false if it does not end.
fn skip_class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut depth = 1_usize;
    let mut at_start = true;
    while depth > 0 {
        let Some(character) = characters.next() else {
            return false;
        };
        match character {
            '^' if at_start => continue,
            '\\' => {
                characters.next();
            }
            '[' => {
                depth += 1;
                at_start = true;
                continue;
            }
            // A bracket right at the start stands for itself.
            ']' if !at_start => depth -= 1,
            _ => {}
        }
        at_start = false;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literal_prefixes_stop_where_doubt_begins() {
        for (pattern, expected) in [
            ("/api/v[0-9]+", "/api/v"),
            ("/api/(a|b)/x", "/api/"),
            ("/a|/b", ""),
            ("/api/[|]x", "/api/"),
            ("/api/[]|]x", "/api/"),
            ("/a\\.b\\d", "/a.b"),
            ("/ab?c", "/a"),
            ("/ab*", "/a"),
            ("/ab{0,1}", "/a"),
            ("/a\\.?", "/a"),
            ("/a\\bb", "/a"),
            ("/a\\<b", "/a"),
            ("(?i)/abc", ""),
            ("/a(?i)b", ""),
            ("/a(?:b)", "/a"),
            (".*", ""),
            ("^/a", ""),
        ] {
            assert_eq!(literal_prefix(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        #[expect(clippy::disallowed_methods, reason = "the pattern is anchored here")]
        fn every_match_begins_with_the_prefix(
            pattern in "/?[ab/]{0,2}(\\\\?[ab.|?*+()\\[\\]{}^,1]){0,5}",
            path in "/?[ab/.|]{0,5}",
        ) {
            if let Ok(regex) = regex::Regex::new(&format!("^(?:{pattern})$")) {
                prop_assert!(!regex.is_match(&path) || path.starts_with(&literal_prefix(&pattern)));
            }
        }
    }
}
