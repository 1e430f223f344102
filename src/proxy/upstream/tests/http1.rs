//! Exchanges over HTTP/1.1.

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

#[tokio::test]
async fn a_connection_is_used_again() {
    local(async {
        let backend = Backend::always(Reply::ok("hello")).await;
        let bench = Bench::new();
        for _ in 0..3 {
            assert_eq!(bench.get(&backend.upstream()).await.unwrap(), "200 hello");
        }
        let response = bench.send(&backend.upstream(), post("body")).await.unwrap();
        assert_eq!(text(response).await.unwrap(), "200 hello");
        assert_eq!(backend.accepted.get(), 1);
        assert_eq!(bench.metric("connections_opened_total"), 1);
        assert_eq!(bench.metric("connections_idle"), 1);
    })
    .await;
}

#[tokio::test]
async fn every_framing_of_a_response_is_read_to_its_end() {
    let cases = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "200 abc",
            1,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204 ", 1),
        (
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            "304 ",
            1,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "200 ", 1),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "200 abc",
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
            "200 abc",
            2,
        ),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "200 abc",
            2,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
            "200 x",
            1,
        ),
    ];
    local(async {
        for (bytes, expected, connections) in cases {
            let backend = Backend::always(Reply::Keep(bytes.to_owned())).await;
            let bench = Bench::new();
            for _ in 0..2 {
                let got = bench.get(&backend.upstream()).await;
                assert_eq!(got.unwrap(), expected, "{bytes}");
            }
            assert_eq!(backend.accepted.get(), connections, "{bytes}");
        }
        let until_close = Reply::Close("HTTP/1.1 200 OK\r\n\r\nall of it".to_owned());
        let backend = Backend::always(until_close).await;
        let got = Bench::new().get(&backend.upstream()).await;
        assert_eq!(got.unwrap(), "200 all of it");
    })
    .await;
}

