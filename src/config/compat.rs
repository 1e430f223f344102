//! The environment of an Emissary-ingress Deployment, for the drop-in: one table, from which the reference is generated too.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    time::Duration,
};

use super::{LogFormat, Serve};

/// What becomes of a variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What it does here, one sentence.
    pub text: &'static str,
    take: Option<Take>,
}

/// What becomes of what Emissary-ingress has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Works,
    /// It works in another way.
    Differs,
    /// It is accepted and changes nothing.
    NoEffect,
    /// Whatever asks for it is refused.
    Refused,
}

type Take = fn(&str, &mut Serve) -> Result<(), &'static str>;

/// Why an environment cannot be served with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: {why}")]
pub struct CompatError {
    pub name: &'static str,
    pub value: String,
    pub why: &'static str,
}

const fn works(name: &'static str, text: &'static str, take: Take) -> Variable {
    Variable {
        name,
        verdict: Verdict::Works,
        text,
        take: Some(take),
    }
}

const fn differs(name: &'static str, text: &'static str, take: Option<Take>) -> Variable {
    Variable {
        verdict: Verdict::Differs,
        name,
        text,
        take,
    }
}

const fn no_effect(name: &'static str, text: &'static str) -> Variable {
    Variable {
        verdict: Verdict::NoEffect,
        name,
        text,
        take: None,
    }
}

const fn refused(name: &'static str, text: &'static str, take: Take) -> Variable {
    Variable {
        verdict: Verdict::Refused,
        ..works(name, text, take)
    }
}

