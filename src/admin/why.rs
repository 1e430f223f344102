//! `/why`: which route takes a request, decided by the same functions that decide for the proxy.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::{Reply, diagnostics::parameters, json as reply_json};
use crate::graph::{
    Authority, Connection, Decision, Graph, Listener, Request, Trace, decide, matching::HeadView,
    path::canonical,
};

/// A request as the query describes it.
struct Asked {
    url: Uri,
    method: Method,
    headers: HeaderMap,
}

impl HeadView for Asked {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.headers.get_all(name) {
            found(value.as_bytes());
        }
    }
}

pub(super) fn answer(graph: &Graph, query: &str) -> Reply {
    match Asked::of(query).and_then(|asked| asked.explain(graph)) {
        Ok(explained) => reply_json(StatusCode::OK, &explained),
        Err(error) => reply_json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

impl Asked {
    fn of(query: &str) -> Result<Self, String> {
        let mut url = None;
        let mut method = Method::GET;
        let mut headers = HeaderMap::new();
        for (name, value) in parameters(query) {
            match &*name {
                "url" => url = Some(value.parse::<Uri>().map_err(|e| format!("url: {e}"))?),
                "method" => {
                    method = value
                        .parse()
                        .map_err(|_| format!("method: {value:?} is not a method"))?;
                }
                "header" => {
                    let (name, value) = header(&value)
                        .ok_or_else(|| format!("header: {value:?} is not `name:value`"))?;
                    headers.append(name, value);
                }
                "" => {}
                other => return Err(format!("there is no parameter {other:?}")),
            }
        }
        let url = url.ok_or("ask with ?url=http://host/path")?;
        Ok(Self {
            url,
            method,
            headers,
        })
    }

    fn explain(&self, graph: &Graph) -> Result<Value, String> {
        let authority = self
            .url
            .authority()
            .ok_or("url: write it with scheme and host, such as http://example.com/path")?;
        let authority =
            Authority::parse(authority.as_str()).map_err(|error| format!("url: {error}"))?;
        let tls = self.url.scheme_str() == Some("https");
        let path = canonical(self.url.path(), graph.requests)
            .map_err(|error| format!("url: {error}: such a request is answered with 400"))?;
        let listener =
            listener(graph, authority.port(), tls).ok_or("no Listener takes such a connection")?;
        let request = Request {
            connection: Connection {
                tls,
                sni: tls.then(|| authority.host()),
                trusted: false,
            },
            authority: &authority,
            path: &path,
            query: self.url.query(),
            forwarded_proto: None,
        };
        let mut trace = Trace::default();
        let decision = decide(listener, &request, self, &mut trace);
        Ok(json!({
            "listener": { "name": *listener.name, "port": listener.port },
            "path": path.as_str(),
            "decision": outcome(&decision),
            "steps": trace.steps,
        }))
    }
}

/// The Listener of the URL's port; else the first that takes such connections, because in front of a cluster ports differ.
fn listener(graph: &Graph, port: Option<u16>, tls: bool) -> Option<&Listener> {
    let takes = |listener: &&Listener| {
        if tls {
            listener.tls
        } else {
            listener.cleartext
        }
    };
    let listeners = || graph.listeners.iter().map(|listener| &**listener);
    listeners()
        .filter(takes)
        .find(|listener| Some(listener.port) == port)
        .or_else(|| listeners().find(takes))
}

fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

fn outcome(decision: &Decision<'_>) -> Value {
    match decision {
        Decision::Misdirected => json!({ "status": 421, "outcome": "misdirected" }),
        Decision::NoHost => json!({ "status": 404, "outcome": "noHost" }),
        Decision::Rejected(host) => {
            json!({ "status": 404, "outcome": "rejected", "host": host.id.to_string() })
        }
        Decision::RedirectToHttps(host) => {
            json!({ "status": 301, "outcome": "redirectToHttps", "host": host.id.to_string() })
        }
        Decision::NoRoute(host) => {
            json!({ "status": 404, "outcome": "noRoute", "host": host.id.to_string() })
        }
        Decision::Route { host, route } => json!({
            "outcome": "route",
            "host": host.id.to_string(),
            "members": super::view::members(route),
        }),
    }
}
