//! Places as people write them: in the URL space `example.com`, `example.com/cart/`, `*.example.com/`; of connections `:6379`,
//! `db.example.com:5432`, `tcp://db.example.com:5432`.

use std::str::FromStr;

use crate::{
    graph::{HostPattern, RequestPolicy, host::NamePattern, path::canonical},
    report::Asked,
};

/// A hostname, perhaps with a path or a port; or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// With a port, where one is written.
    pub(super) host: HostPattern,
    /// Canonical.
    pub(super) path: Option<String>,
    /// Whether connections are meant, and no requests.
    pub(super) raw: bool,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tcp = text.strip_prefix("tcp://");
        let bare = { text.strip_prefix("https://") }
            .or(text.strip_prefix("http://"))
            .or(tcp)
            .unwrap_or(text);
        if let Some(port) = bare.strip_prefix(':') {
            return Self::of_port(port.trim_end_matches('/'));
        }
        if bare.starts_with('/') {
            return Err(format!(
                "a path needs its hostname before it: example.com{bare}, or *{bare} for every hostname"
            ));
        }
        let (host, path) = match bare.find('/') {
            Some(at) => (&bare[..at], Some(&bare[at..])),
            None => (bare, None),
        };
        let host: HostPattern = host
            .parse()
            .map_err(|error| format!("{host:?} is not a hostname: {error}"))?;
        let path = path.map(|path| {
            canonical(path, RequestPolicy::default())
                .map(|path| path.as_str().to_owned())
                .map_err(|error| format!("{path:?} is not a path: {error}"))
        });
        if tcp.is_some() && host.port.is_none() {
            return Err(format!("a connection has a port: tcp://{host}:6379"));
        }
        Ok(Self {
            host,
            path: path.transpose()?.filter(|_| tcp.is_none()),
            raw: tcp.is_some(),
        })
    }
}

impl Place {
    fn of_port(text: &str) -> Result<Self, String> {
        let port = text.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| format!("{text:?} is no port: write :6379"))?;
        Ok(Self {
            host: HostPattern {
                port: Some(port),
                ..HostPattern::ANY
            },
            path: None,
            raw: true,
        })
    }

    /// The name that a handshake asks for; none where only the port is said.
    pub(super) fn name(&self) -> Option<HostPattern> {
        let name = &self.host.name;
        let is_any = self.raw && *name == NamePattern::Any;
        (!is_any).then(|| HostPattern {
            name: name.clone(),
            port: None,
        })
    }

    /// Whether connections of this place may come to a port, and ask there for names of this pattern; without one, for none that
    /// is found.
    pub(super) fn reaches_connections(&self, port: u16, host: Option<&str>) -> bool {
        if self.host.port.is_some_and(|own| own != port) {
            return false;
        }
        let Some(host) = host else {
            return self.host.port.is_some();
        };
        let name = HostPattern {
            name: self.host.name.clone(),
            port: None,
        };
        { host.parse::<HostPattern>() }.is_ok_and(|pattern| pattern.overlaps(&name))
    }

    /// Whether requests of this place may match routes of a hostname, as views write it.
    pub(super) fn reaches_host(&self, hostname: &str) -> bool {
        // What a regular expression matches is not known from its text.
        !self.raw
            && (hostname.starts_with('~')
                || hostname
                    .parse::<HostPattern>()
                    .is_ok_and(|pattern| pattern.overlaps(&self.host)))
    }

    /// Whether requests of this place may have a path that begins with `prefix`, or the other way round.
    pub(super) fn reaches_path(&self, prefix: &str) -> bool {
        self.path.as_deref().is_none_or(|path| {
            prefix.starts_with('~') || path.starts_with(prefix) || prefix.starts_with(path)
        })
    }
}

/// Whether a request would match what an object asks for, as far as its texts say.
pub(super) fn is_asked(asked: &Asked, host: &str, port: Option<u16>, path: &str) -> bool {
    // Regular expressions are not built again here: they are told as what may match.
    let of_port = asked.hostname.strip_prefix(':').map(str::parse);
    let host_fits = of_port.is_some_and(|own| own.ok() == port && port.is_some())
        || asked.hostname.starts_with('~')
        || asked
            .hostname
            .parse::<HostPattern>()
            .is_ok_and(|pattern| pattern.matches(host, port));
    let path_fits = match asked.path.strip_prefix('~') {
        Some(_) => true,
        None if asked.exact => asked.path == path,
        None => path.starts_with(&asked.path),
    };
    host_fits && path_fits
}

