//! What becomes of a request: data that is told, stored and compared.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{policy::PolicyAnswer, question::Asked};
use crate::graph::{
    Authority,
    certificate::CertificateView,
    route::Rank,
    wire::{ActionView, ConditionsView, PathView, TcpMemberView, UpstreamView},
};

/// From the Listener to the upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    pub method: String,
    /// As routes are matched with, perhaps with a port.
    pub authority: String,
    /// Canonical, once it is known.
    pub path: String,
    /// None: no Listener takes such a connection.
    pub listener: Option<ListenerAnswer>,
    pub sni: Option<String>,
    /// None without TLS.
    pub handshake: Option<HandshakeAnswer>,
    /// The Host whose certificate the handshake gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secured_by: Option<HostAnswer>,
    /// By what a TCPMapping was found, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionAnswer>,
    pub host: Option<HostAnswer>,
    pub entry: Option<EntryAnswer>,
    /// The region whose routes were asked; empty for what no claim covers.
    pub region: Option<String>,
    /// The greatest rank first.
    pub candidates: Vec<Candidate>,
    /// What holds for it whichever route it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyAnswer>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerAnswer {
    pub name: String,
    pub port: u16,
    /// The port that was asked for, where no Listener has it: something in front of this one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<u16>,
}

/// What the TLS handshake gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HandshakeAnswer {
    Certificate(CertificateView),
    /// No Host has this name, or it has no certificate.
    UnrecognizedName,
    /// The Host's certificate cannot be used, for the reason with this code.
    Broken(String),
}

/// The Host whose routes are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAnswer {
    /// `namespace/name`, or `default`.
    pub id: String,
    pub hostname: String,
}

/// How connections of a TCPMapping are told from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionAnswer {
    /// The names that handshakes ask for; none for every connection that asks for no name that is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether the TLS of the client ends here.
    pub terminates_tls: bool,
}

/// What the Host does before its routes are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryAnswer {
    /// Whether the request counts as secure.
    pub secure: bool,
    /// `route`, `redirect` or `reject`.
    pub action: String,
}

/// A route whose hostname and path fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Those that share it: `mapping/apps/quote`.
    pub objects: Vec<String>,
    pub hostname: String,
    pub path: PathView,
    pub precedence: i32,
    pub conditions: ConditionsView,
    pub verdict: Verdict,
}

/// The first rule that decided about a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Taken,
    /// A condition does not hold: `method`, `headers` or `query`.
    Failed(String),
    /// It stands behind the one that has the request.
    Lost(Lost),
}

/// By which part of the rank a route stands behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lost {
    #[serde(rename_all = "camelCase")]
    Precedence {
        own: i32,
        winner: i32,
    },
    ShorterPath {
        own: usize,
        winner: usize,
    },
    NotExact,
    /// Less text in hostname, method and header conditions.
    FewerHeaders {
        own: usize,
        winner: usize,
    },
    FewerQueries {
        own: usize,
        winner: usize,
    },
    /// Everything that counts is equal: the order of the texts decides.
    Order,
}

impl Lost {
    /// None when `rank` does not stand behind `winner`.
    pub fn between(winner: &Rank, rank: &Rank) -> Option<Self> {
        if rank >= winner {
            return None;
        }
        Some(if rank.precedence != winner.precedence {
            Self::Precedence {
                own: rank.precedence,
                winner: winner.precedence,
            }
        } else if rank.path_length != winner.path_length {
            Self::ShorterPath {
                own: rank.path_length,
                winner: winner.path_length,
            }
        } else if rank.exact != winner.exact {
            Self::NotExact
        } else if rank.header_weight != winner.header_weight {
            Self::FewerHeaders {
                own: rank.header_weight,
                winner: winner.header_weight,
            }
        } else if rank.query_weight != winner.query_weight {
            Self::FewerQueries {
                own: rank.query_weight,
                winner: winner.query_weight,
            }
        } else {
            Self::Order
        })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Precedence { own, winner } => write!(f, "lower precedence ({own} < {winner})"),
            Self::ShorterPath { own, winner } => write!(f, "shorter path ({own} < {winner})"),
            Self::NotExact => f.write_str("an exact path goes before"),
            Self::FewerHeaders { own, winner } => write!(
                f,
                "less said about host, method and headers ({own} < {winner})"
            ),
            Self::FewerQueries { own, winner } => {
                write!(f, "less said about the query ({own} < {winner})")
            }
            Self::Order => f.write_str("equal in all that counts: the order of names decides"),
        }
    }
}

/// What is done with the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// No Listener takes such a connection.
    NoListener,
    /// The TLS handshake ends with an alert.
    NoHandshake,
    /// A TCPMapping has the connection, and every request in it.
    Connection { members: Vec<TcpMemberView> },
    /// No TCPMapping takes such a connection, and it is closed.
    NoConnection,
    /// The Listener serves HTTP to such a connection.
    OnlyRequests,
    /// 400.
    BadRequest { why: String },
    /// 421: the connection was made for another Host.
    Misdirected,
    /// 404: no Host has the authority.
    NoHost,
    /// 404: insecure, and the Host rejects that.
    Rejected,
    /// 301 to https.
    RedirectToHttps { location: String },
    /// 404: no route matches.
    NoRoute,
    /// 404: a route matches, and none of its members gets anything.
    NoShare { members: Vec<MemberAnswer> },
    /// One of these, by their shares.
    Route { members: Vec<MemberAnswer> },
}

/// One of those that share a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberAnswer {
    /// `mapping/apps/quote`.
    pub id: String,
    pub percent: u64,
    /// What is done with the request, and how.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyAnswer>,
    pub action: ActionView,
    pub upstream: Option<UpstreamView>,
    /// The path that the upstream gets.
    pub path: Option<String>,
    /// Why it answers 400 instead.
    pub bad_request: Option<String>,
}

impl Answer {
    pub(super) fn new(asked: &Asked, authority: &Authority<'_>) -> Self {
        Self {
            method: asked.method.to_string(),
            authority: authority.to_string(),
            path: asked.path().to_owned(),
            listener: None,
            sni: None,
            handshake: None,
            secured_by: None,
            connection: None,
            host: None,
            entry: None,
            region: None,
            candidates: Vec::new(),
            policies: Vec::new(),
            outcome: Outcome::NoListener,
        }
    }

    pub(super) fn ends(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }
}

impl Outcome {
    /// The status that the client sees, where Postern itself decides it; none when an upstream does, or no request comes through.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NoListener
            | Self::NoHandshake
            | Self::Connection { .. }
            | Self::NoConnection
            | Self::OnlyRequests => None,
            Self::BadRequest { .. } => Some(400),
            Self::Misdirected => Some(421),
            Self::NoHost | Self::Rejected | Self::NoRoute | Self::NoShare { .. } => Some(404),
            Self::RedirectToHttps { .. } => Some(301),
            Self::Route { members } => {
                let mut serving = members.iter().filter(|member| member.percent > 0);
                let only = serving.next()?;
                if serving.next().is_some() {
                    return None;
                }
                only.status()
            }
        }
    }
}

impl MemberAnswer {
    /// As [`Outcome::status`].
    pub fn status(&self) -> Option<u16> {
        match &self.action {
            _ if self.bad_request.is_some() => Some(400),
            ActionView::Forward(_) => None,
            ActionView::Redirect(redirect) => Some(redirect.status),
            ActionView::Fail(_) => Some(503),
        }
    }
}
