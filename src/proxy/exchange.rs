//! One request from its head to the head of its response.
//!
//! ```text
//! check ─> survey ─> authority, canonical path ─> decide ─> member ─┬─> redirect, fail
//!                                                                   └─> admit ─> rewrite ─> edit ─> call ─> edit
//! ```
//!
//! The order is fixed: ownership, route and (later) authentication are decided on what the client sent, before any rewrite.

mod onward;

use std::{convert::Infallible, rc::Rc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, HOST, SERVER},
    request::Parts,
};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    body::{Kind, ReplyBody},
    client_certificate::Shown,
    cors::Crossing,
    error::{ProxyError, Reason},
    forward::Upstreams,
    forwarding::{self, RequestId},
    grpc,
    peer::Peer,
    record::{Record, Told},
    reply::{self, Asked},
    site::Site,
    survey::{self, Rules, Survey},
    upgrade,
    upstream::Reached,
};
use crate::graph::{
    self, Action, Authority, Decision, ForwardMode, Graph, Listener, Member, OwnPaths, Redirect,
    decide,
    matching::{HeadView, Silent},
    path,
    shadow::Shadow,
};
use onward::Onward;

/// The answer to a request, without what is kept of it.
type Answer<U> = Result<Response<Kind<<U as Upstreams>::Body>>, ProxyError>;

/// Answers a request. It sees one snapshot from its first to its last byte. Not an `async fn`, for the future of one has room
/// for its arguments twice.
pub(super) fn serve<U: Upstreams>(
    site: Rc<Site<U>>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ReplyBody<U::Body>>, Infallible>> {
    let (mut parts, body) = request.into_parts();
    async move {
        let graph = site.graph();
        let mut record = Record::new(peer.clone(), Instant::now());
        let listener = graph.listener(peer.port);
        if listener.is_none() {
            peer.close();
        }
        let trusted = listener.is_some_and(|listener| listener.trusts(peer.client.ip()));
        if let Some(listener) = listener.filter(|_| trusted) {
            record.client = forwarding::client_address(&parts.headers, listener, peer.client);
        }
        let mut asked = Asked {
            prefers_json: false,
            is_head: parts.method == Method::HEAD,
            is_http1: peer.is_http1(),
            request_id: RequestId::of(&parts.headers, trusted || graph.clients.keeps_request_ids),
            grpc: None,
        };
        if peer.log.is_some() {
            record.told = Some(Box::new(told(&parts, &asked)));
        }
        let exchange = Exchange {
            site: &site,
            peer: &peer,
            graph: &graph,
            trusted,
        };
        let answer = exchange
            .answer(&mut parts, body, &mut asked, &mut record)
            .await;
        let mut response = answer.unwrap_or_else(|error| told_error(error, &asked, &mut record));
        if let Some(server) = &graph.envoy.server {
            response.headers_mut().insert(SERVER, server.clone());
        }
        record.status = response.status();
        // What stops being HTTP says so itself (RFC 6455, section 4.1).
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if peer.is_http1() && peer.is_closing() && !switches {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Ok(response.map(|kind| ReplyBody::new(kind, record)))
    }
}

/// The answer that says why there is no other.
fn told_error<B>(error: ProxyError, asked: &Asked, record: &mut Record) -> Response<Kind<B>> {
    record.reason = error.reason();
    tracing::debug!(client.addr = %record.client, blame = ?error.blame(), %error, "Answered by the gateway");
    reply::error(error, asked)
}

/// The answer with what a page of another origin may see of it.
fn crossed<B>(mut answer: Response<Kind<B>>, crossing: &Crossing<'_>) -> Response<Kind<B>> {
    crossing.tell(answer.headers_mut());
    answer
}

fn told(parts: &Parts, asked: &Asked) -> Told {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    Told {
        method: parts.method.clone(),
        version: parts.version,
        authority: authority.or(host).unwrap_or_default().to_owned(),
        path: parts.uri.path().to_owned(),
        request_id: asked.request_id.to_value(),
        route: None,
        upstream: None,
        reached: Reached::default(),
    }
}

/// What all phases see.
struct Exchange<'x, U: Upstreams> {
    site: &'x Rc<Site<U>>,
    peer: &'x Rc<Peer>,
    graph: &'x Graph,
    trusted: bool,
}

/// The head of a request, as matching sees it.
pub(super) struct Head<'r> {
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
}

impl<'r> Head<'r> {
    fn of(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            headers: &parts.headers,
        }
    }
}

