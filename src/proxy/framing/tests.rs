use proptest::prelude::*;

use super::*;

/// Feeds in pieces of `step` bytes and returns the verdicts.
fn verdicts(bytes: &str, step: usize) -> Vec<Result<(), Malformed>> {
    let mut framing = Framing::new();
    let mut verdicts = Vec::new();
    for piece in bytes.as_bytes().chunks(step) {
        framing.feed(piece, |Event::Head(verdict)| verdicts.push(verdict));
    }
    verdicts
}

#[test]
fn heads_are_judged_alike_however_the_bytes_arrive() {
    use Malformed::{BareLineFeed, DuplicateLength, Encoding, Folded, Length, LengthAndEncoding};
    let table: &[(&str, &[Result<(), Malformed>])] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[Ok(())]),
        (
            "\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &[Ok(()), Ok(())],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab\r\ncPOST / HTTP/1.1\r\nContent-Length:0\r\n\r\n",
            &[Ok(()), Ok(())],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nab\r\nc\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &[Ok(()), Ok(())],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
            &[Err(LengthAndEncoding)],
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            &[Err(LengthAndEncoding)],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            &[Err(DuplicateLength)],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            &[Err(Length)],
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
            &[Err(Length)],
        ),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", &[Err(Length)]),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            &[Err(Length)],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            &[Err(Encoding)],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            &[Err(Encoding)],
        ),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", &[Err(BareLineFeed)]),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", &[Err(BareLineFeed)]),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", &[Err(BareLineFeed)]),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", &[Err(Folded)]),
        // After an upgrade, and after bytes that are no chunk, nothing is taken for a request.
        (
            "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &[Ok(())],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefGET / HTTP/1.1\r\n\r\n",
            &[Ok(())],
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nGET / HTTP/1.1\r\n\r\n",
            &[Ok(())],
        ),
    ];
    for (bytes, expected) in table {
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(
                &verdicts(bytes, step),
                expected,
                "{bytes:?} in steps of {step}"
            );
        }
    }
}

#[test]
fn long_lines_are_followed_to_their_end() {
    let long = "x".repeat(3 * KEPT);
    for step in [1, 10, 4096] {
        let good = format!("GET /{long} HTTP/1.1\r\nA: {long}\r\n\r\n");
        assert_eq!(verdicts(&good, step), [Ok(())]);
        let bad = format!("GET /{long} HTTP/1.1\r\nA: {long}\n\r\n");
        assert_eq!(verdicts(&bad, step), [Err(Malformed::BareLineFeed)]);
    }
}

#[test]
fn of_a_body_that_breaks_nothing_more_is_read() {
    const HEAD: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let zeros = "0".repeat(1_000);
    for (body, sound) in [
        ("2\r\nhi\r\n0\r\n\r\n", None),
        ("2 ;a=b\r\nhi\r\n000\r\nx: y\r\n\r\n", None),
        ("2\nhi\r\n0\r\n\r\n", Some("")),
        ("+2\r\nhi\r\n0\r\n\r\n", Some("")),
        ("2\r\nhi\n0\r\n\r\n", Some("2\r\nhi")),
        ("2\r\nhi!\r\n0\r\n\r\n", Some("2\r\nhi")),
        ("0\r\nx: y\n\r\n", Some("0\r\n")),
        ("0\r\nx: y\r\n\n", Some("0\r\nx: y\r\n")),
        (&*zeros, Some("")),
    ] {
        let bytes = [HEAD, body].concat();
        let mut framing = Framing::new();
        let read = framing.feed(bytes.as_bytes(), |_| ());
        assert_eq!(framing.is_broken(), sound.is_some(), "{body:?}");
        assert_eq!(&bytes[HEAD.len()..read], sound.unwrap_or(body));
        let after = framing.feed(b"GET / HTTP/1.1\r\n\r\n", |_| ());
        assert_eq!(after == 0, sound.is_some(), "after {body:?}");
        let mut framing = Framing::new();
        for byte in bytes.bytes() {
            framing.feed(&[byte], |_| ());
        }
        assert_eq!(
            framing.is_broken(),
            sound.is_some(),
            "{body:?} byte by byte"
        );
    }
}

#[test]
fn a_head_has_begun_with_its_first_byte() {
    let mut framing = Framing::new();
    assert!(!framing.is_within_head());
    framing.feed(b"G", |_| ());
    assert!(framing.is_within_head());
    framing.feed(b"ET / HTTP/1.1\r\n\r\n", |_| ());
    assert!(!framing.is_within_head());
}

/// Lines and pieces of lines in any order: most are no request, and some are several.
fn stream() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "Content-Length: 3\r\n",
        "content-length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "Upgrade: x\r\n",
        "Host: x\n",
        " folded\r\n",
        "\r\n",
        "\r",
        "\n",
        "abc",
        "3\r\n",
        "0\r\n",
        "5;x=y\r\n",
        "0\r\n\r\n",
        "z",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn how_the_bytes_arrive_changes_nothing(bytes in stream(), step in 1_usize..16) {
        let mut whole = Framing::new();
        let mut heads = Vec::new();
        let read = whole.feed(bytes.as_bytes(), |Event::Head(verdict)| heads.push(verdict));
        let mut pieces = Framing::new();
        let mut later_heads = Vec::new();
        for piece in bytes.as_bytes().chunks(step) {
            pieces.feed(piece, |Event::Head(verdict)| later_heads.push(verdict));
        }
        prop_assert_eq!(heads, later_heads);
        prop_assert_eq!(pieces.is_broken(), whole.is_broken());
        prop_assert_eq!(pieces.is_within_head(), whole.is_within_head());
        prop_assert_eq!(read < bytes.len(), whole.is_broken());
    }
}
