//! What is done with a request, policy by policy, in words. Which object says so is in the report, not in the graph.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    super::wire::{balance, checks, outliers, shown_retry, slow_start},
    HandshakeAnswer,
};
use crate::graph::{
    Access, Action, CanonicalPath, ClientPolicy, EnvoyHeaders, Forward, HeaderEdit, HeaderEdits,
    HostRewrite, HostTls, InsecureAction, Member, Redirect, RequestPolicy, Rewrite, Upstream,
    UpstreamProtocol, UpstreamTls, VirtualHost,
    breaker::Priority,
    compression::Compression,
    cors::{Cors, Origins},
    filters::{HeaderText, Part},
    route::RedirectPath,
    tls::Roots,
    upstream::Keepalive,
};

/// Connections that nobody uses are closed after this unless somebody says otherwise.
const USUAL_IDLE: Duration = Duration::from_mins(1);

/// What can be settled about requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    MergeSlashes,
    /// On every route.
    EscapedSlashes,
    Underscores,
    /// Whether `x-envoy-*` headers are written.
    EnvoyHeaders,
    /// What responses have as `server`.
    ServerHeader,
    /// From which addresses requests are taken.
    Access,
    /// Of responses.
    Compression,
    GrpcWeb,
    /// Whether bodies of requests are held back until they are whole.
    Buffer,
    /// How long the head of a request may be.
    MaxHead,
    Http10,
    /// Of the fields of HTTP/1 responses.
    HeaderCase,
    /// The port in Host.
    HostPort,
    /// Who may name a request.
    RequestId,
    /// What becomes of X-Forwarded-Client-Cert.
    ForwardedCert,
    InsecureRequests,
    /// Which insecure requests a Host that redirects redirects.
    InsecureRedirect,
    /// Of the Host, in the TLS handshake.
    Certificate,
    /// On what the handshake insists, client certificates among it.
    Handshake,
    Weight,
    Rewrite,
    HostHeader,
    /// On this route.
    RouteEscapedSlashes,
    HeadTimeout,
    TotalTimeout,
    IdleTimeout,
    ConnectTimeout,
    RequestBody,
    Upgrades,
    RequestHeaders,
    ResponseHeaders,
    /// What web pages of other origins may do.
    Cors,
    Retry,
    /// Whose limits the requests count for.
    Priority,
    /// How one of several endpoints is chosen.
    Balance,
    /// What may be under way at a time.
    Breakers,
    /// What endpoints are asked to find out whether they work.
    HealthChecks,
    /// When an endpoint is left out for what becomes of requests.
    Outliers,
    /// When a new endpoint gets its full share.
    SlowStart,
    /// Which endpoints are for whom.
    Zones,
    /// Of connections to the upstream.
    Keepalive,
    ConnectionIdle,
    ConnectionLifetime,
    UpstreamProtocol,
    UpstreamTls,
    /// Whether the certificate of the upstream is verified, and by whose roots.
    UpstreamTrust,
    ClientCertificate,
    /// On what the handshake with the upstream insists.
    UpstreamHandshake,
    Redirect,
    RedirectStatus,
}

/// One policy as it holds for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAnswer {
    pub policy: Policy,
    /// In words.
    pub value: String,
    /// Whether nothing is done, so that nobody needs to be told unless an object says so.
    pub quiet: bool,
}

impl Policy {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::MergeSlashes => "slashes",
            Self::EscapedSlashes | Self::RouteEscapedSlashes => "escaped slashes",
            Self::Underscores => "underscores",
            Self::EnvoyHeaders => "x-envoy headers",
            Self::ServerHeader => "server header",
            Self::Access => "addresses",
            Self::Compression => "compression",
            Self::GrpcWeb => "grpc-web",
            Self::Buffer => "buffering",
            Self::MaxHead => "request head",
            Self::Http10 => "http/1.0",
            Self::HeaderCase => "header case",
            Self::HostPort => "host port",
            Self::RequestId => "request id",
            Self::ForwardedCert => "forwarded certificate",
            Self::InsecureRequests => "insecure requests",
            Self::InsecureRedirect => "insecure redirect",
            Self::Certificate => "certificate",
            Self::Handshake => "handshake",
            Self::Weight => "weight",
            Self::Rewrite => "rewrite",
            Self::HostHeader => "host header",
            Self::HeadTimeout => "timeout to the head",
            Self::TotalTimeout => "timeout to the end",
            Self::IdleTimeout => "idle timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::RequestBody => "request body",
            Self::Upgrades => "upgrades",
            Self::RequestHeaders => "request headers",
            Self::ResponseHeaders => "response headers",
            Self::Cors => "cors",
            Self::Retry => "retry",
            Self::Priority => "priority",
            Self::Balance => "load balancing",
            Self::Breakers => "circuit breakers",
            Self::HealthChecks => "health checks",
            Self::Outliers => "ejection",
            Self::SlowStart => "slow start",
            Self::Zones => "zones",
            Self::Keepalive => "keepalive",
            Self::ConnectionIdle => "idle connections",
            Self::ConnectionLifetime => "connection lifetime",
            Self::UpstreamProtocol => "protocol",
            Self::UpstreamTls => "tls",
            Self::UpstreamTrust => "trust",
            Self::ClientCertificate => "client certificate",
            Self::UpstreamHandshake => "upstream handshake",
            Self::Redirect => "redirect",
            Self::RedirectStatus => "redirect status",
        }
    }

    fn is(self, value: impl Into<String>) -> PolicyAnswer {
        PolicyAnswer {
            policy: self,
            value: value.into(),
            quiet: false,
        }
    }

    /// With nothing done, `usual` says what that means.
    fn may_be(self, value: Option<String>, usual: &str) -> PolicyAnswer {
        PolicyAnswer {
            policy: self,
            quiet: value.is_none(),
            value: value.unwrap_or_else(|| usual.to_owned()),
        }
    }
}