impl HeadView for Head<'_> {
    fn method(&self) -> &Method {
        self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.headers.get_all(name) {
            found(value.as_bytes());
        }
    }
}

impl<U: Upstreams> Exchange<'_, U> {
    async fn answer(
        &self,
        parts: &mut Parts,
        body: Incoming,
        asked: &mut Asked,
        record: &mut Record,
    ) -> Answer<U> {
        if let Some(access) = &self.graph.access
            && !access.permits(self.peer.client.ip(), record.client.ip())
        {
            // Its number counts like that of any other request.
            self.peer.next_request();
            return Err(ProxyError::AddressDenied);
        }
        let survey = self.check(parts)?;
        asked.prefers_json = survey.prefers_json;
        if survey.grpc {
            let client = grpc::Client::of(&parts.headers, self.graph.clients.grpc_web);
            asked.grpc = client.map(Box::new);
        }
        let uri = std::mem::take(&mut parts.uri);
        let mut value = survey::authority(&survey, &uri, &mut parts.headers)?;
        if self.graph.clients.strips_own_port {
            value = survey::without_port(value, self.peer.port, &mut parts.headers);
        }
        let text = value.to_str().map_err(|_| graph::AuthorityError::Name)?;
        let authority = Authority::parse(text)?;
        let path = path::canonical(uri.path(), self.graph.requests)?;
        if let Some(told) = &mut record.told {
            path.as_str().clone_into(&mut told.path);
        }
        let proto = forwarding::trusted_proto(&parts.headers, self.trusted);
        let id = &asked.request_id;
        forwarding::rebuild(&mut parts.headers, self.peer, self.trusted, id);
        let satisfied = self.peer.transport.shown().and_then(Shown::satisfies);
        let request = graph::Request {
            connection: graph::Connection {
                tls: self.peer.transport.is_tls(),
                sni: self.peer.transport.sni(),
                trusted: self.trusted,
                shown: satisfied.as_deref().map(|asked| &*asked.digest),
            },
            authority: &authority,
            path: &path,
            query: uri.query(),
            forwarded_proto: proto.as_ref().map(HeaderValue::as_bytes),
        };
        if let Some(status) = self.probed(path.as_str()) {
            record.reason = Reason::Probe;
            return Ok(reply::probed(status, asked));
        }
        match self.route(parts, &request)? {
            Step::RedirectToHttps => {
                record.reason = Reason::Redirect;
                let location = decide::https_location(&authority, path.as_str(), uri.query());
                reply::redirect(StatusCode::MOVED_PERMANENTLY, location, asked)
            }
            Step::Take(member, shadow) => {
                self.note(member, record);
                if member.refuses(&path, self.graph.requests) {
                    return Err(ProxyError::EscapedSlash);
                }
                match &member.action {
                    Action::Fail(fail) => Err(ProxyError::Failed(*fail)),
                    Action::Redirect(redirect) => {
                        record.reason = Reason::Redirect;
                        let location = self.location(redirect, &request)?;
                        reply::redirect(redirect.status, location, asked)
                    }
                    Action::Forward(forward) => {
                        let target = self.target(forward, &path, &uri)?;
                        let came = (self.graph.envoy.written)
                            .then(|| onward::joined(path.as_str(), uri.query()))
                            .transpose()?;
                        let onward = Onward {
                            target,
                            authority: &value,
                            came,
                            shadow,
                        };
                        let crossing = Crossing::of(forward, &parts.method, &parts.headers);
                        if let Some(crossing) = &crossing
                            && let Some(answer) = crossing.preflight()
                        {
                            record.reason = Reason::Preflight;
                            return Ok(crossed(answer, crossing));
                        }
                        let answer = self
                            .forward(forward, onward, parts, body, &survey, record)
                            .await;
                        let Some(crossing) = crossing else {
                            return answer;
                        };
                        // A page is shown our own errors as it is shown those of the upstream.
                        let answer =
                            answer.unwrap_or_else(|error| told_error(error, asked, record));
                        Ok(crossed(answer, &crossing))
                    }
                }
            }
        }
    }

    /// Keeps who takes the request, for the metrics and the access log.
    fn note(&self, member: &Member, record: &mut Record) {
        record.route = self.site.routes.counters(&member.id.0);
        if let Some(told) = &mut record.told {
            told.route = Some(member.id.0.clone());
            if let Action::Forward(forward) = &member.action {
                told.upstream = Some(forward.upstream.id.0.clone());
            }
        }
    }

    /// Whether what the client says of certificates goes on.
    fn keeps_cert(&self) -> bool {
        let mode = self.graph.clients.forwarded_cert.mode;
        mode != ForwardMode::Sanitize && mode.keeps(self.peer.transport.has_certificate())
    }

    /// What can be refused without knowing the route.
    fn check(&self, parts: &mut Parts) -> Result<Survey, ProxyError> {
        let number = self.peer.next_request();
        if let Some(watch) = &self.peer.watch {
            watch.verdict(number)?;
        }
        let connect = upgrade::connect(parts);
        survey::check_line(parts, self.graph.clients.http10)?;
        let rules = Rules {
            trusted: self.trusted,
            allow_underscores: self.graph.requests.allow_underscores,
            keeps_cert: self.keeps_cert(),
        };
        let mut survey = Survey::of(&parts.headers, rules)?;
        survey.connect = connect;
        Ok(survey)
    }

    /// The answer to a probe, if this is one and the graph has it answered here. Who drains is not ready.
    fn probed(&self, path: &str) -> Option<StatusCode> {
        let own = self.graph.own;
        if own.check_ready && path == OwnPaths::CHECK_READY {
            return Some(if self.peer.is_closing() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            });
        }
        (own.check_alive && path == OwnPaths::CHECK_ALIVE).then_some(StatusCode::OK)
    }

    /// From the head to what is done: Listener, Host, route, member.
    fn route(&self, parts: &Parts, request: &graph::Request<'_>) -> Result<Step<'_>, ProxyError> {
        let head = Head::of(parts);
        // A Listener that is gone: its connections finish, and find nothing.
        let listener = self
            .graph
            .listener(self.peer.port)
            .ok_or(ProxyError::NoHost)?;
        let route = match self.decide(listener, request, &head) {
            Decision::Route { route, .. } => route,
            Decision::Misdirected => return Err(ProxyError::Misdirected),
            Decision::NoHost => return Err(ProxyError::NoHost),
            Decision::Rejected(_) => return Err(ProxyError::Insecure),
            Decision::RedirectToHttps(_) => return Ok(Step::RedirectToHttps),
            Decision::NoRoute(_) => return Err(ProxyError::NoRoute),
        };
        let member = match &*route.members {
            [member] if member.share > 0 => Some(member),
            _ => route.member(fastrand::u64(..)),
        };
        let member = member.ok_or(ProxyError::NoRoute)?;
        Ok(Step::Take(member, route.shadow.as_deref()))
    }

    /// What a connection has shown in its handshake may be good for what its Host asks now: settings change, and lists of
    /// revoked certificates.
    fn decide<'g>(
        &self,
        listener: &'g Listener,
        request: &graph::Request<'_>,
        head: &Head<'_>,
    ) -> Decision<'g> {
        let decided = decide(listener, request, head, &mut Silent);
        if !matches!(decided, Decision::Misdirected) {
            return decided;
        }
        let nothing = Shown::default();
        let shown = self.peer.transport.shown().unwrap_or(&nothing);
        let authority = request.authority;
        let host = listener.hosts.best(authority.host(), authority.port());
        let Some((host, asked)) = host.and_then(|host| Some((host, host.tls.asks()?))) else {
            return decided;
        };
        if !self.site.certificates.admits(shown, &host.tls) {
            // What it can show now, it shows on another connection.
            self.peer.close();
            return decided;
        }
        let mut request = *request;
        request.connection.shown = Some(&asked.digest);
        decide(listener, &request, head, &mut Silent)
    }

    fn location(
        &self,
        redirect: &Redirect,
        request: &graph::Request<'_>,
    ) -> Result<String, ProxyError> {
        let policy = self.graph.requests;
        let (path, query) = redirect
            .path
            .apply(request.path.as_str(), request.query, policy)?;
        let own = || {
            let listener = self.graph.listener(self.peer.port);
            let secure = listener.is_some_and(|listener| {
                listener.is_secure(request.connection, request.forwarded_proto)
            });
            if secure { "https" } else { "http" }
        };
        let scheme = redirect.scheme.as_deref().unwrap_or_else(own);
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        Ok(format!("{scheme}://{}{path}{mark}{query}", redirect.host))
    }
}

/// What the route wants done.
enum Step<'g> {
    RedirectToHttps,
    Take(&'g Member, Option<&'g Shadow>),
}
