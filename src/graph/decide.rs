//! From a connection and the head of a request to what is done with it: certificate, virtual host, insecure action, route and
//! member. Pure: what is random or comes from a socket is handed in.
//!
//! ```text
//! handshake:  SNI ─> Handshake
//! request:    authority ─> HostChoice ─ secure? ─> Entry ─> Route ─ weight ─> Member
//! ```

use std::{net::IpAddr, sync::Arc};

use super::{
    Action, Authority, CanonicalPath, ClientCertificates, Fail, Graph, HostTls, InsecureAction,
    Listener, RequestPolicy, Route, SecurityModel, ServerTls, VirtualHost,
    listener::ACME_PREFIX,
    matching::{Explain, HeadView, Target},
    route::{Member, pick},
};

/// What is known of a connection before its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'c> {
    pub tls: bool,
    /// Lower case, without a trailing dot.
    pub sni: Option<&'c str>,
    /// Whether forwarding headers of the peer count: see [`Listener::trusts`].
    pub trusted: bool,
    /// The digest of what was asked of the client's certificate, and of what it therefore has satisfied.
    pub shown: Option<&'c str>,
}

/// What the virtual host is chosen by, and what its routes see beside the head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub connection: Connection<'r>,
    pub authority: &'r Authority<'r>,
    pub path: &'r CanonicalPath<'r>,
    pub query: Option<&'r str>,
    /// The value of X-Forwarded-Proto as it came.
    pub forwarded_proto: Option<&'r [u8]>,
}

/// What a TLS handshake gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake<'g> {
    Certificate(&'g Arc<ServerTls>),
    /// No Host has this name, or it has no certificate: the alert `unrecognized_name`.
    Unrecognized,
    /// The Host's certificate cannot be used: an alert; no other certificate stands in.
    Broken(Fail),
}

/// Whose routes a request gets.
#[derive(Clone, Copy, Debug)]
pub enum HostChoice<'g> {
    Host(&'g Arc<VirtualHost>),
    /// No Host for this authority: 404.
    None,
    /// The connection was made for another Host: 421.
    Misdirected,
}

/// What the Host does with a request before its routes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Route,
    /// 301 to https.
    Redirect,
    /// 301 to https, if a route matches.
    RedirectMatched,
    /// 404.
    NotFound,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'g> {
    /// 421.
    Misdirected,
    /// 404: no Host for the authority.
    NoHost,
    /// 404: insecure, and the Host rejects that.
    Rejected(&'g Arc<VirtualHost>),
    /// 301 to [`https_location`].
    RedirectToHttps(&'g Arc<VirtualHost>),
    /// 404: the Host has no route that matches.
    NoRoute(&'g Arc<VirtualHost>),
    Route {
        host: &'g Arc<VirtualHost>,
        route: &'g Arc<Route>,
    },
}

/// Decides what is done with a request that came in on `listener`.
pub fn decide<'g, E: Explain>(
    listener: &'g Listener,
    request: &Request<'_>,
    head: &impl HeadView,
    explain: &mut E,
) -> Decision<'g> {
    let choice = listener.host(request.connection, request.authority);
    explain.host(&choice);
    let host = match choice {
        HostChoice::Host(host) => host,
        HostChoice::None => return Decision::NoHost,
        HostChoice::Misdirected => return Decision::Misdirected,
    };
    let secure = listener.is_secure(request.connection, request.forwarded_proto);
    let entry = host.entry(secure, request.path.as_str());
    explain.entry(secure, entry);
    match entry {
        Entry::Redirect => return Decision::RedirectToHttps(host),
        Entry::NotFound => return Decision::Rejected(host),
        Entry::Route | Entry::RedirectMatched => {}
    }
    let target = Target {
        host: request.authority.host(),
        port: request.authority.port(),
        path: request.path.as_str(),
        query: request.query,
    };
    match host.routes.find(&target, head, explain) {
        Some(_) if entry == Entry::RedirectMatched => Decision::RedirectToHttps(host),
        Some(route) => Decision::Route { host, route },
        None => Decision::NoRoute(host),
    }
}

/// Where an insecure request is redirected to: the same host, path and query. A port other than that of http is kept.
pub fn https_location(authority: &Authority<'_>, path: &str, query: Option<&str>) -> String {
    let port = authority.port().filter(|port| !matches!(port, 80 | 443));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    format!("https://{}{port}{path}{mark}{query}", authority.host())
}

impl Graph {
    pub fn listener(&self, port: u16) -> Option<&Arc<Listener>> {
        let found = self
            .listeners
            .binary_search_by_key(&port, |listener| listener.port);
        found.ok().map(|position| &self.listeners[position])
    }
}

