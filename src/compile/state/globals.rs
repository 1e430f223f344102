//! The passes over what there are few of: settings, claims, TLSContexts, Hosts and Listeners.

use std::collections::BTreeSet;

use super::{Dirty, State};
use crate::{
    compile::{
        Options,
        claim::Claims,
        cluster::{Affected, Cluster},
        context::Contexts,
        host, listener, policies,
        reports::{self, Pass, Place},
        secret::Secrets,
        seen::Changed,
        settings, settled, tcp, virtual_host,
    },
    report::{Code, Diagnostic, Settled},
    resource::ResourceSet,
};

impl State {
    /// The passes over what there are few of.
    pub(super) fn lower_globals(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
        changed: &Changed,
        renamed: bool,
    ) -> Dirty {
        let read = changed.settings || changed.unavailable || changed.claims;
        let settings = read && self.lower_settings(resources, options);
        let claims = (changed.claims || changed.namespaces || changed.unavailable || settings)
            && self.lower_claims(resources);
        let services = self.update_cluster(resources, options, changed, renamed);
        let cluster = services.is_none();
        let references = cluster || changed.tls || settings;
        let contexts = references && self.lower_contexts(resources, options);
        let hosts = references || changed.hosts;
        if hosts {
            self.lower_hosts(resources, options);
        }
        let listeners =
            changed.listeners || changed.tcp || settings || changed.settings || changed.unavailable;
        if listeners {
            self.listeners = listener::lower_all(resources, options, &self.settings);
            tcp::port::open(resources, options, &self.settings, &mut self.listeners);
        }
        let untold = self.are_claims_untold(resources);
        let untold = std::mem::replace(&mut self.claims_untold, untold) != untold;
        let scopes = virtual_host::scopes(&self.hosts);
        let scopes_changed = scopes != self.scopes;
        self.scopes = scopes;
        if references {
            let [by_contexts, by_hosts] = &self.wanted;
            let wanted = by_contexts.union(by_hosts).cloned().collect();
            self.certificates.retain(&wanted);
        }
        Dirty {
            settings,
            references: cluster || contexts || settings,
            services: services.unwrap_or_default(),
            scopes: scopes_changed,
            claims,
            hosts: hosts || listeners,
            untold,
        }
    }

    /// Whether claims may not be read, and there is no object of the platform to say so.
    fn are_claims_untold(&self, resources: &ResourceSet) -> bool {
        let listeners = self.listeners.iter();
        let mut in_force = listeners.filter_map(|listener| listener.object.as_ref());
        settings::are_claims_unread(resources)
            && !self.claims_told
            && !in_force.any(|object| self.settings.may_settle(&object.key.namespace))
    }

    /// What leads elsewhere now; None when that may be everything.
    fn update_cluster(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
        changed: &Changed,
        renamed: bool,
    ) -> Option<Affected> {
        let updated = if changed.namespaces
            || changed.unavailable
            || renamed && self.cluster.is_stale(resources, options)
        {
            None
        } else {
            let (services, slices) = (&changed.services, &changed.slices);
            self.cluster.update(services, slices, resources, options)
        };
        if updated.is_none() {
            self.cluster = Cluster::new(resources, options);
        }
        updated
    }

    /// Reads the settings and what counts as such; says whether they are others than before.
    fn lower_settings(&mut self, resources: &ResourceSet, options: &Options) -> bool {
        let (mut settings, found) = settings::read(resources, options, self.preset);
        let place = |in_graph| Place {
            in_graph,
            ..Place::default()
        };
        let is_told = |found: &Diagnostic| found.code == Code::ClaimsNotRead;
        let mut in_force = found.iter().filter(|found| found.in_force);
        self.claims_told = in_force.any(|found| found.findings.0.iter().any(is_told));
        let found = found.into_iter();
        self.reports.replace(
            Pass::Settings,
            found.map(|found| {
                let mut place = place(found.in_force);
                if found.in_force {
                    place.settled = settled::of_settings(found.object);
                }
                reports::object(found.object, found.findings, place)
            }),
        );
        let found = policies::read(&resources.others, options, &mut settings);
        let found = found.into_iter();
        self.reports.replace(
            Pass::Policies,
            found.map(|found| {
                let mut place = place(found.in_force);
                place.settled = found.settled;
                reports::object(found.object, found.findings, place)
            }),
        );
        let changed = settings != self.settings;
        self.settings = settings;
        changed
    }

    /// Reads the claims; says whether others are in force than before.
    fn lower_claims(&mut self, resources: &ResourceSet) -> bool {
        let (claims, found) = Claims::new(resources, self.settings.requests);
        let found = found.into_iter().map(|found| {
            let place = Place {
                in_graph: !found.serves.is_empty(),
                serves: found.serves,
                settled: Settled::of_owners(found.owners),
                ..Place::default()
            };
            reports::object(&found.object, found.findings, place)
        });
        self.reports.replace(Pass::Claims, found);
        let changed = claims != self.claims;
        if changed {
            self.claims = claims;
        }
        changed
    }

    fn lower_contexts(&mut self, resources: &ResourceSet, options: &Options) -> bool {
        let mut secrets = Secrets {
            resources,
            cluster: &self.cluster,
            certificates: &mut self.certificates,
            wanted: BTreeSet::new(),
        };
        let (contexts, found) = Contexts::new(&resources.tls_contexts, options, &mut secrets);
        self.wanted[0] = secrets.wanted;
        let found = found.into_iter().map(|found| {
            let in_graph = found.findings.first_error().is_none();
            let place = Place {
                in_graph,
                settled: settled::of_context(&found.object),
                ..Place::default()
            };
            reports::object(&found.object, found.findings, place)
        });
        self.reports.replace(Pass::Contexts, found);
        let changed = contexts != self.contexts;
        self.contexts = contexts;
        changed
    }

    fn lower_hosts(&mut self, resources: &ResourceSet, options: &Options) {
        let mut secrets = Secrets {
            resources,
            cluster: &self.cluster,
            certificates: &mut self.certificates,
            wanted: BTreeSet::new(),
        };
        self.hosts = host::lower_all(
            &resources.hosts,
            options,
            &self.settings,
            &self.contexts,
            &mut secrets,
        );
        self.wanted[1] = secrets.wanted;
    }
}
