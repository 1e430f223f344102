//! A small HTTP/1 server, with a limit on everything a client can make it hold.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::debug;

use super::Reply;

/// Connections at a time: the kubelet, a few scrapers and people. More wait in the queue of the kernel.
const MAX_CONNECTIONS: usize = 64;
/// For the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection in all: whoever wants more opens another.
const MAX_AGE: Duration = Duration::from_mins(1);
/// For the head of a request, in bytes. Bodies are never read.
const MAX_HEAD: usize = 16 * 1024;

pub(super) async fn run<A>(listener: TcpListener, answer: A)
where
    A: Fn(&Parts) -> Reply + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    serve(stream, &*answer).await;
                    drop(place);
                });
            }
            // Out of file descriptors, mostly: the connection stays in the queue, so give others time to close.
            Err(error) => {
                debug!(%error, "Cannot accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, answer: &impl Fn(&Parts) -> Reply) {
    let service = service_fn(|request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let reply = answer(&head);
        async move { Ok::<_, Infallible>(reply) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(MAX_AGE, connection).await {
        debug!(%error, "Connection ended early");
    }
}
