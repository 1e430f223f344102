//! What Emissary's Module says for Mappings that do not say it themselves. It is read as if a Mapping said it.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    BalancePlan, balance, breaker, connection, connection::Connections, cors, health, retry,
};
use crate::{
    compile::{finding::Findings, settings::Settings},
    crd::{
        MappingSpec,
        schema::{Spelling, read},
    },
    graph::{breaker::Breakers, cors::Cors, retry::Retry},
};

/// Values for what a Mapping does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Defaults {
    /// The name of a resolver.
    pub(in crate::compile) resolver: Arc<str>,
    pub(in crate::compile) balance: BalancePlan,
    pub(in crate::compile) slow_start: Option<Duration>,
    pub(in crate::compile) cors: Option<Arc<Cors>>,
    pub(in crate::compile) retry: Option<Retry>,
    /// Whether upstreams are named to linkerd.
    pub(in crate::compile) linkerd: bool,
    pub(in crate::compile) breakers: Option<Breakers>,
    pub(in crate::compile) connections: Connections,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            resolver: "kubernetes-service".into(),
            balance: BalancePlan::default(),
            slow_start: None,
            cors: None,
            retry: None,
            linkerd: false,
            breakers: None,
            connections: Connections::default(),
        }
    }
}

pub(in crate::compile) fn resolver(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let name = value.as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("{value} is not the name of a resolver"))?;
    settings.defaults.resolver = name.into();
    Ok(())
}

pub(in crate::compile) fn balance(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let (spec, mut findings) = spec("load_balancer", value)?;
    if let Some(said) = spec.load_balancer.as_deref() {
        let policy = balance::policy(said, &mut findings);
        let policy = policy.ok_or_else(|| first(&findings))?;
        let slow_start = said.slow_start.as_deref();
        let slow_start =
            slow_start.and_then(|text| health::slow_start(text, &policy, &mut findings));
        settings.defaults.slow_start = clean(slow_start, &findings)?;
        settings.defaults.balance = policy;
    }
    Ok(())
}

pub(in crate::compile) fn cors(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let (spec, mut findings) = spec("cors", value)?;
    let cors = spec.cors.map(|said| cors::lower(&said, &mut findings));
    settings.defaults.cors = clean(cors, &findings)?;
    Ok(())
}

pub(in crate::compile) fn retry(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let (spec, mut findings) = spec("retry_policy", value)?;
    let retry = spec
        .retry_policy
        .and_then(|said| retry::lower(&said, &mut findings));
    settings.defaults.retry = clean(retry, &findings)?;
    Ok(())
}

pub(in crate::compile) fn breakers(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let (spec, mut findings) = spec("circuit_breakers", value)?;
    let said = spec.circuit_breakers.unwrap_or_default();
    let breakers = breaker::lower(&said, &mut findings);
    settings.defaults.breakers = clean(breakers, &findings)?;
    Ok(())
}

/// In the Module the first of the numbers is called `time`.
pub(in crate::compile) fn keepalive(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut()
        && let Some(time) = fields.remove("time")
    {
        fields.insert("idle_time".to_owned(), time);
    }
    let (spec, mut findings) = spec("keepalive", &value)?;
    let keepalive = spec
        .keepalive
        .and_then(|said| connection::keepalive(&said, &mut findings));
    settings.defaults.connections.keepalive = clean(keepalive, &findings)?;
    Ok(())
}

pub(in crate::compile) fn idle(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let connections = connections("cluster_idle_timeout_ms", value)?;
    settings.defaults.connections.idle = connections.idle;
    Ok(())
}

pub(in crate::compile) fn lifetime(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let connections = connections("cluster_max_connection_lifetime_ms", value)?;
    settings.defaults.connections.lifetime = connections.lifetime;
    Ok(())
}

fn connections(name: &str, value: &Value) -> Result<Connections, String> {
    let (spec, mut findings) = spec(name, value)?;
    let connections = connection::lower(&spec, &Defaults::default(), &mut findings);
    clean(connections, &findings)
}

/// What was read, if there is nothing wrong with it.
fn clean<T>(read: T, findings: &Findings) -> Result<T, String> {
    match findings.first_error() {
        Some(error) => Err(error.message.clone()),
        None => Ok(read),
    }
}

/// A Mapping that says only this.
fn spec(name: &str, value: &Value) -> Result<(MappingSpec, Findings), String> {
    let mut fields: Map<String, Value> = Map::new();
    fields.insert("prefix".to_owned(), json!("/"));
    fields.insert("service".to_owned(), json!("a"));
    fields.insert(name.to_owned(), value.clone());
    let (spec, problems) = read::<MappingSpec>(Value::Object(fields), Spelling::Snake);
    let findings = Findings::of(&problems);
    if findings.first_error().is_some() {
        return Err(first(&findings));
    }
    Ok((spec, findings))
}

fn first(findings: &Findings) -> String {
    let first = findings.first_error();
    first.map_or_else(String::new, |first| first.message.clone())
}
