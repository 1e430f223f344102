//! The `service` of a Mapping: `[http://|https://]name[.namespace][:port]`, or an address.

use std::{fmt, net::IpAddr, sync::Arc};

/// A `service` taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServiceText {
    /// Whether TLS is asked for, if the text says a scheme.
    pub(super) tls: Option<bool>,
    pub(super) host: ServiceHost,
    pub(super) port: Option<PortText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ServiceHost {
    /// In lower case, without a trailing dot.
    Name(Arc<str>),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PortText {
    Number(u16),
    Name(Arc<str>),
}

/// Why a `service` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("it is empty")]
    Empty,
    #[error("the scheme {0:?} is neither http nor https")]
    Scheme(String),
    #[error("{0:?} comes after the host, and a Service has neither path nor query")]
    Path(String),
    #[error("{0:?} is neither a DNS name nor an address")]
    Host(String),
    #[error("{0:?} is neither a port number nor the name of a port")]
    Port(String),
}

impl std::str::FromStr for ServiceText {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tls, rest) = scheme(text.trim())?;
        if let Some(at) = rest.find(['/', '?', '#', '@']) {
            return Err(ServiceError::Path(rest[at..].to_owned()));
        }
        if rest.is_empty() {
            return Err(ServiceError::Empty);
        }
        let (host, port) = split(rest)?;
        Ok(Self { tls, host, port })
    }
}

fn scheme(text: &str) -> Result<(Option<bool>, &str), ServiceError> {
    match text.split_once("//") {
        Some(("", rest)) => Ok((None, rest)),
        Some((scheme, rest)) => match &*scheme.to_ascii_lowercase() {
            "http:" => Ok((Some(false), rest)),
            "https:" => Ok((Some(true), rest)),
            _ => Err(ServiceError::Scheme(scheme.trim_end_matches(':').into())),
        },
        None => Ok((None, text)),
    }
}

fn split(text: &str) -> Result<(ServiceHost, Option<PortText>), ServiceError> {
    let bad_host = || ServiceError::Host(text.to_owned());
    if let Some(inside) = text.strip_prefix('[') {
        let (address, rest) = inside.split_once(']').ok_or_else(bad_host)?;
        // A zone names an interface of one machine: link-local, and so never dialled.
        let address = address
            .split_once('%')
            .map_or(address, |(address, _)| address);
        let address = address.parse().map_err(|_| bad_host())?;
        let port = match rest {
            "" => None,
            rest => Some(port(rest.strip_prefix(':').ok_or_else(bad_host)?)?),
        };
        return Ok((ServiceHost::Address(IpAddr::V6(address)), port));
    }
    let (host, port_text) = match text.split_once(':') {
        Some((host, text)) => (host, Some(port(text)?)),
        None => (text, None),
    };
    if let Ok(address) = host.parse() {
        return Ok((ServiceHost::Address(address), port_text));
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if is_name(&host) {
        Ok((ServiceHost::Name(host.into()), port_text))
    } else {
        Err(bad_host())
    }
}

fn port(text: &str) -> Result<PortText, ServiceError> {
    let bad = || ServiceError::Port(text.to_owned());
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(0) | Err(_) => Err(bad()),
            Ok(number) => Ok(PortText::Number(number)),
        };
    }
    let is_port_name = text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_port_name {
        Ok(PortText::Name(text.into()))
    } else {
        Err(bad())
    }
}

/// A DNS name that is no IPv4 address in disguise (`127.1`, `0x7f.1`): such names end with a label that begins with a digit.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253
        && name.split('.').all(label)
        && !name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()))
}

impl fmt::Display for ServiceHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for PortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<ServiceText>() {
            Ok(service) => {
                let port = service
                    .port
                    .map_or(String::new(), |port| format!(" {port}"));
                let tls = service
                    .tls
                    .map_or("", |tls| if tls { " tls" } else { " clear" });
                format!("{}{port}{tls}", service.host)
            }
            Err(error) => format!("! {error}"),
        }
    }

    #[test]
    fn every_form_of_a_service_is_read() {
        for (text, expected) in [
            ("svc", "svc"),
            ("svc:80", "svc 80"),
            ("svc.ns:http", "svc.ns http"),
            ("https://svc", "svc tls"),
            ("HTTP://Svc.NS.", "svc.ns clear"),
            ("//svc:80", "svc 80"),
            ("10.0.0.1:80", "10.0.0.1 80"),
            ("[fe80::1%25zone]:443", "[fe80::1] 443"),
            ("", "! it is empty"),
            (
                "a:443:443",
                "! \"443:443\" is neither a port number nor the name of a port",
            ),
            (
                "svc:0",
                "! \"0\" is neither a port number nor the name of a port",
            ),
            (
                "svc:65536",
                "! \"65536\" is neither a port number nor the name of a port",
            ),
            ("[::1", "! \"[::1\" is neither a DNS name nor an address"),
            ("127.1", "! \"127.1\" is neither a DNS name nor an address"),
            (
                "ftp://svc",
                "! the scheme \"ftp\" is neither http nor https",
            ),
            (
                "svc/path",
                "! \"/path\" comes after the host, and a Service has neither path nor query",
            ),
            (
                "user@svc",
                "! \"@svc\" comes after the host, and a Service has neither path nor query",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
