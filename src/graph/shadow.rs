//! Copies of requests, for trying out what is not to answer yet.

use std::{borrow::Cow, sync::Arc};

use super::{Forward, RouteId};

/// A Mapping that gets copies of the requests of a route. Its answers are thrown away.
#[derive(Clone, Debug)]
pub struct Shadow {
    pub id: RouteId,
    /// How many of a hundred requests are copied.
    pub percent: u8,
    pub forward: Arc<Forward>,
}

impl Shadow {
    /// Whether the request with this number, taken at random, is copied.
    pub fn takes(&self, random: u8) -> bool {
        random % 100 < self.percent
    }

    /// The host of a copy, by which its receiver can tell it: with `-shadow` after the name.
    pub fn host(host: &str) -> Cow<'_, str> {
        // The port of an IPv6 address follows a bracket.
        match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => format!("{name}-shadow:{port}").into(),
            _ => format!("{host}-shadow").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_copy_says_so() {
        for (host, shadow) in [
            ("a.com", "a.com-shadow"),
            ("a.com:8080", "a.com-shadow:8080"),
            ("[::1]", "[::1]-shadow"),
            ("[::1]:80", "[::1]-shadow:80"),
        ] {
            assert_eq!(Shadow::host(host), shadow);
        }
    }
}
