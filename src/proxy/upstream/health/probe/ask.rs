//! One question to an endpoint, and what is an answer to it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, TE, USER_AGENT},
};
use http_body_util::{BodyExt, Full};

use crate::{
    graph::{
        DialPolicy, Upstream,
        breaker::Priority,
        health::{Check, HttpProbe, Probe},
    },
    proxy::upstream::{Pools, ResponseBody, Trial, Way},
};

/// An answer that is longer is not read to its end.
const MOST: usize = 64 * 1024;
/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
const GRPC_CHECK: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse { status: SERVING }`.
const SERVING: [u8; 2] = [0x08, 1];

pub(super) async fn ask(
    pools: &Pools<Full<Bytes>>,
    upstream: &Arc<Upstream>,
    dial: &DialPolicy,
    check: &Check,
) -> bool {
    let trial = Trial::default();
    let way = Way {
        upstream,
        dial,
        replay: true,
        affinity: None,
        priority: Priority::Default,
        trial: &trial,
        reached: None,
    };
    let request = match &check.probe {
        Probe::Http(probe) => http_request(probe, &check.host),
        Probe::Grpc { service } => grpc_request(service, &check.host),
    };
    let Ok(response) = pools.send(way, request).await else {
        return false;
    };
    match &check.probe {
        Probe::Http(probe) => {
            let passes = probe.expects(response.status());
            // Read, so that the connection can be used again.
            read(response).await;
            passes
        }
        Probe::Grpc { .. } => is_serving(response).await,
    }
}

fn http_request(probe: &HttpProbe, host: &HeaderValue) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from(probe.path.clone());
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    for (name, value) in &probe.headers {
        headers.append(name, value.clone());
    }
    request
}

fn grpc_request(service: &str, host: &HeaderValue) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(message(service)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(GRPC_CHECK);
    let headers = request.headers_mut();
    headers.insert(HOST, host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("postern-health-check"));
    request
}

/// `HealthCheckRequest { service }` with what gRPC has before a message.
fn message(service: &str) -> Bytes {
    let name = service.as_bytes();
    let mut message = BytesMut::new();
    if !name.is_empty() {
        message.put_u8(0x0a);
        // A varint: seven bits at a time, the lowest first.
        let mut left = name.len();
        while left >= 0x80 {
            message.put_u8(0x80 | low_bits(left));
            left >>= 7;
        }
        message.put_u8(low_bits(left));
        message.put_slice(name);
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

async fn is_serving(response: Response<ResponseBody>) -> bool {
    if response.status() != StatusCode::OK {
        return false;
    }
    let Some((body, is_ok)) = read(response).await else {
        return false;
    };
    let message = body.get(5..).unwrap_or_default();
    is_ok && body.first() == Some(&0) && message.starts_with(&SERVING)
}

/// The body, and whether its trailers say that the call succeeded. None for what breaks off, or is too long.
async fn read(response: Response<ResponseBody>) -> Option<(Bytes, bool)> {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    let mut is_ok = false;
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) if bytes.len() + data.len() > MOST => return None,
            Ok(data) => bytes.put(data),
            Err(other) => {
                let trailers = other.into_trailers().ok()?;
                is_ok = trailers
                    .get("grpc-status")
                    .is_some_and(|status| status == "0");
            }
        }
    }
    Some((bytes.freeze(), is_ok))
}
