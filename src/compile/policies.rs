//! Emissary's kinds, and Postern's own of that name, that hold for the whole installation: those that protect are honoured or refuse everything (design D6).

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use serde_json::Value;

use super::{
    Options, compression,
    finding::Findings,
    installation::{self, Belongs},
    mapping::{Routing, defaults},
    settings::{Instance, Settings},
};
use crate::{
    report::{Code, Field, Settled},
    resource::{Group, Kind, Object, ObjectKey, Objects},
};

/// An object of these kinds with what there is to say about it.
pub(super) struct PolicyReport<'r> {
    pub(super) object: &'r Arc<Object<Value>>,
    pub(super) findings: Findings,
    /// Whether something of it is in force.
    pub(super) in_force: bool,
    /// What of the Module holds for requests.
    pub(super) settled: Settled,
}

/// What becomes of a key of the Module.
enum Key {
    /// It changes the settings; an error says why it cannot.
    Apply(Field, fn(&Value, &mut Settings) -> Result<(), String>),
    /// It protects, and is not implemented. Absent, null, false and empty ask for nothing.
    Protects,
    /// Traffic is served without it.
    Missing,
    /// It has no effect in Emissary either, or none that could be told.
    NoEffect,
}

/// The keys of Emissary's Module (emissary.md, section 1.10).
const KEYS: &[(&str, Key)] = &[
    (
        "cluster_request_timeout_ms",
        Key::Apply(Field::ModuleTimeout, request_timeout),
    ),
    (
        "headers_with_underscores_action",
        Key::Apply(Field::ModuleUnderscores, underscores),
    ),
    (
        "merge_slashes",
        Key::Apply(Field::ModuleMergeSlashes, merge_slashes),
    ),
    (
        "reject_requests_with_escaped_slashes",
        Key::Apply(Field::ModuleEscapedSlashes, escaped_slashes),
    ),
    (
        "server_name",
        Key::Apply(Field::ModuleServerName, server_name),
    ),
    (
        "suppress_envoy_headers",
        Key::Apply(Field::ModuleSuppressEnvoyHeaders, suppress_envoy_headers),
    ),
    (
        "diagnostics",
        Key::Apply(Field::ModuleDiagnostics, diagnostics),
    ),
    (
        "liveness_probe",
        Key::Apply(Field::ModuleLivenessProbe, liveness_probe),
    ),
    (
        "readiness_probe",
        Key::Apply(Field::ModuleReadinessProbe, readiness_probe),
    ),
    ("ip_allow", Key::Protects),
    ("ip_deny", Key::Protects),
    ("lua_scripts", Key::Protects),
    ("buffer", Key::Apply(Field::ModuleBuffer, buffer)),
    ("defaults", Key::Protects),
    (
        "max_request_headers_kb",
        Key::Apply(Field::ModuleMaxHead, max_request_headers),
    ),
    ("forward_client_cert_details", Key::Protects),
    (
        "add_linkerd_headers",
        Key::Apply(Field::ModuleLinkerd, |value, settings| {
            settings.defaults.linkerd = boolean(value)?;
            Ok(())
        }),
    ),
    ("allow_chunked_length", Key::Missing),
    ("buffer_limit_bytes", Key::Missing),
    (
        "circuit_breakers",
        Key::Apply(Field::ModuleCircuitBreakers, defaults::breakers),
    ),
    (
        "cluster_idle_timeout_ms",
        Key::Apply(Field::ModuleIdleTimeout, defaults::idle),
    ),
    (
        "cluster_max_connection_lifetime_ms",
        Key::Apply(Field::ModuleLifetime, defaults::lifetime),
    ),
    ("cors", Key::Apply(Field::ModuleCors, defaults::cors)),
    ("default_label_domain", Key::Missing),
    ("default_labels", Key::Missing),
    ("enable_grpc_http11_bridge", Key::Missing),
    (
        "enable_grpc_web",
        Key::Apply(Field::ModuleGrpcWeb, |value, settings| {
            settings.clients.grpc_web = boolean(value)?;
            Ok(())
        }),
    ),
    (
        "enable_http10",
        Key::Apply(Field::ModuleHttp10, |value, settings| {
            settings.clients.http10 = boolean(value)?;
            Ok(())
        }),
    ),
    ("envoy_log_format", Key::Missing),
    ("envoy_log_path", Key::Missing),
    ("envoy_log_type", Key::Missing),
    ("grpc_stats", Key::Missing),
    (
        "gzip",
        Key::Apply(Field::ModuleGzip, compression::of_module),
    ),
    ("header_case_overrides", Key::Missing),
    (
        "keepalive",
        Key::Apply(Field::ModuleKeepalive, defaults::keepalive),
    ),
    ("listener_idle_timeout_ms", Key::Missing),
    (
        "load_balancer",
        Key::Apply(Field::ModuleLoadBalancer, defaults::balance),
    ),
    (
        "preserve_external_request_id",
        Key::Apply(Field::ModuleRequestId, |value, settings| {
            settings.clients.keeps_request_ids = boolean(value)?;
            Ok(())
        }),
    ),
    (
        "proper_case",
        Key::Apply(Field::ModuleProperCase, |value, settings| {
            settings.clients.title_case = boolean(value)?;
            Ok(())
        }),
    ),
    (
        "resolver",
        Key::Apply(Field::ModuleResolver, defaults::resolver),
    ),
    (
        "retry_policy",
        Key::Apply(Field::ModuleRetryPolicy, defaults::retry),
    ),
    ("set_current_client_cert_details", Key::Missing),
    (
        "strip_matching_host_port",
        Key::Apply(Field::ModuleStripPort, |value, settings| {
            settings.clients.strips_own_port = boolean(value)?;
            Ok(())
        }),
    ),
    (
        "use_ambassador_namespace_for_service_resolution",
        Key::Missing,
    ),
    ("use_remote_address", Key::Missing),
    ("admin_port", Key::NoEffect),
    ("auth_enabled", Key::NoEffect),
    ("debug_mode", Key::NoEffect),
    ("enable_ipv4", Key::NoEffect),
    ("enable_ipv6", Key::NoEffect),
    ("envoy_validation_timeout", Key::NoEffect),
    ("error_response_overrides", Key::NoEffect),
    ("prune_unreachable_routes", Key::NoEffect),
    ("regex_max_size", Key::NoEffect),
    ("regex_type", Key::NoEffect),
    ("runtime_flags", Key::NoEffect),
    ("service_port", Key::NoEffect),
    ("statsd", Key::NoEffect),
    ("tls", Key::NoEffect),
    ("use_proxy_proto", Key::NoEffect),
    ("x_forwarded_proto_redirect", Key::NoEffect),
    ("xff_num_trusted_hops", Key::NoEffect),
];

