//! Exchanges over HTTP/2.

use futures_util::future::join_all;
use h2::{Reason, server};
use http::HeaderMap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{advance, pause},
};

use super::*;

type Server = server::Connection<TcpStream, Bytes>;

/// A server that hands over its connections one by one.
struct Accepting {
    listener: TcpListener,
}

impl Accepting {
    async fn start() -> (Self, Arc<Upstream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut upstream = upstream(Target::Addresses([address].into()));
        upstream.protocol = UpstreamProtocol::Http2;
        (Self { listener }, Arc::new(upstream))
    }

    async fn next(&self, streams: u32) -> Server {
        let (stream, _) = self.listener.accept().await.unwrap();
        // Or a frame waits for an acknowledgement, for as long as 40 ms.
        stream.set_nodelay(true).unwrap();
        let mut builder = server::Builder::new();
        builder.max_concurrent_streams(streams);
        builder.handshake(stream).await.unwrap()
    }
}

/// Answers every request with 200 and trailers, for as long as there are any.
async fn answer(mut server: Server) {
    while let Some(accepted) = server.accept().await {
        let (request, mut respond) = accepted.unwrap();
        let (head, mut body) = request.into_parts();
        spawn_local(async move {
            let mut received = Vec::new();
            while let Some(data) = body.data().await {
                received.extend_from_slice(&data.unwrap());
            }
            let response = Response::builder()
                .header("x-uri", head.uri.to_string())
                .header(
                    "x-fields",
                    format!("{:?}", head.headers.keys().collect::<Vec<_>>()),
                );
            let mut send = respond
                .send_response(response.body(()).unwrap(), false)
                .unwrap();
            send.send_data(received.into(), false).unwrap();
            let trailers =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            send.send_trailers(trailers).unwrap();
        });
    }
}

/// Answers on all connections.
async fn answering(streams: u32) -> Arc<Upstream> {
    let (accepting, upstream) = Accepting::start().await;
    spawn_local(async move {
        loop {
            spawn_local(answer(accepting.next(streams).await));
        }
    });
    upstream
}

