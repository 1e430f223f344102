use super::*;

fn compression() -> Compression {
    Compression {
        coders: [Coding::Zstd, Coding::Brotli, Coding::Gzip]
            .map(|coding| Coder { coding, level: 1 })
            .into(),
        min_length: 30,
        content_types: ["text/plain", "application/json", "text/event-stream"]
            .map(Arc::from)
            .into(),
        leaves_etags: false,
        hides_codings: false,
    }
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn the_client_has_the_coding_that_it_wants_most() {
    for (lines, expected) in [
        (&[][..], None),
        (&[""], None),
        (&["gzip"], Some(Coding::Gzip)),
        (&["X-GZIP"], Some(Coding::Gzip)),
        (&["gzip, br"], Some(Coding::Brotli)),
        (&["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
        (&["gzip", "zstd;q=0.1"], Some(Coding::Gzip)),
        (&["gzip;q=0.5, br;q=0.501"], Some(Coding::Brotli)),
        (&["GZIP ; Q=1.000"], Some(Coding::Gzip)),
        (&["gzip;q=0"], None),
        (&["gzip;q=0.000, *"], Some(Coding::Zstd)),
        (&["*;q=0"], None),
        (&["*;q=0, br;q=0.001"], Some(Coding::Brotli)),
        (&["identity"], None),
        (&["identity, gzip"], Some(Coding::Gzip)),
        (&["identity, gzip;q=0.9"], None),
        (&["identity;q=0.5, gzip;q=0.4, *;q=0.6"], Some(Coding::Zstd)),
        (&["identity;q=0, deflate"], None),
        (&["gzip;q=2"], None),
        (&["gzip;q=0.1234"], None),
        (&["gzip;q=-1"], None),
        (&["gzip;q="], None),
        (&["gzip;level=9;q=0.3"], Some(Coding::Gzip)),
        (&["gzipped, br2"], None),
    ] {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("accept-encoding", *line))
            .collect();
        let found = compression().coder(&Method::GET, &headers(&lines));
        assert_eq!(found.map(|coder| coder.coding), expected, "{lines:?}");
        let head = compression().coder(&Method::HEAD, &headers(&lines));
        assert_eq!(head, None, "HEAD {lines:?}");
    }
}

#[test]
fn only_what_may_be_changed_and_is_worth_it_is_compressed() {
    let text = ("content-type", "text/plain; charset=utf-8");
    for (status, fields, expected) in [
        (200, &[text][..], true),
        (404, &[text], true),
        (200, &[("content-type", "Application/JSON")], true),
        (200, &[], false),
        (200, &[("content-type", "image/png")], false),
        (200, &[("content-type", "text/plainer")], false),
        (200, &[("content-type", "text/event-stream")], false),
        (204, &[text], false),
        (205, &[text], false),
        (206, &[text], false),
        (304, &[text], false),
        (200, &[text, ("content-length", "30")], true),
        (200, &[text, ("content-length", "29")], false),
        (200, &[text, ("content-encoding", "br")], false),
        (200, &[text, ("content-encoding", "identity")], false),
        (200, &[text, ("content-range", "bytes 0-5/9")], false),
        (
            200,
            &[text, ("cache-control", "public, No-Transform")],
            false,
        ),
        (200, &[text, ("cache-control", "public, max-age=5")], true),
        (200, &[text, ("repr-digest", "sha-256=:a:")], false),
        (200, &[text, ("etag", "\"a\"")], true),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let found = compression().suits(status, &headers(fields));
        assert_eq!(found, expected, "{status} {fields:?}");
    }
    let careful = Compression {
        leaves_etags: true,
        ..compression()
    };
    let tagged = headers(&[text, ("etag", "\"a\"")]);
    assert!(!careful.suits(StatusCode::OK, &tagged));
}

#[test]
fn streams_of_messages_are_none_of_its_business() {
    for (content_type, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web-text", true),
        ("Text/Event-Stream; charset=utf-8", true),
        ("application/json", false),
    ] {
        let value = HeaderValue::from_static(content_type);
        assert_eq!(is_stream(essence(&value)), expected, "{content_type}");
    }
}
