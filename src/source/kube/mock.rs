//! An API server in memory that does what a script says, for tests with a paused clock.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Uri, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// As long as the source asks for.
const WATCH: Duration = Duration::from_secs(50);

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Json(Value),
    Status(u16, &'static str),
    /// These lines, and then the end.
    Lines(Vec<String>),
    /// These lines, and then nothing for ever.
    Silent(Vec<String>),
    /// A watch in which nothing happens, and that ends when it should.
    Quiet,
    /// As many bytes.
    Large(usize),
    /// Not even a head.
    Hang,
}

/// The script: what comes first is answered first. After its end, the server hangs.
#[derive(Clone, Default)]
pub(super) struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(super) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            requests: Arc::default(),
        }
    }

    pub(super) fn client(&self) -> kube::Client {
        let script = self.clone();
        client(move |uri| {
            script.requests.lock().push(uri.to_string());
            script.replies.lock().pop_front().unwrap_or(Reply::Hang)
        })
    }

    /// Path and query of every request so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

/// A client of a server that answers by a function.
pub(super) fn client(
    answer: impl Fn(&Uri) -> Reply + Clone + Send + Sync + 'static,
) -> kube::Client {
    let handler = move |uri: Uri| {
        let reply = answer(&uri);
        async move {
            if matches!(reply, Reply::Hang) {
                std::future::pending::<()>().await;
            }
            response(reply)
        }
    };
    kube::Client::new(Router::new().fallback(handler), "default")
}

fn response(reply: Reply) -> Response {
    let (code, body) = match reply {
        Reply::Json(value) => (200, Body::from(value.to_string())),
        Reply::Status(code, message) => {
            let status = json!({"kind": "Status", "code": code, "message": message});
            (code, Body::from(status.to_string()))
        }
        Reply::Lines(lines) => (200, Body::from(lines.join("\n") + "\n")),
        Reply::Silent(lines) => {
            let lines = lines
                .into_iter()
                .map(|line| Ok::<_, Infallible>(Bytes::from(line + "\n")));
            (
                200,
                Body::from_stream(stream::iter(lines).chain(stream::pending())),
            )
        }
        Reply::Quiet => {
            let end = stream::once(tokio::time::sleep(WATCH))
                .filter_map(|()| async { None::<Result<Bytes, Infallible>> });
            (200, Body::from_stream(end))
        }
        Reply::Large(bytes) => (200, Body::from(vec![b' '; bytes])),
        Reply::Hang => (200, Body::empty()),
    };
    Response::builder().status(code).body(body).unwrap()
}

/// One event of a watch.
pub(super) fn event(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string()
}

/// An object with a name and a version, and nothing else.
pub(super) fn object(name: &str, version: u32) -> Value {
    json!({"metadata": {"namespace": "apps", "name": name, "resourceVersion": version.to_string()}})
}

pub(super) fn list(version: u32, items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string()}, "items": items})
}

/// More than any wait of the source.
pub(super) const LONG: Duration = Duration::from_mins(10);
