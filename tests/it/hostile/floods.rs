//! HTTP/2 connections that cost the other side more than they cost the client, if it lets them.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use super::{
    Received, Site,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, NONE, PING, PRIORITY, RST_STREAM,
        SETTINGS, Told, WHOLE, WINDOW_UPDATE, block, field, frame, get, hello, indexed_field,
    },
    receive_until,
};

/// A flood that the other side does not take any more stands still for as long before it is over.
const STUCK: Duration = Duration::from_secs(1);

struct Flood {
    name: &'static str,
    /// Whether the client takes what the other side answers.
    reads: bool,
    /// Whether the connection must end because of it.
    ends: bool,
    first: Vec<u8>,
    count: u32,
    /// What is sent each time, by its number from 0.
    each: fn(u32) -> Vec<u8>,
}

const QUIET: Flood = Flood {
    name: "",
    reads: false,
    ends: false,
    first: Vec::new(),
    count: 100_000,
    each: |_| Vec::new(),
};

/// Streams of a client have odd numbers.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[rustfmt::skip]
fn floods() -> Vec<Flood> {
    let open = || frame(HEADERS, END_HEADERS, 1, &get("x.com", "/flood/"));
    let endless = || frame(HEADERS, END_STREAM, 1, &get("x.com", "/flood/"));
    vec![
        Flood { name: "continuation", ends: true, first: endless(), count: 4_000, each: |_| frame(CONTINUATION, NONE, 1, &field(b"x", &[b'y'; 16_000])), ..QUIET },
        Flood { name: "continuation, small", ends: true, first: endless(), each: |_| frame(CONTINUATION, NONE, 1, &field(b"x", b"y")), ..QUIET },
        Flood { name: "continuation, empty", ends: true, first: endless(), each: |_| frame(CONTINUATION, NONE, 1, b""), ..QUIET },
        Flood { name: "settings", each: |_| frame(SETTINGS, NONE, 0, &[0, 3, 0, 0, 0, 100]), ..QUIET },
        Flood { name: "settings, read", reads: true, each: |_| frame(SETTINGS, NONE, 0, &[]), ..QUIET },
        Flood { name: "ping", each: |_| frame(PING, NONE, 0, &[7; 8]), ..QUIET },
        Flood { name: "ping, read", reads: true, each: |_| frame(PING, NONE, 0, &[7; 8]), ..QUIET },
        Flood { name: "priority", each: |number| frame(PRIORITY, NONE, stream(number % 1000), &[0, 0, 0, 0, 1]), ..QUIET },
        Flood { name: "window update", each: |_| frame(WINDOW_UPDATE, NONE, 0, &[0, 0, 0, 1]), ..QUIET },
        Flood { name: "unknown frames", each: |_| frame(0xEE, 0, 0, &[0; 64]), ..QUIET },
        Flood { name: "empty data", ends: true, first: open(), each: |_| frame(DATA, NONE, 1, b""), ..QUIET },
        Flood { name: "padded empty data", first: open(), each: |_| frame(DATA, 8, 1, &[3, 0, 0, 0]), ..QUIET },
        Flood { name: "rapid reset", ends: true, reads: true, count: 20_000, each: reset, ..QUIET },
        Flood { name: "rapid reset, not read", ends: true, count: 20_000, each: reset, ..QUIET },
        Flood { name: "made you reset", ends: true, reads: true, count: 20_000, each: made_to_reset, ..QUIET },
        Flood { name: "too many streams", reads: true, count: 2_000, each: |number| { frame(HEADERS, END_HEADERS, stream(number), &get("x.com", "/flood/")) }, ..QUIET },
        Flood { name: "bad requests", reads: true, count: 20_000, each: |number| frame(HEADERS, WHOLE, stream(number), &block(&[(":path", "x")])), ..QUIET },
        Flood { name: "not found", count: 20_000, each: |number| frame(HEADERS, WHOLE, stream(number), &get("x.com", "/%2e%2e/")), ..QUIET },
        Flood { name: "cookie crumbs", reads: true, count: 200, each: |number| crumbs(stream(number)), ..QUIET },
        Flood { name: "header bomb", reads: true, first: bomb(), count: 100, each: |number| { frame(HEADERS, WHOLE, stream(number + 1), &[get("x.com", "/bomb/"), vec![0xBE; 12_000]].concat()) }, ..QUIET },
        Flood { name: "closed window", first: closed_window(), count: 90, each: |number| { frame(HEADERS, WHOLE, stream(number), &get("bystander.com", "/?size=10000000")) }, ..QUIET },
    ]
}

