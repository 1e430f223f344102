//! From which addresses requests are taken at all.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

/// A list for the whole installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether those on the list are let in, and nobody else; or the other way round.
    pub allow: bool,
    pub list: Arc<[Principal]>,
}

/// Addresses on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    pub whose: Whose,
    pub net: IpNet,
}

/// Which address is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of the connection.
    Peer,
    /// That of the client, as trusted proxies name it.
    Remote,
}

impl Access {
    pub fn permits(&self, peer: IpAddr, remote: IpAddr) -> bool {
        let listed = self.list.iter().any(|principal| {
            let address = match principal.whose {
                Whose::Peer => peer,
                Whose::Remote => remote,
            };
            // A socket of both families shows an IPv4 address as one of IPv6.
            principal.net.contains(&address.to_canonical())
        });
        listed == self.allow
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allow { "only" } else { "all but" })?;
        for Principal { whose, net } in self.list.iter() {
            let whose = match whose {
                Whose::Peer => "peer",
                Whose::Remote => "remote",
            };
            write!(f, " {whose}={net}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lets_in_or_keeps_out_by_either_address() {
        let on = |whose, net: &str| Principal {
            whose,
            net: net.parse().unwrap(),
        };
        let list: Arc<[Principal]> = [
            on(Whose::Peer, "10.0.0.0/8"),
            on(Whose::Remote, "2001:db8::/32"),
        ]
        .into();
        for (peer, remote, listed) in [
            ("10.1.2.3", "192.0.2.1", true),
            ("::ffff:10.1.2.3", "192.0.2.1", true),
            ("192.0.2.1", "2001:db8::1", true),
            ("192.0.2.1", "10.1.2.3", false),
            ("2001:db8::1", "192.0.2.1", false),
        ] {
            let permits = |allow| {
                let list = list.clone();
                let (peer, remote) = (peer.parse().unwrap(), remote.parse().unwrap());
                Access { allow, list }.permits(peer, remote)
            };
            assert_eq!(
                (permits(true), permits(false)),
                (listed, !listed),
                "{peer} {remote}"
            );
        }
        let nobody = Access {
            allow: true,
            list: Arc::new([]),
        };
        assert!(!nobody.permits([10, 0, 0, 1].into(), [10, 0, 0, 1].into()));
    }
}