/// Kinds that are not implemented, all of which the settings may name; without them traffic is served in any case, or then.
const KINDS: [Kind; 6] = [
    Kind::AuthService,
    Kind::RateLimitService,
    Kind::LogService,
    Kind::TracingService,
    Kind::ConsulResolver,
    Kind::DevPortal,
];

/// What becomes of a key of the Module, for the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKey {
    Works,
    /// It protects: while it is there, every Mapping answers 503, unless `emissary.ignore` names it.
    Closes,
    /// Traffic is served without it, with a warning.
    Missing,
    NoEffect,
}

/// Every key of the Module, in the order of the names.
pub fn module_keys() -> Vec<(&'static str, ModuleKey)> {
    let keys = KEYS.iter().map(|(name, key)| {
        let key = match key {
            Key::Apply(..) => ModuleKey::Works,
            Key::Protects => ModuleKey::Closes,
            Key::Missing => ModuleKey::Missing,
            Key::NoEffect => ModuleKey::NoEffect,
        };
        (*name, key)
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable_by_key(|(name, _)| *name);
    keys
}

/// What `emissary.ignore` may name.
pub(super) fn may_be_ignored() -> impl Iterator<Item = &'static str> {
    let keys = KEYS
        .iter()
        .filter(|(_, key)| matches!(key, Key::Protects | Key::Missing));
    let kinds = KINDS.iter().map(|kind| kind.name());
    kinds.chain(keys.map(|(name, _)| *name))
}

/// Takes over into the settings what these objects ask for, or why nothing may be served.
pub(super) fn read<'r>(
    objects: &'r Objects<Value>,
    options: &Options,
    settings: &mut Settings,
) -> Vec<PolicyReport<'r>> {
    let mut reports = Vec::new();
    let in_force = module_in_force(objects, options, settings);
    for object in objects.values() {
        let mut report = PolicyReport {
            object,
            findings: Findings::of(&object.problems),
            in_force: false,
            settled: Settled::default(),
        };
        match installation::belongs(&object.spec, options) {
            Belongs::ToOthers => continue,
            Belongs::ToUs => {}
            Belongs::Unreadable(field) => report.findings.push(
                Code::WrongType,
                &field,
                "the ids of installations must be a list of strings; until they are, the object belongs to every one",
                "Write a list of strings",
            ),
        }
        match &in_force {
            Some(first) if is_module(object) && *first != object.key => report.stands_back(first),
            _ => report.read(settings),
        }
        reports.push(report);
    }
    reports
}

