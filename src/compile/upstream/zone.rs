//! The zones that the endpoints of an upstream are meant for: a Service with `trafficDistribution` has them in its EndpointSlices.

use std::sync::Arc;

use super::{Dial, DialPlan, Place, Resolver, ServiceHost};
use crate::{
    compile::mapping::BalancePlan,
    graph::{Target, zone::Hints},
    resource::ObjectKey,
};

impl Resolver<'_> {
    /// None where requests go to all endpoints: as hints are not there for each of them, or a hash chooses.
    pub(super) fn zones(
        &self,
        from: &ObjectKey,
        plan: &DialPlan,
        dial: &Dial,
        balance: &BalancePlan,
    ) -> Option<Hints> {
        let Target::Addresses(addresses) = &dial.target else {
            return None;
        };
        if !dial.by_endpoint || matches!(balance, BalancePlan::Hash(..)) {
            return None;
        }
        let ServiceHost::Name(name) = plan.dialled() else {
            return None;
        };
        let Place::Service(service) = self.place(name, &from.namespace) else {
            return None;
        };
        let zones = |ip| {
            let slices = self.cluster.slices(&service);
            let found = slices.filter_map(move |slice| slice.zones.get(&ip));
            let mut zones: Vec<Arc<str>> = found.flatten().cloned().collect();
            zones.sort_unstable();
            zones.dedup();
            zones.into_boxed_slice()
        };
        let mut of = Vec::with_capacity(addresses.len());
        for address in addresses.iter() {
            let zones = zones(address.ip());
            // As a rule nobody has any: then the first one says so.
            if zones.is_empty() {
                return None;
            }
            of.push(zones);
        }
        Hints::new(of)
    }
}
