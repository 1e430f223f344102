//! HTTP/2 connections with prior knowledge that break the rules, one each.

use std::thread;

use super::{
    Site,
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NONE, PING, PRIORITY,
        PUSH_PROMISE, RST_STREAM, SETTINGS, Told, WHOLE, WINDOW_UPDATE, block, exchange, field,
        frame, get, integer,
    },
};

/// How many shapes are sent at the same time: most of the time is waiting.
const AT_ONCE: usize = 24;

/// What must become of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// The request on stream 1 is reset or answered with an error of the client's; it never reaches the upstream.
    Refused,
    /// The connection ends; the request on stream 1 never reaches the upstream.
    Ended,
    /// The connection or the stream ends, or the oddity is passed over: nothing worse.
    Any,
    /// The request on stream 1 is answered with 200.
    Passed,
}

struct Shape {
    id: &'static str,
    expect: Expect,
    /// Frames after the settings, without the request that `Passed` asks for.
    bytes: Vec<u8>,
}

fn shape(id: &'static str, expect: Expect, frames: &[Vec<u8>]) -> Shape {
    Shape {
        id,
        expect,
        bytes: frames.concat(),
    }
}

/// The good request of a shape, on stream 1.
fn good(id: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &get("x.com", &format!("/shape/{id}")))
}

/// A request on stream 1 with these fields in the place of a GET's.
fn request(id: &'static str, expect: Expect, fields: &[(&str, &str)]) -> Shape {
    let path = format!("/shape/{id}");
    let filled: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, if *value == "PATH" { &*path } else { *value }))
        .collect();
    shape(id, expect, &[frame(HEADERS, WHOLE, 1, &block(&filled))])
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "x.com");
const PATH: (&str, &str) = (":path", "PATH");

/// A GET with another field.
fn with(id: &'static str, expect: Expect, name: &str, value: &str) -> Shape {
    request(
        id,
        expect,
        &[METHOD, SCHEME, AUTHORITY, PATH, (name, value)],
    )
}

