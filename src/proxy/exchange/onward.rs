//! The way of a request to its upstream, and of the response back to the client.

use std::{net::SocketAddr, pin::pin, rc::Rc};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{HOST, TE},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use tokio::time::Instant;

use super::{Answer, Exchange, Head};
use crate::{
    graph::{CanonicalPath, Forward, HostRewrite, UpstreamProtocol, retry::Retry, shadow::Shadow},
    proxy::{
        affinity::Stay,
        body::{Kind, RequestBody, Streaming, Upload},
        edits::{self, Rendered, Values},
        envoy,
        error::{Malformed, ProxyError, Reason},
        forward::{Again, Patience, Sending, Upstreams, admit, call, gather, wait},
        forwarding,
        recode::Plan,
        record::Record,
        reply,
        retry::Replay,
        shadow,
        survey::Survey,
        upgrade::{self, Change},
    },
};

/// What is left of the request line when a request is sent on.
pub(super) struct Onward<'r> {
    pub(super) target: PathAndQuery,
    pub(super) authority: &'r HeaderValue,
    /// Path and query that came, where the upstream is told as Envoy does.
    pub(super) came: Option<PathAndQuery>,
    pub(super) shadow: Option<&'r Shadow>,
}

impl<U: Upstreams> Exchange<'_, U> {
    /// Path and query for the upstream; those that came, when nothing is different.
    pub(super) fn target(
        &self,
        forward: &Forward,
        path: &CanonicalPath<'_>,
        uri: &Uri,
    ) -> Result<PathAndQuery, ProxyError> {
        let rewritten = forward.rewrite.apply(path.as_str(), self.graph.requests)?;
        match uri.path_and_query() {
            Some(same) if *rewritten == *uri.path() => Ok(same.clone()),
            _ => joined(&rewritten, uri.query()),
        }
    }

    /// Not an `async fn`, for the future of one has room for its arguments twice.
    pub(super) fn forward(
        &self,
        forward: &Forward,
        onward: Onward<'_>,
        parts: &mut Parts,
        body: Incoming,
        survey: &Survey,
        record: &mut Record,
    ) -> impl Future<Output = Answer<U>> {
        let admitted = admit(forward, &parts.method, &parts.headers);
        async move {
            let admitted = admitted?;
            // Who calls by gRPC may wait for an answer before there is more.
            let buffer = self.graph.clients.buffer.filter(|_| !survey.grpc);
            let limit = forward.max_request_body.into_iter().chain(buffer).min();
            let plan = Plan::begin(&self.graph.clients, forward, survey.grpc, parts);
            if !plan.decodes() && survey.content_length > limit.or(Some(u64::MAX)) {
                return Err(ProxyError::BodyTooLarge);
            }
            let change = self.change(forward, parts, &body, survey)?;
            let head = Head::of(parts);
            let stay = Stay::of(&forward.upstream.balance, &head, record.client.ip());
            let values = self.edit(forward, parts, survey, record.client);
            if let Some(came) = &onward.came {
                envoy::tell_upstream(&mut parts.headers, forward, came, &onward.target);
            }
            rewrite_host(forward, onward.authority, &mut parts.headers);
            plan.tell(&mut parts.headers);
            if let Some(change) = &change {
                change.ask(&mut parts.headers);
            }
            let retry = forward.retry.filter(|_| change.is_none());
            let mut waits = None;
            let (mut body, mut again) = if plan.decodes() {
                (decoding(body, limit, record), Again::Never)
            } else if buffer.is_some() && !body.is_end_stream() {
                let (first, replay) = self.held_body(body, limit, record);
                waits = Some(replay);
                (first, Again::Never)
            } else {
                self.request_body(body, limit, retry, record)
            };
            let alarm = self.peer.alarm.clone().unwrap_or_default();
            let patience = Patience::new(forward, record.started(), record.upload.clone(), alarm);
            // What becomes a tunnel is not for two, and a body that is held back does not pass for a copy.
            let shadow = onward
                .shadow
                .filter(|_| change.is_none() && waits.is_none());
            if let Some(replay) = waits {
                body = Box::pin(gather(body, &replay, &patience)).await?;
                again = retry.map_or(Again::Never, |retry| Again::WithBody(retry, replay));
            }
            let request = onward_request(parts, onward.target, body);
            if let Some(shadow) = shadow.filter(|shadow| shadow.takes(fastrand::u8(..100))) {
                let original = shadow::Original {
                    request: &request,
                    upload: record.upload.as_ref(),
                    client: record.client.ip(),
                    peer: self.peer,
                    dial: &self.graph.dial,
                };
                shadow::send(&admitted, self.site, shadow, &original);
            }
            let sending = Sending {
                dial: &self.graph.dial,
                affinity: stay.hash,
                reached: record.told.as_deref().map(|told| &told.reached),
                again,
            };
            let upstreams = &self.site.upstreams;
            let asked = onward.came.is_some().then(Instant::now);
            let mut response = {
                let sent = pin!(call(
                    admitted, upstreams, forward, sending, request, &patience
                ));
                wait(sent, &patience).await?
            };
            if let Some(asked) = asked {
                envoy::tell_client(response.headers_mut(), asked.elapsed());
            }
            stay.tell(response.headers_mut());
            record.reason = Reason::Upstream;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return self.switch(forward, change, response, values, record);
            }
            if change.is_some_and(|change| change.is_refused_by(response.status())) {
                return Err(ProxyError::UpstreamProtocol);
            }
            edit_response(forward, values, &mut response);
            let response = response.map(|body| {
                Kind::Upstream(Streaming {
                    body,
                    idle: patience.idle,
                    deadline: patience.end(),
                    waiting_since: None,
                    alarm: patience.alarm,
                    upload: patience.upload,
                })
            });
            // Most go on as they came, and a response is large to hand through.
            if plan.is_to_do_nothing() {
                return Ok(response);
            }
            Ok(plan.apply(response, &self.site.encoders))
        }
    }

    /// The body as it goes on, and whether it may be sent again.
    fn request_body(
        &self,
        body: Incoming,
        limit: Option<u64>,
        retry: Option<Retry>,
        record: &mut Record,
    ) -> (RequestBody, Again) {
        if body.is_end_stream() {
            let again = retry.map_or(Again::Never, Again::WithoutBody);
            return (RequestBody::default(), again);
        }
        let upload = Upload::new(limit, Instant::now());
        record.upload = Some(upload.clone());
        let Some(retry) = retry else {
            return (RequestBody::new(body, upload), Again::Never);
        };
        let replay = Replay::new(body, self.site.replays.clone());
        let first = RequestBody::again(&replay, &upload);
        (first.unwrap_or_default(), Again::WithBody(retry, replay))
    }

    /// The body as it comes, and what keeps it until it is whole.
    fn held_body(
        &self,
        body: Incoming,
        limit: Option<u64>,
        record: &mut Record,
    ) -> (RequestBody, Rc<Replay>) {
        let upload = Upload::new(limit, Instant::now());
        record.upload = Some(upload.clone());
        let replay = Replay::new(body, self.site.buffers.clone());
        let first = RequestBody::again(&replay, &upload);
        (first.unwrap_or_default(), replay)
    }

    /// The protocol to change to, with the client's side of the change.
    fn change(
        &self,
        forward: &Forward,
        parts: &mut Parts,
        body: &Incoming,
        survey: &Survey,
    ) -> Result<Option<Change>, ProxyError> {
        if let Some(protocol) = &survey.connect {
            let client = parts.extensions.remove::<OnUpgrade>();
            let change = Change::by_connect(forward, protocol, client);
            return change.map(Some).ok_or(ProxyError::Method);
        }
        if !survey.names_protocol {
            return Ok(None);
        }
        // What follows on the connection is not told apart (see `Framing`): either it changes now, or it ends.
        self.peer.close();
        let no_body = body.is_end_stream();
        if !survey.upgrade || parts.version != Version::HTTP_11 || !no_body {
            return Ok(None);
        }
        let client = parts.extensions.remove::<OnUpgrade>();
        Ok(Change::by_upgrade(forward, &parts.headers, client))
    }

    /// Cleans and edits the headers for the upstream; returns the values for those of the response.
    fn edit(
        &self,
        forward: &Forward,
        parts: &mut Parts,
        survey: &Survey,
        client: SocketAddr,
    ) -> Rendered {
        survey.clean(&mut parts.headers);
        let forwarded = self.graph.clients.forwarded_cert;
        if forwarded.mode.tells()
            && let Some(shown) = self.peer.transport.shown()
        {
            shown.tell(forwarded, &mut parts.headers);
        }
        let values = Values {
            headers: &parts.headers,
            remote: client,
            local: self.peer.local,
            version: parts.version,
            hostname: &self.site.hostname,
        };
        let for_request = edits::render(&forward.request_headers, values);
        let for_response = edits::render(&forward.response_headers, values);
        edits::apply(&forward.request_headers, for_request, &mut parts.headers);
        if survey.trailers && forward.upstream.protocol == UpstreamProtocol::Http2 {
            let trailers = HeaderValue::from_static("trailers");
            parts.headers.insert(TE, trailers);
        }
        for_response
    }

    /// The upstream has changed the protocol: so does the client's connection, if it asked for that.
    fn switch(
        &self,
        forward: &Forward,
        change: Option<Change>,
        response: Response<U::Body>,
        values: Rendered,
        record: &mut Record,
    ) -> Answer<U> {
        let change = change.filter(|change| change.is_agreed(response.headers()));
        let change = change.ok_or(ProxyError::UpstreamProtocol)?;
        record.reason = Reason::Upgraded;
        let mut head = Response::new(Kind::Empty);
        head.headers_mut().clone_from(response.headers());
        let upstream = U::upgrade(response);
        edit_response(forward, values, &mut head);
        *head.status_mut() = change.tell(head.headers_mut());
        let (client, idle) = (change.client, forward.idle_timeout);
        let tunnel = upgrade::tunnel(client, upstream, idle, self.peer.clone());
        self.site.tunnels.borrow_mut().spawn_local(tunnel);
        Ok(head)
    }
}

