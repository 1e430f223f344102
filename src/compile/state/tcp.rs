//! TCPMappings, which are linked when everything that they look at is there.

use std::sync::Arc;

use super::State;
use crate::{
    compile::{
        Options,
        reports::Pass,
        tcp::{self, Known, Linking, behind::Shape},
        touched::Touched,
        upstream::Resolver,
    },
    graph::Listener,
    resource::ResourceSet,
};

impl State {
    /// Gives the Listeners the TCPMappings that there are now. Adds the Mappings that may be behind others than before.
    pub(super) fn link_tcp(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
        touched: &mut Touched,
    ) {
        let resolver = Resolver {
            options,
            settings: &self.settings,
            cluster: &self.cluster,
            contexts: &self.contexts,
        };
        let linking = Linking {
            options,
            settings: &self.settings,
            claims: &self.claims,
            routing: &self.routing,
            hosts: &self.hosts,
            listeners: &self.linked.listeners,
            are_claims_untold: self.claims_untold,
            resolver,
        };
        let mut known = Known {
            upstreams: &mut self.upstreams,
            interner: &mut self.interner,
        };
        let mut linked = tcp::link(&resources.tcp_mappings, &linking, &mut known);
        for listener in &mut self.linked.listeners {
            let tcp = linked.tables.remove(&listener.port).unwrap_or_default();
            if listener.tcp != tcp {
                let before = Listener::clone(listener);
                *listener = Arc::new(Listener { tcp, ..before });
            }
        }
        self.reports.replace(Pass::Tcp, linked.reports.into_iter());
        let shapes = self.linked.listeners.iter();
        let shapes: Vec<_> = shapes.map(|listener| Shape::of(listener)).collect();
        if shapes != self.behind {
            self.behind = shapes;
            touched.extend(self.mappings.keys());
        }
        self.report_hosts();
    }
}
