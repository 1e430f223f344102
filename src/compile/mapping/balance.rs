//! How requests are spread over endpoints, and which they are (emissary.md, sections 1.11 and 2.14).

use http::{HeaderName, HeaderValue};

use super::{Findings, duration, missing};
use crate::{
    compile::settings::Settings,
    crd::{
        MappingSpec,
        mapping::{
            LoadBalancer,
            upstream::{LoadBalancerCookie, LoadBalancerPolicy},
        },
    },
    graph::{Affinity, AffinityCookie},
    report::Code,
    resource::ObjectKey,
};

const FIELD: &str = "spec.loadBalancer";

/// How a Service becomes addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::compile) enum Routing {
    /// By its ClusterIP.
    #[default]
    Service,
    /// By the addresses of its endpoints.
    Endpoints,
}

/// How one of several endpoints is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::compile) enum BalancePlan {
    #[default]
    RoundRobin,
    LeastRequest,
    Hash(HashTable, Affinity),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::compile) enum HashTable {
    Ring,
    Maglev,
}

/// What a Mapping says about endpoints, or the installation for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::compile) struct Endpoints {
    pub(in crate::compile) routing: Routing,
    /// Whether the Mapping names the resolver itself.
    pub(in crate::compile) routing_said: bool,
    pub(in crate::compile) balance: BalancePlan,
    /// Whether the Mapping asks for the policy itself: then it is refused where it cannot be had.
    pub(in crate::compile) balance_said: bool,
}

pub(super) fn lower(
    spec: &MappingSpec,
    key: &ObjectKey,
    settings: &Settings,
    findings: &mut Findings,
) -> Endpoints {
    let said = spec.load_balancer.as_deref();
    Endpoints {
        routing: routing(spec, key, settings, findings),
        routing_said: spec.resolver.is_some(),
        balance: match said {
            Some(said) => policy(said, findings).unwrap_or_default(),
            None => settings.defaults.balance.clone(),
        },
        balance_said: said.is_some(),
    }
}

fn routing(
    spec: &MappingSpec,
    key: &ObjectKey,
    settings: &Settings,
    findings: &mut Findings,
) -> Routing {
    let name = spec.resolver.as_deref();
    let name = name.filter(|name| !name.is_empty());
    let asked = name.unwrap_or(&settings.defaults.resolver);
    if let Some(routing) = settings.routing(asked, &key.namespace) {
        return routing;
    }
    let (field, next) = match name {
        Some(_) => (
            "spec.resolver",
            "Write `endpoint` or `kubernetes-service`, or create the KubernetesEndpointResolver",
        ),
        None => (
            "",
            "Have the `resolver` of the Module corrected, or write one here",
        ),
    };
    let message = if matches!(asked, "consul" | "consul-endpoint") {
        format!("Postern does not implement Consul, which the resolver {asked} stands for")
    } else {
        format!("There is no resolver {asked}")
    };
    findings.push(Code::ResolverNotFound, field, message, next);
    Routing::Service
}

/// The policy, or None with a finding.
pub(in crate::compile) fn policy(
    said: &LoadBalancer,
    findings: &mut Findings,
) -> Option<BalancePlan> {
    let keys = usize::from(said.cookie.is_some())
        + usize::from(said.header.is_some())
        + usize::from(said.source_ip == Some(true));
    let table = match said.policy.unwrap_or(LoadBalancerPolicy::RoundRobin) {
        LoadBalancerPolicy::RoundRobin | LoadBalancerPolicy::LeastRequest if keys > 0 => {
            invalid(
                "`cookie`, `header` and `source_ip` are for the policies ring_hash and maglev",
                "Remove them, or write `policy: maglev`",
                findings,
            );
            return None;
        }
        LoadBalancerPolicy::RoundRobin => return Some(BalancePlan::RoundRobin),
        LoadBalancerPolicy::LeastRequest => return Some(BalancePlan::LeastRequest),
        LoadBalancerPolicy::RingHash => HashTable::Ring,
        LoadBalancerPolicy::Maglev => HashTable::Maglev,
    };
    if keys != 1 {
        invalid(
            "the policies ring_hash and maglev need exactly one of cookie, header and source_ip",
            "Write one of them",
            findings,
        );
        return None;
    }
    let by = if let Some(cookie) = &said.cookie {
        Affinity::Cookie(made(cookie, findings)?)
    } else if let Some(name) = &said.header {
        Affinity::Header(header(name, findings)?)
    } else {
        Affinity::SourceIp
    };
    Some(BalancePlan::Hash(table, by))
}

