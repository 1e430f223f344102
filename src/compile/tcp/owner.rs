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
        claim::{Part, Say},
        finding::Findings,
        ownership,
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

/// Which of its connections a TCPMapping may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    /// Those of the names within its wildcard that claims give its namespace.
    Claimed,
    None,
}

impl Firsts {
    /// Which of its connections a TCPMapping may have; says why not all. The oldest is asked first.
    pub(super) fn extent(
        &mut self,
        tcp: &LoweredTcp,
        place: &Place,
        linking: &Linking<'_>,
        findings: &mut Findings,
    ) -> Extent {
        let namespace = &tcp.object.key.namespace;
        let on_port = linking.claims.on_port(place.port);
        if let Some(claim) = on_port.filter(|claim| !claim.owners.contains(namespace)) {
            let names = format!("Port {}", place.port);
            claim.refuse_connections("spec.port", &names, Part::All, namespace, findings);
            return Extent::None;
        }
        let mut listeners = linking.listeners.iter();
        let has_names = listeners.any(|listener| listener.port == place.port && listener.tls);
        let host = match &place.host {
            Some(host) => host,
            None if on_port.is_some() => return Extent::All,
            // The rest of the names is asked for, too.
            None if has_names => &HostPattern::ANY,
            None if self.comes_first(tcp, place, false, linking, findings) => return Extent::All,
            None => return Extent::None,
        };
        let mut own = linking.claims.owned_within(namespace, host);
        let has_own = own.next().is_some();
        let rest = if has_own {
            Extent::Claimed
        } else {
            Extent::None
        };
        match linking.claims.say_of_connections(namespace, host) {
            Say::Yes => Extent::All,
            // What is refused as a whole is told of each part.
            Say::No(..) if has_own => rest,
            Say::No(claim, part) => {
                let field = if place.host.is_some() {
                    "spec.host"
                } else {
                    "spec.port"
                };
                claim.refuse_connections(field, &place.to_string(), part, namespace, findings);
                rest
            }
            // A claim on a port says nothing of the names that are asked for there.
            Say::Nothing if self.comes_first(tcp, place, has_own, linking, findings) => Extent::All,
            Say::Nothing => rest,
        }
    }

    /// Whether a TCPMapping has a place that nobody has claimed. With `is_part`, it has something in a claim anyway.
    fn comes_first(
        &mut self,
        tcp: &LoweredTcp,
        place: &Place,
        is_part: bool,
        linking: &Linking<'_>,
        findings: &mut Findings,
    ) -> bool {
        let rule = linking.settings.unclaimed;
        if rule == Unclaimed::Deny && is_part {
            return false;
        }
        let key = &tcp.object.key;
        let known = self.0.get(place).cloned();
        let is_known = known.is_some();
        let first = known.unwrap_or_else(|| key.clone());
        let owner = ownership::unclaimed(rule, Some(&first));
        if !owner.admits(key, || place.to_string(), is_part, findings) {
            return false;
        }
        // Whoever has the place already takes no more by another object for it.
        if rule == Unclaimed::FirstCome
            && !is_known
            && let Some(host) = &place.host
            && takes_from_others(tcp, host, is_part, linking, findings)
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
    is_part: bool,
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
        // What is claimed of them is not what this one would have.
        let is_met = share_a_name(names, host) && !linking.claims.deciders(names).is_any();
        (is_stranger && is_met && age(&other.object) < age(object)).then_some(by)
    });
    let Some(first) = mappings.chain(hosts).min() else {
        return false;
    };
    findings.push(
        if is_part {
            Code::PartlyConflict
        } else {
            Code::Conflict
        },
        "spec.host",
        format!(
            "{first} is older and serves {host}, so this TCPMapping would take requests of namespace {}",
            first.namespace
        ),
        "Choose another host, or have the hostname claimed for this namespace",
    );
    true
}
