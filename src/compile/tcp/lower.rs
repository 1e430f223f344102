//! TCPMappings: each lowered on its own. What leads to the upstream is said, and read, as in a Mapping.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    compile::{
        finding::Findings,
        intern::Interner,
        mapping::{self, DialPlan, Weight},
        settings::Settings,
    },
    crd::{MappingSpec, TcpMappingSpec, tcp_mapping},
    graph::{ClientTls, HostPattern, RouteId},
    report::Code,
    resource::{Group, Object},
};

/// Without a byte in either direction, as in Envoy.
const DEFAULT_IDLE: Duration = Duration::from_hours(1);
/// "Never" is bounded too.
const IDLE_MOST: Duration = Duration::from_hours(24);

/// A TCPMapping as a plan item.
pub(super) struct LoweredTcp {
    pub(super) object: Arc<Object<TcpMappingSpec>>,
    pub(super) findings: Findings,
    /// None when it cannot be read: then the TCPMapping is absent.
    pub(super) place: Option<Place>,
    pub(super) client_tls: ClientTls,
    pub(super) weight: Weight,
    pub(super) dial: Option<Arc<DialPlan>>,
    pub(super) idle_timeout: Duration,
    /// Where it is in a route, as it is told.
    pub(super) serves: BTreeSet<String>,
}

/// Which connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) port: u16,
    /// None for those that ask for no name that is found.
    pub(super) host: Option<HostPattern>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

pub(super) fn lower(
    object: &Arc<Object<TcpMappingSpec>>,
    settings: &Settings,
    interner: &mut Interner,
) -> LoweredTcp {
    let mut findings = Findings::of(&object.problems);
    let spec = &object.spec;
    // The list of problems is cut off there: what else is missing from the spec is not known.
    let cut_off = object.problems.len() >= mapping::MAX_PROBLEMS;
    let place = place(spec, &mut findings).filter(|_| !cut_off);
    let client_tls = client_tls(spec, &mut findings);
    // These fields are the same in both kinds, with the same meaning.
    let as_mapping = MappingSpec {
        service: spec.service.clone(),
        tls: spec.tls.clone(),
        resolver: spec.resolver.clone(),
        weight: spec.weight,
        circuit_breakers: spec.circuit_breakers.clone(),
        connect_timeout_ms: spec.connect_timeout_ms,
        ..MappingSpec::default()
    };
    let weight = mapping::weight(&as_mapping, &mut findings);
    let dial = mapping::connection(&as_mapping, &object.key, settings, interner, &mut findings);
    let idle_timeout = idle_timeout(spec, &mut findings);
    let is_sound = findings.first_error().is_none();
    LoweredTcp {
        object: Arc::clone(object),
        place,
        client_tls,
        weight,
        dial: dial.filter(|_| is_sound),
        idle_timeout,
        serves: BTreeSet::new(),
        findings,
    }
}

/// The name of the route that it is, or is a part of.
pub(super) fn id(object: &Object<TcpMappingSpec>) -> RouteId {
    let key = &object.key;
    let kind = match key.group {
        Group::Emissary => "tcpmapping.getambassador.io",
        _ => "tcpmapping",
    };
    RouteId([kind, "/", &key.namespace, "/", &key.name].concat().into())
}

fn place(spec: &TcpMappingSpec, findings: &mut Findings) -> Option<Place> {
    let host = host(spec, findings);
    Some(Place {
        port: port(spec, findings)?,
        host: host.ok()?,
    })
}

fn port(spec: &TcpMappingSpec, findings: &mut Findings) -> Option<u16> {
    const FIELD: &str = "spec.port";
    let Some(port) = spec.port else {
        mapping::missing(FIELD, findings);
        return None;
    };
    let number = u16::try_from(port).ok().filter(|port| *port > 0);
    if number.is_none() && !findings.is_unreadable(FIELD) {
        findings.push(
            Code::InvalidValue,
            FIELD,
            format!("{port} is not a port"),
            "Write a number from 1 to 65535",
        );
    }
    number
}

/// Something has a finding instead of a value.
struct Unreadable;

/// The name, if one is said.
fn host(spec: &TcpMappingSpec, findings: &mut Findings) -> Result<Option<HostPattern>, Unreadable> {
    const FIELD: &str = "spec.host";
    if findings.is_unreadable(FIELD) {
        return Err(Unreadable);
    }
    let Some(text) = spec.host.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let why = match text.parse::<HostPattern>() {
        Ok(pattern) if pattern.port.is_none() => return Ok(Some(pattern)),
        Ok(_) => "a handshake asks for no port".to_owned(),
        Err(error) => error.to_string(),
    };
    findings.push(
        Code::InvalidHostname,
        FIELD,
        format!("{text:?} is not the name of a handshake: {why}"),
        "Write a name such as `db.example.com` or `*.example.com`, or `*`",
    );
    Err(Unreadable)
}

fn client_tls(spec: &TcpMappingSpec, findings: &mut Findings) -> ClientTls {
    let has_host = spec.host.as_deref().is_some_and(|host| !host.is_empty());
    if !has_host && spec.client_tls.is_some() {
        findings.push(
            Code::NoEffect,
            "spec.clientTls",
            "Without a `host` every byte is passed on, whatever it is",
            "Write a `host`, or remove the field",
        );
    }
    if has_host && spec.client_tls != Some(tcp_mapping::ClientTls::Passthrough) {
        ClientTls::Terminate
    } else {
        ClientTls::Untouched
    }
}

fn idle_timeout(spec: &TcpMappingSpec, findings: &mut Findings) -> Duration {
    let Some(text) = spec.idle_timeout_ms.as_deref() else {
        return DEFAULT_IDLE;
    };
    match text.trim().parse::<u64>() {
        Ok(0) => IDLE_MOST,
        Ok(milliseconds) => Duration::from_millis(milliseconds).min(IDLE_MOST),
        Err(_) => {
            findings.push(
                Code::InvalidValue,
                "spec.idleTimeoutMs",
                format!("{text:?} is not a number of milliseconds"),
                "Write a number in quotes, such as \"60000\"",
            );
            DEFAULT_IDLE
        }
    }
}
