//! Connections that are not HTTP: which TCPMapping takes one, by the name that its TLS handshake asks for.
//!
//! ```text
//! Listener ─ only TCP ───────────────────────────> any
//!          ─ TLS: ClientHello ─ name ─> by_name ─┬─> TcpRoute ─ weight ─> TcpMember
//!                                       nothing ─┴─> any, or HTTP with the certificates of the Hosts
//! ```

use std::{sync::Arc, time::Duration};

use super::{Fail, HostTable, RouteId, ServerTls, Upstream, route::pick};

/// What a Listener does with connections that are not HTTP.
#[derive(Clone, Debug, Default)]
pub struct TcpTable {
    /// By the name that a handshake asks for. None keeps a name that others have claimed out of a wildcard, and of `any`.
    pub by_name: HostTable<Option<Arc<TcpRoute>>>,
    /// For connections that ask for no name that is found.
    pub any: Option<Arc<TcpRoute>>,
}

/// TCPMappings with the same port and host, sharing its connections by weight.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRoute {
    pub client_tls: ClientTls,
    /// What TLS that ends here is spoken with, where no Host has the name.
    pub tls: Option<Arc<ServerTls>>,
    pub members: Box<[TcpMember]>,
}

/// What becomes of the TLS of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTls {
    /// Nothing is known of it, and every byte is passed on.
    Untouched,
    /// It ends here.
    Terminate,
}

/// One TCPMapping of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpMember {
    pub id: RouteId,
    /// Its part of the sum over all members; 0 gets nothing.
    pub share: u32,
    pub action: TcpAction,
}

/// What is done with a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum TcpAction {
    Forward(TcpForward),
    /// It is closed.
    Fail(Fail),
}

/// Bytes go both ways, to this upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpForward {
    pub upstream: Arc<Upstream>,
    /// Without a byte in either direction.
    pub idle_timeout: Duration,
}

impl TcpTable {
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.any.is_none()
    }

    /// The route for the name that a handshake asks for.
    pub fn named(&self, sni: Option<&str>) -> Option<&Arc<TcpRoute>> {
        self.of_name(sni)?.as_ref()
    }

    /// The same where there is nothing but TCPMappings.
    pub fn route(&self, sni: Option<&str>) -> Option<&Arc<TcpRoute>> {
        self.of_name(sni).unwrap_or(&self.any).as_ref()
    }

    fn of_name(&self, sni: Option<&str>) -> Option<&Option<Arc<TcpRoute>>> {
        match sni {
            Some(name) => self.by_name.best_by_name(name),
            None => self.by_name.any(),
        }
    }

    /// Every route.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<TcpRoute>> {
        self.by_name.iter().flatten().chain(&self.any)
    }

    /// Everywhere that connections may be sent.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let members = self.routes().flat_map(|route| route.members.iter());
        members.filter_map(|member| match &member.action {
            TcpAction::Forward(forward) => Some(&forward.upstream),
            TcpAction::Fail(_) => None,
        })
    }
}

impl PartialEq for TcpTable {
    fn eq(&self, other: &Self) -> bool {
        self.any == other.any && self.by_name.entries().eq(other.by_name.entries())
    }
}

impl TcpRoute {
    /// The member that takes a connection: by weight, from an even random number. None when no member gets anything.
    pub fn member(&self, random: u64) -> Option<&TcpMember> {
        pick(&self.members, |member| member.share, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::HostPattern;

    fn route(name: &str, shares: &[u32]) -> Arc<TcpRoute> {
        let member = |(number, share): (usize, &u32)| TcpMember {
            id: RouteId(format!("{name}/{number}").into()),
            share: *share,
            action: TcpAction::Fail(Fail { code: 3002 }),
        };
        Arc::new(TcpRoute {
            client_tls: ClientTls::Untouched,
            tls: None,
            members: shares.iter().enumerate().map(member).collect(),
        })
    }

    #[test]
    fn the_most_specific_name_has_a_connection_and_what_is_claimed_is_kept_out() {
        let pattern = |text: &str| text.parse::<HostPattern>().unwrap();
        let table = TcpTable {
            by_name: HostTable::from_iter([
                (pattern("*.example.com"), Some(route("wild", &[1]))),
                (pattern("db.example.com"), Some(route("db", &[1]))),
                (pattern("shop.example.com"), None),
            ]),
            any: Some(route("any", &[1])),
        };
        let found = |sni| {
            table
                .named(sni)
                .map(|route| route.members[0].id.to_string())
        };
        assert_eq!(found(Some("db.example.com")).as_deref(), Some("db/0"));
        assert_eq!(found(Some("x.example.com")).as_deref(), Some("wild/0"));
        assert_eq!(found(Some("shop.example.com")), None);
        assert_eq!(found(Some("example.com")), None);
        assert_eq!(found(None), None);
        let whole = |sni| {
            let route = table.route(sni);
            route.map(|route| route.members[0].id.to_string())
        };
        assert_eq!(whole(Some("db.example.com")).as_deref(), Some("db/0"));
        assert_eq!(whole(Some("shop.example.com")), None);
        assert_eq!(whole(Some("example.com")).as_deref(), Some("any/0"));
        assert_eq!(whole(None).as_deref(), Some("any/0"));
        assert_eq!(table.routes().count(), 3);
    }

    #[test]
    fn connections_are_shared_as_the_weights_say() {
        let route = route("a", &[0, 30, 70]);
        let mut counts = [0; 3];
        for step in 0..1000_u64 {
            let member = route.member(step * (u64::MAX / 1000)).unwrap();
            counts[route.members.iter().position(|one| one == member).unwrap()] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!((299..=301).contains(&counts[1]), "{counts:?}");
        assert!(super::tests::route("b", &[0]).member(7).is_none());
    }
}
