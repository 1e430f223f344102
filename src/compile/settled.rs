//! By which of its fields an object settles how requests are handled, for those who ask where a policy comes from.

use super::finding::as_written;
use crate::{
    crd::{GatewaySettingsSpec, HostSpec, MappingSpec, TlsContextSpec, gateway_settings::Preset},
    report::{Field, Settled},
    resource::{Mapping, Object},
};

/// A field, and whether an object says it.
type Row<S> = (Field, fn(&S) -> bool);

const MAPPING: &[Row<MappingSpec>] = &[
    (Field::Weight, |spec| spec.weight.is_some()),
    (Field::Service, |spec| has_scheme(spec.service.as_deref())),
    (Field::Tls, |spec| asks_for_tls(spec).is_some()),
    (Field::Grpc, |spec| spec.grpc == Some(true)),
    (Field::Rewrite, |spec| spec.rewrite.is_some()),
    (Field::RegexRewrite, |spec| spec.regex_rewrite.is_some()),
    (Field::HostRewrite, |spec| {
        is_said(spec.host_rewrite.as_deref())
    }),
    (Field::AutoHostRewrite, |spec| {
        spec.auto_host_rewrite == Some(true)
    }),
    (Field::Timeout, |spec| spec.timeout_ms.is_some()),
    (Field::IdleTimeout, |spec| spec.idle_timeout_ms.is_some()),
    (Field::ConnectTimeout, |spec| {
        spec.connect_timeout_ms.is_some()
    }),
    (Field::MaxRequestBody, |spec| {
        spec.max_request_body_bytes.is_some()
    }),
    (Field::AllowUpgrade, |spec| spec.allow_upgrade.is_some()),
    (Field::UseWebsocket, |spec| spec.use_websocket == Some(true)),
    (Field::AddRequestHeaders, |spec| {
        spec.add_request_headers.is_some()
    }),
    (Field::RemoveRequestHeaders, |spec| {
        spec.remove_request_headers.is_some()
    }),
    (Field::AddLinkerdHeaders, |spec| {
        spec.add_linkerd_headers.is_some()
    }),
    (Field::AddResponseHeaders, |spec| {
        spec.add_response_headers.is_some()
    }),
    (Field::RemoveResponseHeaders, |spec| {
        spec.remove_response_headers.is_some()
    }),
    (Field::AllowEscapedSlashes, |spec| {
        spec.allow_escaped_slashes == Some(true)
    }),
    (Field::Cors, |spec| spec.cors.is_some()),
    (Field::RetryPolicy, |spec| spec.retry_policy.is_some()),
    (Field::Priority, |spec| spec.priority.is_some()),
    (Field::LoadBalancer, |spec| spec.load_balancer.is_some()),
    (Field::CircuitBreakers, |spec| {
        spec.circuit_breakers.is_some()
    }),
    (Field::HealthChecks, |spec| spec.health_checks.is_some()),
    (Field::OutlierDetection, |spec| {
        spec.outlier_detection.is_some()
    }),
    (Field::Keepalive, |spec| spec.keepalive.is_some()),
    (Field::ConnectionIdle, |spec| {
        spec.cluster_idle_timeout_ms.is_some()
    }),
    (Field::ConnectionLifetime, |spec| {
        spec.cluster_max_connection_lifetime_ms.is_some()
    }),
    (Field::HostRedirect, |spec| spec.host_redirect == Some(true)),
    (Field::PathRedirect, |spec| spec.path_redirect.is_some()),
    (Field::PrefixRedirect, |spec| spec.prefix_redirect.is_some()),
    (Field::RegexRedirect, |spec| spec.regex_redirect.is_some()),
    (Field::RedirectResponseCode, |spec| {
        spec.redirect_response_code.is_some()
    }),
    (Field::Resolver, |spec| spec.resolver.is_some()),
    (Field::Shadow, |spec| spec.shadow == Some(true)),
];

