use std::io::Read;

use super::*;

const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

/// As much of it as has arrived.
fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let reader: &mut dyn Read = match coding {
        Coding::Gzip => &mut flate2::read::GzDecoder::new(bytes),
        Coding::Brotli => &mut brotli::Decompressor::new(bytes, 4096),
        Coding::Zstd => &mut zstd::Decoder::new(bytes).unwrap(),
    };
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        out.extend_from_slice(&piece[..count]);
    }
    out
}

fn compressor(coding: Coding, length: Option<u64>) -> Compressor {
    let coder = Coder { coding, level: 3 };
    Compressor::new(coder, length, &Encoders::default()).unwrap()
}

#[test]
fn what_was_flushed_can_be_read_before_the_end() {
    for coding in CODINGS {
        let mut compressor = compressor(coding, None);
        let mut sent = Vec::new();
        let mut said = Vec::new();
        for n in 0..20 {
            let line = format!("message {n} of a slow upstream\n");
            said.extend_from_slice(line.as_bytes());
            sent.extend(compressor.take(&line.into()).unwrap());
            sent.extend(compressor.flush().unwrap());
            let sent: Vec<u8> = sent.iter().flatten().copied().collect();
            assert_eq!(decoded(coding, &sent), said, "{coding:?} {n}");
        }
        assert_eq!(compressor.flush().unwrap(), None, "nothing is left");
        sent.extend(compressor.end().unwrap());
        let sent: Vec<u8> = sent.iter().flatten().copied().collect();
        assert_eq!(decoded(coding, &sent), said, "{coding:?}");
    }
}

#[test]
fn bodies_of_every_length_come_out_as_they_went_in() {
    for coding in CODINGS {
        for length in [0_usize, 1, 1023, 1024, 70_000, 1 << 20] {
            let body: Vec<u8> = (0..length)
                .map(|at| b"abcdefghijklmnop"[at * at % 13])
                .collect();
            for told in [None, Some(length as u64)] {
                let mut compressor = compressor(coding, told);
                let mut sent = Vec::new();
                for piece in body.chunks(16 * 1024) {
                    let piece = Bytes::copy_from_slice(piece);
                    sent.extend(compressor.take(&piece).unwrap());
                }
                sent.extend(compressor.end().unwrap());
                let sent = sent.concat();
                assert!(sent.len() < length / 2 + 64, "{coding:?} {length}");
                let same = decoded(coding, &sent) == body;
                assert!(same, "{coding:?} {length} {told:?}");
            }
        }
    }
}

#[test]
fn encoders_have_their_limit_and_give_back_what_they_took() {
    let encoders = Encoders::default();
    let coder = Coder {
        coding: Coding::Brotli,
        level: 1,
    };
    let new = || Compressor::new(coder, None, &encoders);
    let all: Vec<_> = std::iter::from_fn(new).take(1000).collect();
    assert_eq!(all.len(), limits::ENCODERS / (2 << 20));
    drop(all);
    assert_eq!(encoders.0.get(), 0);
    assert!(new().is_some());
}

#[test]
fn the_head_says_what_has_become_of_the_body() {
    for (tag, expected) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", tag),
            ("content-length", "5"),
            ("accept-ranges", "bytes"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        tell(&mut headers, Coding::Brotli);
        assert_eq!(headers["etag"], expected);
        assert_eq!(headers["content-encoding"], "br");
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}

#[test]
fn caches_are_told_once_that_it_depends_on_the_client() {
    for (said, expected) in [
        (None, "accept-encoding"),
        (Some("Origin, Accept-Encoding"), "Origin, Accept-Encoding"),
        (Some("*"), "*"),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(said) = said {
            headers.insert(VARY, HeaderValue::from_static(said));
        }
        vary(&mut headers);
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
        assert_eq!(headers[VARY], expected);
    }
}