/// Heads that RFC 9113, section 8, does not allow, and what would break HTTP/1 behind.
#[rustfmt::skip]
fn heads() -> Vec<Shape> {
    use Expect::{Passed, Refused};
    vec![
        request("h2-plain", Passed, &[METHOD, SCHEME, AUTHORITY, PATH]),
        request("h2-host-only", Passed, &[METHOD, SCHEME, ("host", "x.com"), PATH].map(reordered)),
        with("h2-te-trailers", Passed, "te", "trailers"),
        request("h2-no-method", Refused, &[SCHEME, AUTHORITY, PATH]),
        request("h2-no-path", Refused, &[METHOD, SCHEME, AUTHORITY]),
        request("h2-no-authority", Refused, &[METHOD, SCHEME, PATH]),
        request("h2-two-methods", Refused, &[METHOD, METHOD, SCHEME, AUTHORITY, PATH]),
        request("h2-two-paths", Refused, &[METHOD, SCHEME, AUTHORITY, PATH, PATH]),
        request("h2-two-authorities", Refused, &[METHOD, SCHEME, AUTHORITY, (":authority", "y.com"), PATH]),
        request("h2-empty-path", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "")]),
        request("h2-relative-path", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "shape/h2-relative-path")]),
        request("h2-absolute-path", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "http://y.com/shape/h2-absolute-path")]),
        request("h2-path-space", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "/shape/h2-path-space HTTP/1.1")]),
        request("h2-path-crlf", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "/shape/h2-path-crlf HTTP/1.1\r\nX: y")]),
        request("h2-path-nul", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "/shape/h2-path-nul\0")]),
        request("h2-path-fragment", Passed, &[METHOD, SCHEME, AUTHORITY, (":path", "/shape/h2-path-fragment#a")]),
        request("h2-path-escaped-dots", Refused, &[METHOD, SCHEME, AUTHORITY, (":path", "/x/%2e%2e/shape/h2-path-escaped-dots")]),
        request("h2-method-space", Refused, &[(":method", "GET / HTTP/1.1"), SCHEME, AUTHORITY, PATH]),
        request("h2-method-crlf", Refused, &[(":method", "GET\r\nX: y"), SCHEME, AUTHORITY, PATH]),
        request("h2-method-empty", Refused, &[(":method", ""), SCHEME, AUTHORITY, PATH]),
        request("h2-connect", Refused, &[(":method", "CONNECT"), (":authority", "x.com:443")]),
        request("h2-connect-path", Refused, &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH]),
        request("h2-connect-websocket", Refused, &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH]),
        request("h2-authority-user", Refused, &[METHOD, SCHEME, (":authority", "u:p@x.com"), PATH]),
        request("h2-authority-path", Refused, &[METHOD, SCHEME, (":authority", "x.com/y"), PATH]),
        request("h2-authority-crlf", Refused, &[METHOD, SCHEME, (":authority", "x.com\r\nX: y"), PATH]),
        request("h2-authority-empty", Refused, &[METHOD, SCHEME, (":authority", ""), PATH]),
        request("h2-pseudo-late", Refused, &[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH]),
        request("h2-pseudo-unknown", Refused, &[METHOD, SCHEME, AUTHORITY, PATH, (":extra", "x")]),
        request("h2-pseudo-status", Refused, &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]),
        with("h2-other-host", Refused, "host", "y.com"),
        with("h2-upper-name", Refused, "X-Upper", "y"),
        with("h2-name-space", Refused, "x y", "z"),
        with("h2-name-colon", Refused, "x:y", "z"),
        with("h2-name-crlf", Refused, "x\r\ny", "z"),
        with("h2-name-nul", Refused, "x\0", "z"),
        with("h2-name-empty", Refused, "", "z"),
        with("h2-name-underscore", Refused, "x_forwarded_for", "192.0.2.1"),
        with("h2-value-cr", Refused, "x", "a\rb"),
        with("h2-value-lf", Refused, "x", "a\nb"),
        with("h2-value-crlf", Refused, "x", "a\r\nTransfer-Encoding: chunked"),
        with("h2-value-nul", Refused, "x", "a\0b"),
        with("h2-connection", Refused, "connection", "close"),
        with("h2-connection-named", Refused, "connection", "x-tenant"),
        with("h2-keep-alive", Refused, "keep-alive", "timeout=5"),
        with("h2-proxy-connection", Refused, "proxy-connection", "keep-alive"),
        with("h2-upgrade", Refused, "upgrade", "websocket"),
        with("h2-transfer-encoding", Refused, "transfer-encoding", "chunked"),
        with("h2-te-gzip", Refused, "te", "gzip"),
        with("h2-length-sign", Refused, "content-length", "+0"),
        with("h2-length-without-body", Refused, "content-length", "5"),
        request("h2-two-lengths", Refused, &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "5")]),
    ]
}

/// `host` may only come after the pseudo-header fields.
fn reordered(field: (&'static str, &'static str)) -> (&'static str, &'static str) {
    match field {
        ("host", _) => PATH,
        (":path", _) => ("host", "x.com"),
        other => other,
    }
}

