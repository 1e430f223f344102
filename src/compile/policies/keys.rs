//! The keys of Emissary's Module, and what each of them changes.

use std::time::Duration;

use http::HeaderValue;
use serde_json::Value;

use crate::{
    compile::{access, compression, mapping::defaults, settings::Settings},
    graph::{CertDetails, ForwardMode},
    report::Field,
};

/// What becomes of a key of the Module.
pub(super) enum Key {
    /// It changes the settings; an error says why it cannot.
    Apply(Field, fn(&Value, &mut Settings) -> Result<(), String>),
    /// It protects, and changes the settings; an error closes everything. Absent, null, false and empty ask for nothing.
    Guard(Field, fn(&Value, &mut Settings) -> Result<(), String>),
    /// It protects, and is not implemented. Absent, null, false and empty ask for nothing.
    Protects,
    /// Traffic is served without it.
    Missing,
    /// It has no effect in Emissary either, or none that could be told.
    NoEffect,
}

/// The keys of Emissary's Module (emissary.md, section 1.10).
pub(super) const KEYS: &[(&str, Key)] = &[
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
    ("ip_allow", Key::Guard(Field::ModuleIpAllow, access::allow)),
    ("ip_deny", Key::Guard(Field::ModuleIpDeny, access::deny)),
    ("lua_scripts", Key::Protects),
    ("buffer", Key::Apply(Field::ModuleBuffer, buffer)),
    ("defaults", Key::Protects),
    (
        "max_request_headers_kb",
        Key::Apply(Field::ModuleMaxHead, max_request_headers),
    ),
    (
        "forward_client_cert_details",
        Key::Apply(Field::ModuleForwardedCert, forwarded_cert),
    ),
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
    (
        "set_current_client_cert_details",
        Key::Apply(Field::ModuleCertDetails, cert_details),
    ),
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

/// What cannot be read leaves nobody who may write the field.
fn forwarded_cert(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let mode = ForwardMode::ALL.iter().find(|(name, _)| *name == text);
    let (_, mode) = mode.ok_or_else(|| {
        let names = ForwardMode::ALL.map(|(name, _)| name);
        format!("{value} is none of {}", names.join(", "))
    })?;
    settings.clients.forwarded_cert.mode = *mode;
    Ok(())
}

fn cert_details(value: &Value, settings: &mut Settings) -> Result<(), String> {
    let fields = value.as_object();
    let fields = fields.ok_or_else(|| format!("{value} is not an object"))?;
    let mut details = CertDetails::default();
    for (name, value) in fields {
        let on = match &**name {
            "subject" => &mut details.subject,
            "cert" => &mut details.cert,
            "chain" => &mut details.chain,
            "dns" => &mut details.dns,
            "uri" => &mut details.uri,
            _ => {
                return Err(format!(
                    "There is no detail `{name}`: subject, cert, chain, dns and uri are"
                ));
            }
        };
        *on = boolean(value)?;
    }
    settings.clients.forwarded_cert.details = details;
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
