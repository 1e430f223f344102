//! Names that fit a regular expression, and names that fit a wildcard. Whether the two have a name in common nobody can say in
//! general; an example that fits both says that they have.

use crate::graph::{HostPattern, host::NamePattern, route::Pattern};

/// What is put in place of a wildcard.
const PARTS: [&str; 3] = ["a", "any-name", "a.b"];

/// Whether an example fits both.
pub(super) fn share(regex: &Pattern, pattern: &HostPattern) -> bool {
    let matches = |name: &str| regex.regex.is_match(name);
    match &pattern.name {
        NamePattern::Any => true,
        NamePattern::Exact(name) => matches(name),
        NamePattern::Suffix(end) => {
            PARTS.iter().any(|part| matches(&format!("{part}{end}"))) || fits(regex, &pattern.name)
        }
        NamePattern::Prefix(start) => {
            PARTS.iter().any(|part| matches(&format!("{start}{part}")))
                || fits(regex, &pattern.name)
        }
    }
}

/// Whether an example of one fits the other.
pub(super) fn both_match(a: &Pattern, b: &Pattern) -> bool {
    let fits = |regex: &Pattern, other: &Pattern| {
        examples(regex).any(|name| regex.regex.is_match(&name) && other.regex.is_match(&name))
    };
    fits(a, b) || fits(b, a)
}

fn fits(regex: &Pattern, name: &NamePattern) -> bool {
    let pattern = HostPattern {
        name: name.clone(),
        port: None,
    };
    examples(regex).any(|name| regex.regex.is_match(&name) && pattern.matches(&name, None))
}

/// Names that a simple expression may match: with plain text in place of what repeats.
fn examples(regex: &Pattern) -> impl Iterator<Item = String> {
    PARTS.iter().map(|part| example(&regex.text, part))
}

fn example(text: &str, part: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches('^').trim_end_matches('$');
    while let Some(next) = rest.chars().next() {
        let (class, after) = match next {
            '[' => match rest.split_once(']') {
                Some((class, after)) => (Some(class), after),
                None => return name,
            },
            '\\' => {
                let escaped = rest[1..].chars().next();
                name.extend(escaped);
                rest = &rest[1 + escaped.map_or(0, char::len_utf8)..];
                continue;
            }
            '.' => (Some("."), &rest[1..]),
            _ => {
                name.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            }
        };
        let repeated = after.strip_prefix(['*', '+']);
        match (class, repeated) {
            (Some("[."), None) => name.push('.'),
            (_, Some(_)) => name.push_str(part),
            (_, None) => name.push('a'),
        }
        rest = repeated.unwrap_or(after);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> std::sync::Arc<Pattern> {
        crate::compile::pattern::anchored(text).unwrap()
    }

    #[test]
    fn an_example_that_fits_both_says_that_they_have_a_name_in_common() {
        for (regex, host, shared) in [
            (r".*[.]example[.]com", "*.example.com", true),
            (r"[a-z]+\.example\.com", "*.example.com", true),
            (r"^shop[.]example[.]com$", "*.example.com", true),
            (r"shop[.]example[.]com", "*.com", true),
            (r"shop[.].*", "shop.*", true),
            (r"shop[.]example[.]org", "*.example.com", false),
            (r".*[.]example[.]com", "shop.*", false),
            (r".*", "*.example.com", true),
            (r"shop[.]example[.]com", "shop.example.com", true),
            (r"[", "*.example.com", false),
        ] {
            let host = host.parse::<HostPattern>().unwrap();
            let Some(regex) = crate::compile::pattern::anchored(regex).ok() else {
                continue;
            };
            assert_eq!(share(&regex, &host), shared, "{} and {host}", regex.text);
        }
        for (a, b, shared) in [
            (r".*[.]example[.]com", r"shop[.]example[.]com", true),
            (r"shop[.].*", r".*[.]com", false),
            (r".*", r"shop[.].*", true),
            (r"a[.]com", r"b[.]com", false),
        ] {
            assert_eq!(both_match(&pattern(a), &pattern(b)), shared, "{a} and {b}");
        }
    }
}