/// The body of a request that is base64.
fn decoding(body: Incoming, limit: Option<u64>, record: &mut Record) -> RequestBody {
    let upload = Upload::new(limit, Instant::now());
    record.upload = Some(upload.clone());
    RequestBody::decoding(body, upload)
}

/// Path and query as one.
pub(super) fn joined(path: &str, query: Option<&str>) -> Result<PathAndQuery, ProxyError> {
    let mut text = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    text.push_str(path);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).map_err(|_| Malformed::Target.into())
}

fn rewrite_host(forward: &Forward, asked: &HeaderValue, headers: &mut HeaderMap) {
    if let HostRewrite::Literal(host) = &forward.host {
        forwarding::tell_host(headers, asked.clone());
        headers.insert(HOST, HeaderValue::clone(host));
    }
}

fn onward_request(
    parts: &mut Parts,
    target: PathAndQuery,
    body: RequestBody,
) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = std::mem::take(&mut parts.method);
    *request.uri_mut() = Uri::from(target);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = std::mem::take(&mut parts.headers);
    request
}

fn edit_response<B>(forward: &Forward, values: Rendered, response: &mut Response<B>) {
    // What the upstream speaks is between it and us (RFC 9110, section 2.5).
    *response.version_mut() = Version::HTTP_11;
    reply::clean(response.headers_mut());
    edits::apply(&forward.response_headers, values, response.headers_mut());
}
