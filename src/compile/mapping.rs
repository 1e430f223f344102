//! The front end for Mappings of either group: lowers one object, looking at nothing but itself and the settings.

mod balance;
mod breaker;
mod connection;
mod cors;
pub(super) mod defaults;
mod duration;
mod headers;
mod health;
mod matching;
mod outlier;
mod path;
mod redirect;
mod retry;
mod shadow;
mod timeouts;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    finding::Findings,
    intern::Interner,
    service::{PortText, ServiceHost, ServiceText},
    settings::Settings,
    settled,
    upstream::Dialled,
};
pub(super) use balance::{BalancePlan, Endpoints, HashTable, Routing};
use connection::Connections;
pub(super) use defaults::Defaults;
pub(super) use health::HealthPlan;
pub(super) use matching::{Match, NameMatch, PathKey, PathKind};
use timeouts::Timeouts;

use crate::{
    crd::MappingSpec,
    graph::{Forward, ForwardTerms, HostRewrite, Redirect, Rewrite, RouteId, breaker::Breakers},
    report::{Code, Settled},
    resource::{Group, Mapping, ObjectKey},
};

/// As many as the schema reports of one object.
pub(super) const MAX_PROBLEMS: usize = 64;

/// A Mapping as a plan item.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) object: Arc<Mapping>,
    pub(super) findings: Findings,
    /// None when it cannot be read: then the Mapping is absent.
    pub(super) matching: Option<Match>,
    pub(super) weight: Weight,
    pub(super) intent: Intent,
    pub(super) settled: Settled,
}

/// The share of its group that a Mapping asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Rest,
    Percent(u32),
    /// No share, but copies of so many of a hundred requests.
    Shadow(u8),
    /// Refused: no share.
    Invalid,
}

/// What a Mapping wants done.
#[derive(Debug)]
pub(super) enum Intent {
    Forward(Arc<ForwardPlan>),
    Redirect(Arc<Redirect>),
    /// An error of its own stands in the way.
    Broken {
        redirect: bool,
    },
}

/// All of a forward but the upstream, which others decide. Mappings that say the same share one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ForwardPlan {
    pub(super) dial: Arc<DialPlan>,
    pub(super) rewrite: Rewrite,
    pub(super) host: HostPlan,
    pub(super) terms: Arc<ForwardTerms>,
}

/// What of a forward the upstream follows from.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DialPlan {
    pub(super) service: Arc<ServiceText>,
    pub(super) tls: TlsPlan,
    pub(super) http2: bool,
    /// For connections that are not HTTP.
    pub(super) tcp: bool,
    pub(super) endpoints: Endpoints,
    pub(super) breakers: Option<Breakers>,
    pub(super) health: Option<Arc<HealthPlan>>,
    pub(super) connections: Connections,
    pub(super) connect_timeout: Duration,
}

/// Whether TLS is spoken to the upstream, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TlsPlan {
    Off,
    /// Verified with the machine's roots.
    On,
    /// As the TLSContext of this name says.
    Context(Arc<str>),
}

/// What becomes of the Host header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum HostPlan {
    Keep,
    Literal(Arc<HeaderValue>),
    Upstream,
}

impl Lowered {
    /// Whether it redirects, as far as that can be told.
    pub(super) fn redirects(&self) -> bool {
        matches!(
            self.intent,
            Intent::Redirect(_) | Intent::Broken { redirect: true }
        )
    }
}

/// Lowers one Mapping, whose spec has been read.
pub(super) fn lower(
    object: &Arc<Mapping>,
    spec: &MappingSpec,
    settings: &Settings,
    interner: &mut Interner,
) -> Lowered {
    let mut findings = Findings::of(&object.problems);
    // The list of problems is cut off there: what else is missing from the spec is not known.
    let cut_off = object.problems.len() >= MAX_PROBLEMS;
    let matching = matching::lower(spec, settings.requests, interner, &mut findings);
    let matching = matching.filter(|_| !cut_off);
    let weight = weight(spec, &mut findings);
    let weight = shadow::lower(spec, weight, &mut findings).map_or(weight, Weight::Shadow);
    let redirect = spec.host_redirect == Some(true);
    let intent = matching.as_ref().and_then(|matching| {
        if redirect {
            redirect::lower(spec, matching, interner, &mut findings).map(Intent::Redirect)
        } else {
            let plan = forward(object, spec, matching, settings, interner, &mut findings);
            plan.map(Intent::Forward)
        }
    });
    let intent = match intent {
        Some(intent) if findings.first_error().is_none() => intent,
        _ => Intent::Broken { redirect },
    };
    Lowered {
        object: Arc::clone(object),
        findings,
        matching,
        weight,
        intent,
        settled: settled::of_mapping(object, spec),
    }
}

