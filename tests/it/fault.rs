//! What goes wrong behind the gateway, and what becomes of it: what the client sees, what is sent again, whom it concerns.
//!
//! The tables are `docs/reference/faults.md`: what is written there is what was tried here.

mod shared;
mod upstream;

use std::{fmt::Write as _, io, net::SocketAddr, thread, time::Duration};

use self::upstream::{Behaviour, Certificate, Upstream};
use crate::{
    client::{Answer, Request, tcp},
    gateway::Gateway,
    hostile::Bystander,
};

/// A fault, and what becomes of a request that meets it.
struct Fault {
    /// In the path, and the Service.
    id: &'static str,
    /// For people.
    what: &'static str,
    upstream: Behaviour,
    /// Fields of the Mapping.
    spec: &'static str,
    asked: Asked,
    /// The status and the word in the answer; none for an answer that breaks off.
    seen: Option<(u16, &'static str)>,
    /// How often the upstream is tried for one request: connections, or requests on one of them.
    sent: usize,
    /// For people.
    again: &'static str,
}

/// What the client sends.
#[derive(Clone, Copy)]
enum Asked {
    Get,
    /// The second on its connection to the upstream.
    Second(&'static str),
    Post,
    /// A head of so many bytes.
    Head(usize),
    Line(usize),
    Body(usize),
}

const RETRY: &str = "retryPolicy: {retryOn: 5xx, numRetries: 2}";
const NEVER: &str = "no";
const NOT_SENT: &str = "not sent at all";

impl Fault {
    fn new(id: &'static str, what: &'static str, upstream: Behaviour) -> Self {
        Self {
            id,
            what,
            upstream,
            spec: "",
            asked: Asked::Get,
            seen: Some((502, "upstream_reset")),
            sent: 1,
            again: NEVER,
        }
    }

    fn with(self, spec: &'static str) -> Self {
        Self { spec, ..self }
    }

