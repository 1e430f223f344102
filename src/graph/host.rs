//! Hostname patterns.

use std::{fmt, str::FromStr, sync::Arc};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::authority::{MAX_NAME, parse_port};

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
    #[error("next to `*` within a label only ASCII can be matched")]
    PartialLabel,
    #[error("{0:?} is not a port")]
    Port(String),
    #[error("IPv6 addresses cannot be hostnames here")]
    Ipv6,
    #[error("a label is empty or longer than 63 bytes")]
    Label,
    #[error("it is not a DNS name")]
    Name,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('[') || text.matches(':').count() > 1 {
            return Err(HostPatternError::Ipv6);
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => match parse_port(port) {
                Ok(Some(number)) => (name, Some(number)),
                _ => return Err(HostPatternError::Port(port.to_owned())),
            },
            None => (text, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostPatternError::Empty);
        }
        let name = if name == "*" {
            NamePattern::Any
        } else if let Some(suffix) = name.strip_prefix('*') {
            NamePattern::Suffix(match suffix.strip_prefix('.') {
                Some(whole) => format!(".{}", to_ascii(whole)?).into(),
                None => partial(suffix, suffix.split('.').next())?,
            })
        } else if let Some(prefix) = name.strip_suffix('*') {
            NamePattern::Prefix(match prefix.strip_suffix('.') {
                Some(whole) => format!("{}.", to_ascii(whole)?).into(),
                None => partial(prefix, prefix.split('.').next_back())?,
            })
        } else {
            NamePattern::Exact(to_ascii(name)?.into())
        };
        Ok(Self { name, port })
    }
}

/// A text that `*` cuts within a label: in its ASCII form that label would be another.
fn partial(text: &str, cut: Option<&str>) -> Result<Arc<str>, HostPatternError> {
    if cut.is_some_and(|label| !label.is_ascii()) {
        return Err(HostPatternError::PartialLabel);
    }
    Ok(to_ascii(text)?.into())
}

/// Lower case and ASCII form of one or more whole labels (UTS #46). Underscores are let through: names that are not hosts'
/// are routed too.
fn to_ascii(text: &str) -> Result<String, HostPatternError> {
    if text.contains('*') {
        return Err(HostPatternError::Wildcard);
    }
    let ascii = Uts46::new()
        .to_ascii(
            text.as_bytes(),
            AsciiDenyList::EMPTY,
            Hyphens::Allow,
            DnsLength::Ignore,
        )
        .map_err(|_| HostPatternError::Name)?;
    let is_name_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if ascii.len() > MAX_NAME || !ascii.bytes().all(is_name_byte) {
        return Err(HostPatternError::Name);
    }
    if ascii
        .split('.')
        .any(|label| label.is_empty() || label.len() > 63)
    {
        return Err(HostPatternError::Label);
    }
    Ok(ascii.into_owned())
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

    /// Whether some request satisfies both. A pattern without a port fits every port.
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
    pub(super) fn specificity(&self) -> (u8, usize, bool) {
        match &self.name {
            NamePattern::Exact(name) => (3, name.len(), self.port.is_some()),
            NamePattern::Suffix(text) => (2, text.len(), self.port.is_some()),
            NamePattern::Prefix(text) => (1, text.len(), self.port.is_some()),
            NamePattern::Any => (0, 0, self.port.is_some()),
        }
    }
}

#[cfg(test)]
mod tests;
