//! Who may have which connections (design D4): claims on the port and on the name first; elsewhere who came first, for the port
//! and name among TCPMappings, and for the name among those who route requests to it.

use std::collections::BTreeMap;

use super::{
    Linking,
    lower::{LoweredTcp, Place},
};
use crate::{
    compile::{
        age,
        claim::Say,
        finding::Findings,
        ownership::{self, Owner},
        routing::Named,
        safety::share_a_name,
    },
    crd::gateway_settings::Unclaimed,
    graph::{HostPattern, host::NamePattern},
    report::Code,
    resource::ObjectKey,
};

/// The first who came for each place that nobody has claimed.
#[derive(Default)]
pub(super) struct Firsts(BTreeMap<Place, ObjectKey>);

impl Firsts {
    /// Whether a TCPMapping may have its connections; if not, says so. The oldest is asked first.
    pub(super) fn admit(
        &mut self,
        tcp: &LoweredTcp,
        place: &Place,
        linking: &Linking<'_>,
        findings: &mut Findings,
    ) -> bool {
        let key = &tcp.object.key;
        let namespace = &key.namespace;
        let on_port = linking.claims.on_port(place.port);
        if let Some(claim) = on_port.filter(|claim| !claim.owners.contains(namespace)) {
            let names = format!("Port {}", place.port);
            claim.refuse_connections("spec.port", &names, None, namespace, findings);
            return false;
        }
        let mut is_claimed = on_port.is_some();
        if let Some(host) = &place.host {
            match linking.claims.say_of_connections(namespace, host) {
                Say::No(claim, part) => {
                    let names = host.to_string();
                    let part = part.as_deref();
                    claim.refuse_connections("spec.host", &names, part, namespace, findings);
                    return false;
                }
                Say::Yes => is_claimed = true,
                // A claim on a port says nothing of the names that are asked for there.
                Say::Nothing => is_claimed = false,
            }
        }
        if is_claimed {
            return true;
        }
        let rule = linking.settings.unclaimed;
        let first = match self.0.get(place) {
            Some(first) => first.clone(),
            None => key.clone(),
        };
        let owner: Owner<'_> = ownership::unclaimed(rule, Some(&first));
        if !owner.admits(key, || place.to_string(), false, findings) {
            return false;
        }
        if rule == Unclaimed::FirstCome
            && let Some(host) = &place.host
            && takes_from_others(tcp, host, linking, findings)
        {
            return false;
        }
        self.0.entry(place.clone()).or_insert(first);
        true
    }
}

/// Whether somebody else was there first who routes requests for these names; then says so.
fn takes_from_others(
    tcp: &LoweredTcp,
    host: &HostPattern,
    linking: &Linking<'_>,
    findings: &mut Findings,
) -> bool {
    let object = &tcp.object;
    let namespace = &object.key.namespace;
    let mappings = linking.routing.naming(host).filter_map(|named| {
        let mapping = match named {
            Named::Pattern(other, mapping) => {
                let is_claimed = linking.claims.deciders(other).is_any();
                (share_a_name(other, host) && !is_claimed).then_some(mapping)
            }
            Named::Regex(regex, mapping) => match &host.name {
                NamePattern::Exact(name) => regex.regex.is_match(name).then_some(mapping),
                NamePattern::Any | NamePattern::Suffix(_) | NamePattern::Prefix(_) => Some(mapping),
            },
            // The names of Hosts, which are looked at by themselves.
            Named::Selected(..) => None,
        }?;
        let is_older = age(mapping) < age(object);
        (is_older && mapping.key.namespace != *namespace).then_some(&mapping.key)
    });
    let hosts = linking.hosts.iter().filter_map(|other| {
        let names = other.pattern.as_ref()?;
        let by = &other.object.key;
        let may_settle = linking.settings.instance_namespaces.contains(&by.namespace);
        let is_stranger = by.namespace != *namespace && !may_settle;
        (is_stranger && share_a_name(names, host) && age(&other.object) < age(object)).then_some(by)
    });
    let Some(first) = mappings.chain(hosts).min() else {
        return false;
    };
    findings.push(
        Code::Conflict,
        "spec.host",
        format!(
            "{first} is older and serves {host}, so this TCPMapping would take requests of namespace {}",
            first.namespace
        ),
        "Choose another host, or have the hostname claimed for this namespace",
    );
    true
}