/// Whether this is what settles Emissary's global settings.
fn is_module(object: &Object<Value>) -> bool {
    let key = &object.key;
    key.kind == Kind::Module && key.group == Group::Emissary && *key.name == *"ambassador"
}

/// The one Module of the installation: that of the own namespace, else the first that may settle anything. So Emissary has it,
/// but for the own namespace.
fn module_in_force(
    objects: &Objects<Value>,
    options: &Options,
    settings: &Settings,
) -> Option<ObjectKey> {
    let modules = objects.values().filter(|object| {
        is_module(object)
            && settings.may_settle(&object.key.namespace)
            && !matches!(
                installation::belongs(&object.spec, options),
                Belongs::ToOthers
            )
    });
    let keys = modules.map(|module| &module.key);
    let first = keys.min_by_key(|key| (key.namespace != options.namespace, &key.namespace));
    first.cloned()
}

impl PolicyReport<'_> {
    /// Says that another Module is in force.
    fn stands_back(&mut self, first: &ObjectKey) {
        self.findings.push(
            Code::ModuleNotInForce,
            "",
            format!("{first} is the Module of this installation, so this one changes nothing"),
            "Put what is to hold into that one, and delete this one",
        );
    }

    fn read(&mut self, settings: &mut Settings) {
        let key = &self.object.key;
        match key.kind {
            Kind::AuthService | Kind::RateLimitService | Kind::Module
                if !settings.may_settle(&key.namespace) =>
            {
                let what = "settle anything for the whole installation";
                settings.refuse_to_settle(&key.namespace, what, &mut self.findings);
                if settings.instance == Instance::GivesWay {
                    self.protects_unclaimed(settings);
                }
            }
            Kind::AuthService | Kind::RateLimitService => {
                self.protects(key.kind.name(), "", settings);
            }
            Kind::Module if key.group == Group::Emissary => self.module(settings),
            Kind::KubernetesServiceResolver => self.resolver(Routing::Service, settings),
            Kind::KubernetesEndpointResolver => self.resolver(Routing::Endpoints, settings),
            kind @ (Kind::Module | Kind::TlsContext) => self.findings.push(
                Code::KindNotImplemented,
                "",
                format!("Postern has no {} of its own", kind.name()),
                format!(
                    "Write it as the {} of getambassador.io/v3alpha1",
                    kind.name()
                ),
            ),
            kind => self.findings.push(
                Code::KindNotImplemented,
                "",
                format!("Postern does not implement {}", kind.name()),
                "Delete it, or leave it: traffic is served without it",
            ),
        }
    }

    /// What would protect everything, if it were not for claims, goes on to protect what nobody has claimed: the first claim
    /// must not open what was closed before.
    fn protects_unclaimed(&self, settings: &mut Settings) {
        let key = &self.object.key;
        let config = match key.kind {
            Kind::Module if is_module(self.object) => self.object.spec.get("config"),
            Kind::Module => return,
            _ => None,
        };
        let asked = config.and_then(Value::as_object).into_iter().flatten();
        let protecting = asked.filter_map(|(name, value)| {
            let name = snake_case(name);
            let (name, key) = KEYS.iter().find(|row| row.0 == name)?;
            (matches!(key, Key::Protects) && !asks_for_nothing(name, value)).then_some(*name)
        });
        let kind = (key.kind != Kind::Module).then(|| key.kind.name());
        let is_ignored = |name: &&str| settings.ignore.contains(&name.to_ascii_lowercase());
        let mut names = kind.into_iter().chain(protecting);
        if let Some(name) = names.find(|name| !is_ignored(name)) {
            let reason = format!("{key} cannot be honoured: {name} is not implemented");
            settings.refusal_of_unclaimed.get_or_insert(reason.into());
        }
    }

    /// Something that protects and is not implemented: ignored by name, or nothing is served.
    fn protects(&mut self, name: &str, field: &str, settings: &mut Settings) {
        if settings.ignore.contains(&name.to_ascii_lowercase()) {
            self.findings.push(
                Code::KindNotImplemented,
                field,
                format!(
                    "Postern does not implement {name}; the GatewaySettings say to serve without it"
                ),
                "Leave it, or delete it",
            );
            return;
        }
        let reason = format!(
            "{} cannot be honoured: {name} is not implemented",
            self.object.key
        );
        self.findings.push(
            Code::PolicyNotHonoured,
            field,
            format!("{reason}, so every Mapping answers 503"),
            format!("Delete it, or name {name} in `emissary.ignore` of the GatewaySettings"),
        );
        settings.refusal.get_or_insert(reason.into());
    }

    /// A name for what is known by another name already: for the namespace that it is in, or for all.
    fn resolver(&mut self, routing: Routing, settings: &mut Settings) {
        let key = &self.object.key;
        let name = (Arc::from(&*key.name), Arc::clone(&key.namespace));
        settings.resolvers.insert(name, routing);
        self.in_force = true;
    }

    fn module(&mut self, settings: &mut Settings) {
        if *self.object.key.name != *"ambassador" {
            self.findings.push(
                Code::NoEffect,
                "",
                "Only the Module named ambassador is read",
                "Rename it to ambassador, or delete it",
            );
            return;
        }
        let Some(config) = self.object.spec.get("config").and_then(Value::as_object) else {
            return;
        };
        for (name, value) in config {
            let field = format!("spec.config.{name}");
            let name = &*snake_case(name);
            if let Some(setting) = settings.decided.get(name) {
                self.findings.push(
                    Code::ModuleNotInForce,
                    &field,
                    format!("`{setting}` of the GatewaySettings decides this"),
                    "Remove the key, or that setting",
                );
                continue;
            }
            match KEYS.iter().find(|row| row.0 == name).map(|row| &row.1) {
                Some(Key::Apply(..)) if value.is_null() => {}
                Some(Key::Apply(settles, apply)) => match apply(value, settings) {
                    Ok(()) => {
                        self.in_force = true;
                        self.settled.add(*settles, field.contains('_'));
                    }
                    Err(message) => {
                        self.findings.push(
                            Code::InvalidValue,
                            &field,
                            message,
                            "Correct the value",
                        );
                    }
                },
                Some(Key::Protects | Key::Missing) if asks_for_nothing(name, value) => {}
                Some(Key::Protects) => self.protects(name, &field, settings),
                Some(Key::Missing) => self.findings.push(
                    Code::KindNotImplemented,
                    &field,
                    format!("Postern does not implement `{name}`"),
                    "Remove it, or leave it: traffic is served without it",
                ),
                Some(Key::NoEffect) => self.findings.push(
                    Code::NoEffect,
                    &field,
                    format!("`{name}` has no effect"),
                    "Remove it, or leave it",
                ),
                None => self.findings.push(
                    Code::UnknownField,
                    &field,
                    format!("The Module has no key `{name}`"),
                    "Correct the name",
                ),
            }
        }
    }
}

