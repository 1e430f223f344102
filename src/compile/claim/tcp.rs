//! Claims on what is not HTTP: ports, and hostnames as the names that TLS handshakes ask for (design D4).

use std::collections::BTreeMap;

use super::{Claim, ClaimReport, Claims, Part, Say, covers};
use crate::{
    compile::{age, finding::Findings, safety::share_a_name},
    graph::HostPattern,
    report::Code,
};

/// Whose each claimed port is: the position of the claim in the list.
pub(super) type Ports = BTreeMap<u16, usize>;

/// A port that a claim asks for and an older one has.
pub(super) struct Lost {
    claim: usize,
    port: u16,
    winner: usize,
}

/// The ports that a claim asks for.
fn asked(report: &ClaimReport) -> Vec<u16> {
    // What is out of range has a finding of the schema.
    let ports = report.object.spec.ports.iter().flatten();
    let ports = ports.filter_map(|port| u16::try_from(*port).ok());
    ports.filter(|port| *port > 0).collect()
}

/// Gives each port to the oldest claim that asks for it.
pub(super) fn settle(reports: &mut [ClaimReport]) -> (Ports, Vec<Lost>) {
    let (mut ports, mut lost) = (Ports::new(), Vec::new());
    let mut order: Vec<_> = (0..reports.len()).collect();
    order.sort_by(|a, b| age(&reports[*a].object).cmp(&age(&reports[*b].object)));
    for claim in order {
        for port in asked(&reports[claim]) {
            let winner = *ports.entry(port).or_insert(claim);
            if winner == claim {
                reports[claim].serves.push(format!(":{port}"));
            } else {
                lost.push(Lost {
                    claim,
                    port,
                    winner,
                });
            }
        }
    }
    (ports, lost)
}

/// Says who has the ports that a claim does not get.
pub(super) fn tell(lost: &[Lost], claims: &[Claim], reports: &mut [ClaimReport]) {
    for Lost {
        claim,
        port,
        winner,
    } in lost
    {
        let report = &mut reports[*claim];
        let code = if report.serves.is_empty() {
            Code::ClaimConflict
        } else {
            Code::PartlyClaimed
        };
        report.findings.push(
            code,
            "spec.ports",
            format!(
                "RouteClaim {} is older and claims port {port}",
                claims[*winner].name
            ),
            "Claim another port, or have the namespaces added to that claim",
        );
    }
}

impl Claims {
    /// The claim on a port.
    pub(in crate::compile) fn on_port(&self, port: u16) -> Option<&Claim> {
        self.list.get(*self.ports.get(&port)?)
    }

    /// What claims say to a namespace that asks for the connections to these names. They hold the requests for every path, so
    /// whoever has claimed one of the paths has a say.
    pub(in crate::compile) fn say_of_connections(
        &self,
        namespace: &str,
        pattern: &HostPattern,
    ) -> Say<'_> {
        let mut say = Say::Nothing;
        for host in self.covering(pattern) {
            for cell in self.cells.get(host).into_iter().flatten() {
                let Some(claim) = self.list.get(cell.claim) else {
                    continue;
                };
                if !claim.owners.contains(namespace) {
                    let part = if cell.path.is_empty() {
                        Part::All
                    } else {
                        Part::SomePaths
                    };
                    return Say::No(claim, part);
                }
                say = Say::Yes;
                if cell.path.is_empty() {
                    return say;
                }
            }
        }
        say
    }

    /// Hostnames with names of a wildcard's, of which a namespace has not claimed everything that is claimed; each with the claim
    /// of somebody else.
    pub(in crate::compile) fn kept_from<'c>(
        &'c self,
        namespace: &'c str,
        pattern: &'c HostPattern,
    ) -> impl Iterator<Item = (&'c HostPattern, &'c Claim)> {
        let inside = self
            .hosts
            .iter()
            .filter(move |host| share_a_name(host, pattern) && !covers(&host.name, &pattern.name));
        inside.filter_map(move |host| match self.say_of_connections(namespace, host) {
            Say::No(claim, _) => Some((host, claim)),
            Say::Yes | Say::Nothing => None,
        })
    }

    /// Hostnames whose names are all of a wildcard's, and not all that it has, of which a namespace has claimed everything that is
    /// claimed.
    pub(in crate::compile) fn owned_within<'c>(
        &'c self,
        namespace: &'c str,
        pattern: &'c HostPattern,
    ) -> impl Iterator<Item = &'c HostPattern> {
        let inside = self.hosts.iter().filter(move |host| {
            covers(&pattern.name, &host.name) && !covers(&host.name, &pattern.name)
        });
        inside.filter(move |host| matches!(self.say_of_connections(namespace, host), Say::Yes))
    }
}

impl Claim {
    /// Says that connections belong to others.
    pub(in crate::compile) fn refuse_connections(
        &self,
        field: &str,
        names: &str,
        part: Part,
        namespace: &str,
        findings: &mut Findings,
    ) {
        let owner = self.owner();
        let message = match part {
            Part::All => format!("{names} belongs to {owner}"),
            Part::SomePaths => format!(
                "Some paths of {names} belong to {owner}, and a connection holds the requests for all of them"
            ),
        };
        findings.push(Code::ClaimedByOthers, field, message, self.next(namespace));
    }
}