const HOST: &[Row<HostSpec>] = &[
    (Field::TlsSecret, |spec| spec.tls_secret.is_some()),
    (Field::HostContext, |spec| spec.tls_context.is_some()),
    (Field::Tls, |spec| spec.tls.is_some()),
    (Field::InsecureAction, |spec| {
        let policy = spec.request_policy.as_ref();
        let insecure = policy.and_then(|policy| policy.insecure.as_ref());
        insecure.is_some_and(|insecure| insecure.action.is_some())
    }),
];

const CONTEXT: &[Row<TlsContextSpec>] = &[
    (Field::Sni, |spec| spec.sni.is_some()),
    (Field::CaSecret, |spec| spec.ca_secret.is_some()),
    (Field::ClientSecret, |spec| spec.secret.is_some()),
    (Field::InsecureSkipVerify, |spec| {
        spec.insecure_skip_verify == Some(true)
    }),
    (Field::MinTlsVersion, |spec| spec.min_tls_version.is_some()),
    (Field::MaxTlsVersion, |spec| spec.max_tls_version.is_some()),
    (Field::CipherSuites, |spec| spec.cipher_suites.is_some()),
    (Field::EcdhCurves, |spec| spec.ecdh_curves.is_some()),
    (Field::CrlSecret, |spec| spec.crl_secret.is_some()),
];

const SETTINGS: &[Row<GatewaySettingsSpec>] = &[
    (Field::AccessAllow, |spec| {
        spec.access
            .as_ref()
            .is_some_and(|access| access.allow.is_some())
    }),
    (Field::AccessDeny, |spec| {
        spec.access
            .as_ref()
            .is_some_and(|access| access.deny.is_some())
    }),
    (Field::Resolver, |spec| spec.resolver.is_some()),
    (Field::DefaultHost, |spec| spec.default_host.is_some()),
    (Field::Underscores, |spec| {
        spec.headers
            .as_ref()
            .is_some_and(|headers| headers.underscores.is_some())
    }),
    (Field::MergeSlashes, |spec| {
        spec.paths
            .as_ref()
            .is_some_and(|paths| paths.merge_slashes.is_some())
    }),
    (Field::EscapedSlashes, |spec| {
        spec.paths
            .as_ref()
            .is_some_and(|paths| paths.allow_escaped_slashes.is_some())
    }),
    (Field::InsecureRedirect, |spec| {
        spec.insecure_redirect.is_some()
    }),
    (Field::Verification, |spec| {
        spec.upstream_tls
            .as_ref()
            .is_some_and(|tls| tls.verification.is_some())
    }),
    (Field::EnvoyHeaders, |spec| spec.envoy_headers.is_some()),
    (Field::Compression, |spec| spec.compression.is_some()),
    (Field::GrpcWeb, |spec| spec.grpc_web.is_some()),
    (Field::Preset, |spec| spec.preset == Some(Preset::Emissary)),
];

pub(super) fn of_mapping(object: &Mapping, spec: &MappingSpec) -> Settled {
    let mut settled = of(MAPPING, object, spec);
    if let Some(name) = asks_for_tls(spec)
        && !name.eq_ignore_ascii_case("true")
    {
        settled.add_context(name);
    }
    settled
}

pub(super) fn of_host(object: &Object<HostSpec>) -> Settled {
    let mut settled = of(HOST, object, &object.spec);
    let reference = object.spec.tls_secret.as_ref();
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    if let Some((reference, name)) = reference.and_then(|said| Some((said, named(&said.name)?))) {
        let namespace = named(&reference.namespace);
        let namespace = namespace.as_deref().unwrap_or(&object.key.namespace);
        settled.add_secret(&format!("{namespace}/{name}"));
    }
    settled
}

pub(super) fn of_context(object: &Object<TlsContextSpec>) -> Settled {
    of(CONTEXT, object, &object.spec)
}

