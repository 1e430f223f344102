//! Responses that are compressed on their way.

use std::{io::Read, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::speaking;
use crate::{
    graph::compression::{Coder, Coding, Compression},
    proxy::{
        site::Site,
        testing::{Act, Script, connect, exchange, text},
    },
};

fn site(script: &Script) -> Rc<Site<Script>> {
    speaking(script, |clients| {
        clients.compression = Some(Arc::new(Compression {
            coders: [Coding::Brotli, Coding::Gzip]
                .map(|coding| Coder { coding, level: 4 })
                .into(),
            min_length: 10,
            content_types: ["text/plain".into()].into(),
            leaves_etags: false,
            hides_codings: true,
        }));
    })
}

/// Some text with these fields.
fn said(body: &'static str, fields: &[(&'static str, &'static str)]) -> Response<Bytes> {
    let mut response = text(StatusCode::OK, body);
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(*name, value);
    }
    response
}

const TEXT: (&str, &str) = ("content-type", "text/plain");

async fn ask(script: &Script, method: &str, fields: &str) -> String {
    let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
    exchange(&site(script), &request).await
}

fn has(answer: &str, line: &str) -> bool {
    answer.split("\r\n").any(|found| found == line)
}

/// What the chunks after a head hold.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &bytes[end + 2..][..size];
        whole.extend_from_slice(data);
        bytes = &bytes[end + 2 + size + 2..];
    }
    whole
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_response_is_compressed_for_who_takes_that() {
    let fields = [
        TEXT,
        ("etag", "\"a\""),
        ("content-length", "22"),
        ("accept-ranges", "bytes"),
    ];
    let script = Script::of([Act::Answer(said("a quote, a quote again", &fields))]);
    let mut client = connect(&site(&script));
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept-encoding: gzip\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    for line in [
        "content-encoding: gzip",
        "vary: accept-encoding",
        "etag: W/\"a\"",
        "transfer-encoding: chunked",
    ] {
        assert!(has(&head, line), "{line:?} is not in {head}");
    }
    assert!(!head.contains("content-length"), "{head}");
    assert!(!head.contains("accept-ranges"), "{head}");
    let body = unchunked(&answer[end + 4..]);
    let mut told = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&body[..]);
    decoder.read_to_string(&mut told).unwrap();
    assert_eq!(told, "a quote, a quote again");
    let seen = script.seen().remove(0);
    assert!(
        !seen.headers.contains_key("accept-encoding"),
        "it is hidden"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_response_stays_as_it_is_for_everybody_else() {
    const TAKES: &str = "accept-encoding: br\r\n";
    for (method, asked, fields, varies) in [
        ("GET", "", &[TEXT][..], true),
        ("GET", "accept-encoding: br;q=0\r\n", &[TEXT], true),
        ("HEAD", TAKES, &[TEXT], true),
        ("GET", TAKES, &[TEXT, ("content-encoding", "x")], false),
        (
            "GET",
            TAKES,
            &[TEXT, ("cache-control", "no-transform")],
            false,
        ),
        (
            "GET",
            TAKES,
            &[("content-type", "text/event-stream")],
            false,
        ),
        ("GET", TAKES, &[("content-type", "application/grpc")], false),
    ] {
        let mut fields = fields.to_vec();
        fields.push(("etag", "\"a\""));
        let script = Script::of([Act::Answer(said("a quote, a quote again", &fields))]);
        let answer = ask(&script, method, asked).await;
        assert!(has(&answer, "content-length: 22"), "{answer}");
        assert!(has(&answer, "etag: \"a\""), "{answer}");
        assert_eq!(has(&answer, "vary: accept-encoding"), varies, "{answer}");
        assert_eq!(answer.ends_with("again"), method == "GET", "{answer}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_has_no_body_gets_none() {
    for status in [
        StatusCode::OK,
        StatusCode::NOT_MODIFIED,
        StatusCode::NO_CONTENT,
    ] {
        let mut response = said("", &[TEXT]);
        *response.status_mut() = status;
        let script = Script::of([Act::Answer(response)]);
        let answer = ask(&script, "GET", "accept-encoding: br\r\n").await;
        assert!(!answer.contains("content-encoding"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn our_own_answers_are_short_and_stay_as_they_are() {
    let script = Script::of([Act::Fail(crate::proxy::error::ProxyError::UpstreamReset)]);
    let answer = ask(&script, "GET", "accept-encoding: br\r\n").await;
    assert!(answer.contains("upstream_reset"), "{answer}");
}