#[tokio::test]
async fn requests_share_a_connection_and_look_like_http2() {
    local(async {
        let upstream = answering(100).await;
        let bench = Bench::new();
        let mut request = post("hello");
        *request.uri_mut() = "/a?b=c".parse().unwrap();
        for (name, value) in [
            (header::CONNECTION, "keep-alive, x-hop"),
            ("keep-alive".parse().unwrap(), "5"),
            ("x-hop".parse().unwrap(), "1"),
            (header::TRANSFER_ENCODING, "chunked"),
            (header::UPGRADE, "h2c"),
            (header::TE, "gzip"),
            (header::ACCEPT, "*/*"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = bench.send(&upstream, request).await.unwrap();
        assert_eq!(response.headers()["x-uri"], "http://shop.example/a?b=c");
        assert_eq!(
            response.headers()["x-fields"],
            r#"["accept", "content-length"]"#
        );
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "hello");

        let many = join_all((0..20).map(|_| bench.get(&upstream))).await;
        assert!(
            many.iter()
                .all(|answer| answer.as_ref().is_ok_and(|a| a == "200 "))
        );
        assert_eq!(bench.metric("connections_opened_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn requests_at_the_same_time_open_one_connection() {
    local(async {
        let upstream = answering(100).await;
        let bench = Bench::new();
        let many = join_all((0..20).map(|_| bench.get(&upstream))).await;
        assert!(many.iter().all(Result::is_ok), "{many:?}");
        assert_eq!(bench.metric("connections_opened_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_full_connection_is_helped_by_another_up_to_a_bound() {
    local(async {
        let upstream = answering(2).await;
        let bench = Bench::new();
        // One answer tells how many streams there may be.
        bench.get(&upstream).await.unwrap();
        bench.get(&upstream).await.unwrap();
        let many = join_all((0..40).map(|_| bench.get(&upstream))).await;
        assert!(many.iter().all(Result::is_ok), "{many:?}");
        let opened = bench.metric("connections_opened_total");
        assert!(
            (2..=endpoint::MAX_HTTP2 as u64).contains(&opened),
            "{opened} opened"
        );
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_is_tried_once_more_if_the_request_is_still_there() {
    local(async {
        for (body, retried) in [("", true), ("order one", false)] {
            let (accepting, upstream) = Accepting::start().await;
            spawn_local(async move {
                let mut server = accepting.next(100).await;
                let (_, mut respond) = server.accept().await.unwrap().unwrap();
                respond.send_reset(Reason::REFUSED_STREAM);
                spawn_local(async move { while server.accept().await.is_some() {} });
                answer(accepting.next(100).await).await;
            });
            let bench = Bench::new();
            let sent = bench.send(&upstream, post(body)).await;
            assert_eq!(sent.is_ok(), retried, "{body:?}: {sent:?}");
            if let Err(error) = sent {
                assert!(matches!(error, UpstreamError::NotTaken(_)), "{error:?}");
                assert!(error.is_retryable());
            }
            assert_eq!(bench.metric("replays_total"), u64::from(retried));
        }
    })
    .await;
}

#[tokio::test]
async fn after_goaway_requests_go_to_a_new_connection() {
    local(async {
        let (accepting, upstream) = Accepting::start().await;
        let (leave, mut leaving) = watch::channel(false);
        spawn_local(async move {
            let mut server = accepting.next(100).await;
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            spawn_local(async move {
                let mut left = false;
                // Read on after that, so that the stream that is open can end.
                loop {
                    tokio::select! {
                        accepted = server.accept() => if accepted.is_none() {
                            return;
                        },
                        _ = leaving.wait_for(|leave| *leave), if !left => {
                            left = true;
                            server.graceful_shutdown();
                        }
                    }
                }
            });
            spawn_local(answer(accepting.next(100).await));
            settle().await;
            body.send_data("the rest".into(), true).unwrap();
        });
        let bench = Bench::new();
        let first = bench.send(&upstream, get("/")).await.unwrap();
        leave.send_replace(true);
        settle().await;
        assert_eq!(bench.get(&upstream).await.unwrap(), "200 ");
        assert_eq!(bench.metric("connections_opened_total"), 2);
        assert_eq!(
            text(first).await.unwrap(),
            "200 the rest",
            "what was under way ends well"
        );
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_takes_no_new_streams_and_ends_with_the_last() {
    local(async {
        let (accepting, upstream) = Accepting::start().await;
        let mut upstream = Upstream::clone(&upstream);
        upstream.max_age = Some(Duration::from_secs(100));
        upstream.idle_timeout = Duration::from_hours(1);
        let upstream = Arc::new(upstream);
        let (tell, mut told) = watch::channel(false);
        spawn_local(async move {
            let mut server = accepting.next(100).await;
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            spawn_local(async move { while server.accept().await.is_some() {} });
            spawn_local(answer(accepting.next(100).await));
            told.wait_for(|tell| *tell).await.unwrap();
            body.send_data("late".into(), true).unwrap();
        });
        let bench = Bench::new();
        let old = bench.send(&upstream, get("/")).await.unwrap();
        pause();
        advance(Duration::from_secs(101)).await;
        bench.get(&upstream).await.unwrap();
        settle().await;
        assert_eq!(bench.metric("connections_opened_total"), 2);
        assert_eq!(bench.metric("connections_closed_total"), 0);
        tell.send_replace(true);
        assert_eq!(text(old).await.unwrap(), "200 late");
        settle().await;
        assert_eq!(bench.metric("connections_closed_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    local(async {
        let upstream = answering(100).await;
        let bench = Bench::new();
        bench.get(&upstream).await.unwrap();
        pause();
        advance(Duration::from_secs(59)).await;
        settle().await;
        assert_eq!(bench.metric("connections_closed_total"), 0);
        advance(Duration::from_secs(3)).await;
        settle().await;
        assert_eq!(bench.metric("connections_closed_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_resets_its_stream_alone() {
    local(async {
        let (accepting, upstream) = Accepting::start().await;
        let reset = Rc::new(Cell::new(None));
        let seen = reset.clone();
        spawn_local(async move {
            let mut server = accepting.next(100).await;
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            spawn_local(answer(server));
            let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
            seen.set(reason.ok());
        });
        let bench = Bench::new();
        let response = bench.send(&upstream, get("/")).await.unwrap();
        drop(response);
        settle().await;
        assert_eq!(reset.get(), Some(Reason::CANCEL));
        assert_eq!(bench.get(&upstream).await.unwrap(), "200 ");
        assert_eq!(bench.metric("connections_opened_total"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_host_that_is_no_authority_is_the_clients_fault() {
    local(async {
        let upstream = answering(100).await;
        for host in ["", "a b", "shop.example/path"] {
            let mut request = get("/");
            request
                .headers_mut()
                .insert(header::HOST, host.parse().unwrap());
            let failed = Bench::new().send(&upstream, request).await.unwrap_err();
            assert!(failed.is_by_client(), "{host:?}: {failed:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_speaks_http1_is_a_protocol_error() {
    local(async {
        let bad = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let backend = Backend::always(Reply::Keep(bad.to_owned())).await;
        let mut upstream = Upstream::clone(&backend.upstream());
        upstream.protocol = UpstreamProtocol::Http2;
        let failed = Bench::new().get(&Arc::new(upstream)).await.unwrap_err();
        assert_eq!(failed.reason(), "upstream_protocol", "{failed:?}");
    })
    .await;
}
