//! URLs as people write them, in the spelling that a client puts on the wire: a name in its ASCII form, everything else that
//! is not ASCII percent-encoded.

use std::fmt::Write as _;

use anyhow::{Result, anyhow};

use crate::graph::HostPattern;

/// What a browser makes of a URL before it sends it.
pub(super) fn ascii(url: &str) -> Result<String> {
    if let Some(port) = url.strip_prefix("tcp://:") {
        // Of a port alone: an address, for which no handshake asks by name.
        return Ok(format!("tcp://0.0.0.0:{port}"));
    }
    if url.is_ascii() {
        return Ok(url.to_owned());
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Ok(format!(
        "{scheme}{}{}",
        ascii_name(authority)?,
        encoded(path)
    ))
}

/// A name, perhaps with a port, as the compiler reads those of Mappings and Hosts.
pub(super) fn ascii_name(name: &str) -> Result<String> {
    if name.is_ascii() {
        return Ok(name.to_owned());
    }
    let pattern: HostPattern = name
        .parse()
        .map_err(|error| anyhow!("{name:?} is not a hostname: {error}"))?;
    Ok(pattern.to_string())
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            encoded.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_asked_for_as_a_client_would_send_it() {
        for (written, sent) in [
            ("http://a.example/x?y#z", "http://a.example/x?y#z"),
            (
                "https://B\u{fc}cher.example:8443/stra\u{df}e?q=\u{e4}",
                "https://xn--bcher-kva.example:8443/stra%C3%9Fe?q=%C3%A4",
            ),
            ("http://b\u{fc}cher.example", "http://xn--bcher-kva.example"),
            ("http://a.example/\u{65e5}", "http://a.example/%E6%97%A5"),
            ("tcp://:6379", "tcp://0.0.0.0:6379"),
        ] {
            assert_eq!(ascii(written).unwrap(), sent, "{written}");
        }
        assert!(ascii("http://b\u{fc} cher.example/").is_err());
        assert_eq!(
            ascii_name("b\u{fc}cher.example").unwrap(),
            "xn--bcher-kva.example"
        );
    }
}