/// What holds for every request.
pub(super) fn of_requests(requests: RequestPolicy) -> [PolicyAnswer; 3] {
    let RequestPolicy {
        allow_underscores,
        merge_slashes,
        allow_escaped_slashes,
    } = requests;
    let kept = (!merge_slashes).then(|| "`//` is kept".to_owned());
    let through = allow_escaped_slashes.then(|| "let through on every route".to_owned());
    let allowed = allow_underscores.then(|| "header names may have `_`".to_owned());
    [
        Policy::MergeSlashes.may_be(kept, "`//` is merged"),
        Policy::EscapedSlashes.may_be(through, "refused where no route lets them through"),
        Policy::Underscores.may_be(allowed, "header names with `_` are refused"),
    ]
}

/// What is said in the manner of Envoy.
pub(super) fn of_envoy(envoy: &EnvoyHeaders) -> [PolicyAnswer; 2] {
    let written = envoy.written.then(|| "written".to_owned());
    let server = envoy.server.as_ref();
    let server = server.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    [
        Policy::EnvoyHeaders.may_be(written, "not written"),
        Policy::ServerHeader.may_be(server, "that of the upstream"),
    ]
}

/// Whose requests are taken at all.
pub(super) fn of_access(access: Option<&Access>) -> PolicyAnswer {
    Policy::Access.may_be(access.map(ToString::to_string), "all")
}

/// How HTTP is spoken with clients.
pub(super) fn of_clients(clients: &ClientPolicy) -> [PolicyAnswer; 9] {
    let ClientPolicy {
        buffer,
        max_head,
        compression,
        grpc_web,
        http10,
        title_case,
        strips_own_port,
        keeps_request_ids,
        forwarded_cert,
    } = clients;
    let told = |on: &bool, text: &str| on.then(|| text.to_owned());
    [
        Policy::Compression.may_be(compression.as_deref().map(compressed), "none of ours"),
        Policy::GrpcWeb.may_be(told(grpc_web, "becomes gRPC"), "passed on as it is"),
        Policy::Buffer.may_be(
            buffer.map(|most| format!("whole, up to {most} bytes")),
            "as they come",
        ),
        Policy::MaxHead.may_be(
            max_head.map(|most| format!("up to {most} bytes")),
            "up to 32768 bytes",
        ),
        Policy::Http10.may_be(told(http10, "answered"), "refused"),
        Policy::HeaderCase.may_be(told(title_case, "Like-This"), "like-this"),
        Policy::HostPort.may_be(
            told(strips_own_port, "that of the Listener is left out"),
            "kept",
        ),
        Policy::RequestId.may_be(
            told(keeps_request_ids, "that of every client is kept"),
            "that of a trusted proxy is kept",
        ),
        Policy::ForwardedCert.may_be(forwarded_cert.told(), "taken out"),
    ]
}

fn compressed(compression: &Compression) -> String {
    let coders = compression.coders.iter();
    let tokens: Vec<_> = coders.map(|coder| coder.coding.token()).collect();
    format!(
        "{} from {} bytes on",
        tokens.join(", "),
        compression.min_length
    )
}

/// What the Host does with insecure requests, of which this is one.
pub(super) fn of_insecure(host: &VirtualHost) -> Vec<PolicyAnswer> {
    let redirect = |matched: bool| {
        let matched = matched.then(|| "only where a route matches".to_owned());
        vec![
            Policy::InsecureRequests.is("redirect"),
            Policy::InsecureRedirect.may_be(matched, "every path"),
        ]
    };
    match host.insecure {
        InsecureAction::Route => vec![Policy::InsecureRequests.is("route")],
        InsecureAction::Reject => vec![Policy::InsecureRequests.is("reject")],
        InsecureAction::Redirect => redirect(false),
        InsecureAction::RedirectMatched => redirect(true),
    }
}