impl Listener {
    /// What a TLS handshake gets; without SNI what the Host for `*` has.
    pub fn handshake(&self, sni: Option<&str>) -> Handshake<'_> {
        match self.host_by_name(sni).map(|host| &host.tls) {
            Some(HostTls::Certificate(certificate)) => Handshake::Certificate(certificate),
            Some(HostTls::Broken(fail)) => Handshake::Broken(*fail),
            Some(HostTls::None) | None => Handshake::Unrecognized,
        }
    }

    /// The digest of what a handshake asks of the client's certificate.
    pub fn asks(&self, sni: Option<&str>) -> Option<&str> {
        let host = self.host_by_name(sni)?;
        host.tls.asks().map(|clients| &*clients.digest)
    }

    /// Whether forwarding headers of this peer count.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.l7_depth > 0
            && self
                .trusted_proxies
                .iter()
                .any(|proxies| proxies.contains(&peer))
    }

    /// The Host of a request. On TLS it must be the one that the handshake named (RFC 9110, section 15.5.20): a client
    /// that has shown itself to one Host has not shown itself to another, nor to the same one when it asks for more
    /// than it did.
    pub fn host(&self, connection: Connection<'_>, authority: &Authority<'_>) -> HostChoice<'_> {
        if connection.tls && connection.sni != Some(authority.host()) {
            let named = self.host_by_name(connection.sni);
            let asked = self.host_by_name(Some(authority.host()));
            if named.map(|host| &host.id) != asked.map(|host| &host.id) {
                return HostChoice::Misdirected;
            }
        }
        match self.hosts.best(authority.host(), authority.port()) {
            Some(host) if connection.tls && !host.tls.is_satisfied(connection.shown) => {
                HostChoice::Misdirected
            }
            Some(host) => HostChoice::Host(host),
            None => HostChoice::None,
        }
    }

    /// Whether a request counts as secure. A trusted peer says so itself, if it says anything.
    pub fn is_secure(&self, connection: Connection<'_>, forwarded_proto: Option<&[u8]>) -> bool {
        match self.security {
            SecurityModel::Secure => true,
            SecurityModel::Insecure => false,
            SecurityModel::Xfp => match forwarded_proto {
                Some(protocols) if connection.trusted => {
                    // Of a list, every hop must have been secure.
                    let mut protocols = protocols.split(|byte| *byte == b',');
                    protocols.all(|hop| hop.trim_ascii().eq_ignore_ascii_case(b"https"))
                }
                _ => connection.tls,
            },
        }
    }

    /// The Host of the names that a handshake asks for.
    pub(super) fn host_by_name(&self, name: Option<&str>) -> Option<&Arc<VirtualHost>> {
        match name {
            Some(name) => self.hosts.best_by_name(name),
            None => self.hosts.any(),
        }
    }
}

impl HostTls {
    /// Whether a connection may be this Host's that has satisfied what has this digest.
    fn is_satisfied(&self, shown: Option<&str>) -> bool {
        match self.asks() {
            None => true,
            Some(clients) => shown == Some(&*clients.digest),
        }
    }

    /// What clients are asked for.
    pub fn asks(&self) -> Option<&Arc<ClientCertificates>> {
        match self {
            Self::Certificate(tls) => tls.clients.as_ref(),
            Self::None | Self::Broken(_) => None,
        }
    }
}

impl VirtualHost {
    /// What comes before the routes: the insecure action, and the hole in it for certificates yet to come.
    pub fn entry(&self, secure: bool, path: &str) -> Entry {
        if secure || path.starts_with(ACME_PREFIX) {
            return Entry::Route;
        }
        match self.insecure {
            InsecureAction::Route => Entry::Route,
            InsecureAction::Redirect => Entry::Redirect,
            InsecureAction::RedirectMatched => Entry::RedirectMatched,
            InsecureAction::Reject => Entry::NotFound,
        }
    }
}

impl Route {
    /// The member that takes a request: by weight, from an even random number. None when no member gets anything.
    pub fn member(&self, random: u64) -> Option<&Member> {
        pick(&self.members, |member| member.share, random)
    }
}

impl Member {
    /// Whether a path with `%2F` in it must be refused (400): a server behind may read it as a slash.
    pub fn refuses(&self, path: &CanonicalPath<'_>, policy: RequestPolicy) -> bool {
        path.has_escaped_slash()
            && !policy.allow_escaped_slashes
            && match &self.action {
                Action::Forward(forward) => !forward.allow_escaped_slashes,
                Action::Redirect(redirect) => !redirect.allow_escaped_slashes,
                Action::Fail(_) => false,
            }
    }
}

#[cfg(test)]
mod tests;
