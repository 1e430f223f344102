//! What of a request decides its endpoint, where requests that have it in common stay together.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderName, header::COOKIE};
use smallvec::SmallVec;

use super::matching::HeadView;

/// What requests have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Affinity {
    Cookie(AffinityCookie),
    Header(HeaderName),
    /// The address of the client, as far as it can be trusted.
    SourceIp,
}

/// A cookie whose value is the same in all requests of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AffinityCookie {
    pub name: Arc<str>,
    /// What stands after the value where the cookie is made for a client that has none: `; Max-Age=600; HttpOnly`. None
    /// when it is not made.
    pub made: Option<Arc<str>>,
}

// === impl Affinity ===

impl Affinity {
    /// The hash of what the request has; None when it has nothing, and may go anywhere.
    pub fn hash(&self, head: &impl HeadView, client: IpAddr) -> Option<u64> {
        match self {
            Self::Cookie(cookie) => cookie.find(head),
            Self::Header(name) => {
                let mut found = None;
                head.header_values(name, &mut |value| {
                    found.get_or_insert_with(|| hash(&[value]));
                });
                found
            }
            Self::SourceIp => Some(hash(&[octets(client).as_slice()])),
        }
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(AffinityCookie { name, made: None }) => write!(f, "cookie {name}"),
            Self::Cookie(AffinityCookie {
                name,
                made: Some(made),
            }) => write!(f, "cookie {name}, made{made}"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::SourceIp => f.write_str("source ip"),
        }
    }
}

// === impl AffinityCookie ===

impl AffinityCookie {
    /// The hash of the value of the first cookie with the name.
    fn find(&self, head: &impl HeadView) -> Option<u64> {
        let mut found = None;
        head.header_values(&COOKIE, &mut |line| {
            let pairs = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let mut values = pairs.filter_map(|pair| {
                let value = pair.strip_prefix(self.name.as_bytes())?;
                value.strip_prefix(b"=")
            });
            if found.is_none() {
                found = values.next().map(|value| hash(&[value]));
            }
        });
        found
    }

    /// A new cookie: its hash, and the text of `Set-Cookie`. `random` makes it the client's own.
    pub fn make(&self, random: u64) -> Option<(u64, String)> {
        let made = self.made.as_deref()?;
        let value = format!("{random:016x}");
        Some((
            hash(&[value.as_bytes()]),
            format!("{}={value}{made}", self.name),
        ))
    }
}

/// The same number for the same bytes, on every replica and in every version: FNV-1a, with the finish of splitmix64 because
/// its upper bits alone are poor. Not for what must withstand an attack: a client may choose its endpoint as it likes.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().copied().flatten();
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

pub(super) fn octets(address: IpAddr) -> SmallVec<[u8; 16]> {
    match address {
        IpAddr::V4(address) => SmallVec::from_slice(&address.octets()),
        IpAddr::V6(address) => SmallVec::from_slice(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    struct Head(HeaderMap);

    impl HeadView for Head {
        fn method(&self) -> &Method {
            &Method::GET
        }

        fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
            for value in self.0.get_all(name) {
                found(value.as_bytes());
            }
        }
    }

    fn head(cookies: &[&'static str]) -> Head {
        let lines = cookies
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_static(line)));
        Head(lines.collect())
    }

    fn cookie(made: Option<&str>) -> AffinityCookie {
        AffinityCookie {
            name: "sticky".into(),
            made: made.map(Arc::from),
        }
    }

    #[test]
    fn the_first_cookie_with_the_name_counts_wherever_it_stands() {
        let client = IpAddr::from([192, 0, 2, 1]);
        let by = Affinity::Cookie(cookie(None));
        let of = |cookies: &[&'static str]| by.hash(&head(cookies), client);
        let wanted = Some(hash(&[b"a"]));
        for cookies in [
            &["sticky=a"][..],
            &["x=1; sticky=a; sticky=b"],
            &["x=1;sticky=a"],
            &["nonsticky=b; sticky2=b", "sticky=a"],
        ] {
            assert_eq!(of(cookies), wanted, "{cookies:?}");
        }
        for cookies in [&[][..], &["sticky"], &["x=sticky=a"]] {
            assert_eq!(of(cookies), None, "{cookies:?}");
        }
    }

    #[test]
    fn a_cookie_is_made_only_where_one_is_asked_for_and_leads_where_it_led() {
        assert_eq!(cookie(None).make(7), None);
        let sticky = cookie(Some("; Max-Age=60; HttpOnly"));
        let (hash, text) = sticky.make(7).unwrap();
        assert_eq!(text, "sticky=0000000000000007; Max-Age=60; HttpOnly");
        let again = head(&["sticky=0000000000000007"]);
        assert_eq!(sticky.find(&again), Some(hash));
    }

    #[test]
    fn headers_and_addresses_are_told_apart() {
        let [a, b] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let none = head(&[]);
        assert_ne!(
            Affinity::SourceIp.hash(&none, a),
            Affinity::SourceIp.hash(&none, b)
        );
        let by = Affinity::Header(HeaderName::from_static("x-user"));
        assert_eq!(by.hash(&none, a), None);
        let value = HeaderValue::from_static("ann");
        let with = Head(
            [(HeaderName::from_static("x-user"), value)]
                .into_iter()
                .collect(),
        );
        assert_eq!(by.hash(&with, a), Some(hash(&[b"ann"])));
    }
}
