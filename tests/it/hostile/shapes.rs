//! HTTP/1 requests that two servers may read differently, one connection each.

use std::{fmt, io::Write, time::Duration};

use super::{
    Received, Site,
    heads::{GROUPS, made},
    receive,
};

/// How long an answer, and the end of a connection that must end, are waited for.
const SOON: Duration = Duration::from_secs(15);

/// Shapes with the same expectation.
pub(super) struct Group {
    /// The requirement.
    pub(super) rule: &'static str,
    pub(super) expect: Expect,
    /// A name, and what is sent: `{id}` stands for the name, `{ff}` for a byte that is not ASCII.
    pub(super) shapes: &'static [(&'static str, &'static str)],
}

/// What must become of a shape.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    /// An answer with one of these, and the connection ends: nobody knows where the next request would begin. Nothing reaches
    /// the upstream.
    Closed(&'static [u16]),
    /// The same, but the beginning may have reached the upstream when the end turns out to be wrong.
    Cut(&'static [u16]),
    /// An answer with one of these, and nothing reaches the upstream.
    Refused(&'static [u16]),
    /// 200, and the upstream has seen it: that the others are refused is not because everything is.
    Passed,
    /// 200, and the connection ends.
    PassedAndClosed,
    /// Either is right, as long as nothing is smuggled.
    Either(&'static [u16]),
}

impl Expect {
    /// Whether another request follows on the same connection, which must not be read as one.
    fn is_followed(self) -> bool {
        matches!(self, Self::Closed(_) | Self::Cut(_) | Self::PassedAndClosed)
    }

    fn statuses(self) -> &'static [u16] {
        match self {
            Self::Closed(statuses)
            | Self::Cut(statuses)
            | Self::Refused(statuses)
            | Self::Either(statuses) => statuses,
            Self::Passed | Self::PassedAndClosed => &[200],
        }
    }

    /// Whether the upstream must have seen it, or must not have.
    fn reaches(self) -> Option<bool> {
        match self {
            Self::Closed(_) | Self::Refused(_) => Some(false),
            Self::Passed | Self::PassedAndClosed => Some(true),
            Self::Cut(_) | Self::Either(_) => None,
        }
    }
}

/// One thing that is not as it must be.
struct Wrong {
    rule: &'static str,
    id: String,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.rule, self.id, self.what)
    }
}

#[test]
fn smuggling_shapes_are_refused_and_nothing_is_smuggled() {
    let site = Site::start();
    site.withstands("shapes", |site| {
        let mut wrong = Vec::new();
        let mut sent = Vec::new();
        for group in GROUPS {
            for (id, text) in group.shapes {
                sent.push((
                    group.rule,
                    group.expect,
                    (*id).to_owned(),
                    text.as_bytes().to_vec(),
                ));
            }
        }
        sent.extend(made());
        for (rule, expect, id, bytes) in &sent {
            let found = send(site, *expect, id, bytes);
            wrong.extend(found.into_iter().map(|what| Wrong {
                rule,
                id: id.clone(),
                what,
            }));
        }
        // Only now: what was smuggled may have arrived late.
        for (rule, expect, id, _) in &sent {
            let what = reached(site, *expect, id);
            wrong.extend(what.into_iter().map(|what| Wrong {
                rule,
                id: id.clone(),
                what: what.to_owned(),
            }));
        }
        let texts: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert!(
            wrong.is_empty(),
            "{} of {} shapes:\n{}",
            wrong.len(),
            sent.len(),
            texts.join("\n")
        );
    });
}

/// Sends a shape, and returns what is wrong with the answer.
fn send(site: &Site, expect: Expect, id: &str, bytes: &[u8]) -> Option<String> {
    let mut bytes = filled(bytes, id);
    if expect.is_followed() {
        bytes.extend(format!("GET /smuggled/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n").bytes());
    }
    let mut stream = site.connect();
    // The other side may end it before it has all.
    let _sent = stream.write_all(&bytes);
    let Received { bytes, closed } = receive(&mut stream, SOON);
    let text = String::from_utf8_lossy(&bytes);
    let answers = status_lines(&text);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status: u16 = status.unwrap_or(0);
    if !expect.statuses().contains(&status) {
        return Some(format!(
            "answered {status}, not one of {:?}",
            expect.statuses()
        ));
    }
    if !closed {
        return Some("the connection stays open".to_owned());
    }
    (answers > 1).then(|| format!("{answers} answers"))
}

/// How many answers there are: the name of the version is in headers and texts as well.
fn status_lines(text: &str) -> usize {
    let starts = text.match_indices("HTTP/1.");
    let codes = starts.filter_map(|(at, _)| text.get(at + 8..at + 12)?.strip_prefix(' '));
    codes
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .count()
}

fn reached(site: &Site, expect: Expect, id: &str) -> Option<&'static str> {
    if site.saw(&format!("/smuggled/{id}")) {
        return Some("a request was smuggled");
    }
    match (expect.reaches(), site.saw(&format!("shape/{id}"))) {
        (Some(true), false) => Some("it did not reach the upstream"),
        (Some(false), true) => Some("it reached the upstream"),
        _ => None,
    }
}

/// The shape with its name in it, and with bytes that no text can hold.
fn filled(bytes: &[u8], id: &str) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"{id}") {
            filled.extend_from_slice(id.as_bytes());
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"{ff}") {
            filled.push(0xFF);
            rest = after;
        } else {
            filled.push(*first);
            rest = others;
        }
    }
    filled
}