#[tokio::test]
async fn the_answer_to_head_has_a_length_and_no_body() {
    local(async {
        let head_only = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        let backend = Backend::always(Reply::Keep(head_only.to_owned())).await;
        let bench = Bench::new();
        for _ in 0..2 {
            let head = request(Method::HEAD, "/", TestBody::default());
            let response = bench.send(&backend.upstream(), head).await.unwrap();
            assert_eq!(response.headers()["content-length"], "9");
            assert_eq!(text(response).await.unwrap(), "200 ");
        }
        assert_eq!(backend.accepted.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn trailers_come_through() {
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                 2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n";
    local(async {
        let backend = Backend::always(Reply::Keep(bytes.to_owned())).await;
        let bench = Bench::new();
        for _ in 0..2 {
            let response = bench.send(&backend.upstream(), get("/")).await.unwrap();
            let collected = response.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
        }
        assert_eq!(backend.accepted.get(), 1, "the connection is kept");
    })
    .await;
}

#[tokio::test]
async fn the_head_goes_out_in_one_write_as_it_was_given() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = to(&[listener.local_addr().unwrap()]);
        let bench = Bench::new();
        let mut request = post("body");
        *request.uri_mut() = "/a/b?c=d".parse().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            let length = stream.read(&mut bytes).await.unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let first_read = tokio::select! {
            first = server => first,
            _ = bench.send(&upstream, request) => panic!("there was no answer"),
        };
        let expected =
            "POST /a/b?c=d HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 4\r\n\r\nbody";
        assert_eq!(first_read, expected);
    })
    .await;
}

/// Answers the first request on the first connection, then does as told.
async fn dies_when_used_again(last_words: &'static str) -> Backend {
    Backend::start(move |connection, number| match (connection, number) {
        (0, 1) => Reply::Close(last_words.to_owned()),
        _ => Reply::ok("hello"),
    })
    .await
}

#[tokio::test]
async fn a_request_on_a_connection_that_died_is_sent_once_more() {
    local(async {
        let backend = dies_when_used_again("").await;
        let bench = Bench::new();
        bench.get(&backend.upstream()).await.unwrap();
        assert_eq!(bench.get(&backend.upstream()).await.unwrap(), "200 hello");
        assert_eq!(backend.seen().len(), 3);
        assert_eq!(bench.metric("replays_total"), 1);
        assert_eq!(bench.metric("connections_opened_total"), 2);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_may_have_had_an_effect_is_not_sent_again() {
    local(async {
        let backend = dies_when_used_again("").await;
        let bench = Bench::new();
        bench.get(&backend.upstream()).await.unwrap();
        let failed = bench.send(&backend.upstream(), post("order one")).await;
        assert!(matches!(failed, Err(UpstreamError::Reset(_))), "{failed:?}");

        let backend = dies_when_used_again("HTTP/1.1 200").await;
        let bench = Bench::new();
        bench.get(&backend.upstream()).await.unwrap();
        let failed = bench.get(&backend.upstream()).await;
        assert!(
            matches!(failed, Err(UpstreamError::HeadBroken(_))),
            "a byte of the answer had come: {failed:?}"
        );
        assert_eq!(bench.metric("replays_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_new_connection_that_dies_is_not_tried_again() {
    local(async {
        let backend = Backend::always(Reply::Close(String::new())).await;
        let failed = Bench::new().get(&backend.upstream()).await;
        assert!(matches!(failed, Err(UpstreamError::Reset(_))), "{failed:?}");
        assert_eq!(backend.accepted.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_while_idle_is_not_used() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = to(&[listener.local_addr().unwrap()]);
        let bench = Bench::new();
        for _ in 0..2 {
            let server = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut tcp = Tcp(stream);
                let head = tcp.head().await.unwrap();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                tcp.0.write_all(answer).await.unwrap();
                head
            };
            let (head, sent) = tokio::join!(server, bench.send(&upstream, post("")));
            assert!(head.starts_with("POST"), "{head}");
            sent.unwrap();
            settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_ends_the_connection() {
    let broken = [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: 1,1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx\0y: a\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    ];
    local(async {
        let too_many = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n",
            "a: b\r\n".repeat(100)
        );
        let too_long = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\na: {}\r\n\r\n",
            "b".repeat(70_000)
        );

        let broken = broken.map(str::to_owned).into_iter();
        for bytes in broken.chain([too_many, too_long]) {
            let backend = Backend::always(Reply::Keep(bytes.clone())).await;
            let bench = Bench::new();
            let shown = &bytes[..bytes.len().min(80)];
            let failed = bench.get(&backend.upstream()).await;
            let reason = failed.as_ref().err().map(UpstreamError::reason);
            assert_eq!(reason, Some("upstream_protocol"), "{shown:?}: {failed:?}");
            assert_eq!(bench.metric("connections_idle"), 0, "{shown:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_follows_a_response_unasked_is_nobodys_response() {
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na\
                 HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npoison!";
    local(async {
        let backend = Backend::start(move |connection, _| match connection {
            0 => Reply::Keep(twice.to_owned()),
            _ => Reply::ok("clean"),
        })
        .await;
        let bench = Bench::new();
        assert_eq!(bench.get(&backend.upstream()).await.unwrap(), "200 a");
        settle().await;
        assert_eq!(bench.get(&backend.upstream()).await.unwrap(), "200 clean");
        assert_eq!(backend.accepted.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let broken = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\nabc",
    ];
    local(async {
        for bytes in broken {
            let backend = Backend::always(Reply::Close(bytes.to_owned())).await;
            let bench = Bench::new();
            let failed = bench.get(&backend.upstream()).await.unwrap_err();
            assert!(matches!(failed, UpstreamError::Body(_)), "{failed:?}");
            assert!(!failed.is_before_head());
            assert_eq!(bench.metric("connections_idle"), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_off_on_the_way_up_is_the_clients_fault() {
    local(async {
        let backend = Backend::always(Reply::Hang).await;
        let broken = futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from_static(b"abc"))),
            Err("too large".into()),
        ]);
        let body = http_body_util::StreamBody::new(broken).boxed_unsync();
        let request = request(Method::POST, "/", body);
        let failed = Bench::new().send(&backend.upstream(), request).await;
        let failed = failed.unwrap_err();
        assert!(failed.is_by_client(), "{failed:?}");
        let cause = failed.source().and_then(Error::source).unwrap();
        assert_eq!(cause.to_string(), "too large");
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                     upgrade: websocket\r\n\r\nfirst";
    local(async {
        let backend = Backend::always(Reply::Tunnel(switching.to_owned())).await;
        let bench = Bench::new();
        let mut request = get("/socket");
        request
            .headers_mut()
            .insert(header::CONNECTION, "upgrade".parse().unwrap());
        request
            .headers_mut()
            .insert(header::UPGRADE, "websocket".parse().unwrap());
        let mut response = bench.send(&backend.upstream(), request).await.unwrap();
        assert_eq!(response.status(), 101);
        let tunnel = upgraded(&mut response);
        drop(response);
        let mut tunnel = TokioIo::new(tunnel.await.unwrap());
        let mut bytes = [0; 5];
        tunnel.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"first");
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(bench.metric("connections_closed_total"), 0);
        drop(tunnel);
        settle().await;
        assert_eq!(backend.ended.get(), 1);
        assert_eq!(bench.metric("connections_closed_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn nobody_gets_a_tunnel_without_asking() {
    local(async {
        let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
        let backend = Backend::always(Reply::Keep(switching.to_owned())).await;
        let failed = Bench::new().get(&backend.upstream()).await.unwrap_err();
        assert!(matches!(failed, UpstreamError::UnexpectedUpgrade));
        settle().await;
        assert_eq!(backend.ended.get(), 1, "the connection is closed");
    })
    .await;
}

#[tokio::test]
async fn the_echo_server_is_told_for_whom_it_answers() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let echo = Arc::new(upstream(Target::Echo {
            address: backend.address,
            name: "apps/quote".into(),
        }));
        let bench = Bench::new();
        for upstream in [&echo, &backend.upstream()] {
            let mut request = get("/");
            let header = http::HeaderName::from_static(crate::config::STAND_IN);
            request
                .headers_mut()
                .insert(header, "forged".parse().unwrap());
            bench.send(upstream, request).await.unwrap();
        }
        let [echo, other] = &backend.seen()[..] else {
            panic!("two requests");
        };
        assert!(echo.contains("x-postern-stand-in: apps/quote\r\n") && !echo.contains("forged"));
        assert!(
            other.contains("x-postern-stand-in: forged\r\n"),
            "not special"
        );
    })
    .await;
}
