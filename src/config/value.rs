//! Values of flags: each parses from a text, and says what is wrong with one.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use jiff::SignedDuration;

/// A Service that is served at an address: `NAMESPACE/NAME[:PORT]=HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    pub namespace: String,
    pub name: String,
    /// Without one, every port of the Service.
    pub port: Option<u16>,
    pub host: String,
    pub host_port: u16,
}

/// Where the Listeners with a port are bound: `PORT=ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    pub port: u16,
    pub address: SocketAddr,
}

/// An object in a namespace: `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    /// JSON lines to standard output.
    Json,
    /// Text lines to standard output.
    Text,
    /// JSON lines to this file.
    File(PathBuf),
}

/// Why a value is not one of its type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("it is not a duration; write a number with a unit, such as 500ms, 5s or 2m")]
    Duration,
    #[error("write NAMESPACE/NAME[:PORT]=HOST:PORT, such as apps/quote:80=127.0.0.1:3000")]
    Backend,
    #[error("write NAMESPACE/NAME, such as certificates/example-com")]
    ObjectName,
    #[error("write PORT=ADDRESS:PORT, such as 8080=127.0.0.1:80 or 8443=[::1]:443")]
    Bind,
    #[error(
        "write off, json or text, or a file with a `/` or a `.` in its name, such as ./access.log"
    )]
    AccessLog,
    #[error(
        "write a number from 1 to {MAX_WORKERS}; one for each core, which is the default, is best"
    )]
    Workers,
}

/// More than any machine has cores: each is a thread with sockets and pools of its own.
const MAX_WORKERS: usize = 512;

/// Parses a number of threads.
pub fn workers(text: &str) -> Result<NonZeroUsize, ValueError> {
    text.parse::<NonZeroUsize>()
        .ok()
        .filter(|workers| workers.get() <= MAX_WORKERS)
        .ok_or(ValueError::Workers)
}

/// Parses a duration such as `500ms`, `5s` or `2m`; not a negative one.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|parsed| Duration::try_from(parsed).ok())
        .ok_or(ValueError::Duration)
}

impl FromStr for Backend {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(text).ok_or(ValueError::Backend)
    }
}

impl Backend {
    fn parse(text: &str) -> Option<Self> {
        let (service, address) = text.split_once('=')?;
        let (namespace, name) = service.split_once('/')?;
        let (name, port) = match name.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (name, None),
        };
        let (host, host_port) = address.rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if namespace.is_empty() || name.is_empty() || name.contains('/') || host.is_empty() {
            return None;
        }
        Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
            host: host.to_owned(),
            host_port: host_port.parse().ok()?,
        })
    }
}

impl FromStr for ObjectName {
    type Err = ValueError;

    /// The names are used in paths and queries as they are.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_name = |name: &&str| {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
            };
            (1..=253).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.')
        };
        let (namespace, name) = text.split_once('/').ok_or(ValueError::ObjectName)?;
        if ![namespace, name].iter().all(is_name) {
            return Err(ValueError::ObjectName);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for Bind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (port, address) = text.split_once('=').ok_or(ValueError::Bind)?;
        Ok(Self {
            port: port.parse().map_err(|_| ValueError::Bind)?,
            address: address.parse().map_err(|_| ValueError::Bind)?,
        })
    }
}

impl FromStr for AccessLog {
    type Err = ValueError;

    /// A single word that is none of the three is one of them misspelt.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "off" => Ok(Self::Off),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            path if path.contains(['/', '.']) => Ok(Self::File(path.into())),
            _ => Err(ValueError::AccessLog),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.host.contains(':') {
            write!(f, "=[{}]:{}", self.host, self.host_port)
        } else {
            write!(f, "={}:{}", self.host, self.host_port)
        }
    }
}