fn header(text: &str, findings: &mut Findings) -> Option<HeaderName> {
    let name = text.parse().ok();
    if name.is_none() {
        findings.push(
            Code::InvalidHeader,
            "spec.loadBalancer.header",
            format!("{text:?} is not a header name"),
            "Write a name such as `x-user`",
        );
    }
    name
}

fn made(cookie: &LoadBalancerCookie, findings: &mut Findings) -> Option<AffinityCookie> {
    const NAME: &str = "spec.loadBalancer.cookie.name";
    let Some(name) = cookie.name.as_deref() else {
        missing(NAME, findings);
        return None;
    };
    // The name of a cookie is a token, as the name of a header is.
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        findings.push(
            Code::InvalidValue,
            NAME,
            format!("{name:?} is not the name of a cookie"),
            "Write letters, digits and `-`",
        );
        return None;
    }
    let path = cookie.path.as_deref().filter(|path| !path.is_empty());
    if let Some(path) = path
        && (path.contains(';') || HeaderValue::from_str(path).is_err() || !path.is_ascii())
    {
        findings.push(
            Code::InvalidValue,
            "spec.loadBalancer.cookie.path",
            format!("{path:?} is not the path of a cookie"),
            "Write a path such as `/`",
        );
        return None;
    }
    let Some(ttl) = cookie.ttl.as_deref() else {
        return Some(AffinityCookie {
            name: name.into(),
            made: None,
        });
    };
    let ttl = duration::read(ttl, "spec.loadBalancer.cookie.ttl", findings)?;
    let path = path.map_or(String::new(), |path| format!("; Path={path}"));
    // As in Emissary: without a time to live it lasts as long as the browser.
    let age = match ttl.as_secs() {
        0 => String::new(),
        seconds => format!("; Max-Age={seconds}"),
    };
    Some(AffinityCookie {
        name: name.into(),
        made: Some(format!("{age}{path}; HttpOnly").into()),
    })
}

fn invalid(message: &str, next: &str, findings: &mut Findings) {
    findings.push(Code::InvalidValue, FIELD, message, next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: serde_json::Value) -> Result<BalancePlan, String> {
        let said: LoadBalancer = serde_json::from_value(said).unwrap();
        let mut findings = Findings::default();
        policy(&said, &mut findings).ok_or_else(|| findings.0[0].message.clone())
    }

    #[test]
    fn a_hash_needs_one_thing_to_hash_and_the_others_none() {
        let cookie = |made: Option<&str>| {
            Affinity::Cookie(AffinityCookie {
                name: "c".into(),
                made: made.map(Into::into),
            })
        };
        for (said, wanted) in [
            (serde_json::json!({}), BalancePlan::RoundRobin),
            (
                serde_json::json!({"policy": "least_request", "sourceIp": false}),
                BalancePlan::LeastRequest,
            ),
            (
                serde_json::json!({"policy": "maglev", "sourceIp": true}),
                BalancePlan::Hash(HashTable::Maglev, Affinity::SourceIp),
            ),
            (
                serde_json::json!({"policy": "ring_hash", "cookie": {"name": "c"}}),
                BalancePlan::Hash(HashTable::Ring, cookie(None)),
            ),
            (
                serde_json::json!({"policy": "ring_hash", "cookie": {"name": "c", "ttl": "10m", "path": "/a"}}),
                BalancePlan::Hash(
                    HashTable::Ring,
                    cookie(Some("; Max-Age=600; Path=/a; HttpOnly")),
                ),
            ),
            (
                serde_json::json!({"policy": "ring_hash", "cookie": {"name": "c", "ttl": "0s"}}),
                BalancePlan::Hash(HashTable::Ring, cookie(Some("; HttpOnly"))),
            ),
        ] {
            assert_eq!(read(said.clone()), Ok(wanted), "{said}");
        }
        for said in [
            serde_json::json!({"policy": "round_robin", "header": "x"}),
            serde_json::json!({"policy": "maglev"}),
            serde_json::json!({"policy": "maglev", "header": "x", "sourceIp": true}),
            serde_json::json!({"policy": "maglev", "header": "x y"}),
            serde_json::json!({"policy": "maglev", "cookie": {"name": "a;b"}}),
            serde_json::json!({"policy": "maglev", "cookie": {"name": "a", "ttl": "soon"}}),
            serde_json::json!({"policy": "maglev", "cookie": {"name": "a", "ttl": "1s", "path": "/;Secure"}}),
        ] {
            assert!(read(said.clone()).is_err(), "{said}");
        }
    }
}
