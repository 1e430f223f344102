//! What listens in a pod: what the documents list, and nothing else.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{cluster::shared, process::gateways};
use crate::client::Request;

/// Of the listeners by default, and those of the page on security.
const DOCUMENTED: [u16; 4] = [8080, 8443, 8877, 8878];
const LOOPBACK_ONLY: u16 = 8878;

/// A listening socket in `/proc/PID/net/tcp` or `tcp6`: whether it is on loopback, and its port.
fn listening(table: &str) -> BTreeSet<(bool, u16)> {
    let mut found = BTreeSet::new();
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, "0A", ..] = fields[..] else {
            continue;
        };
        let (address, port) = local.rsplit_once(':').unwrap();
        let port = u16::from_str_radix(port, 16).unwrap();
        let is_loopback =
            address == "0100007F" || address.ends_with("0100007F") || address.ends_with("01000000");
        found.insert((is_loopback, port));
    }
    found
}

#[test]
fn a_pod_listens_on_nothing_but_the_documented_ports() {
    let _cluster = shared();
    let gateways = gateways();
    assert!(gateways.len() >= 2, "both must run: {gateways:?}");
    for gateway in gateways {
        for protocol in ["udp", "udp6"] {
            let table = gateway.network_table(protocol);
            assert_eq!(table.lines().count(), 1, "{protocol}: {table}");
        }
        let tables = ["tcp", "tcp6"].map(|protocol| gateway.network_table(protocol));
        let sockets: BTreeSet<_> = tables.iter().flat_map(|table| listening(table)).collect();
        let ports: BTreeSet<_> = sockets.iter().map(|(_, port)| *port).collect();
        assert_eq!(ports, BTreeSet::from(DOCUMENTED), "{sockets:?}");
        for (is_loopback, port) in sockets {
            assert_eq!(
                is_loopback,
                port == LOOPBACK_ONLY,
                "diagnostics, and nothing else, are on loopback: port {port}"
            );
        }
    }
}

#[test]
fn the_health_port_shows_health_and_metrics_and_nothing_else() {
    let cluster = shared();
    let pods = cluster.get(&["pods", "-n", "postern"]);
    let address = pods["items"][0]["status"]["podIP"].as_str().unwrap();
    let port: SocketAddr = format!("{address}:8877").parse().unwrap();
    let paths = [
        ("/ready", 200),
        ("/live", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/graph", 404),
        ("/report", 404),
        ("/why?url=http://x/", 404),
        ("/certificates", 404),
        ("/config", 404),
        ("/debug/pprof", 404),
    ];
    for (path, status) in paths {
        let url = format!("http://{port}{path}");
        let answer = cluster.inside(|| Request::get(&url).try_send(port));
        assert_eq!(answer.unwrap().status, status, "{path}");
    }
}