/// `mapping/apps/quote` as people write it: `Mapping apps/quote`.
pub(super) fn object_of(id: &str) -> String {
    let Some((kind, name)) = id.split_once('/') else {
        return id.to_owned();
    };
    let (kind, group) = kind.split_once('.').map_or((kind, ""), |(k, g)| (k, g));
    let kind = match kind {
        "mapping" => "Mapping",
        "tcpmapping" => "TCPMapping",
        "host" => "Host",
        other => other,
    };
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group} {name}")
}

/// The id of a Host as people write it; none for the default one, which is no object.
pub(super) fn host_of(id: &str) -> Option<String> {
    let (group, name) = id
        .strip_prefix("getambassador.io:")
        .map_or(("", id), |name| (".getambassador.io", name));
    name.contains('/').then(|| format!("Host{group} {name}"))
}

/// The namespace of `mapping/apps/quote`.
pub(super) fn namespace_of(id: &str) -> &str {
    id.split('/').nth(1).unwrap_or_default()
}

/// `Mapping apps/quote` as kubectl takes it: `mapping.postern.dev/quote`.
pub(super) fn kubectl_name(group: &str, kind: &str, name: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}{dot}{group}/{name}", kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, host, path) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com/a/../cart/", "example.com", Some("/cart/")),
            ("https://example.com:8443/", "example.com:8443", Some("/")),
            ("*.example.com/x", "*.example.com", Some("/x")),
            ("*", "*", None),
            (":6379", "*:6379", None),
            ("tcp://DB.example.com:5432/", "db.example.com:5432", None),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.host.to_string(), host, "{text}");
            assert_eq!(place.path.as_deref(), path, "{text}");
            let raw = text.starts_with(':') || text.starts_with("tcp:");
            assert_eq!(place.raw, raw, "{text}");
        }
        for text in [
            "",
            "/path",
            "a.*.com",
            "example.com/%00",
            ":",
            ":0",
            ":65536",
            "tcp://example.com",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn connections_are_told_by_port_and_name() {
        for (text, port, host, reaches) in [
            (":6379", 6379, None, true),
            (":6379", 6379, Some("db.example.com"), true),
            (":6379", 6380, None, false),
            ("db.example.com", 6379, None, false),
            ("db.example.com", 6379, Some("*.example.com"), true),
            ("db.example.com:6379", 6379, None, true),
            ("db.example.com:6379", 6379, Some("a.example.com"), false),
            (
                "tcp://db.example.com:1",
                6379,
                Some("db.example.com"),
                false,
            ),
        ] {
            let place: Place = text.parse().unwrap();
            let found = place.reaches_connections(port, host);
            assert_eq!(found, reaches, "{text} {port} {host:?}");
        }
        let place: Place = "tcp://db.example.com:6379".parse().unwrap();
        assert!(!place.reaches_host("db.example.com"));
        assert_eq!(place.name().unwrap().to_string(), "db.example.com");
        assert_eq!(":6379".parse::<Place>().unwrap().name(), None);
    }

    #[test]
    fn what_an_object_asks_for_is_compared_as_routes_are() {
        let asked = |hostname: &str, path: &str, exact| Asked {
            hostname: hostname.to_owned(),
            path: path.to_owned(),
            exact,
        };
        for (asked, fits) in [
            (asked("*.example.com", "/a/", false), true),
            (asked("a.example.com", "/a/b", true), true),
            (asked("a.example.com", "/a/", true), false),
            (asked("b.example.com", "/a/", false), false),
            (asked("~.*", "~/.*", false), true),
            (asked(":443", "", false), true),
            (asked(":444", "", false), false),
            (asked("a.example.com:443", "", false), true),
        ] {
            assert_eq!(
                is_asked(&asked, "a.example.com", Some(443), "/a/b"),
                fits,
                "{asked:?}"
            );
        }
    }

    #[test]
    fn ids_are_told_as_reports_tell_objects() {
        for (id, object, namespace) in [
            ("mapping/apps/quote", "Mapping apps/quote", "apps"),
            (
                "mapping.getambassador.io/apps/quote",
                "Mapping.getambassador.io apps/quote",
                "apps",
            ),
        ] {
            assert_eq!(object_of(id), object);
            assert_eq!(namespace_of(id), namespace);
        }
    }
}