/// The certificate of the handshake, if it is that of the Host which has the request, and what that insists on.
pub(super) fn of_certificate(
    host: &VirtualHost,
    shaken: Option<&HandshakeAnswer>,
) -> Vec<PolicyAnswer> {
    match (&host.tls, shaken) {
        (HostTls::Certificate(own), Some(HandshakeAnswer::Certificate(shown)))
            if *own.certificate.digest == *shown.digest =>
        {
            let told = Some(own.told().join("; ")).filter(|told| !told.is_empty());
            vec![
                Policy::Certificate.is(shown.names.join(", ")),
                Policy::Handshake.may_be(told, "as usual"),
            ]
        }
        _ => Vec::new(),
    }
}

/// What a member of a route does with a request of this path. Its share is told where it is not everything.
pub fn of_member(member: &Member, percent: u64, path: &CanonicalPath<'_>) -> Vec<PolicyAnswer> {
    let share = Some(format!("{percent}%")).filter(|_| percent != 100);
    let mut all = vec![Policy::Weight.may_be(share, "everything")];
    match &member.action {
        Action::Forward(forward) => {
            all.extend(of_forward(forward, path.as_str()));
            all.extend(of_upstream(&forward.upstream));
        }
        Action::Redirect(redirect) => {
            all.extend(of_redirect(redirect, path.as_str()));
        }
        Action::Fail(_) => {}
    }
    all
}

