//! Clients that are slow, endless, too many, or make no sense.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{Site, receive_until};
use crate::client::{Answer, tcp};

/// A client that the other side does not take anything of any more is over after this.
const STUCK: Duration = Duration::from_secs(2);
/// More than an endless head or line may be before the connection ends, far less than what is sent.
const ENDLESS: usize = 32 << 20;
/// A head must be there after 10 seconds, and a connection looks at its clock every 5: the rest is for a busy machine.
const HEAD_LIMIT: Duration = Duration::from_secs(25);

/// Sends until the other side ends it or all is sent; whether it was ended.
fn pour(mut stream: TcpStream, first: &[u8], piece: &[u8], total: usize) -> bool {
    stream.set_write_timeout(Some(STUCK)).unwrap();
    if stream.write_all(first).is_err() {
        return true;
    }
    let mut sent = 0;
    while sent < total {
        match stream.write_all(piece) {
            Ok(()) => sent += piece.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(_) => return true,
        }
    }
    receive_until(&mut stream, |_| false).closed
}

#[test]
fn endless_lines_and_heads_end_the_connection() {
    const POST: &str =
        "POST /endless/ HTTP/1.1\r\nHost: x.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    let site = Site::start();
    let start = "GET / HTTP/1.1\r\nHost: x.com\r\n";
    let long = "a".repeat(64 * 1024);
    let cases: [(&str, String, String); 9] = [
        ("method", String::new(), long.clone()),
        ("target", "GET /".to_owned(), long.clone()),
        ("header value", format!("{start}x: "), long.clone()),
        ("header name", start.to_owned(), long.clone()),
        ("headers", start.to_owned(), "x: y\r\n".repeat(8 * 1024)),
        ("chunk size", POST.to_owned(), "0".repeat(64 * 1024)),
        ("chunk extension", format!("{POST}1;"), long.clone()),
        ("trailer", format!("{POST}0\r\nx: "), long),
        (
            "trailers",
            format!("{POST}0\r\n"),
            "x: y\r\n".repeat(8 * 1024),
        ),
    ];
    for (name, first, piece) in &cases {
        site.withstands(name, |site| {
            let ended = pour(site.connect(), first.as_bytes(), piece.as_bytes(), ENDLESS);
            assert!(ended, "endless {name}: the connection goes on");
        });
    }
}

#[test]
fn random_bytes_harm_nobody_else() {
    let site = Site::start();
    site.withstands("8 MiB of random bytes", |site| {
        let mut random = fastrand::Rng::with_seed(8);
        let mut bytes = vec![0; 8 << 20];
        random.fill(&mut bytes);
        pour(site.connect(), b"", &bytes, bytes.len());
    });
    for port in [8080, 8443] {
        site.withstands("random connections", |site| {
            for seed in 0..200 {
                let bytes = random_bytes(seed);
                let mut stream = tcp(site.gateway.address(port)).unwrap();
                // The other side may end it before it has all.
                let _sent = stream.write_all(&bytes);
            }
        });
    }
}

/// Noise, or the beginning of something with noise after it.
fn random_bytes(seed: u64) -> Vec<u8> {
    const STARTS: [&[u8]; 7] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: x.com\r\n",
        b"POST / HTTP/1.1\r\nHost: x.com\r\nContent-Length: 100\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x.com\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        // A record of TLS with a ClientHello.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = random.choice(STARTS).unwrap_or_default().to_vec();
    let noise = bytes.len() + random.usize(1..4096);
    bytes.resize_with(noise, || random.u8(..));
    bytes
}

#[test]
fn slow_heads_are_cut_off() {
    let site = Site::start();
    site.withstands("slow heads", |site| {
        let head =
            b"GET / HTTP/1.1\r\nHost: x.com\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let mut slow: Vec<_> = (0..50).map(|_| site.connect()).collect();
        let began = Instant::now();
        for byte in head.iter().chain(std::iter::repeat(&b'a')) {
            assert!(
                began.elapsed() < HEAD_LIMIT,
                "{} heads are still waited for",
                slow.len()
            );
            slow.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
            if slow.is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
}

#[test]
fn slow_bodies_and_slow_readers_harm_nobody_else() {
    let site = Site::start();
    site.withstands("slow bodies", |site| {
        let head = b"POST /slow/ HTTP/1.1\r\nHost: x.com\r\nContent-Length: 1000\r\n\r\n";
        let mut slow: Vec<_> = (0..50).map(|_| site.connect()).collect();
        send(&mut slow, head);
        for _ in 0..20 {
            send(&mut slow, b"x");
            thread::sleep(Duration::from_millis(50));
        }
    });
    site.withstands("slow readers", |site| {
        let head = b"GET /?size=1000000000 HTTP/1.1\r\nHost: bystander.com\r\n\r\n";
        let mut slow: Vec<_> = (0..50).map(|_| site.connect()).collect();
        send(&mut slow, head);
        thread::sleep(Duration::from_secs(1));
    });
}

fn send(streams: &mut [TcpStream], bytes: &[u8]) {
    for stream in streams {
        stream.write_all(bytes).unwrap();
    }
}

#[test]
fn small_pieces_and_many_connections_are_served() {
    let site = Site::start();
    site.withstands("chunks of one byte", |site| {
        let mut stream = site.connect();
        let head =
            b"POST /chunks/ HTTP/1.1\r\nHost: bystander.com\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).unwrap();
        for _ in 0..20 {
            stream
                .write_all("1\r\nx\r\n".repeat(1_000).as_bytes())
                .unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        let answer = Answer::read(&mut stream, "POST").unwrap();
        assert_eq!(answer.told()["body"]["bytes"], 20_000);
    });
    site.withstands("pipelined requests", |site| {
        let mut stream = site.connect();
        let mut writer = stream.try_clone().unwrap();
        let request = "GET /pipe HTTP/1.1\r\nHost: bystander.com\r\n\r\n";
        let writing = thread::spawn(move || writer.write_all(request.repeat(2_000).as_bytes()));
        thread::sleep(Duration::from_millis(500));
        for number in 0..2_000 {
            let answer = Answer::read(&mut stream, "GET").unwrap();
            assert_eq!(answer.status, 200, "request {number}");
        }
        writing.join().unwrap().unwrap();
    });
    site.withstands("idle connections", |site| {
        let idle: Vec<_> = (0..400).map(|_| site.connect()).collect();
        thread::sleep(Duration::from_millis(300));
        let mut last = idle.into_iter().next_back().unwrap();
        last.write_all(b"GET /late HTTP/1.1\r\nHost: bystander.com\r\n\r\n")
            .unwrap();
        assert_eq!(Answer::read(&mut last, "GET").unwrap().status, 200);
    });
}
