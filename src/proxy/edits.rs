//! The header edits of a route, applied.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use super::record::protocol;
use crate::graph::{
    HeaderEdit, HeaderEdits,
    filters::{HeaderText, Part},
};

/// What the parts of a value stand for in one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'r> {
    /// Of the request, as it came.
    pub(super) headers: &'r HeaderMap,
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) version: Version,
    pub(super) hostname: &'r str,
}

/// Values that were made while the request's headers were at hand, in the order of the edits that need them.
pub(super) type Rendered = Vec<HeaderValue>;

/// Makes the values of the edits that are not constant.
pub(super) fn render(edits: &HeaderEdits, values: Values<'_>) -> Rendered {
    let formats = edits.edits.iter().filter_map(|edit| match edit {
        HeaderEdit::Append(_, HeaderText::Format(parts))
        | HeaderEdit::Set(_, HeaderText::Format(parts)) => Some(parts),
        HeaderEdit::Remove(_)
        | HeaderEdit::Append(_, HeaderText::Literal(_))
        | HeaderEdit::Set(_, HeaderText::Literal(_)) => None,
    });
    formats.map(|parts| values.text(parts)).collect()
}

/// Applies the edits in order. Fields that say how the message itself is framed are never touched.
pub(super) fn apply(edits: &HeaderEdits, rendered: Rendered, headers: &mut HeaderMap) {
    let mut rendered = rendered.into_iter();
    let mut value = |text: &HeaderText| match text {
        HeaderText::Literal(value) => Some(value.clone()),
        HeaderText::Format(_) => rendered.next(),
    };
    for edit in edits.edits.iter() {
        match edit {
            HeaderEdit::Remove(name) if !is_framing(name) => {
                headers.remove(name);
            }
            HeaderEdit::Append(name, text) => {
                if let Some(value) = value(text).filter(|_| !is_framing(name)) {
                    headers.append(name, value);
                }
            }
            HeaderEdit::Set(name, text) => {
                if let Some(value) = value(text).filter(|_| !is_framing(name)) {
                    headers.insert(name, value);
                }
            }
            HeaderEdit::Remove(_) => {}
        }
    }
}

fn is_framing(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::TE
    )
}

impl Values<'_> {
    /// Every part is made of what has been a header value or an address, so the whole is one; were it not, it is empty.
    fn text(&self, parts: &[Part]) -> HeaderValue {
        let mut text = Vec::new();
        for part in parts {
            match part {
                Part::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::RequestHeader(name) => match self.headers.get(name) {
                    Some(value) => text.extend_from_slice(value.as_bytes()),
                    // As Envoy writes what is not there.
                    None => text.push(b'-'),
                },
                Part::RemoteAddress => text.extend_from_slice(self.remote.to_string().as_bytes()),
                Part::RemoteIp => text.extend_from_slice(self.remote.ip().to_string().as_bytes()),
                Part::LocalAddress => text.extend_from_slice(self.local.to_string().as_bytes()),
                Part::Protocol => text.extend_from_slice(protocol(self.version).as_bytes()),
                Part::Hostname => text.extend_from_slice(self.hostname.as_bytes()),
            }
        }
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_applied_in_order_and_never_to_the_framing() {
        let literal = |text| HeaderText::Literal(HeaderValue::from_static(text));
        let format = HeaderText::Format(
            [
                Part::RequestHeader(header::HOST),
                Part::Text("/".into()),
                Part::RemoteIp,
                Part::Text("/".into()),
                Part::Protocol,
                Part::Text("/".into()),
                Part::RequestHeader(header::COOKIE),
            ]
            .into(),
        );
        let edits = HeaderEdits {
            edits: [
                HeaderEdit::Remove(header::ACCEPT),
                HeaderEdit::Remove(header::CONTENT_LENGTH),
                HeaderEdit::Append(HeaderName::from_static("x-a"), literal("2")),
                HeaderEdit::Set(HeaderName::from_static("x-b"), format),
                HeaderEdit::Set(header::TRANSFER_ENCODING, literal("chunked")),
            ]
            .into(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "a"),
            ("accept", "b"),
            ("content-length", "0"),
            ("x-a", "1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let values = Values {
            headers: &headers,
            remote: ([192, 0, 2, 1], 7).into(),
            local: ([192, 0, 2, 2], 80).into(),
            version: Version::HTTP_2,
            hostname: "pod",
        };
        let rendered = render(&edits, values);
        apply(&edits, rendered, &mut headers);
        assert_eq!(
            headers.get_all("x-a").iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(headers["x-b"], "a/192.0.2.1/HTTP/2/-");
        assert_eq!(headers["content-length"], "0");
        assert!(!headers.contains_key("accept") && !headers.contains_key("transfer-encoding"));
    }
}