fn reset(number: u32) -> Vec<u8> {
    let stream = stream(number);
    let head = frame(HEADERS, WHOLE, stream, &get("x.com", "/flood/"));
    [head, frame(RST_STREAM, NONE, stream, &[0, 0, 0, 8])].concat()
}

/// CVE-2025-8671: the client makes the other side reset, which counts for nobody.
fn made_to_reset(number: u32) -> Vec<u8> {
    let stream = stream(number);
    let head = frame(HEADERS, END_HEADERS, stream, &get("x.com", "/flood/"));
    [head, frame(WINDOW_UPDATE, NONE, stream, &[0; 4])].concat()
}

/// Many cookies, each of which is a field of its own in HTTP/2.
fn crumbs(stream: u32) -> Vec<u8> {
    let crumbs = block(&[("cookie", "a=b")]).repeat(1_000);
    frame(
        HEADERS,
        WHOLE,
        stream,
        &[get("x.com", "/bomb/"), crumbs].concat(),
    )
}

/// Puts a field of almost the whole dynamic table into it: one byte stands for it from then on.
fn bomb() -> Vec<u8> {
    let field = indexed_field(b"x", &[b'y'; 4_000]);
    frame(
        HEADERS,
        WHOLE,
        1,
        &[get("x.com", "/flood/"), field].concat(),
    )
}

/// Nothing of a body may be sent.
fn closed_window() -> Vec<u8> {
    frame(SETTINGS, NONE, 0, &[0, 4, 0, 0, 0, 0])
}

#[test]
fn http2_floods_harm_nobody_else() {
    let site = Site::start();
    let mut wrong = Vec::new();
    for flood in floods() {
        site.withstands(flood.name, |site| {
            if !run(site, &flood) && flood.ends {
                wrong.push(flood.name);
            }
        });
    }
    assert!(wrong.is_empty(), "these must end the connection: {wrong:?}");
    assert!(
        !site.saw("/bomb/"),
        "a head of megabytes reached the upstream"
    );
}

/// Whether the other side ended the connection.
fn run(site: &Site, flood: &Flood) -> bool {
    let mut stream = site.connect();
    stream.set_write_timeout(Some(STUCK)).unwrap();
    let reader = flood.reads.then(|| {
        let mut stream = stream.try_clone().unwrap();
        let ends = flood.ends;
        thread::spawn(move || wait(&mut stream, ends))
    });
    let broken = send(&mut stream, flood);
    let received = match reader {
        Some(reader) => reader.join().unwrap(),
        None if broken => return true,
        None => wait(&mut stream, flood.ends),
    };
    broken || Told::of(&received).is_ended()
}

/// Reads until the end of a connection that must end, else until it is silent.
fn wait(stream: &mut TcpStream, ends: bool) -> Received {
    receive_until(stream, |received| !ends || Told::of(received).is_ended())
}

/// Sends it in pieces; whether the other side broke it off.
fn send(stream: &mut TcpStream, flood: &Flood) -> bool {
    const PIECE: usize = 64 * 1024;
    let mut bytes = [hello(), flood.first.clone()].concat();
    for number in 0..flood.count {
        bytes.extend((flood.each)(number));
        if bytes.len() < PIECE && number + 1 < flood.count {
            continue;
        }
        match stream.write_all(&bytes) {
            Ok(()) => bytes.clear(),
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
    false
}
