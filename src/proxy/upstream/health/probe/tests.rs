use std::cell::Cell;

use http::{HeaderName, HeaderValue, uri::PathAndQuery};
use tokio::time::{advance, pause};

use super::*;
use crate::{
    graph::health::{Health, HttpProbe},
    proxy::upstream::tests::{Backend, Reply, local, settle, upstream},
    telemetry::metrics::registry,
};

const PACE: Pace = Pace {
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(3),
    unhealthy: 2,
    healthy: 1,
};

fn check(probe: Probe) -> Check {
    Check {
        host: HeaderValue::from_static("quote.apps.svc"),
        probe,
        pace: PACE,
    }
}

fn http() -> Check {
    check(Probe::Http(HttpProbe {
        path: PathAndQuery::from_static("/healthz?deep"),
        headers: [(
            HeaderName::from_static("x-probe"),
            HeaderValue::from_static("1"),
        )]
        .into(),
        expected: [(200, 200), (204, 299)].into(),
    }))
}

fn checked(check: Check, addresses: &[SocketAddr]) -> Arc<Upstream> {
    let mut upstream = upstream(Target::Addresses(addresses.into()));
    upstream.health = Some(Arc::new(Health {
        checks: [check].into(),
        ..Health::default()
    }));
    Arc::new(upstream)
}

/// One second or more passes, and what follows from it happens.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        for _ in 0..20 {
            settle().await;
        }
    }
}

fn failing(running: &Running) -> u64 {
    let judged = running.judged.values();
    judged.map(|judged| judged.count(Instant::now()).0).sum()
}

fn start() -> Running {
    Running::new(Shared::new(None, &mut registry()).unwrap())
}

/// With one route to an upstream, or none.
fn graph(upstream: Option<&Arc<Upstream>>) -> Arc<Graph> {
    Arc::new(upstream.map_or_else(Graph::default, crate::proxy::upstream::tests::graph_of))
}

#[test]
fn it_takes_so_many_answers_in_a_row_to_change_what_holds() {
    let pace = Pace { healthy: 3, ..PACE };
    let mut answers = Answers::default();
    let told = "--++-+++-+--"
        .chars()
        .map(|answer| match answers.next(answer == '+', pace) {
            Some(true) => '+',
            Some(false) => '-',
            None => ' ',
        });
    assert_eq!(told.collect::<String>(), "-      +   -");
}

#[tokio::test]
async fn an_endpoint_is_asked_as_the_check_says_and_left_out_while_it_fails() {
    local(async {
        let sick = std::rc::Rc::new(Cell::new(false));
        let asked = sick.clone();
        let backend = Backend::start(move |_, _| {
            let status = if asked.get() { 500 } else { 204 };
            Reply::Keep(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"))
        })
        .await;
        let well = Backend::always(Reply::ok("")).await;
        let upstream = checked(http(), &[backend.address, well.address]);
        let mut running = start();
        pause();
        running.align(&graph(Some(&upstream)));
        pass(2).await;
        let head = backend.seen().pop().unwrap();
        assert!(head.starts_with("GET /healthz?deep HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("host: quote.apps.svc\r\n") && head.contains("x-probe: 1\r\n"),
            "{head}"
        );
        assert_eq!(failing(&running), 0);
        sick.set(true);
        let before = backend.seen().len();
        while backend.seen().len() == before {
            pass(1).await;
        }
        assert_eq!(failing(&running), 0, "one failure is too few");
        pass(7).await;
        assert_eq!(failing(&running), 1);
        sick.set(false);
        pass(7).await;
        assert_eq!(failing(&running), 0);
        assert_eq!(backend.accepted.get(), 1, "the connection is used again");
    })
    .await;
}

#[tokio::test]
async fn no_answer_in_time_is_a_failure_and_an_endpoint_that_goes_is_not_asked() {
    local(async {
        let hangs = Backend::always(Reply::Hang).await;
        let upstream = checked(http(), &[hangs.address]);
        let mut running = start();
        pause();
        running.align(&graph(Some(&upstream)));
        pass(7).await;
        assert_eq!(failing(&running), 1, "the first answer decides alone");
        assert_eq!(running.tasks.len(), 1);
        running.align(&graph(Some(&upstream)));
        assert_eq!(running.tasks.len(), 1, "what runs goes on");
        running.align(&graph(None));
        assert!(running.tasks.is_empty() && running.judged.is_empty());
        let seen = hangs.seen().len();
        pass(20).await;
        assert_eq!(hangs.seen().len(), seen);
    })
    .await;
}

#[tokio::test]
async fn what_must_not_be_dialled_is_not_asked() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let upstream = checked(http(), &[backend.address]);
        let mut running = start();
        let mut graph = (*graph(Some(&upstream))).clone();
        graph.dial.in_cluster = true;
        pause();
        running.align(&Arc::new(graph));
        pass(2).await;
        assert_eq!(backend.accepted.get(), 0, "loopback, in a cluster");
        assert_eq!(failing(&running), 1);
    })
    .await;
}

/// Answers a health check of gRPC with this status of the service.
async fn grpc_server(listener: tokio::net::TcpListener, serving: std::rc::Rc<Cell<u8>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let serving = serving.clone();
        spawn_local(async move {
            let mut server = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = server.accept().await {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                assert_eq!(
                    request.uri().authority().unwrap().as_str(),
                    "quote.apps.svc"
                );
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let serving = serving.clone();
                spawn_local(async move {
                    let mut body = request.into_body();
                    let mut bytes = Vec::new();
                    while let Some(data) = body.data().await {
                        bytes.extend_from_slice(&data.unwrap());
                    }
                    assert_eq!(bytes, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
                    let head = http::Response::builder().header("content-type", "application/grpc");
                    let mut send = respond
                        .send_response(head.body(()).unwrap(), false)
                        .unwrap();
                    let message = [0, 0, 0, 0, 2, 8, serving.get()];
                    send.send_data(Bytes::copy_from_slice(&message), false)
                        .unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    send.send_trailers(trailers).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn a_service_of_grpc_says_itself_whether_it_serves() {
    local(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::rc::Rc::new(Cell::new(1));
        spawn_local(grpc_server(listener, serving.clone()));
        let service = "shop.Cart".into();
        let upstream = checked(check(Probe::Grpc { service }), &[address]);
        let mut running = start();
        pause();
        running.align(&graph(Some(&upstream)));
        pass(2).await;
        let passed = |running: &Running| {
            running
                .judged
                .values()
                .next()
                .unwrap()
                .count(Instant::now())
        };
        assert_eq!(passed(&running).0, 0);
        serving.set(2);
        pass(13).await;
        assert_eq!(passed(&running).0, 1, "NOT_SERVING");
        serving.set(1);
        pass(7).await;
        assert_eq!(passed(&running).0, 0);
    })
    .await;
}
