//! How endpoints are chosen: what a Mapping asks for, as far as it can be had.

use std::sync::Arc;

use super::{Dial, Findings};
use crate::{
    compile::mapping::{BalancePlan, DialPlan, HashTable},
    graph::{
        Balance, Target, Upstream,
        balance::{Hashed, Maglev, Ring, Table},
    },
    report::Code,
};

/// The policy in force; None, with a finding, when the Mapping asks for one that needs endpoints, and there are none to choose from.
pub(super) fn plan(
    plan: &DialPlan,
    dial: Option<&Dial>,
    findings: &mut Findings,
) -> Option<BalancePlan> {
    let asked = &plan.endpoints;
    let dial = dial?;
    if asked.routing_said && asked.routing == super::Routing::Endpoints && !dial.by_endpoint {
        findings.push(
            Code::NoEffect,
            "spec.resolver",
            format!("{} is not a Service, so it has no endpoints", dial.host),
            "Remove the field, or name a Service",
        );
    }
    if dial.by_endpoint {
        return Some(asked.balance.clone());
    }
    // The default of the installation is for those that have endpoints.
    if !asked.balance_said {
        return Some(BalancePlan::RoundRobin);
    }
    let policy = match &asked.balance {
        BalancePlan::RoundRobin => return Some(BalancePlan::RoundRobin),
        BalancePlan::LeastRequest => "least_request",
        BalancePlan::Hash(HashTable::Ring, _) => "ring_hash",
        BalancePlan::Hash(HashTable::Maglev, _) => "maglev",
    };
    findings.push(
        Code::EndpointsNeeded,
        "spec.loadBalancer",
        format!(
            "The policy {policy} chooses among endpoints, and {} is dialled by one address or name",
            dial.host
        ),
        "Add `resolver: endpoint` beside a `service` that names a Service, or remove the policy",
    );
    None
}

/// Adds to an id what tells apart the ways of choosing.
pub(super) fn name(balance: &BalancePlan, id: &mut String) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = match balance {
        BalancePlan::RoundRobin => Ok(()),
        BalancePlan::LeastRequest => write!(id, " least_request"),
        BalancePlan::Hash(HashTable::Ring, by) => write!(id, " ring_hash={by}"),
        BalancePlan::Hash(HashTable::Maglev, by) => write!(id, " maglev={by}"),
    };
}

/// Makes the table for the endpoints; the one of before, if they are the same.
pub(super) fn tabulate(
    balance: BalancePlan,
    target: &Target,
    known: Option<&Arc<Upstream>>,
) -> Balance {
    let (table, by) = match balance {
        BalancePlan::RoundRobin => return Balance::RoundRobin,
        BalancePlan::LeastRequest => return Balance::LeastRequest,
        BalancePlan::Hash(table, by) => (table, by),
    };
    if let Some(known) = known.filter(|known| known.target == *target) {
        return known.balance.clone();
    }
    // What stands in for endpoints in a folder is one for all requests.
    let endpoints = match target {
        Target::Addresses(addresses) => &**addresses,
        Target::Dns { .. } | Target::Echo { .. } => &[],
    };
    Balance::Hash(Arc::new(Hashed {
        by,
        table: match table {
            HashTable::Ring => Table::Ring(Ring::of(endpoints)),
            HashTable::Maglev => Table::Maglev(Maglev::of(endpoints)),
        },
    }))
}
