//! Places in the URL space, as people write them: `example.com`, `example.com/cart/`, `*.example.com/`.

use std::str::FromStr;

use crate::{
    graph::{HostPattern, RequestPolicy, path::canonical},
    report::Asked,
};

/// A hostname, perhaps with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: HostPattern,
    /// Canonical.
    pub(super) path: Option<String>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text
            .strip_prefix("https://")
            .or(text.strip_prefix("http://"));
        let bare = bare.unwrap_or(text);
        if bare.starts_with('/') {
            return Err(format!(
                "a path needs its hostname before it: example.com{bare}, or *{bare} for every hostname"
            ));
        }
        let (host, path) = match bare.find('/') {
            Some(at) => (&bare[..at], Some(&bare[at..])),
            None => (bare, None),
        };
        let host = host
            .parse()
            .map_err(|error| format!("{host:?} is not a hostname: {error}"))?;
        let path = path.map(|path| {
            canonical(path, RequestPolicy::default())
                .map(|path| path.as_str().to_owned())
                .map_err(|error| format!("{path:?} is not a path: {error}"))
        });
        Ok(Self {
            host,
            path: path.transpose()?,
        })
    }
}

impl Place {
    /// Whether requests of this place may match routes of a hostname, as views write it.
    pub(super) fn reaches_host(&self, hostname: &str) -> bool {
        // What a regular expression matches is not known from its text.
        hostname.starts_with('~')
            || hostname
                .parse::<HostPattern>()
                .is_ok_and(|pattern| pattern.overlaps(&self.host))
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
    let host_fits = asked.hostname.starts_with('~')
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
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.host.to_string(), host, "{text}");
            assert_eq!(place.path.as_deref(), path, "{text}");
        }
        for text in ["", "/path", "a.*.com", "example.com/%00"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
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
        ] {
            assert_eq!(
                is_asked(&asked, "a.example.com", None, "/a/b"),
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