pub(super) fn of_settings(object: &Object<GatewaySettingsSpec>) -> Settled {
    of(SETTINGS, object, &object.spec)
}

fn of<T, S>(rows: &[Row<S>], object: &Object<T>, spec: &S) -> Settled {
    let mut settled = Settled::default();
    for (field, _) in rows.iter().filter(|(_, is_said)| is_said(spec)) {
        let path = field.path();
        settled.add(*field, as_written(object, path.to_owned()) != path);
    }
    settled
}

fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn has_scheme(service: Option<&str>) -> bool {
    service.is_some_and(|service| service.contains("://"))
}

/// What `tls` says, unless that is nothing.
fn asks_for_tls(spec: &MappingSpec) -> Option<&str> {
    let text = spec.tls.as_deref()?.trim();
    (!text.is_empty() && !text.eq_ignore_ascii_case("false")).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tests as fixture, *};
    use crate::{
        crd::schema::{Node, Spec, tree::Shape},
        report::settled::{FIELDS, is_same, snake_case},
        resource::AnyObject,
    };

    fn mapping(version: &str, spec: &serde_json::Value) -> Settled {
        let document = json!({
            "apiVersion": version,
            "kind": "Mapping",
            "metadata": {"name": "quote", "namespace": "apps"},
            "spec": spec,
        });
        let AnyObject::Mapping(object) = fixture::object(&document) else {
            panic!("a Mapping");
        };
        of_mapping(&object, &object.spec.read())
    }

    #[test]
    fn fields_are_told_as_the_object_writes_them() {
        let settled = mapping(
            "postern.dev/v1alpha1",
            &json!({"prefix": "/", "service": "https://quote", "timeoutMs": 5, "tls": "upstream"}),
        );
        let paths: Vec<_> = settled.paths().collect();
        assert_eq!(paths, ["spec.service", "spec.tls", "spec.timeoutMs"]);
        assert_eq!(settled.context(), Some("upstream"));
        let settled = mapping(
            "getambassador.io/v3alpha1",
            &json!({"prefix": "/", "service": "quote", "timeout_ms": 5, "tls": "true"}),
        );
        let paths: Vec<_> = settled.paths().collect();
        assert_eq!(paths, ["spec.tls", "spec.timeout_ms"]);
        assert_eq!(settled.context(), None);
    }

    /// The spelling of Emissary at the end of a path, by the schema.
    fn spelled(mut node: &Node, path: &str) -> String {
        let mut spelled = "spec".to_owned();
        for name in path.split('.').skip(1) {
            let Shape::Object(fields) = &node.shape else {
                panic!("{path}: {name} is in no object");
            };
            let field = fields.list.iter().find(|field| field.name == name);
            let field = field.unwrap_or_else(|| panic!("{path}: no field {name}"));
            spelled.extend([".", &field.snake]);
            node = &field.node;
        }
        spelled
    }

    #[test]
    fn every_field_is_one_of_its_schema() {
        let mut known = Vec::new();
        let mut check = |tree: &Node, fields: Vec<Field>| {
            for field in fields {
                let path = field.path();
                assert_eq!(snake_case(path), spelled(tree, path));
                known.push(field);
            }
        };
        check(
            MappingSpec::tree(),
            MAPPING.iter().map(|row| row.0).collect(),
        );
        check(HostSpec::tree(), HOST.iter().map(|row| row.0).collect());
        check(
            TlsContextSpec::tree(),
            CONTEXT.iter().map(|row| row.0).collect(),
        );
        check(
            GatewaySettingsSpec::tree(),
            SETTINGS.iter().map(|row| row.0).collect(),
        );
        let rest: Vec<_> = FIELDS
            .iter()
            .filter(|row| !known.contains(&row.0))
            .collect();
        assert!(
            rest.iter().all(|row| row.1.starts_with("spec.config.")),
            "{rest:?}"
        );
        assert!(rest.iter().all(|row| is_same(row.1, &snake_case(row.1))));
    }
}