/// Bodies that are not as long as they say.
#[rustfmt::skip]
fn bodies() -> Vec<Shape> {
    let post = |id: &str, length: &str| {
        let path = format!("/x/{id}");
        let head = [
            (":method", "POST"),
            SCHEME,
            AUTHORITY,
            (":path", &*path),
            ("content-length", length),
        ];
        frame(HEADERS, END_HEADERS, 1, &block(&head))
    };
    let trailers = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &block(fields));
    vec![
        shape("h2-body-short", Expect::Refused, &[post("h2-body-short", "5"), frame(DATA, END_STREAM, 1, b"hi")]),
        shape("h2-body-long", Expect::Refused, &[post("h2-body-long", "1"), frame(DATA, END_STREAM, 1, b"hi")]),
        shape("h2-trailer-pseudo", Expect::Any, &[post("h2-trailer-pseudo", "2"), frame(DATA, NONE, 1, b"hi"), trailers(&[(":path", "/y")])]),
        shape("h2-trailer-not-last", Expect::Refused, &[post("h2-trailer-not-last", "4"), frame(DATA, NONE, 1, b"hi"), frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")])), frame(DATA, END_STREAM, 1, b"hi")]),
    ]
}

/// Frames that are wrong whatever they carry. The good request comes after them.
#[rustfmt::skip]
fn connections() -> Vec<Shape> {
    use Expect::{Any, Ended, Passed};
    let open = |end: &[u8]| frame(HEADERS, END_HEADERS, 1, end);
    let path = get("x.com", "/x/");
    let table = |expect, rows: Vec<(&'static str, Vec<u8>)>| {
        rows.into_iter().map(move |(id, bytes)| {
            // What is on stream 3 leaves stream 1 in peace.
            let bytes = if expect == Any {
                bytes
            } else {
                [bytes, good(id)].concat()
            };
            Shape { id, expect, bytes }
        })
    };
    let passed = vec![
        ("h2-unknown-frame", frame(0xAB, 0xFF, 0, b"whatever")),
        ("h2-unknown-setting", frame(SETTINGS, NONE, 0, &[0xFF, 0xFF, 0, 0, 0, 1])),
        ("h2-ping", frame(PING, NONE, 0, &[0; 8])),
        ("h2-stray-ack", frame(PING, ACK, 0, &[0; 8])),
    ];
    let ended = vec![
        ("h2-data-on-0", frame(DATA, NONE, 0, b"x")),
        ("h2-headers-on-0", frame(HEADERS, WHOLE, 0, &path)),
        ("h2-headers-on-even", frame(HEADERS, WHOLE, 2, &path)),
        ("h2-frame-too-large", frame(DATA, NONE, 3, &vec![0; 17_000])),
        ("h2-settings-on-stream", frame(SETTINGS, NONE, 1, &[])),
        ("h2-settings-length", frame(SETTINGS, NONE, 0, &[0; 5])),
        ("h2-settings-ack-payload", frame(SETTINGS, ACK, 0, &[0; 6])),
        ("h2-settings-push-2", frame(SETTINGS, NONE, 0, &[0, 2, 0, 0, 0, 2])),
        ("h2-settings-window", frame(SETTINGS, NONE, 0, &[0, 4, 0x80, 0, 0, 0])),
        ("h2-settings-frame-size", frame(SETTINGS, NONE, 0, &[0, 5, 0, 0, 0, 1])),
        ("h2-ping-length", frame(PING, NONE, 0, &[0; 7])),
        ("h2-ping-on-stream", frame(PING, NONE, 1, &[0; 8])),
        ("h2-goaway-on-stream", frame(GOAWAY, NONE, 1, &[0; 8])),
        ("h2-goaway-length", frame(GOAWAY, NONE, 0, &[0; 3])),
        ("h2-window-0", frame(WINDOW_UPDATE, NONE, 0, &[0; 4])),
        ("h2-window-length", frame(WINDOW_UPDATE, NONE, 0, &[0; 3])),
        ("h2-window-overflow", frame(WINDOW_UPDATE, NONE, 0, &[0x7F, 0xFF, 0xFF, 0xFF])),
        ("h2-window-on-idle", frame(WINDOW_UPDATE, NONE, 9, &[0, 0, 0, 1])),
        ("h2-reset-on-idle", frame(RST_STREAM, NONE, 9, &[0; 4])),
        ("h2-reset-on-0", frame(RST_STREAM, NONE, 0, &[0; 4])),
        ("h2-reset-length", [open(&path), frame(RST_STREAM, NONE, 1, &[0; 3])].concat()),
        ("h2-data-on-idle", frame(DATA, NONE, 9, b"x")),
        ("h2-continuation-alone", frame(CONTINUATION, END_HEADERS, 1, &path)),
        ("h2-continuation-other", [frame(HEADERS, END_STREAM, 3, &path), frame(CONTINUATION, END_HEADERS, 5, &path)] .concat()),
        ("h2-interleaved", [frame(HEADERS, END_STREAM, 3, &path), frame(PING, NONE, 0, &[0; 8])] .concat()),
        ("h2-push-promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &path].concat())),
        ("h2-padding-too-long", frame(HEADERS, WHOLE | 8, 3, &[&[200][..], &path].concat())),
        ("h2-hpack-index-0", frame(HEADERS, WHOLE, 3, &[0x80])),
        ("h2-hpack-index-far", frame(HEADERS, WHOLE, 3, &integer(4000, 7, 0x80))),
        ("h2-hpack-endless-integer", frame(HEADERS, WHOLE, 3, &[0xFF; 32])),
        ("h2-hpack-table-size", frame(HEADERS, WHOLE, 3, &[integer(1 << 20, 5, 0x20), path.clone()].concat())),
        ("h2-hpack-cut", frame(HEADERS, WHOLE, 3, &field(b"x", b"yyyyyyyy")[..6])),
        ("h2-hpack-bad-huffman", frame(HEADERS, WHOLE, 3, &[0x00, 0x81, 0xFF, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("h2-stream-goes-back", [frame(HEADERS, WHOLE, 7, &path), frame(HEADERS, WHOLE, 5, &path)] .concat()),
        ("h2-http1-after-preface", b"GET /shape/h2-http1-after-preface HTTP/1.1\r\nHost: x.com\r\n\r\n".to_vec()),
    ];
    let any = vec![
        ("h2-priority-on-itself", frame(PRIORITY, NONE, 1, &[0, 0, 0, 1, 0])),
        ("h2-headers-on-itself", frame(HEADERS, WHOLE | 0x20, 1, &[&[0, 0, 0, 1, 0][..], &path].concat())),
        ("h2-window-0-on-stream", [open(&path), frame(WINDOW_UPDATE, NONE, 1, &[0; 4])].concat()),
        ("h2-data-after-end", [frame(HEADERS, WHOLE, 1, &path), frame(DATA, NONE, 1, b"x")].concat()),
        ("h2-headers-after-end", [frame(HEADERS, WHOLE, 1, &path), frame(HEADERS, WHOLE, 1, &path)] .concat()),
    ];
    table(Passed, passed)
        .chain(table(Ended, ended))
        .chain(table(Any, any))
        .collect()
}

#[test]
fn http2_that_breaks_the_rules_never_reaches_an_upstream() {
    let site = Site::start();
    site.withstands("http/2 shapes", |site| {
        let shapes: Vec<_> = heads()
            .into_iter()
            .chain(bodies())
            .chain(connections())
            .collect();
        let mut wrong = Vec::new();
        for some in shapes.chunks(AT_ONCE) {
            wrong.extend(send(site, some));
        }
        for Shape { id, expect, .. } in &shapes {
            let reached = site.saw(&format!("/shape/{id}"));
            if reached != (*expect == Expect::Passed) {
                wrong.push(format!("{id}: reached the upstream: {reached}"));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            shapes.len(),
            wrong.join("\n")
        );
    });
}

/// Sends shapes at the same time, and returns what is wrong with the answers.
fn send(site: &Site, shapes: &[Shape]) -> Vec<String> {
    let one = |Shape { id, expect, bytes }: &Shape| {
        let told = exchange(site.connect(), bytes, |told| {
            compare(*expect, told).is_none()
        });
        let what = compare(*expect, &told)?;
        Some(format!("{id}: {what}: {told:?}"))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = shapes
            .iter()
            .map(|shape| scope.spawn(move || one(shape)))
            .collect();
        let wrong = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap());
        wrong.collect()
    })
}

fn compare(expect: Expect, told: &Told) -> Option<&'static str> {
    let status = told.status(1);
    let refused = told.is_ended()
        || told.is_reset(1)
        || status.is_some_and(|s| (400..500).contains(&s) || s == 501);
    match expect {
        Expect::Refused if !refused => Some("neither reset nor refused"),
        Expect::Ended if !told.is_ended() => Some("the connection goes on"),
        Expect::Passed if status != Some(200) => Some("not answered with 200"),
        Expect::Ended | Expect::Refused if status == Some(200) => Some("answered with 200"),
        _ => None,
    }
}
