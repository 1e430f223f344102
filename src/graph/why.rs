//! Which route takes a request, and why not the others: decided by the same functions that decide for the proxy, and told in
//! data that travels. A replica answers with it on its diagnostics port, the plugin prints it.
//!
//! ```text
//! Question ─> Listener ─> handshake ─> canonical path ─> decide, recorded ─> ranked candidates ─> Answer
//! ```

mod answer;
mod connection;
mod policy;
mod question;
mod recorder;

pub use answer::{
    Answer, Candidate, ConnectionAnswer, EntryAnswer, HandshakeAnswer, HostAnswer, ListenerAnswer,
    Lost, MemberAnswer, Outcome, Verdict,
};
pub use policy::{Policy, PolicyAnswer, of_member};
pub use question::{Question, QuestionError};

use http::HeaderName;

use self::{question::Asked, recorder::Recorder};
use super::{
    Action, Authority, Connection, Decision, Graph, Handshake, Listener, Member, Request, Route,
    VirtualHost,
    certificate::CertificateView,
    decide,
    decide::https_location,
    path::{CanonicalPath, canonical},
    wire::{ActionView, ConditionsView, PathView, UpstreamView, hostnames},
};

/// What a trusted proxy in front says the scheme was.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Graph {
    /// What becomes of a request.
    pub fn why(&self, question: &Question) -> Result<Answer, QuestionError> {
        let asked = Asked::of(question)?;
        let authority = Authority::parse(asked.authority()).map_err(QuestionError::Authority)?;
        let mut answer = Answer::new(&asked, &authority);
        if asked.raw {
            return self.connection(&asked, &authority, answer);
        }
        let Some(listener) = self.serving(authority.port(), asked.tls) else {
            return Ok(answer.ends(Outcome::NoListener));
        };
        answer.listener = Some(ListenerAnswer {
            name: listener.name.to_string(),
            port: listener.port,
            instead_of: authority.port().filter(|port| *port != listener.port),
        });
        let sni = asked.sni(&authority);
        if asked.tls {
            answer.sni.clone_from(&sni);
            if let Some((host, route)) = connection::named(listener, sni.as_deref()) {
                return Ok(connection::taken(answer, host, route));
            }
            let (handshake, goes_on) = shake(listener, sni.as_deref());
            answer.handshake = Some(handshake);
            let secured_by = listener.host_by_name(sni.as_deref());
            answer.secured_by = secured_by.map(|host| host_answer(host));
            if !goes_on {
                return Ok(answer.ends(Outcome::NoHandshake));
            }
        }
        let path = match canonical(asked.path(), self.requests) {
            Ok(path) => path,
            Err(error) => {
                let why = error.to_string();
                return Ok(answer.ends(Outcome::BadRequest { why }));
            }
        };
        path.as_str().clone_into(&mut answer.path);
        let forwarded = asked.headers.get(FORWARDED_PROTO);
        let request = Request {
            connection: Connection {
                tls: asked.tls,
                sni: sni.as_deref(),
                trusted: asked.from.is_some_and(|from| listener.trusts(from)),
                // Whoever asks has what the handshake asks for.
                shown: listener.asks(sni.as_deref()).filter(|_| asked.tls),
            },
            authority: &authority,
            path: &path,
            query: asked.query(),
            forwarded_proto: forwarded.map(http::HeaderValue::as_bytes),
        };
        let mut recorder = Recorder::default();
        let decision = decide(listener, &request, &asked, &mut recorder);
        answer.entry = recorder.entry.take();
        answer.region.clone_from(&recorder.region);
        answer.host = host_of(&decision).map(host_answer);
        answer.policies = self.policies(&answer, host_of(&decision));
        answer.candidates = candidates(&recorder, &decision, &request);
        let outcome = self.outcome(&decision, &request);
        Ok(answer.ends(outcome))
    }

    /// The Listener of the URL's port; else the first that takes such connections, because in front of a cluster ports differ.
    fn serving(&self, port: Option<u16>, tls: bool) -> Option<&Listener> {
        let takes = |listener: &&Listener| {
            if !listener.http {
                false
            } else if tls {
                listener.tls
            } else {
                listener.cleartext
            }
        };
        let listeners = || self.listeners.iter().map(|listener| &**listener);
        listeners()
            .filter(takes)
            .find(|listener| Some(listener.port) == port)
            .or_else(|| listeners().find(takes))
    }

    /// What holds for the request whichever route it takes.
    fn policies(&self, answer: &Answer, host: Option<&VirtualHost>) -> Vec<PolicyAnswer> {
        let insecure = answer.entry.as_ref().is_some_and(|entry| !entry.secure);
        let shaken = answer.handshake.as_ref();
        let mut all = Vec::new();
        if let Some(host) = host {
            all.extend(policy::of_certificate(host, shaken));
            if insecure {
                all.extend(policy::of_insecure(host));
            }
        }
        all.extend(policy::of_requests(self.requests));
        all.extend(policy::of_clients(&self.clients));
        all.extend(policy::of_envoy(&self.envoy));
        all.push(policy::of_access(self.access.as_ref()));
        all
    }

    fn outcome(&self, decision: &Decision<'_>, request: &Request<'_>) -> Outcome {
        match decision {
            Decision::Misdirected => Outcome::Misdirected,
            Decision::NoHost => Outcome::NoHost,
            Decision::Rejected(_) => Outcome::Rejected,
            Decision::NoRoute(_) => Outcome::NoRoute,
            Decision::RedirectToHttps(_) => Outcome::RedirectToHttps {
                location: https_location(request.authority, request.path.as_str(), request.query),
            },
            Decision::Route { route, .. } => {
                let total = route.members.iter().map(|m| u64::from(m.share)).sum();
                let members = route.members.iter();
                let told: Vec<_> = members
                    .map(|member| self.member(member, total, request.path))
                    .collect();
                if total == 0 {
                    Outcome::NoShare { members: told }
                } else {
                    Outcome::Route { members: told }
                }
            }
        }
    }

    fn member(
        &self,
        member: &Member,
        total: u64,
        request_path: &CanonicalPath<'_>,
    ) -> MemberAnswer {
        let (upstream, sent) = match &member.action {
            Action::Forward(forward) => (
                Some(UpstreamView::of(&forward.upstream)),
                Some(forward.rewrite.apply(request_path.as_str(), self.requests)),
            ),
            Action::Redirect(_) | Action::Fail(_) => (None, None),
        };
        let refused = member.refuses(request_path, self.requests);
        let (path, error) = match sent {
            Some(Ok(path)) => (Some(path.into_owned()), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        let percent = (u64::from(member.share) * 100)
            .checked_div(total)
            .unwrap_or(0);
        MemberAnswer {
            id: member.id.to_string(),
            percent,
            policies: policy::of_member(member, percent, request_path),
            action: super::wire::MemberView::of(member).action,
            upstream,
            path,
            bad_request: if refused {
                Some("the path has an escaped slash".to_owned())
            } else {
                error
            },
        }
    }
}

/// What the handshake comes to, and whether requests follow it.
fn shake(listener: &Listener, sni: Option<&str>) -> (HandshakeAnswer, bool) {
    match listener.handshake(sni) {
        Handshake::Certificate(tls) => {
            let certificate = &tls.certificate;
            let digest = certificate.digest.to_string();
            let view = CertificateView::of(certificate).unwrap_or(CertificateView {
                digest,
                ..CertificateView::default()
            });
            (HandshakeAnswer::Certificate(view), true)
        }
        Handshake::Unrecognized => (HandshakeAnswer::UnrecognizedName, false),
        Handshake::Broken(fail) => (HandshakeAnswer::Broken(fail.to_string()), false),
    }
}

fn host_of<'g>(decision: &Decision<'g>) -> Option<&'g VirtualHost> {
    match decision {
        Decision::Misdirected | Decision::NoHost => None,
        Decision::Rejected(host)
        | Decision::RedirectToHttps(host)
        | Decision::NoRoute(host)
        | Decision::Route { host, .. } => Some(host),
    }
}