    fn asked(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    fn seen(self, status: u16, word: &'static str) -> Self {
        let seen = Some((status, word));
        Self { seen, ..self }
    }

    fn cut(self) -> Self {
        Self { seen: None, ..self }
    }

    fn sent(self, sent: usize, again: &'static str) -> Self {
        Self {
            sent,
            again,
            ..self
        }
    }
}

// One fault a line, as far as it goes.
#[rustfmt::skip]
fn faults() -> Vec<Fault> {
    use Behaviour as B;
    let fault = Fault::new;
    let busy = || B::Says("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy");
    let half_head = "HTTP/1.1 200 OK\r\ncontent-le";
    let half_body = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    vec![
        fault("slow", "no answer within `timeoutMs`", B::Hangs)
            .with("timeoutMs: 300").seen(504, "upstream_timeout"),
        fault("slow-again", "no answer within `perTryTimeout`, `numRetries: 2`", B::Hangs)
            .with("timeoutMs: 5000, retryPolicy: {retryOn: 5xx, numRetries: 2, perTryTimeout: 100ms}")
            .seen(504, "upstream_timeout").sent(3, "twice, as the policy says"),
        fault("refused", "nobody listens", B::Refuses)
            .seen(503, "connect_failed").sent(0, NOT_SENT),
        fault("reset-at-once", "reset before the request", B::Resets("", false)),
        fault("reset-unanswered", "reset after the request", B::Resets("", true)),
        fault("reset-again", "reset after the request, `retryOn: 5xx`", B::Resets("", true))
            .with(RETRY).sent(3, "twice, as the policy says"),
        fault("reset-post", "reset after a request with a body, `retryOn: 5xx`", B::Resets("", true))
            .with(RETRY).asked(Asked::Post).sent(3, "twice, with its body"),
        fault("reset-head", "reset in the head of the answer", B::Resets(half_head, true))
            .seen(502, "upstream_protocol"),
        fault("reset-body", "reset in the body of the answer, `retryOn: 5xx`", B::Resets(half_body, true))
            .with(RETRY).cut(),
        fault("closed-at-once", "closed before the request", B::Closes("", false)),
        fault("half-closed", "half closed after the request", B::HalfCloses("")),
        fault("half-closed-head", "half closed in the head of the answer", B::HalfCloses(half_head))
            .seen(502, "upstream_protocol"),
        fault("half-closed-body", "half closed in the body of the answer", B::HalfCloses(half_body))
            .cut(),
        fault("dead-get", "a kept connection dies under a GET", B::ClosesSecond)
            .asked(Asked::Second("GET")).seen(200, "first").sent(2, "once, on a new connection"),
        fault("dead-post", "a kept connection dies under a POST", B::ClosesSecond)
            .asked(Asked::Second("POST")),
        fault("busy", "503 by the application", busy()).seen(503, "busy"),
        fault("busy-again", "503 by the application, `retryOn: 5xx`", busy())
            .with(RETRY).seen(503, "busy").sent(3, "twice, as the policy says"),
        fault("dns", "a name that cannot be resolved", B::NoName)
            .seen(503, "resolve_failed").sent(0, NOT_SENT),
        fault("valid", "a certificate that is valid (nothing is wrong)", B::Tls(Certificate::Valid))
            .with("tls: valid").seen(200, "good"),
        fault("expired", "a certificate that has expired", B::Tls(Certificate::Expired))
            .with("tls: expired").seen(502, "upstream_tls").sent(1, NOT_SENT),
        fault("stranger", "a certificate for another name", B::Tls(Certificate::OtherName))
            .with("tls: stranger").seen(502, "upstream_tls").sent(1, NOT_SENT),
        fault("large-answer", "the head of the answer has 1 MiB", B::LargeHead)
            .seen(502, "upstream_protocol"),
        fault("large-head", "the head of the request has 1 MiB", B::Says("")).asked(Asked::Head(1 << 20))
            .seen(431, "").sent(0, NOT_SENT),
        fault("large-line", "the path has 20 KiB", B::Says("")).asked(Asked::Line(20 << 10))
            .seen(414, "uri_too_long").sent(0, NOT_SENT),
        fault("large-body", "the body is larger than `maxRequestBodyBytes`", B::Says("")).asked(Asked::Body(1 << 20))
            .with("maxRequestBodyBytes: 1000").seen(413, "body_too_large").sent(0, NOT_SENT),
    ]
}

fn mapping(id: &str, spec: &str) -> String {
    let spec = format!("hostname: \"*\", prefix: /{id}/, service: {id}, {spec}");
    format!(
        "---\n{{apiVersion: postern.dev/v1alpha1, kind: Mapping, metadata: {{name: {id}, namespace: default}}, spec: {{{spec}}}}}\n"
    )
}

/// Somebody whom it does not concern.
const BYSTANDER: &str = "---\n{apiVersion: postern.dev/v1alpha1, kind: Mapping, metadata: {name: beside, namespace: default}, spec: {hostname: bystander.com, prefix: /, service: beside}}\n";

fn start(resources: &str, backends: &[(&str, String)], flags: &[&str]) -> Gateway {
    let backends: Vec<_> = { backends.iter() }
        .map(|(id, address)| format!("default/{id}={address}"))
        .collect();
    let mut all = vec!["--echo", "--workers", "1"];
    all.extend(flags);
    for backend in &backends {
        all.extend(["--backend", backend]);
    }
    Gateway::with_flags(&format!("{resources}{BYSTANDER}"), &all)
}

#[test]
fn each_fault_is_answered_as_the_table_says_and_concerns_nobody_else() {
    let faults = faults();
    let upstreams: Vec<_> = { faults.iter() }
        .map(|fault| Upstream::start(fault.id, fault.upstream))
        .collect();
    let mut resources = String::new();
    let mut backends = Vec::new();
    for (fault, upstream) in faults.iter().zip(&upstreams) {
        resources += &mapping(fault.id, fault.spec);
        resources += &upstream.trust();
        backends.push((fault.id, upstream.address()));
    }
    let gateway = start(&resources, &backends, &[]);
    let address = gateway.address(8080);
    let bystander = Bystander::start(address);
    let mut wrong = Vec::new();
    for (fault, upstream) in faults.iter().zip(&upstreams) {
        let before = (upstream.connections(), upstream.requests());
        let seen = fault
            .asked
            .send(fault.id, address)
            .map_err(|error| error.to_string());
        let connections = upstream.connections() - before.0;
        let sent = connections.max(upstream.requests() - before.1);
        let fits = match (&seen, fault.seen) {
            (Ok(answer), Some((status, word))) => {
                answer.status == status && answer.text().contains(word)
            }
            (Err(_), None) => true,
            (Ok(_), None) | (Err(_), Some(_)) => false,
        };
        if !fits || sent != fault.sent {
            wrong.push(format!("{}: {sent} sent, {seen:?}", fault.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let answered = bystander.finish();
    assert!(
        answered.is_ok_and(|answered| answered > 0),
        "nobody else is affected"
    );
    let budget = gateway.metrics()["postern_upstream_retries_refused_total"];
    assert!(budget < 1.0, "single faults do not exhaust a budget");
}

impl Asked {
    fn send(self, id: &str, address: SocketAddr) -> io::Result<Answer> {
        let url = format!("http://x.com/{id}/");
        let request = Request::get(&url);
        match self {
            Self::Get => request.try_send(address),
            Self::Second(method) => {
                request.try_send(address)?;
                // The connection is kept only once the answer is through.
                thread::sleep(Duration::from_millis(50));
                request.method(method).try_send(address)
            }
            Self::Post => request.method("POST").body("a body").try_send(address),
            Self::Head(bytes) => request
                .header("x-large", &"a".repeat(bytes))
                .try_send(address),
            Self::Line(bytes) => {
                Request::get(&format!("{url}{}", "a".repeat(bytes))).try_send(address)
            }
            Self::Body(bytes) => {
                use std::io::Write;
                // Only what is said of it: the answer does not wait for the rest.
                let mut stream = tcp(address)?;
                write!(
                    stream,
                    "POST /{id}/ HTTP/1.1\r\nhost: x.com\r\ncontent-length: {bytes}\r\n\r\n"
                )?;
                Answer::read(&mut stream, "POST")
            }
        }
    }
}

/// `docs/reference/faults.md`.
pub(crate) fn page() -> String {
    let mut page = "# Faults\n\nWhat goes wrong behind Postern, and what becomes of a request that meets it. Each row is tried against the real binary by \
`cargo test --test it fault::`, which writes this page with `make gen`; a client of another route is answered all the while.\n\n\
## One request\n\n| fault | the client sees | tries at the upstream | sent again |\n|---|---|---|---|\n"
        .to_owned();
    for fault in faults() {
        let seen = match fault.seen {
            None => "the head, and a body that breaks off".to_owned(),
            Some((status, "first" | "good" | "busy")) => format!("{status} of the upstream"),
            Some((status, "")) => status.to_string(),
            Some((status, word)) => format!("{status} `{word}`"),
        };
        let Fault {
            what, sent, again, ..
        } = fault;
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {what} | {seen} | {sent} | {again} |");
    }
    page + shared::PAGE
}