/// Emissary reads both spellings.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn asks_for_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // What Emissary does where nothing is said.
        Value::Bool(on) => *on == (name == "use_remote_address"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => {
            text.is_empty() || name == "forward_client_cert_details" && text == "SANITIZE"
        }
        Value::Number(_) => false,
    }
}

fn request_timeout(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let milliseconds = value
        .as_u64()
        .ok_or_else(|| format!("{value} is not a number of milliseconds"))?;
    settings.default_timeout = (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    Ok(())
}

fn underscores(value: &Value, settings: &mut Settings) -> Result<(), String> {
    settings.requests.allow_underscores = match value.as_str() {
        Some("ALLOW") => true,
        Some("REJECT_REQUEST") => false,
        _ => {
            return Err(format!(
                "{value} is neither ALLOW nor REJECT_REQUEST; requests are rejected"
            ));
        }
    };
    Ok(())
}

fn merge_slashes(value: &Value, settings: &mut Settings) -> Result<(), String> {
    settings.requests.merge_slashes = boolean(value)?;
    Ok(())
}

fn escaped_slashes(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let reject = boolean(value)?;
    settings.requests.allow_escaped_slashes &= !reject;
    Ok(())
}

fn server_name(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let name = value
        .as_str()
        .and_then(|name| HeaderValue::from_str(name).ok())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| format!("{value} is not the value of a header"))?;
    settings.envoy.server = Some(name);
    Ok(())
}