fn of_forward(forward: &Forward, path: &str) -> [PolicyAnswer; 13] {
    let duration = |duration: Option<Duration>| duration.map(|duration| format!("{duration:?}"));
    let host = match &forward.host {
        HostRewrite::Keep => None,
        HostRewrite::Literal(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
    };
    let body = forward.max_request_body;
    let high = forward.priority == Priority::High;
    let upgrades = (!forward.upgrades.is_empty()).then(|| forward.upgrades.join(", "));
    [
        escaped_slashes(forward.allow_escaped_slashes),
        Policy::Rewrite.is(rewrite(&forward.rewrite, path)),
        Policy::HostHeader.may_be(host, "kept"),
        Policy::HeadTimeout.may_be(duration(forward.head_timeout), "none"),
        Policy::TotalTimeout.may_be(duration(forward.total_timeout), "none"),
        Policy::IdleTimeout.may_be(duration(forward.idle_timeout), "none"),
        Policy::RequestBody.may_be(
            body.map(|bytes| format!("up to {bytes} bytes")),
            "of any size",
        ),
        Policy::Upgrades.may_be(upgrades, "none"),
        Policy::RequestHeaders.may_be(edits(&forward.request_headers), "kept"),
        Policy::ResponseHeaders.may_be(edits(&forward.response_headers), "kept"),
        Policy::Cors.may_be(forward.cors.as_deref().map(cors), "left to the upstream"),
        Policy::Retry.may_be(forward.retry.map(shown_retry), "none"),
        Policy::Priority.may_be(high.then(|| "high".to_owned()), "default"),
    ]
}

fn escaped_slashes(allowed: bool) -> PolicyAnswer {
    let through = allowed.then(|| "let through".to_owned());
    Policy::RouteEscapedSlashes.may_be(through, "as on every route")
}

fn rewrite(rewrite: &Rewrite, path: &str) -> String {
    match rewrite {
        Rewrite::Keep => "none, the path is kept".to_owned(),
        Rewrite::Prefix {
            matched,
            replacement,
        } => format!("{} becomes {replacement}", start(path, *matched)),
        Rewrite::Whole(replacement) => format!("the path becomes {replacement}"),
        Rewrite::Regex(regex) => {
            format!(
                "what matches {} becomes {}",
                regex.regex, regex.substitution
            )
        }
    }
}

fn cors(cors: &Cors) -> String {
    match &cors.origins {
        Origins::Any => "for every origin".to_owned(),
        Origins::Only(origins) => format!("for {}", origins.join(", ")),
    }
}

/// What of the path is replaced.
fn start(path: &str, matched: usize) -> &str {
    path.get(..matched).unwrap_or(path)
}

fn edits(edits: &HeaderEdits) -> Option<String> {
    let told = edits.edits.iter().map(|edit| match edit {
        HeaderEdit::Remove(name) => format!("without {name}"),
        HeaderEdit::Append(name, text) => format!("{name}: {} added", header_text(text)),
        HeaderEdit::Set(name, text) => format!("{name}: {}", header_text(text)),
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// As the Mapping writes it.
fn header_text(text: &HeaderText) -> String {
    let parts = match text {
        HeaderText::Literal(value) => {
            return String::from_utf8_lossy(value.as_bytes()).into_owned();
        }
        HeaderText::Format(parts) => parts,
    };
    let written = parts.iter().map(|part| match part {
        Part::Text(text) => text.replace('%', "%%"),
        Part::RequestHeader(name) => format!("%REQ({name})%"),
        Part::RemoteAddress => "%DOWNSTREAM_REMOTE_ADDRESS%".to_owned(),
        Part::RemoteIp => "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%".to_owned(),
        Part::LocalAddress => "%DOWNSTREAM_LOCAL_ADDRESS%".to_owned(),
        Part::Protocol => "%PROTOCOL%".to_owned(),
        Part::Hostname => "%HOSTNAME%".to_owned(),
    });
    written.collect()
}

fn of_upstream(upstream: &Upstream) -> Vec<PolicyAnswer> {
    let http2 = (upstream.protocol == UpstreamProtocol::Http2).then(|| "HTTP/2".to_owned());
    let breakers = upstream.breakers.map(|breakers| breakers.to_string());
    let told = |after: Duration| format!("closed after {after:?}");
    let idle = (upstream.idle_timeout != USUAL_IDLE).then(|| told(upstream.idle_timeout));
    let lifetime = upstream.max_age.map(told);
    let zones = upstream.zones.as_ref().map(ToString::to_string);
    let checked = Some(checks(upstream).join("; ")).filter(|checked| !checked.is_empty());
    let mut all = vec![
        Policy::ConnectTimeout.is(format!("{:?}", upstream.connect_timeout)),
        Policy::UpstreamProtocol.may_be(http2, "HTTP/1.1"),
        Policy::Balance.may_be(balance(&upstream.balance), "one after the other"),
        Policy::Breakers.may_be(breakers, "no limits"),
        Policy::HealthChecks.may_be(checked, "none"),
        Policy::Outliers.may_be(outliers(upstream), "none"),
        Policy::SlowStart.may_be(slow_start(upstream), "none"),
        Policy::Zones.may_be(zones, "no endpoint is for a zone"),
        Policy::Keepalive.may_be(upstream.keepalive.map(keepalive), "as the kernel does"),
        Policy::ConnectionIdle.may_be(idle, "closed after 60s"),
        Policy::ConnectionLifetime.may_be(lifetime, "unlimited"),
    ];
    let Some(tls) = &upstream.tls else {
        all.push(Policy::UpstreamTls.may_be(None, "none"));
        return all;
    };
    let UpstreamTls {
        server_name,
        verify,
        roots,
        client,
        terms: _,
        revoked: _,
    } = &**tls;
    let trust = match (verify, roots) {
        (false, _) => Some("the certificate is not verified".to_owned()),
        (true, Roots::System) => None,
        (true, Roots::Only(_)) => Some("verified, by the authorities of a Secret".to_owned()),
    };
    let client = client.as_ref().map(|client| client.digest.to_string());
    let told = Some(tls.told().join("; ")).filter(|told| !told.is_empty());
    all.extend([
        Policy::UpstreamTls.is(format!("to {server_name}")),
        Policy::UpstreamTrust.may_be(trust, "verified, by the authorities of the machine"),
        Policy::ClientCertificate.may_be(client, "none"),
        Policy::UpstreamHandshake.may_be(told, "as usual"),
    ]);
    all
}

fn keepalive(keepalive: Keepalive) -> String {
    let Keepalive {
        idle,
        interval,
        probes,
    } = keepalive;
    let parts = [
        idle.map(|seconds| format!("after {seconds}s")),
        interval.map(|seconds| format!("every {seconds}s")),
        probes.map(|probes| format!("{probes} probes")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn of_redirect(redirect: &Redirect, path: &str) -> [PolicyAnswer; 3] {
    let scheme = redirect.scheme.as_deref();
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    let sent = match &redirect.path {
        RedirectPath::Keep => String::new(),
        RedirectPath::Whole(path) => path.to_string(),
        RedirectPath::Prefix {
            matched,
            replacement,
        } => format!(", where {} becomes {replacement}", start(path, *matched)),
        RedirectPath::Regex(regex) => format!(
            ", where what matches {} becomes {}",
            regex.regex, regex.substitution
        ),
    };
    [
        escaped_slashes(redirect.allow_escaped_slashes),
        Policy::Redirect.is(format!("to {scheme}{}{sent}", redirect.host)),
        Policy::RedirectStatus.is(redirect.status.as_str()),
    ]
}

#[cfg(test)]
mod tests;
