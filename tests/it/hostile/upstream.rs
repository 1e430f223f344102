//! An upstream that answers what it should not: nobody gets an answer that is another's, and the pool stays sound.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use super::Site;
use crate::client::Request;

/// What may become of an answer: these statuses; 0 for one that breaks off.
struct Answered {
    id: &'static str,
    bytes: String,
    statuses: &'static [u16],
    /// Whether the upstream closes after it.
    closes: bool,
}

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

const FINE: &[u16] = &[200];
const BAD: &[u16] = &[502];
const EITHER: &[u16] = &[200, 502];
const CUT: &[u16] = &[0, 502];

fn answer(id: &'static str, statuses: &'static [u16], bytes: &str) -> Answered {
    Answered {
        id,
        bytes: bytes.to_owned(),
        statuses,
        closes: false,
    }
}

fn closing(id: &'static str, statuses: &'static [u16], bytes: &str) -> Answered {
    Answered {
        closes: true,
        ..answer(id, statuses, bytes)
    }
}

// One answer a line.
#[rustfmt::skip]
fn answers() -> Vec<Answered> {
    let ok = |headers: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}");
    let mut fields = String::new();
    for number in 0..5_000 {
        // Writing to a String cannot fail.
        let _ = write!(fields, "x-{number}: y\r\n");
    }
    vec![
        answer("plain", FINE, GOOD),
        answer("chunked", FINE, &ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n")),
        closing("until-close", FINE, &ok("", "ok")),
        answer("more-after-length", FINE, &ok("Content-Length: 2\r\n", &format!("ok{POISON}"))),
        answer("more-after-chunks", FINE, &ok("Transfer-Encoding: chunked\r\n", &format!("2\r\nok\r\n0\r\n\r\n{POISON}"))),
        answer("more-after-204", &[204], &format!("HTTP/1.1 204 No Content\r\n\r\n{POISON}")),
        answer("more-after-304", &[304], &format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n{POISON}")),
        answer("length-and-chunks", BAD, &ok("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        answer("two-lengths", BAD, &ok("Content-Length: 2\r\nContent-Length: 4\r\n", "okok")),
        answer("length-list", BAD, &ok("Content-Length: 2, 4\r\n", "okok")),
        answer("length-sign", BAD, &ok("Content-Length: +2\r\n", "ok")),
        answer("length-word", BAD, &ok("Content-Length: two\r\n", "ok")),
        closing("encoding-gzip", BAD, &ok("Transfer-Encoding: gzip\r\n", "ok")),
        answer("encoding-twice", BAD, &ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        closing("encoding-not-last", BAD, &ok("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        closing("bare-lf", EITHER, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        closing("fold", EITHER, &ok("X: a\r\n b\r\nContent-Length: 2\r\n", "ok")),
        closing("value-nul", BAD, &ok("X: a\0b\r\nContent-Length: 2\r\n", "ok")),
        closing("name-space", BAD, &ok("X y: a\r\nContent-Length: 2\r\n", "ok")),
        closing("no-http", BAD, "hello\r\n\r\n"),
        closing("http-3", BAD, "HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        closing("status-word", BAD, "HTTP/1.1 two OK\r\nContent-Length: 2\r\n\r\nok"),
        closing("status-long", BAD, "HTTP/1.1 20000 OK\r\nContent-Length: 2\r\n\r\nok"),
        closing("head-of-a-megabyte", BAD, &ok(&format!("X: {}\r\n", "a".repeat(1 << 20)), "")),
        closing("5000-fields", BAD, &ok(&fields, "")),
        answer("continue-flood", EITHER, &format!("{}{GOOD}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000))),
        closing("switching-unasked", BAD, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        closing("nothing", BAD, ""),
        closing("half-a-head", BAD, "HTTP/1.1 200 OK\r\nContent-Le"),
        closing("half-a-body", CUT, &ok("Content-Length: 10\r\n", "ok")),
        closing("half-a-chunk", CUT, &ok("Transfer-Encoding: chunked\r\n", "5\r\nok")),
        closing("bad-chunk", CUT, &ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\nz\r\n")),
    ]
}

#[test]
fn an_upstream_that_breaks_the_rules_poisons_nothing() {
    let address = serve();
    // One worker: all requests share one pool.
    let site = Site::before(address, &["--workers", "1"]);
    site.withstands("upstream answers", |site| {
        let mut wrong = Vec::new();
        for Answered { id, statuses, .. } in answers() {
            let request = Request::get(&format!("http://x.com/{id}"));
            let status = request
                .try_send(site.gateway.address(8080))
                .map_or(0, |answer| answer.status);
            if !statuses.contains(&status) {
                wrong.push(format!("{id}: {status}, not one of {statuses:?}"));
            }
            for _ in 0..3 {
                let after = site.gateway.get("http://x.com/good");
                if (after.status, &*after.body) != (200, b"good") {
                    wrong.push(format!("after {id}: {after:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Serves the answers by the name in the path, until the test process ends.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || converse(stream));
        }
    });
    address
}

fn converse(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    let answers = answers();
    while stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let found = answers
            .iter()
            .find(|answer| path.strip_prefix('/') == Some(answer.id));
        let bytes = found.map_or(GOOD, |answer| &answer.bytes);
        if stream.write_all(bytes.as_bytes()).is_err() || found.is_some_and(|answer| answer.closes)
        {
            return;
        }
        head.clear();
    }
}
