//! What may be dialled: the last look at an address, whatever name led to it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Which addresses may be dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialPolicy {
    /// In a cluster loopback, link-local and the own pod's addresses are refused.
    pub in_cluster: bool,
    /// ClusterIPs, endpoint addresses of the cluster and those of the own pod: an external name must not lead to them.
    pub cluster_addresses: Arc<BTreeSet<IpAddr>>,
}

/// How an address was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// It stands in the graph.
    Graph,
    /// A name outside led to it.
    Dns,
}

impl DialPolicy {
    /// Whether `address` may be dialled.
    pub fn permits(&self, address: IpAddr, source: AddressSource) -> bool {
        let address = stands_for(address);
        if source == AddressSource::Dns && self.cluster_addresses.contains(&address) {
            return false;
        }
        !self.in_cluster || !is_local(address)
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:0:0/96`), compatible (`::/96`, of old), translated
/// (`64:ff9b::/96`, RFC 6052) or tunnelled (`2002::/16`, RFC 3056). Other addresses are themselves.
pub fn stands_for(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Whether an address leads to this machine, its link, or to nobody in particular.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => is_local_v6(v6),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let this_network = address.octets().first() == Some(&0);
    this_network
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    address.is_unspecified()
        || address.is_loopback()
        || address.is_unicast_link_local()
        || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER_IP: &str = "10.96.0.10";
    const CLUSTER_IP_V6: &str = "fd00:10:96::a";

    fn policy(in_cluster: bool) -> DialPolicy {
        let addresses = [CLUSTER_IP, CLUSTER_IP_V6].map(|text| text.parse().unwrap());
        DialPolicy {
            in_cluster,
            cluster_addresses: Arc::new(BTreeSet::from(addresses)),
        }
    }

    #[test]
    fn in_a_cluster_only_addresses_of_others_are_dialled() {
        let local = [
            "127.0.0.1",
            "127.0.0.53",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "0.255.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fe80::ffff:a",
            "febf::1",
            "ff02::1",
            "ff05::2",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "::ffff:169.254.169.254",
            "::ffff:224.0.0.1",
            "::ffff:255.255.255.255",
            "::127.0.0.1",
            "::169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ];
        let others = [
            "10.0.0.1",
            "10.96.0.10",
            "172.16.5.4",
            "192.168.1.1",
            "100.64.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "1.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "203.0.113.9",
            "223.255.255.255",
            "2001:db8::1",
            "fd00:10:96::a",
            "fc00::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::2:0:0:1",
            "64:ff9b::10.0.0.1",
            "2002:0a00:0001::1",
        ];
        for (texts, permitted) in [(&local[..], false), (&others[..], true)] {
            for text in texts {
                let address = text.parse().unwrap();
                let answer = policy(true).permits(address, AddressSource::Graph);
                assert_eq!(answer, permitted, "{text}");
                assert!(
                    policy(false).permits(address, AddressSource::Graph),
                    "{text} on a laptop"
                );
            }
        }
    }

    #[test]
    fn a_name_outside_does_not_lead_into_the_cluster() {
        let spellings = [
            CLUSTER_IP,
            CLUSTER_IP_V6,
            "::ffff:10.96.0.10",
            "::10.96.0.10",
            "64:ff9b::10.96.0.10",
            "2002:0a60:000a::1",
        ];
        for text in spellings {
            let address = text.parse().unwrap();
            for in_cluster in [true, false] {
                let policy = policy(in_cluster);
                assert!(!policy.permits(address, AddressSource::Dns), "{text}");
                assert!(policy.permits(address, AddressSource::Graph), "{text}");
            }
        }
        let outside = "203.0.113.9".parse().unwrap();
        assert!(policy(true).permits(outside, AddressSource::Dns));
    }
}
