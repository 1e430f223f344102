//! What the upstream is told about the client, and how a request is named.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::peer::Peer;
use crate::graph::Listener;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is kept from a trusted proxy.
const REQUEST_ID_BYTES: usize = 128;

/// X-Forwarded-Proto as a trusted peer sent it: of several the last, for a proxy that appends leaves what the client said first.
pub(super) fn trusted_proto(headers: &HeaderMap, trusted: bool) -> Option<HeaderValue> {
    let mut said = headers.get_all(FORWARDED_PROTO).iter();
    said.next_back().filter(|_| trusted).cloned()
}

/// The client that trusted proxies name. With a depth of n it is the n-th from the right of X-Forwarded-For as it came; when
/// there are fewer, the peer.
pub(super) fn client_address(
    headers: &HeaderMap,
    listener: &Listener,
    peer: SocketAddr,
) -> SocketAddr {
    let mut left = listener.l7_depth;
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        for item in line.as_bytes().rsplit(|byte| *byte == b',') {
            left = left.saturating_sub(1);
            if left == 0 {
                let text = str::from_utf8(item.trim_ascii()).ok();
                let address = text.and_then(|text| text.parse::<IpAddr>().ok());
                return address.map_or(peer, |address| (address, 0).into());
            }
        }
    }
    peer
}

/// The id of a request: that of a trusted proxy, or a new one.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    Given(HeaderValue),
    New([u8; 36]),
}

impl RequestId {
    pub(super) fn of(headers: &HeaderMap, trusted: bool) -> Self {
        let given = trusted.then(|| headers.get(REQUEST_ID)).flatten();
        given
            .filter(|id| id.len() <= REQUEST_ID_BYTES && !id.is_empty() && id.to_str().is_ok())
            .map_or_else(
                || Self::new(fastrand::u128(..)),
                |id| Self::Given(id.clone()),
            )
    }

    /// A random UUID (RFC 9562, section 5.4).
    fn new(random: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        /// Where the digits of each byte are.
        const AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let mut bytes = random.to_be_bytes();
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        let mut text = [b'-'; 36];
        for (byte, at) in bytes.into_iter().zip(AT) {
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
        }
        Self::New(text)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Given(value) => value.to_str().unwrap_or_default(),
            Self::New(text) => str::from_utf8(text).unwrap_or_default(),
        }
    }

    pub(super) fn to_value(&self) -> HeaderValue {
        match self {
            Self::Given(value) => value.clone(),
            Self::New(text) => {
                HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("-"))
            }
        }
    }
}

/// Says who asked, and how, in the headers for the upstream. What an untrusted peer said has been dropped or is replaced.
pub(super) fn rebuild(headers: &mut HeaderMap, peer: &Peer, trusted: bool, request_id: &RequestId) {
    let address = &peer.address;
    let chain = trusted.then(|| joined(headers, address)).flatten();
    headers.insert(FORWARDED_FOR, chain.unwrap_or_else(|| address.clone()));
    if !(trusted && headers.contains_key(FORWARDED_PROTO)) {
        let proto = if peer.transport.is_tls() {
            "https"
        } else {
            "http"
        };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    headers.insert(REQUEST_ID, request_id.to_value());
}

/// Tells the upstream the host that was asked for, when it gets another. That of a trusted proxy is kept.
pub(super) fn tell_host(headers: &mut HeaderMap, host: HeaderValue) {
    headers.entry(FORWARDED_HOST).or_insert(host);
}

/// The chain of proxies with one more at its end; none when there is no chain.
fn joined(headers: &HeaderMap, last: &HeaderValue) -> Option<HeaderValue> {
    let mut chain = Vec::new();
    for line in headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    if chain.is_empty() {
        return None;
    }
    chain.extend_from_slice(last.as_bytes());
    HeaderValue::from_bytes(&chain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing::listener;

    #[test]
    fn a_new_request_id_is_a_random_uuid() {
        let id = RequestId::new(u128::MAX);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let id = RequestId::new(0);
        assert_eq!(id.to_value(), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn the_client_is_the_nth_from_the_right() {
        let table: &[(usize, &[&str], &str)] = &[
            (1, &["1.1.1.1, 2.2.2.2"], "2.2.2.2:0"),
            (2, &["1.1.1.1, 2.2.2.2, 3.3.3.3"], "2.2.2.2:0"),
            (2, &["1.1.1.1, 2.2.2.2", "3.3.3.3"], "2.2.2.2:0"),
            (2, &["3.3.3.3"], "10.0.0.1:7"),
            (1, &["unknown"], "10.0.0.1:7"),
            (1, &[], "10.0.0.1:7"),
        ];
        for (depth, chain, expected) in table {
            let mut listener = listener();
            listener.l7_depth = *depth;
            let mut headers = HeaderMap::new();
            for line in *chain {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let found = client_address(&headers, &listener, ([10, 0, 0, 1], 7).into());
            assert_eq!(found.to_string(), *expected, "{depth} {chain:?}");
        }
    }

    #[test]
    fn an_id_from_a_stranger_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(RequestId::of(&headers, true).as_str(), "mine");
        assert_ne!(RequestId::of(&headers, false).as_str(), "mine");
        headers.insert(
            REQUEST_ID,
            "x".repeat(REQUEST_ID_BYTES + 1).try_into().unwrap(),
        );
        assert_eq!(RequestId::of(&headers, true).as_str().len(), 36);
    }
}