fn host_answer(host: &VirtualHost) -> HostAnswer {
    HostAnswer {
        id: host.id.to_string(),
        hostname: host.pattern.to_string(),
    }
}

/// All that were looked at, the greatest rank first, each with the first rule that decided.
fn candidates(
    recorder: &Recorder,
    decision: &Decision<'_>,
    request: &Request<'_>,
) -> Vec<Candidate> {
    let Decision::Route {
        host,
        route: winner,
    } = decision
    else {
        return match host_of(decision) {
            Some(host) => told(recorder, host, None, request),
            None => Vec::new(),
        };
    };
    told(recorder, host, Some(winner), request)
}

fn told(
    recorder: &Recorder,
    host: &VirtualHost,
    winner: Option<&Route>,
    request: &Request<'_>,
) -> Vec<Candidate> {
    let mut seen: Vec<_> = recorder.seen.iter().collect();
    seen.sort_by(|(a, _), (b, _)| b.rank.cmp(&a.rank));
    seen.into_iter()
        .map(|(route, failed)| Candidate {
            objects: route.members.iter().map(|m| m.id.to_string()).collect(),
            hostname: hostname(host, route, request),
            path: PathView::of(&route.path),
            precedence: route.rank.precedence,
            conditions: ConditionsView::of(&route.conditions),
            verdict: verdict(route, *failed, winner),
        })
        .collect()
}

fn verdict(route: &Route, failed: Option<&'static str>, winner: Option<&Route>) -> Verdict {
    let beaten = winner.and_then(|winner| Lost::between(&winner.rank, &route.rank));
    match (winner, beaten, failed) {
        // Ranked behind: its conditions do not matter.
        (Some(_), Some(lost), _) => Verdict::Lost(lost),
        (_, _, Some(failed)) => Verdict::Failed(failed.to_owned()),
        (Some(_), None, None) => Verdict::Taken,
        (None, _, None) => Verdict::Lost(Lost::Order),
    }
}

/// The hostname of the table that holds the route. Ranks say the hostname, so that no two tables hold an equal one.
fn hostname(host: &VirtualHost, route: &Route, request: &Request<'_>) -> String {
    let target = super::matching::Target {
        host: request.authority.host(),
        port: request.authority.port(),
        path: request.path.as_str(),
        query: request.query,
    };
    let region = host.routes.regions.find(&target);
    let mut tables = hostnames(region);
    let holds = |(_, table): &(String, &std::sync::Arc<super::table::RouteTable>)| {
        let mut candidates = table.candidates(request.path.as_str());
        candidates.any(|candidate| candidate.route.rank == route.rank)
    };
    tables
        .find(holds)
        .map_or_else(String::new, |(name, _)| name)
}

impl ActionView {
    /// In a few words: `shop/cart:80`, `301 to https://example.com/`, `503 PST3002`.
    pub fn summary(&self) -> String {
        match self {
            Self::Forward(forward) => forward.upstream.clone(),
            Self::Redirect(redirect) => {
                let scheme = redirect.scheme.as_deref();
                let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
                format!("{} to {scheme}{}", redirect.status, redirect.host)
            }
            Self::Fail(code) => format!("503 {code}"),
        }
    }
}

#[cfg(test)]
mod tests;
