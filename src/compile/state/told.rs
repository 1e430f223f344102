//! What is said of Hosts, Listeners and Mappings once everything is linked.

use std::collections::BTreeSet;

use super::{MappingState, State};
use crate::{
    compile::{
        claim::RegionKey,
        finding::Findings,
        mapping::{Lowered, Match, NameMatch},
        reports::{self, Pass, Place},
        routing, settings, settled,
        slot::{self, SlotKey},
        tcp::behind::{self, Behind},
        touched::Touched,
        twin,
    },
    graph::HostTls,
    report::{Code, Diagnostic, ObjectReport},
    resource::ObjectKey,
};

impl State {
    pub(super) fn report_hosts(&mut self) {
        let notes = &self.linked.notes;
        let hosts = self.hosts.iter().map(|host| {
            let note = notes.get(&host.object.key);
            let mut findings = host.findings.clone();
            findings
                .0
                .extend(note.into_iter().flat_map(|note| note.findings.0.clone()));
            tell_of_claims(self.claims_untold, &mut findings);
            let in_graph = note.is_some_and(|note| note.placed);
            let is_shown = in_graph && !matches!(host.tls, HostTls::None);
            if let Some(names) = host.pattern.as_ref().filter(|_| is_shown) {
                let listeners = &self.linked.listeners;
                behind::tell(Behind::Certificate, names, listeners, &mut findings);
            }
            let serves = host.pattern.iter().filter(|_| in_graph);
            let place = Place {
                in_graph,
                serves: serves.map(ToString::to_string).collect(),
                settled: settled::of_host(&host.object),
                certificate_not_after: host.not_after,
                ..Place::default()
            };
            reports::object(&host.object, findings, place)
        });
        self.reports.replace(Pass::Hosts, hosts);
        let listeners = self.listeners.iter().filter_map(|listener| {
            let plan = listener.plan.as_ref();
            let place = Place {
                in_graph: plan.is_some(),
                serves: plan.iter().map(|plan| format!(":{}", plan.port)).collect(),
                ..Place::default()
            };
            let object = listener.object.as_ref()?;
            Some(reports::object(object, listener.findings.clone(), place))
        });
        self.reports.replace(Pass::Listeners, listeners);
    }

    pub(super) fn report_mappings(&mut self, touched: &Touched) {
        for key in touched.iter() {
            if let Some(state) = self.mappings.get(key) {
                let report = self.report_mapping(state);
                self.reports.list.put(report);
            }
        }
    }

    /// The Mapping of the same name in the other group, if there is one.
    pub(super) fn twin(&self, key: &ObjectKey) -> Option<ObjectKey> {
        // Most clusters have Mappings of one group only, and then nothing is looked up.
        let first = self.mappings.first_key_value()?.0.group;
        let last = self.mappings.last_key_value()?.0.group;
        if first == last && first == key.group {
            return None;
        }
        twin::of(key).filter(|twin| self.mappings.contains_key(twin))
    }

    fn report_mapping(&self, state: &MappingState) -> ObjectReport {
        let lowered = &state.lowered;
        let object = &lowered.object;
        let mut findings = lowered.findings.clone();
        let elsewhere = [&state.resolved, &state.placement.findings];
        let elsewhere = elsewhere
            .into_iter()
            .flat_map(|found| found.0.iter().cloned());
        findings.0.extend(elsewhere);
        if let Some(twin) = self.twin(&object.key) {
            twin::tell(&twin, &mut findings);
        }
        tell_of_claims(self.claims_untold, &mut findings);
        let mut regions = state.placement.regions.iter();
        if let Some(reason) = regions.find_map(|region| self.settings.refusal_in(region)) {
            let extent = match self.settings.refusal {
                Some(_) => "",
                None => " outside of claims",
            };
            findings.push(
                Code::PolicyNotHonoured,
                "",
                format!("{reason}, so every Mapping answers 503{extent}"),
                "Have the platform team look at that object",
            );
        }
        let mut placed = false;
        for slot in &routing::slots(state) {
            if let Some(note) = self.routing.note(&object.key, slot) {
                placed |= note.placed;
                findings.0.extend(note.findings.0.iter().cloned());
            }
            let taken = self.routing.taken(&object.key, slot);
            let is_stray = state.placement.is_stray && slot.0 == RegionKey::Unclaimed;
            let taken = taken.filter(|_| !is_stray && !self.is_never_asked(lowered, slot));
            findings.0.extend(taken.cloned());
        }
        let serves = self.serves(state, &mut findings);
        let name = lowered.matching.as_ref().map(|matching| &matching.name);
        let is_claimed = |found: &Diagnostic| found.code == Code::ClaimedByOthers;
        let is_told = findings.0.iter().any(is_claimed);
        if lowered.matching.is_some() && serves.is_empty() && !is_told {
            findings.push(
                Code::NoMatchingHost,
                "spec.hostname",
                "No Host serves this Mapping, so no request reaches it",
                "Write a `hostname` that a Host covers, or the labels that a `mappingSelector` asks for",
            );
        }
        let in_graph = placed && !serves.is_empty();
        if let Some(NameMatch::Pattern(hostname)) = name.filter(|_| in_graph) {
            let listeners = &self.linked.listeners;
            behind::tell(
                Behind::Requests,
                &hostname.pattern,
                listeners,
                &mut findings,
            );
        }
        let refused = !in_graph && findings.first_error().is_some();
        let is_part =
            |found: &Diagnostic| matches!(found.code, Code::PartlyClaimed | Code::PartlyConflict);
        // One without a hostname asks for those of the Hosts that select it, and has them in what it serves.
        let is_named = |matching: &Match| !matches!(matching.name, NameMatch::Unnamed);
        let is_named = lowered.matching.as_ref().is_some_and(is_named);
        let is_cut = !state.placement.kept.is_empty();
        let kept_out = is_named && (is_cut || findings.0.iter().any(is_part));
        let place = Place {
            in_graph,
            serves: if in_graph { serves } else { Vec::new() },
            asks: slot::asked(lowered).filter(|_| refused || kept_out),
            settled: lowered.settled.clone(),
            certificate_not_after: None,
        };
        reports::object(object, findings, place)
    }