/// The name of the route that it is, or is a part of.
pub(super) fn id(object: &Mapping) -> RouteId {
    let key = &object.key;
    let kind = match key.group {
        Group::Emissary => "mapping.getambassador.io",
        _ => "mapping",
    };
    RouteId([kind, "/", &key.namespace, "/", &key.name].concat().into())
}

pub(super) fn weight(spec: &MappingSpec, findings: &mut Findings) -> Weight {
    match spec.weight {
        _ if findings.is_unreadable("spec.weight") => Weight::Invalid,
        None => Weight::Rest,
        Some(weight) => match u32::try_from(weight) {
            Ok(percent) if percent <= 100 => Weight::Percent(percent),
            _ => {
                findings.push(
                    Code::InvalidWeight,
                    "spec.weight",
                    format!("{weight} is not from 0 to 100"),
                    "Write a weight from 0 to 100, or none to take the rest",
                );
                Weight::Invalid
            }
        },
    }
}

fn forward(
    object: &Mapping,
    spec: &MappingSpec,
    matching: &Match,
    settings: &Settings,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Arc<ForwardPlan>> {
    redirect::warn_without_effect(spec, findings);
    let rewrite = path::rewrite(spec, matching, settings.requests, interner, findings);
    let host = host(spec, findings);
    let timeouts = timeouts::lower(spec, settings.default_timeout, findings);
    let mut terms = terms(spec, &timeouts, settings, findings);
    let dial = dial(spec, &object.key, &timeouts, settings, interner, findings);
    let named = spec.add_linkerd_headers;
    if named.unwrap_or(settings.defaults.linkerd)
        && let Some(dial) = &dial
    {
        headers::name_to_linkerd(dial, &object.key, &mut terms.request_headers);
    }
    let plan = ForwardPlan {
        dial: interner.dial(dial?),
        rewrite: rewrite?,
        host,
        terms: interner.terms(terms),
    };
    Some(interner.plan(plan))
}

/// The same of an object that forwards connections and not requests, in the words of a Mapping.
pub(super) fn connection(
    spec: &MappingSpec,
    key: &ObjectKey,
    settings: &Settings,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Arc<DialPlan>> {
    let timeouts = timeouts::lower(spec, None, findings);
    let dial = dial(spec, key, &timeouts, settings, interner, findings)?;
    // What the installation has endpoints judged by are requests.
    let health = None;
    Some(interner.dial(DialPlan {
        tcp: true,
        health,
        ..dial
    }))
}

fn dial(
    spec: &MappingSpec,
    key: &ObjectKey,
    timeouts: &Timeouts,
    settings: &Settings,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<DialPlan> {
    let service = service(spec, interner, findings);
    let tls = tls(spec, service.as_deref(), findings);
    let endpoints = balance::lower(spec, key, settings, findings);
    let health = health::lower(spec, &endpoints.balance, &settings.defaults, findings);
    let plan = |service| DialPlan {
        service,
        tls,
        http2: spec.grpc == Some(true),
        tcp: false,
        endpoints,
        health,
        breakers: match spec.circuit_breakers.as_deref() {
            Some(said) => breaker::lower(said, findings),
            None => settings.defaults.breakers,
        },
        connections: connection::lower(spec, &settings.defaults, findings),
        connect_timeout: timeouts.connect,
    };
    service.map(plan)
}

fn terms(
    spec: &MappingSpec,
    timeouts: &Timeouts,
    settings: &Settings,
    findings: &mut Findings,
) -> ForwardTerms {
    let defaults = &settings.defaults;
    ForwardTerms {
        request_headers: headers::request(spec, findings),
        response_headers: headers::response(spec, findings),
        head_timeout: timeouts.head,
        total_timeout: timeouts.total,
        idle_timeout: timeouts.idle,
        max_request_body: timeouts::unsigned(
            spec.max_request_body_bytes,
            "spec.maxRequestBodyBytes",
            "a number of bytes",
            findings,
        ),
        upgrades: headers::upgrades(spec, findings),
        allow_escaped_slashes: spec.allow_escaped_slashes == Some(true),
        cors: match spec.cors.as_deref() {
            Some(said) => Some(cors::lower(said, findings)),
            None => defaults.cors.clone(),
        },
        retry: match spec.retry_policy.as_deref() {
            Some(said) => retry::lower(said, findings),
            None => defaults.retry,
        },
        priority: breaker::priority(spec.priority.as_deref(), findings),
    }
}

fn service(
    spec: &MappingSpec,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Arc<ServiceText>> {
    const FIELD: &str = "spec.service";
    let Some(text) = spec.service.as_deref() else {
        missing(FIELD, findings);
        return None;
    };
    match interner.service(text) {
        Ok(service) => Some(service),
        Err(error) => {
            findings.push(
                Code::InvalidService,
                FIELD,
                format!("{text:?} cannot be read: {error}"),
                "Write `[http://|https://]name[.namespace][:port]`",
            );
            None
        }
    }
}

/// Says that a field is missing, unless the schema has said why it is.
pub(super) fn missing(field: &str, findings: &mut Findings) {
    if !findings.is_unreadable(field) {
        findings.push(
            Code::MissingField,
            field,
            format!("`{}` is missing", field.trim_start_matches("spec.")),
            "Add the field",
        );
    }
}

fn tls(spec: &MappingSpec, service: Option<&ServiceText>, findings: &mut Findings) -> TlsPlan {
    let scheme = service.and_then(|service| service.tls);
    let by_scheme = if scheme == Some(true) {
        TlsPlan::On
    } else {
        TlsPlan::Off
    };
    let said = match spec.tls.as_deref().map(str::trim) {
        None | Some("") => return by_scheme,
        Some(text) if text.eq_ignore_ascii_case("false") => return by_scheme,
        Some(text) if text.eq_ignore_ascii_case("true") => TlsPlan::On,
        Some(name) => TlsPlan::Context(name.into()),
    };
    if scheme == Some(false) {
        findings.push(
            Code::NoEffect,
            "spec.service",
            "`http://` has no effect, because `tls` asks for TLS",
            "Remove `http://`, or remove `tls`",
        );
    }
    said
}

fn host(spec: &MappingSpec, findings: &mut Findings) -> HostPlan {
    if let Some(text) = spec.host_rewrite.as_deref().filter(|text| !text.is_empty()) {
        let authority = crate::graph::Authority::parse(text).map(|authority| authority.to_string());
        if let Ok(Ok(value)) = authority.map(HeaderValue::try_from) {
            return HostPlan::Literal(Arc::new(value));
        }
        findings.push(
            Code::InvalidRewrite,
            "spec.hostRewrite",
            format!("{text:?} is not a host"),
            "Write a DNS name, perhaps with a port",
        );
        return HostPlan::Keep;
    }
    if spec.auto_host_rewrite == Some(true) {
        HostPlan::Upstream
    } else {
        HostPlan::Keep
    }
}

impl ForwardPlan {
    /// The forward to an upstream.
    pub(super) fn forward(&self, to: Dialled) -> Forward {
        let host = match &self.host {
            HostPlan::Keep => HostRewrite::Keep,
            HostPlan::Literal(value) => HostRewrite::Literal(Arc::clone(value)),
            HostPlan::Upstream => {
                let name = HeaderValue::from_str(&to.host).map(Arc::new);
                name.map_or(HostRewrite::Keep, HostRewrite::Literal)
            }
        };
        Forward {
            upstream: to.upstream,
            rewrite: self.rewrite.clone(),
            host,
            terms: Arc::clone(&self.terms),
        }
    }
}

impl DialPlan {
    /// The port to dial, if it is written as a number or follows from the scheme.
    pub(super) fn port(&self) -> PortText {
        let default = if self.tls == TlsPlan::Off { 80 } else { 443 };
        let said = self.service.port.clone();
        said.unwrap_or(PortText::Number(default))
    }

    pub(super) fn dialled(&self) -> &ServiceHost {
        &self.service.host
    }
}

#[cfg(test)]
mod tests;
