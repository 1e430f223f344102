//! Hostname patterns, and tables keyed by them.

use std::{fmt, str::FromStr, sync::Arc};

/// A hostname, or a hostname with one `*` as its first or last character; perhaps with a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    pub name: NamePattern,
    /// Without one, every port matches.
    pub port: Option<u16>,
}

/// The name part of a pattern, lower case, in ASCII form (RFC 5891), without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamePattern {
    Any,
    Exact(Arc<str>),
    /// `*.example.com` is `.example.com`: any number of labels before it, at least one byte.
    Suffix(Arc<str>),
    /// `example.*` is `example.`: at least one byte after it.
    Prefix(Arc<str>),
}

/// Why a text is not a hostname pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    #[error("it is empty")]
    Empty,
    #[error("`*` may only be its first or its last character")]
    Wildcard,
    #[error("{0:?} is not a port")]
    Port(String),
    #[error("it is not a DNS name")]
    Name,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (
                name,
                Some(
                    port.parse()
                        .map_err(|_| HostPatternError::Port(port.to_owned()))?,
                ),
            ),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(HostPatternError::Empty);
        }
        let name = if name == "*" {
            NamePattern::Any
        } else if let Some(suffix) = name.strip_prefix('*') {
            NamePattern::Suffix(plain(suffix)?)
        } else if let Some(prefix) = name.strip_suffix('*') {
            NamePattern::Prefix(plain(prefix)?)
        } else {
            NamePattern::Exact(plain(name)?)
        };
        Ok(Self { name, port })
    }
}

fn plain(text: &str) -> Result<Arc<str>, HostPatternError> {
    if text.contains('*') {
        return Err(HostPatternError::Wildcard);
    }
    if text
        .bytes()
        .any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'/')
    {
        return Err(HostPatternError::Name);
    }
    Ok(text.to_ascii_lowercase().into())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            NamePattern::Any => f.write_str("*")?,
            NamePattern::Exact(name) => f.write_str(name)?,
            NamePattern::Suffix(suffix) => write!(f, "*{suffix}")?,
            NamePattern::Prefix(prefix) => write!(f, "{prefix}*")?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")
        } else {
            Ok(())
        }
    }
}

impl HostPattern {
    pub const ANY: Self = Self {
        name: NamePattern::Any,
        port: None,
    };

    /// Whether a host, as a request names it (lower case, without a port), fits.
    pub fn matches(&self, host: &str, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        match &self.name {
            NamePattern::Any => true,
            NamePattern::Exact(name) => **name == *host,
            NamePattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            NamePattern::Prefix(prefix) => host.len() > prefix.len() && host.starts_with(&**prefix),
        }
    }

    /// Whether some hostname satisfies both (emissary.md §2.4).
    pub fn overlaps(&self, other: &Self) -> bool {
        use NamePattern::{Any, Exact, Prefix, Suffix};
        if let (Some(a), Some(b)) = (self.port, other.port)
            && a != b
        {
            return false;
        }
        match (&self.name, &other.name) {
            (Any, _) | (_, Any) | (Suffix(_), Prefix(_)) | (Prefix(_), Suffix(_)) => true,
            (Exact(a), _) => other.matches(a, other.port),
            (_, Exact(b)) => self.matches(b, self.port),
            (Suffix(a), Suffix(b)) => a.ends_with(&**b) || b.ends_with(&**a),
            (Prefix(a), Prefix(b)) => a.starts_with(&**b) || b.starts_with(&**a),
        }
    }

    /// Exact, longest suffix, longest prefix, any; with a port before without. The greatest is the most specific.
    fn specificity(&self) -> (u8, usize, bool) {
        match &self.name {
            NamePattern::Exact(name) => (3, name.len(), self.port.is_some()),
            NamePattern::Suffix(text) => (2, text.len(), self.port.is_some()),
            NamePattern::Prefix(text) => (1, text.len(), self.port.is_some()),
            NamePattern::Any => (0, 0, self.port.is_some()),
        }
    }
}

/// Values keyed by hostname pattern.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    entries: Vec<(HostPattern, T)>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<T> FromIterator<(HostPattern, T)> for HostTable<T> {
    /// Of equal patterns the first counts.
    fn from_iter<I: IntoIterator<Item = (HostPattern, T)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.specificity()));
        entries.dedup_by(|a, b| a.0 == b.0);
        Self { entries }
    }
}

impl<T> HostTable<T> {
    /// The value of the most specific pattern that fits: exact, longest suffix, longest prefix, any.
    pub fn best(&self, host: &str, port: Option<u16>) -> Option<&T> {
        self.entries
            .iter()
            .find(|(pattern, _)| pattern.matches(host, port))
            .map(|(_, value)| value)
    }

    /// Calls with the value of every pattern that fits.
    pub fn each<'t>(&'t self, host: &str, port: Option<u16>, mut found: impl FnMut(&'t T)) {
        for (pattern, value) in &self.entries {
            if pattern.matches(host, port) {
                found(value);
            }
        }
    }

    /// All values, the most specific pattern first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
