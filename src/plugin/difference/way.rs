//! The ways in which requests come in: by which port, and whether they count as secure.

use std::{fmt, sync::Arc};

use super::witness::Witness;
use crate::graph::{
    Authority, Connection, Entry, Graph, Handshake, HostChoice, Listener, Route, SecurityModel,
    VirtualHost,
    matching::{Silent, Target},
};

/// A port, and what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) port: u16,
    pub(super) spoken: Spoken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spoken {
    Cleartext,
    Tls,
    /// Cleartext from a trusted proxy that says it was https before.
    Forwarded,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate<'g> {
    /// Nobody has a route for it.
    Nothing,
    /// The Host ends it before its routes are asked, and how.
    Ended(&'static str),
    Route(&'g Arc<Route>),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spoken {
            Spoken::Cleartext => write!(f, "cleartext on port {}", self.port),
            Spoken::Tls => write!(f, "TLS on port {}", self.port),
            Spoken::Forwarded => write!(f, "https through a proxy on port {}", self.port),
        }
    }
}

impl Way {
    /// All ways into a graph.
    pub(super) fn all(graph: &Graph) -> Vec<Self> {
        let of_listener = |listener: &Arc<Listener>| {
            let port = listener.port;
            let all = [Spoken::Cleartext, Spoken::Tls, Spoken::Forwarded];
            let taken = all.into_iter().filter(|spoken| takes(listener, *spoken));
            taken
                .map(|spoken| Self { port, spoken })
                .collect::<Vec<_>>()
        };
        graph.listeners.iter().flat_map(of_listener).collect()
    }

    fn connection<'w>(self, listener: &'w Listener, witness: &'w Witness) -> Connection<'w> {
        let tls = self.spoken == Spoken::Tls;
        Connection {
            tls,
            sni: tls.then_some(&*witness.host),
            trusted: self.spoken == Spoken::Forwarded,
            shown: listener.asks(Some(&witness.host)).filter(|_| tls),
        }
    }

    /// What a request that comes in this way gets from a graph.
    pub(super) fn fate<'g>(self, graph: &'g Graph, witness: &Witness) -> Fate<'g> {
        let Some((listener, host)) = self.host(graph, witness) else {
            return Fate::Nothing;
        };
        let connection = self.connection(listener, witness);
        if connection.tls && listener.tcp.named(Some(&witness.host)).is_some() {
            return Fate::Ended("a TCPMapping");
        }
        if connection.tls && !matches!(handshake(listener, witness), Handshake::Certificate(_)) {
            return Fate::Ended("no TLS");
        }
        let forwarded = connection.trusted.then_some(&b"https"[..]);
        let secure = listener.is_secure(connection, forwarded);
        let target = Target {
            host: &witness.host,
            port: witness.port,
            path: &witness.path,
            query: witness.query.as_deref(),
        };
        let found = || host.routes.find(&target, witness, &mut Silent);
        match host.entry(secure, &witness.path) {
            Entry::Redirect => Fate::Ended("301 to https"),
            Entry::NotFound => Fate::Ended("404 without TLS"),
            Entry::RedirectMatched if found().is_some() => Fate::Ended("301 to https"),
            Entry::RedirectMatched => Fate::Nothing,
            Entry::Route => found().map_or(Fate::Nothing, Fate::Route),
        }
    }

    /// The Host that has the request.
    pub(super) fn host<'g>(
        self,
        graph: &'g Graph,
        witness: &Witness,
    ) -> Option<(&'g Listener, &'g VirtualHost)> {
        let listener = graph
            .listener(self.port)
            .filter(|listener| takes(listener, self.spoken))?;
        let port = witness
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let authority = format!("{}{port}", witness.host);
        let authority = Authority::parse(&authority).ok()?;
        match listener.host(self.connection(listener, witness), &authority) {
            HostChoice::Host(host) => Some((listener, host)),
            HostChoice::None | HostChoice::Misdirected => None,
        }
    }

    /// Whether a request that comes in this way is one that the Host's insecure action is about.
    pub(super) fn is_insecure(self, listener: &Listener, witness: &Witness) -> bool {
        self.spoken == Spoken::Cleartext
            && !listener.is_secure(self.connection(listener, witness), None)
    }
}

pub(super) fn handshake<'g>(listener: &'g Listener, witness: &Witness) -> Handshake<'g> {
    listener.handshake(Some(&witness.host))
}

fn takes(listener: &Listener, spoken: Spoken) -> bool {
    match spoken {
        _ if !listener.http => false,
        Spoken::Tls => listener.tls,
        Spoken::Cleartext => listener.cleartext,
        Spoken::Forwarded => {
            listener.cleartext
                && listener.security == SecurityModel::Xfp
                && listener.l7_depth > 0
                && !listener.trusted_proxies.is_empty()
        }
    }
}