/// Every variable that Emissary-ingress documents, in the order in which they are taken.
pub const VARIABLES: &[Variable] = &[
    works(
        "AMBASSADOR_ID",
        "The installation, as `--installation`.",
        |value, serve| {
            if serve.installation == "default" {
                value.clone_into(&mut serve.installation);
            }
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_NAMESPACE",
        "The own namespace, as `--namespace`.",
        |value, serve| {
            serve.namespace.get_or_insert_with(|| value.to_owned());
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_SINGLE_NAMESPACE",
        "With any value that is not empty, `false` among them, only the own namespace is watched.",
        |_, serve| {
            let own = serve.namespace.clone();
            let own = own.ok_or("it needs AMBASSADOR_NAMESPACE, or --namespace")?;
            if serve.watch_namespaces.is_empty() {
                serve.watch_namespaces.push(own);
            }
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_LABEL_SELECTOR",
        "Only objects with these labels are read: those of `getambassador.io`, Services, EndpointSlices, Ingresses and Secrets.",
        |value, serve| {
            serve.selector.labels = Some(value.to_owned());
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_FIELD_SELECTOR",
        "The same by fields, as far as the API server can select by them.",
        |value, serve| {
            serve.selector.fields = Some(value.to_owned());
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_HEALTHCHECK_BIND_PORT",
        "The port of health, metrics and diagnostics, 8877 without it.",
        |value, serve| {
            let port = value.parse().map_err(|_| "it is not a port")?;
            serve.admin_address.set_port(port);
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_HEALTHCHECK_IP_FAMILY",
        "`ANY`, `IPV4_ONLY` or `IPV6_ONLY`, for that port.",
        |value, serve| {
            let address = match value {
                "IPV4_ONLY" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                "IPV6_ONLY" | "ANY" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                _ => return Err("it is none of ANY, IPV4_ONLY and IPV6_ONLY"),
            };
            serve.admin_address.set_ip(address);
            Ok(())
        },
    ),
    works(
        "AMBASSADOR_HEALTHCHECK_BIND_ADDRESS",
        "The address of that port.",
        |value, serve| {
            let address = value.parse().map_err(|_| "it is not an address")?;
            serve.admin_address.set_ip(address);
            Ok(())
        },
    ),
    works(
        "ENVOY_CONCURRENCY",
        "Threads that serve traffic, as `--workers`; 0 for one for each core.",
        |value, serve| {
            let workers: usize = value.parse().map_err(|_| "it is not a number")?;
            serve.workers = serve.workers.or(NonZeroUsize::new(workers));
            Ok(())
        },
    ),
    works("AES_LOG_LEVEL", "As `--log-level`.", |value, serve| {
        let level = match value.to_ascii_lowercase().as_str() {
            "panic" | "fatal" | "error" => "error",
            "warn" | "warning" => "warn",
            "info" => "info",
            "debug" => "debug",
            "trace" => "trace",
            _ => return Err("it is none of error, warn, info, debug and trace"),
        };
        if serve.log.log_level == "info" {
            level.clone_into(&mut serve.log.log_level);
        }
        Ok(())
    }),
    works(
        "AMBASSADOR_JSON_LOGGING",
        "With `true`, as `--log-format json`.",
        |value, serve| {
            if is_true(value) {
                serve.log.log_format = LogFormat::Json;
            }
            Ok(())
        },
    ),
    differs(
        "AMBASSADOR_DRAIN_TIME",
        "As `--drain-timeout`, in seconds; 20 without it, because Kubernetes kills a pod after 30 unless told otherwise.",
        Some(|value, serve| {
            let seconds = value.parse().map_err(|_| "it is not a number of seconds")?;
            serve.drain_timeout = Duration::from_secs(seconds);
            Ok(())
        }),
    ),
    differs(
        "AMBASSADOR_UPDATE_MAPPING_STATUS",
        "Mappings get a state in any case, where the permissions allow it; `--no-status getambassador.io` leaves them alone.",
        None,
    ),
    differs(
        "AMBASSADOR_FORCE_SECRET_VALIDATION",
        "Secrets are always checked, and a bad one concerns the names that use it only.",
        None,
    ),
    differs(
        "DISABLE_STRICT_LABEL_SELECTORS",
        "All labels of a selector must be there in any case.",
        None,
    ),
    differs(
        "AMBASSADOR_CERTS_SINGLE_NAMESPACE",
        "Secrets of other namespaces need a ReferenceGrant in any case.",
        None,
    ),
    refused(
        "AMBASSADOR_ENVOY_BIND_ADDRESS",
        "Listeners are on every address; another value refuses to start. Use `--bind` for each port.",
        |value, _| match value {
            "0.0.0.0" | "::" | "[::]" => Ok(()),
            _ => Err("Listeners are on every address; use --bind for each port"),
        },
    ),
    refused(
        "AMBASSADOR_KNATIVE_SUPPORT",
        "Knative is not implemented: `true` refuses to start.",
        |value, _| match value {
            "true" => Err("Knative is not implemented; keep those routes on Emissary-ingress"),
            _ => Ok(()),
        },
    ),
    no_effect(
        "AMBASSADOR_DISABLE_ENDPOINTS",
        "Which resolver is used is said by objects and settings.",
    ),
    no_effect(
        "AMBASSADOR_FORCE_ENDPOINTS",
        "Which resolver is used is said by objects and settings.",
    ),
    no_effect("AMBASSADOR_EDS_BYPASS", "There is no Envoy."),
    no_effect(
        "AMBASSADOR_ISTIO_SECRET_DIR",
        "Certificates come from Secrets only; what names `istio-certs` says that it is missing.",
    ),
    no_effect(
        "AMBASSADOR_FAST_RECONFIGURE",
        "Every change is incremental.",
    ),
    no_effect(
        "AMBASSADOR_RECONFIG_MAX_DELAY",
        "Changes wait for milliseconds, see `--hold-off`.",
    ),
    no_effect(
        "AMBASSADOR_AMBEX_NO_RATELIMIT",
        "Changes are never held back.",
    ),
    no_effect(
        "AMBASSADOR_AMBEX_SNAPSHOT_COUNT",
        "No snapshots are kept on disk.",
    ),
    no_effect(
        "AMBASSADOR_SNAPSHOT_COUNT",
        "No snapshots are kept on disk.",
    ),
    no_effect("AMBASSADOR_CONFIG_BASE_DIR", "Nothing is written to disk."),
    no_effect(
        "AMBASSADOR_DISABLE_SNAPSHOT_SERVER",
        "There is no snapshot server.",
    ),
    no_effect(
        "AMBASSADOR_READY_PORT",
        "There is no Envoy: readiness is on the health port.",
    ),
    no_effect(
        "AMBASSADOR_READY_LOG",
        "There is no Envoy: readiness is on the health port.",
    ),
    no_effect("AMBASSADOR_ENVOY_BASE_ID", "There is no Envoy."),
    no_effect(
        "AMBASSADOR_CLUSTER_ID",
        "Metrics have the labels that the scraper gives them.",
    ),
    no_effect("AMBASSADOR_DEBUG", "Use `--log-level`."),
    no_effect(
        "AMBASSADOR_LOG_RESOURCES",
        "The diagnostics port shows what is compiled.",
    ),
    no_effect(
        "AMBASSADOR_DIAGD_BANNER_ENDPOINT",
        "There is no page with a banner.",
    ),
    no_effect("AMBASSADOR_APIEXT_WAIT", "No conversion webhook is needed."),
    no_effect(
        "STATSD_ENABLED",
        "Metrics are on the health port, for Prometheus.",
    ),
    no_effect(
        "STATSD_HOST",
        "Metrics are on the health port, for Prometheus.",
    ),
    no_effect(
        "STATSD_FLUSH_INTERVAL",
        "Metrics are on the health port, for Prometheus.",
    ),
    no_effect(
        "DOGSTATSD",
        "Metrics are on the health port, for Prometheus.",
    ),
    no_effect(
        "DD_ENTITY_ID",
        "Metrics are on the health port, for Prometheus.",
    ),
];

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "true" | "yes" | "y" | "t" | "1" | "on"
    )
}

impl Serve {
    /// Takes the environment of an Emissary-ingress Deployment, where the flags say nothing else. What could leave something open
    /// that the environment closes is an error.
    pub fn with_compat(
        mut self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, CompatError> {
        if self.compat.is_none() {
            return Ok(self);
        }
        for variable in VARIABLES {
            let value = environment(variable.name).unwrap_or_default();
            if value.is_empty() {
                continue;
            }
            let Some(take) = variable.take else {
                continue;
            };
            take(&value, &mut self).map_err(|why| CompatError {
                name: variable.name,
                value,
                why,
            })?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::tests::parse;

    fn serve(flags: &str, environment: &[(&str, &str)]) -> Result<Serve, CompatError> {
        let serve = parse(flags).unwrap();
        serve.with_compat(|name| {
            let found = environment.iter().find(|row| row.0 == name);
            found.map(|row| row.1.to_owned())
        })
    }

    const DEPLOYMENT: &[(&str, &str)] = &[
        ("AMBASSADOR_ID", "edge"),
        ("AMBASSADOR_NAMESPACE", "emissary"),
        ("AMBASSADOR_SINGLE_NAMESPACE", "false"),
        ("AMBASSADOR_LABEL_SELECTOR", "tier=edge"),
        ("AMBASSADOR_HEALTHCHECK_BIND_PORT", "9877"),
        ("AMBASSADOR_DRAIN_TIME", "10"),
        ("ENVOY_CONCURRENCY", "3"),
        ("AES_LOG_LEVEL", "warning"),
        ("AMBASSADOR_JSON_LOGGING", "yes"),
        ("STATSD_ENABLED", "true"),
    ];

    #[test]
    fn the_environment_of_a_deployment_is_taken() {
        let taken = serve("--compat emissary", DEPLOYMENT).unwrap();
        assert_eq!(taken.installation, "edge");
        assert_eq!(taken.namespace.as_deref(), Some("emissary"));
        assert_eq!(taken.watch_namespaces, ["emissary"]);
        assert_eq!(taken.selector.labels.as_deref(), Some("tier=edge"));
        assert_eq!(taken.admin_address.to_string(), "[::]:9877");
        assert_eq!(taken.drain_timeout, Duration::from_secs(10));
        assert_eq!(taken.workers().get(), 3);
        assert_eq!(taken.log.log_level, "warn");
        assert_eq!(taken.log.log_format, LogFormat::Json);
    }

    #[test]
    fn without_the_flag_nothing_is_taken_and_flags_win() {
        assert_eq!(serve("", DEPLOYMENT).unwrap().installation, "default");
        let flags = "--compat emissary --installation own --namespace n --log-level debug";
        let taken = serve(flags, DEPLOYMENT).unwrap();
        assert_eq!(taken.installation, "own");
        assert_eq!(taken.namespace.as_deref(), Some("n"));
        assert_eq!(taken.log.log_level, "debug");
    }

    #[test]
    fn what_cannot_be_kept_to_is_an_error_with_the_variable() {
        for (name, value) in [
            ("AMBASSADOR_ENVOY_BIND_ADDRESS", "127.0.0.1"),
            ("AMBASSADOR_KNATIVE_SUPPORT", "true"),
            ("AMBASSADOR_SINGLE_NAMESPACE", "true"),
            ("AMBASSADOR_HEALTHCHECK_BIND_ADDRESS", "here"),
            ("AMBASSADOR_HEALTHCHECK_BIND_PORT", "99999"),
            ("AMBASSADOR_HEALTHCHECK_IP_FAMILY", "BOTH"),
            ("AES_LOG_LEVEL", "loud"),
        ] {
            let error = serve("--compat emissary", &[(name, value)]).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{name}={value}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_variable_is_in_the_table_once() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
    }
}
