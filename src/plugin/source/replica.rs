//! Facts of a running replica, from its diagnostics port: reached by port-forward, so that who may open one may ask.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::{
    graph::{
        certificate::CertificateView,
        why::{Answer, Question},
        wire::GraphView,
    },
    plugin::{
        args::Common,
        facts::{Answers, Facts, Known, Origin, Scope},
    },
    report::wire::ReportView,
};

/// Where a replica answers, on its loopback.
const PORT: u16 = 8878;
/// For one question.
const LIMIT: Duration = Duration::from_secs(20);
/// The graph of the largest installations is a few dozen MiB of JSON.
const MAX_BYTES: usize = 256 << 20;

/// The diagnostics port of a replica.
#[derive(Clone)]
pub(in crate::plugin) enum Diagnostics {
    At(SocketAddr),
    Forwarded {
        client: Client,
        namespace: String,
        pod: String,
    },
}

impl std::fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// Asks for all but single answers.
pub(super) async fn load(common: &Common, diagnostics: Diagnostics, scope: Scope) -> Result<Facts> {
    let report: ReportView = diagnostics.get("/report").await?;
    let graph: GraphView = diagnostics.get("/graph").await?;
    let certificates: BTreeMap<String, CertificateView> = diagnostics.get("/certificates").await?;
    let objects = report.objects.into_iter().map(|view| Known {
        view,
        ..Known::default()
    });
    let namespace = match &diagnostics {
        Diagnostics::Forwarded { namespace, .. } => Some(namespace.clone()),
        Diagnostics::At(_) => common.gateway_namespace.clone(),
    };
    Ok(Facts {
        origin: Origin::Replica,
        objects: objects.collect(),
        files: report.files,
        graph,
        certificates,
        answers: Answers::Replica(diagnostics),
        replicas: None,
        unread: Vec::new(),
        missing_kinds: Vec::new(),
        scope,
        gateway_namespace: namespace.unwrap_or_default(),
    })
}

impl Diagnostics {
    pub(in crate::plugin) fn at(address: SocketAddr) -> Self {
        Self::At(address)
    }

    pub(super) fn forwarded(client: Client, namespace: String, pod: String) -> Self {
        Self::Forwarded {
            client,
            namespace,
            pod,
        }
    }

    pub(in crate::plugin) async fn why(&self, question: &Question) -> Result<Answer> {
        let mut query = format!("url={}", escaped(&question.url));
        let mut add = |name: &str, value: &str| {
            query.extend(["&", name, "=", &escaped(value)]);
        };
        if let Some(method) = &question.method {
            add("method", method);
        }
        for (name, value) in &question.headers {
            add("header", &format!("{name}:{value}"));
        }
        if let Some(sni) = &question.sni {
            add("sni", sni);
        }
        if let Some(from) = question.from {
            add("from", &from.to_string());
        }
        self.get(&format!("/why?{query}")).await
    }

    /// One JSON document.
    pub(in crate::plugin) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let bytes = timeout(LIMIT, self.bytes(path))
            .await
            .map_err(|_| anyhow!("{} does not answer within {LIMIT:?}", self.name()))?
            .with_context(|| format!("asking {} for {path}", self.name()))?;
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} answers {path} in another language: is it of another version?",
                self.name()
            )
        })
    }

    async fn bytes(&self, path: &str) -> Result<Bytes> {
        match self {
            Self::At(address) => exchange(TcpStream::connect(address).await?, path).await,
            Self::Forwarded {
                client,
                namespace,
                pod,
            } => {
                let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
                let mut forward = pods.portforward(pod, &[PORT]).await?;
                let stream = forward
                    .take_stream(PORT)
                    .context("the port-forward must have a stream")?;
                let answered = exchange(stream, path).await;
                forward.abort();
                answered
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::At(address) => address.to_string(),
            Self::Forwarded { namespace, pod, .. } => format!("replica {namespace}/{pod}"),
        }
    }
}

/// One request on a connection of its own.
async fn exchange<S>(stream: S, path: &str) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
    driven.abort();
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body);
        let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let said = said.and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
        bail!(
            "{}",
            said.unwrap_or_else(|| format!("it answers {status}: {}", text.trim()))
        );
    }
    Ok(body)
}

/// For a query.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/' | b':') {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
