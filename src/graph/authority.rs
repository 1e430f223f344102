//! The authority of a request, from `Host` or `:authority`: whom the request is for, in the one spelling that hostname
//! patterns know.

use std::{borrow::Cow, fmt, net::Ipv6Addr};

/// A host in lower case without a trailing dot, perhaps with a port. An IPv6 address keeps its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'r> {
    host: Cow<'r, str>,
    port: Option<u16>,
}

/// Why an authority is refused. The texts are part of the reply and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthorityError {
    #[error("the host is empty")]
    Empty,
    #[error("the host has user information")]
    UserInfo,
    #[error("the host is not a DNS name or an address")]
    Name,
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// Longest name there is (RFC 1035, section 2.3.4), in text form.
pub(super) const MAX_NAME: usize = 253;

impl<'r> Authority<'r> {
    /// Names are letters, digits, `-`, `_` and dots between; everything else that RFC 3986 would let a host be is no name
    /// that could be routed.
    pub fn parse(raw: &'r str) -> Result<Self, AuthorityError> {
        // Nothing that is let through has an `@`: it is looked for only to say what is wrong.
        Self::host_and_port(raw).map_err(|error| {
            if raw.contains('@') {
                AuthorityError::UserInfo
            } else {
                error
            }
        })
    }

    fn host_and_port(raw: &'r str) -> Result<Self, AuthorityError> {
        if raw.starts_with('[') {
            return Self::ipv6(raw);
        }
        let (name, port) = match raw.split_once(':') {
            Some((name, port)) => (name, parse_port(port)?),
            None => (raw, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(AuthorityError::Empty);
        }
        let lower = check_name(name).ok_or(AuthorityError::Name)?;
        let host = if lower {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(name.to_ascii_lowercase())
        };
        Ok(Self { host, port })
    }

    fn ipv6(raw: &'r str) -> Result<Self, AuthorityError> {
        let end = raw.find(']').ok_or(AuthorityError::Name)?;
        let address: Ipv6Addr = raw[1..end].parse().map_err(|_| AuthorityError::Name)?;
        let port = match &raw[end + 1..] {
            "" => None,
            rest => parse_port(rest.strip_prefix(':').ok_or(AuthorityError::Name)?)?,
        };
        Ok(Self {
            host: Cow::Owned(format!("[{address}]")),
            port,
        })
    }

    /// As hostname patterns are matched with.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub fn into_owned(self) -> Authority<'static> {
        Authority {
            host: Cow::Owned(self.host.into_owned()),
            port: self.port,
        }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An empty port is none (RFC 3986, section 3.2.3).
pub(super) fn parse_port(text: &str) -> Result<Option<u16>, AuthorityError> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(AuthorityError::Port),
        Ok(port) => Ok(Some(port)),
    }
}

/// Whether a name is in lower case; nothing when it is no name.
fn check_name(name: &str) -> Option<bool> {
    if name.len() > MAX_NAME {
        return None;
    }
    let mut lower = true;
    let mut after_dot = true;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => lower = false,
            b'.' if !after_dot => {}
            _ => return None,
        }
        after_dot = byte == b'.';
    }
    (!after_dot).then_some(lower)
}

#[cfg(test)]
mod tests;