    /// Whether no request can reach a Mapping without a hostname in what nobody has claimed, because all names of the Hosts
    /// that select it are claimed.
    fn is_never_asked(&self, lowered: &Lowered, (region, ..): &SlotKey) -> bool {
        let unnamed = lowered.matching.as_ref().filter(|matching| {
            *region == RegionKey::Unclaimed && matches!(matching.name, NameMatch::Unnamed)
        });
        unnamed.is_some_and(|matching| {
            let object = &lowered.object;
            let mut hosts = self.linked.coverage.selecting(&object.meta.labels);
            hosts.all(|host| self.claims.cover(&object.key.namespace, host, matching))
        })
    }

    /// Where a Mapping is served, given that it is in a route.
    fn serves(&self, state: &MappingState, findings: &mut Findings) -> Vec<String> {
        let (lowered, kept) = (&state.lowered, &state.placement.kept);
        let Some(matching) = &lowered.matching else {
            return Vec::new();
        };
        let labels = &lowered.object.meta.labels;
        let coverage = &self.linked.coverage;
        let covered = match &matching.name {
            NameMatch::Pattern(hostname) => coverage.covers(&hostname.pattern, labels),
            NameMatch::Regex(_) => coverage.covers(&crate::graph::HostPattern::ANY, labels),
            NameMatch::Unnamed => return self.serves_selected(lowered, matching, findings),
        };
        if !covered {
            Vec::new()
        } else if kept.is_empty() {
            vec![slot::pair(lowered)]
        } else {
            kept.clone()
        }
    }

    /// The same for one without a hostname: the names of the Hosts that select it, but for those that others have claimed.
    fn serves_selected(
        &self,
        lowered: &Lowered,
        matching: &Match,
        findings: &mut Findings,
    ) -> Vec<String> {
        let object = &lowered.object;
        let namespace = &object.key.namespace;
        let path = slot::path_text(&matching.path_key);
        let (mut serves, mut refused) = (BTreeSet::new(), None);
        for host in self.linked.coverage.selecting(&object.meta.labels) {
            match self.claims.refusal(namespace, host, matching) {
                Some(claim) => refused = refused.or(Some(claim)),
                None => drop(serves.insert(format!("{host}{path}"))),
            }
        }
        if let Some(claim) = refused {
            let (code, message, next) = if serves.is_empty() {
                let message = format!(
                    "{path} on the names of the Hosts that select it belongs to {}",
                    claim.owner()
                );
                (Code::ClaimedByOthers, message, claim.next(namespace))
            } else {
                let message = format!(
                    "{path} on some names of the Hosts that select it belongs to others by RouteClaim {}",
                    claim.name
                );
                let next = "Leave it so, or choose another path".to_owned();
                (Code::PartlyClaimed, message, next)
            };
            findings.push(code, "spec.prefix", message, next);
        }
        serves.into_iter().collect()
    }
}

/// Says that claims do not hold, where nobody else can.
fn tell_of_claims(are_untold: bool, findings: &mut Findings) {
    if are_untold {
        settings::tell_of_unread_claims(findings);
    }
}