fn suppress_envoy_headers(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let suppress = boolean(value)?;
    settings.envoy.written &= !suppress;
    Ok(())
}

fn liveness_probe(value: &Value, settings: &mut Settings) -> Result<(), String> {
    settings.own.check_alive = flag(value, "enabled", settings.own.check_alive)?;
    Ok(())
}

fn readiness_probe(value: &Value, settings: &mut Settings) -> Result<(), String> {
    settings.own.check_ready = flag(value, "enabled", settings.own.check_ready)?;
    Ok(())
}

/// It only takes away: whoever does not take Emissary's place tells nothing on that port.
fn diagnostics(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let enabled = flag(value, "enabled", true)?;
    let from_afar = flag(value, "allow_non_local", false)?;
    settings.own.diagnostics &= enabled || from_afar;
    Ok(())
}

/// It protects upstreams: what cannot be read closes everything.
fn buffer(value: &Value, settings: &mut Settings) -> Result<(), String> {
    match value.get("max_request_bytes").and_then(Value::as_u64) {
        Some(most) if most > 0 => {
            settings.clients.buffer = Some(most);
            Ok(())
        }
        _ => {
            let reason = "`buffer` needs `max_request_bytes`, a number above 0";
            settings.refusal.get_or_insert(reason.into());
            Err(format!(
                "{reason}; until it has that, every Mapping answers 503"
            ))
        }
    }
}

/// More than the proxy takes anyway is no limit; what cannot be read leaves that of the proxy.
fn max_request_headers(value: &Value, settings: &mut Settings) -> Result<(), String> {
    /// As the proxy has it for everybody.
    const MOST: u64 = 32;
    let most = value.as_u64().filter(|most| (1..=8192).contains(most));
    let most = most.ok_or_else(|| format!("{value} is not a number of KiB from 1 to 8192"))?;
    let bytes = u32::try_from(most * 1024).ok();
    settings.clients.max_head = bytes.filter(|_| most < MOST);
    Ok(())
}

fn boolean(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("{value} is neither true nor false"))
}

fn flag(value: &Value, name: &str, otherwise: bool) -> Result<bool, String> {
    let wrong = || format!("`{name}` must be true or false, in an object");
    let fields = value.as_object().ok_or_else(wrong)?;
    match fields.get(name) {
        None | Some(Value::Null) => Ok(otherwise),
        Some(value) => value.as_bool().ok_or_else(wrong),
    }
}
