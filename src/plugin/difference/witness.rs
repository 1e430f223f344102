//! One request that stands for those of a match: what becomes of it before and after tells whether they change hands.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, Method};
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

use crate::graph::{
    HostPattern, Route,
    matching::HeadView,
    route::{Conditions, PathMatch, Pattern, TextMatch},
};

/// A label and a segment that nobody means in particular.
const ANY: &str = "any";
/// For methods given by regular expression.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::HEAD,
    Method::OPTIONS,
];

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) host: String,
    /// Only where the hostname names one.
    pub(super) port: Option<u16>,
    pub(super) path: String,
    pub(super) query: Option<String>,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HeadView for Witness {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        let own = self.headers.iter().filter(|(own, _)| own == name);
        for (_, value) in own {
            found(value.as_bytes());
        }
    }
}

impl Witness {
    /// Requests that match a route, the one that most says what is its own first: beyond its prefix.
    pub(super) fn of(route: &Route, (host, port): (&str, Option<u16>)) -> Vec<Self> {
        let Some(rest) = Self::with(&route.conditions) else {
            return Vec::new();
        };
        let paths = paths(&route.path).into_iter();
        let fitting = paths.filter(|path| path.starts_with('/') && route.path_matches(path));
        let witness = |path| Self {
            host: host.to_owned(),
            port,
            path,
            ..rest.clone()
        };
        fitting.map(witness).collect()
    }

    /// A request for what is below a path, without anything that conditions ask for.
    pub(super) fn below((host, port): (&str, Option<u16>), path: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            path: format!("{}/{ANY}", path.trim_end_matches('/')),
            query: None,
            method: Method::GET,
            headers: Vec::new(),
        }
    }

    /// What the conditions ask for; none where no such request is found.
    fn with(conditions: &Conditions) -> Option<Self> {
        let method = match &conditions.method {
            None => Method::GET,
            Some(TextMatch::Exact(method)) => method.parse().ok()?,
            Some(wanted) => { METHODS.iter() }
                .find(|method| wanted.is_match(method.as_str().as_bytes()))?
                .clone(),
        };
        let headers = conditions.headers.iter().map(|(name, wanted)| {
            let value = HeaderValue::from_str(&text(wanted)?).ok()?;
            Some((name.clone(), value))
        });
        let query = conditions.query.iter().map(|(name, wanted)| {
            let value = text(wanted)?;
            Some(format!("{}={}", encoded(name), encoded(&value)))
        });
        let query: Vec<_> = query.collect::<Option<_>>()?;
        Some(Self {
            host: String::new(),
            port: None,
            path: String::new(),
            query: (!query.is_empty()).then(|| query.join("&")),
            method,
            headers: headers.collect::<Option<_>>()?,
        })
    }
}

impl std::fmt::Display for Witness {
    /// `GET shop.example.com/cart/any`, with what else `why` has to be told.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        for (name, value) in &self.headers {
            write!(
                f,
                " -H '{name}: {}'",
                String::from_utf8_lossy(value.as_bytes())
            )?;
        }
        Ok(())
    }
}

/// A name that a pattern covers, and the port if it asks for one.
pub(super) fn name(pattern: &HostPattern) -> (String, Option<u16>) {
    let written = pattern.to_string();
    let (name, port) = match written.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (&*written, None),
    };
    let name = match (name, name.strip_prefix('*'), name.strip_suffix('*')) {
        ("*", ..) => format!("{ANY}.invalid"),
        (_, Some(suffix), _) => format!("{ANY}{suffix}"),
        (_, _, Some(prefix)) => format!("{prefix}{ANY}"),
        (exact, ..) => exact.to_owned(),
    };
    (name, port)
}

fn paths(path: &PathMatch) -> Vec<String> {
    match path {
        PathMatch::Prefix(prefix) => vec![
            format!("{prefix}{ANY}"),
            format!("{}/{ANY}", prefix.trim_end_matches('/')),
            prefix.to_string(),
        ],
        PathMatch::Exact(path) => vec![path.to_string()],
        PathMatch::Regex(pattern) => like(pattern),
    }
}

fn text(wanted: &TextMatch) -> Option<String> {
    match wanted {
        TextMatch::Exact(text) => Some(text.to_string()),
        TextMatch::Regex(pattern) => like(pattern).into_iter().next(),
    }
}

/// Texts that a regular expression matches; none where simple ones do not.
pub(super) fn like(pattern: &Pattern) -> Vec<String> {
    let mut found = String::new();
    let parsed = regex_syntax::parse(&pattern.text).ok();
    if { parsed.and_then(|parsed| write_like(&parsed, &mut found)) }.is_none() {
        return Vec::new();
    }
    let rooted = format!("/{found}");
    let all = [found, rooted].into_iter();
    all.filter(|text| pattern.regex.is_match(text)).collect()
}

/// The first alternative, and of what may be repeated one.
fn write_like(hir: &Hir, to: &mut String) -> Option<()> {
    /// A pattern that asks for more is not worth a request.
    const LONGEST: usize = 2048;
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => to.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => to.push(one_of(class)?),
        HirKind::Repetition(repetition) => {
            let least = repetition.min.max(1);
            for _ in 0..repetition.max.map_or(least, |most| least.min(most)) {
                write_like(&repetition.sub, to)?;
                if to.len() > LONGEST {
                    return None;
                }
            }
        }
        HirKind::Capture(capture) => write_like(&capture.sub, to)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write_like(part, to))?,
        HirKind::Alternation(parts) => write_like(parts.first()?, to)?,
    }
    Some(())
}

/// A letter or a digit if there is one.
fn one_of(class: &Class) -> Option<char> {
    let unicode = match class {
        Class::Unicode(class) => class.clone(),
        Class::Bytes(class) => class.to_unicode_class()?,
    };
    let has = |wanted: char| {
        let mut ranges = unicode.iter();
        ranges.any(|range| (range.start()..=range.end()).contains(&wanted))
    };
    let usual = ['a', 'x', '0', 'A', 'X'].into_iter().find(|c| has(*c));
    usual.or_else(|| unicode.iter().map(ClassUnicodeRange::start).next())
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        #[expect(clippy::disallowed_methods, reason = "a test has no compiler to ask")]
        let regex = regex::Regex::new(&format!("^(?:{text})$")).unwrap();
        Pattern {
            text: Arc::from(text),
            regex,
        }
    }

    #[test]
    fn a_regular_expression_matches_what_is_made_of_it() {
        for (text, found) in [
            ("/api/v[0-9]+/.*", &["/api/v0/a"][..]),
            ("/(cart|basket)/[^/]{3}", &["/cart/aaa"]),
            (r"/a\.b/?", &["/a.b/"]),
            (".*", &["a", "/a"]),
            ("(?i)/ABC", &["/aBC"]),
            (r"/x{0,2}\bb", &[]),
        ] {
            assert_eq!(like(&pattern(text)), found, "{text}");
        }
    }

    #[test]
    fn a_name_is_one_that_the_pattern_covers() {
        for (pattern, name_and_port) in [
            ("*", ("any.invalid", None)),
            ("*.example.com", ("any.example.com", None)),
            ("*example.com", ("anyexample.com", None)),
            ("shop.*", ("shop.any", None)),
            ("a.example.com:8443", ("a.example.com", Some(8443))),
        ] {
            let pattern: HostPattern = pattern.parse().unwrap();
            let (found, port) = name(&pattern);
            assert_eq!((&*found, port), name_and_port);
            assert!(pattern.matches(&found, port), "{pattern}");
        }
    }
}
