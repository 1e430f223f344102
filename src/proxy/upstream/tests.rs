//! Pools against backends that say exactly what a test wants them to.

mod backend;
mod balance;
mod breaker;
mod http1;
mod http2;
mod lifetime;

use std::net::SocketAddr;

use http::{Method, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::task::LocalSet;

use super::*;
use crate::{
    graph::{Balance, Target, breaker::Priority},
    telemetry::metrics::{registry, render},
};

use backend::Tcp;
pub(super) use backend::{Backend, Reply};
pub(super) use lifetime::graph as graph_of;

pub(super) type TestBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A worker with its pools.
pub(super) struct Bench {
    pub(super) pools: Pools<TestBody>,
    registry: prometheus_client::registry::Registry,
}

impl Bench {
    pub(super) fn new() -> Self {
        let mut registry = registry();
        let shared = Shared::new(None, &mut registry).unwrap();
        Self {
            pools: Pools::new(shared),
            registry,
        }
    }

    pub(super) async fn send(
        &self,
        upstream: &Arc<Upstream>,
        request: Request<TestBody>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        self.send_by(upstream, request, None).await
    }

    /// To the endpoint of this hash.
    pub(super) async fn send_by(
        &self,
        upstream: &Arc<Upstream>,
        request: Request<TestBody>,
        affinity: Option<u64>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let way = Way {
            upstream,
            dial: &DialPolicy::default(),
            replay: request.method() == Method::GET,
            affinity,
            priority: Priority::Default,
            reached: None,
            trial: &Trial::default(),
        };
        self.pools.send(way, request).await
    }

    pub(super) async fn send_within(
        &self,
        dial: &DialPolicy,
        upstream: &Arc<Upstream>,
        request: Request<TestBody>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let way = Way {
            upstream,
            dial,
            replay: true,
            affinity: None,
            priority: Priority::Default,
            reached: None,
            trial: &Trial::default(),
        };
        self.pools.send(way, request).await
    }

    /// Status and body of the answer.
    pub(super) async fn get(&self, upstream: &Arc<Upstream>) -> Result<String, UpstreamError> {
        text(self.send(upstream, get("/")).await?).await
    }

    /// The value of a metric, named without prefix.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = render(&self.registry);
        let start = format!("postern_upstream_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }
}

/// Runs a test as a worker runs.
pub(super) async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

pub(super) fn upstream(target: Target) -> Upstream {
    Upstream {
        id: UpstreamId("test".into()),
        target,
        protocol: UpstreamProtocol::Http1,
        balance: Balance::RoundRobin,
        breakers: None,
        health: None,
        zones: None,
        tls: None,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_mins(1),
        max_age: None,
        keepalive: None,
    }
}

pub(super) fn to(addresses: &[SocketAddr]) -> Arc<Upstream> {
    Arc::new(upstream(Target::Addresses(addresses.into())))
}

pub(super) fn get(path: &str) -> Request<TestBody> {
    request(Method::GET, path, TestBody::default())
}

pub(super) fn post(body: &'static str) -> Request<TestBody> {
    request(Method::POST, "/", whole(body))
}

pub(super) fn whole(body: &'static str) -> TestBody {
    Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(super) fn request(method: Method, path: &str, body: TestBody) -> Request<TestBody> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "shop.example")
        .body(body)
        .unwrap()
}

pub(super) async fn text(response: Response<ResponseBody>) -> Result<String, UpstreamError> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}

/// Lets everything run that can.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
