//! What holds for the whole installation: the GatewaySettings, read so that a mistake never opens anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use http::HeaderValue;

use super::{
    Options, access,
    claim::RegionKey,
    compression,
    finding::Findings,
    installation,
    mapping::{Defaults, Routing},
    policies, preset,
};
use crate::{
    crd::{
        GatewaySettingsSpec,
        gateway_settings::{
            DefaultHost, ExternalPolicy, InsecureRedirect, Preset, ReferencePolicy, Unclaimed,
            Underscores, Verification,
        },
    },
    graph::{Access, ClientPolicy, EnvoyHeaders, OwnPaths, RequestPolicy},
    report::Code,
    resource::{Kind, Object, ObjectKey, ResourceSet, Unavailable},
};

/// Until the head of a response, where neither Mapping nor Module says otherwise (emissary.md, section 2.15).
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) default_host: DefaultHost,
    pub(super) unclaimed: Unclaimed,
    /// Whether Services of other namespaces may be named without a ReferenceGrant.
    pub(super) services_allowed: bool,
    pub(super) external: External,
    /// Namespaces that may hold what settles something for the installation; the own one among them.
    pub(super) instance_namespaces: BTreeSet<Arc<str>>,
    pub(super) instance: Instance,
    /// Kinds of Emissary and keys of its Module that may be ignored, in lower case.
    pub(super) ignore: BTreeSet<String>,
    pub(super) requests: RequestPolicy,
    pub(super) clients: ClientPolicy,
    pub(super) envoy: EnvoyHeaders,
    /// Whose requests are taken at all.
    pub(super) access: Option<Access>,
    pub(super) own: OwnPaths,
    pub(super) redirects_matched_only: bool,
    pub(super) verifies_with_authority_only: bool,
    /// Keys of Emissary's Module that the GatewaySettings decide, with the setting.
    pub(super) decided: BTreeMap<&'static str, &'static str>,
    pub(super) default_timeout: Option<Duration>,
    /// What holds for a Mapping that does not say it itself.
    pub(super) defaults: Defaults,
    /// Resolvers that there is an object for, by name and namespace.
    pub(super) resolvers: BTreeMap<(Arc<str>, Arc<str>), Routing>,
    /// Why no Mapping may be served: an object that protects all of them and cannot be honoured.
    pub(super) refusal: Option<Arc<str>>,
    /// The same for what nobody has claimed.
    pub(super) refusal_of_unclaimed: Option<Arc<str>>,
}

/// Which other namespaces may hold what settles something for the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instance {
    /// Only those that are named.
    Named,
    /// Every one. It makes none of them the platform's where names have owners.
    Anywhere,
    /// Every one, if nothing were claimed: a Listener or a Module is for claimed names, too. What protects everything goes
    /// on to do so where nothing is claimed.
    GivesWay,
}

/// Which names outside of the cluster may be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum External {
    Any,
    /// These, and what ends with one of them after a dot; none when empty.
    Suffixes(Vec<String>),
}

/// A GatewaySettings object with what there is to say about it.
pub(super) struct SettingsReport<'r> {
    pub(super) object: &'r Arc<Object<GatewaySettingsSpec>>,
    pub(super) findings: Findings,
    pub(super) in_force: bool,
}

impl External {
    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Suffixes(suffixes) => suffixes.iter().any(|suffix| {
                name.strip_suffix(&**suffix)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }
}

impl Settings {
    /// What holds where nothing is said.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            default_host: DefaultHost::Always,
            unclaimed: Unclaimed::FirstCome,
            services_allowed: false,
            external: External::Any,
            instance_namespaces: BTreeSet::from([Arc::clone(&options.namespace)]),
            instance: Instance::Named,
            ignore: BTreeSet::new(),
            requests: RequestPolicy::default(),
            clients: ClientPolicy::default(),
            envoy: EnvoyHeaders::default(),
            access: None,
            own: OwnPaths::default(),
            redirects_matched_only: false,
            verifies_with_authority_only: false,
            decided: BTreeMap::new(),
            default_timeout: Some(DEFAULT_TIMEOUT),
            defaults: Defaults::default(),
            resolvers: BTreeMap::new(),
            refusal: None,
            refusal_of_unclaimed: None,
        }
    }
}

/// The settings in force, and what there is to say about each GatewaySettings.
pub(super) fn read<'r>(
    resources: &'r ResourceSet,
    options: &Options,
    asked: Preset,
) -> (Settings, Vec<SettingsReport<'r>>) {
    let mut settings = Settings::new(options);
    let is_claimed = !resources.claims.is_empty();
    if asked == Preset::Emissary {
        settings.own = OwnPaths {
            check_alive: true,
            check_ready: true,
            diagnostics: true,
        };
    }
    let mut reports = Vec::new();
    let ours = resources.settings.values().filter(|object| {
        installation::includes(
            object.spec.ambassador_id.as_deref(),
            &object.problems,
            options,
        )
    });
    let (mut candidates, strangers): (Vec<_>, Vec<_>) =
        ours.partition(|object| object.key.namespace == options.namespace);
    candidates.sort_by_key(|object| super::age(object));
    for (position, object) in candidates.iter().enumerate() {
        let mut findings = Findings::of(&object.problems);
        if position == 0 {
            settings.apply(&object.spec, &findings);
            if object.spec.preset.unwrap_or(asked) == Preset::Emissary {
                preset::apply(&object.spec, is_claimed, &mut settings, &mut findings);
            }
            access::of_settings(&object.spec, &mut settings, &mut findings);
            check_ignored(&object.spec, &mut findings);
            tell_of_claims(resources, &mut findings);
        } else {
            duplicate(&mut findings, &candidates[0].key);
        }
        reports.push(SettingsReport {
            object,
            findings,
            in_force: position == 0,
        });
    }
    if candidates.is_empty() && asked == Preset::Emissary {
        let spec = GatewaySettingsSpec::default();
        let nobody = &mut Findings::default();
        preset::apply(&spec, is_claimed, &mut settings, nobody);
    }
    reports.extend(strangers.into_iter().map(|object| {
        let mut findings = Findings::of(&object.problems);
        findings.push(
            Code::WrongNamespace,
            "",
            format!(
                "GatewaySettings are read from namespace {} only",
                options.namespace
            ),
            format!("Move it to namespace {}", options.namespace),
        );
        SettingsReport {
            object,
            findings,
            in_force: false,
        }
    }));
    (settings, reports)
}

/// Whether claims may exist and do not hold.
pub(super) fn are_claims_unread(resources: &ResourceSet) -> bool {
    resources.unavailable.get(&Kind::RouteClaim) == Some(&Unavailable::Forbidden)
}

/// Says that claims may exist and do not hold.
pub(super) fn tell_of_claims(resources: &ResourceSet, findings: &mut Findings) {
    if are_claims_unread(resources) {
        tell_of_unread_claims(findings);
    }
}

/// The same, where it is known.
pub(super) fn tell_of_unread_claims(findings: &mut Findings) {
    findings.push(
        Code::ClaimsNotRead,
        "",
        "RouteClaims may not be read by this installation, so none of them holds here: hostnames and paths belong to who came first",
        "Bind the ClusterRole that reads RouteClaims and Namespaces, or leave it so",
    );
}

fn duplicate(findings: &mut Findings, first: &ObjectKey) {
    findings.push(
        Code::DuplicateSettings,
        "",
        format!("{first} was there first and is in force"),
        "Delete one of the two",
    );
}

impl Settings {
    /// What a resolver means to who is in this namespace: the names that always are, then objects there and in the namespaces
    /// that may settle things for everybody.
    pub(super) fn routing(&self, name: &str, namespace: &str) -> Option<Routing> {
        match name {
            "kubernetes-service" => return Some(Routing::Service),
            "endpoint" | "kubernetes-endpoint" => return Some(Routing::Endpoints),
            _ => {}
        }
        let get = |namespace: &str| self.resolvers.get(&(name.into(), namespace.into()));
        let mut instance = self.instance_namespaces.iter();
        let anywhere = || {
            let mut named = self.resolvers.range((Arc::from(name), Arc::default())..);
            let first = named.next().filter(|((found, _), _)| **found == *name);
            first.map(|(_, routing)| routing)
        };
        get(namespace)
            .or_else(|| instance.find_map(|namespace| get(namespace)))
            .or_else(|| {
                let is_open = self.instance == Instance::Anywhere;
                is_open.then(anywhere).flatten()
            })
            .copied()
    }

    /// Takes over what an object says; what of it cannot be read takes its strictest value.
    fn apply(&mut self, spec: &GatewaySettingsSpec, findings: &Findings) {
        let unreadable = |field: &str| findings.is_unreadable(&format!("spec.{field}"));
        self.default_host = match spec.default_host {
            _ if unreadable("defaultHost") => DefaultHost::Never,
            said => said.unwrap_or(DefaultHost::Always),
        };
        let ownership = spec.ownership.as_ref();
        self.unclaimed = match ownership.and_then(|ownership| ownership.unclaimed) {
            _ if unreadable("ownership.unclaimed") => Unclaimed::Deny,
            said => said.unwrap_or(Unclaimed::FirstCome),
        };
        let references = spec.references.as_ref();
        self.services_allowed = !unreadable("references.services")
            && references.and_then(|references| references.services)
                == Some(ReferencePolicy::Allow);
        self.external = if unreadable("references.external") {
            External::Suffixes(Vec::new())
        } else {
            external(references.and_then(|references| references.external.as_ref()))
        };
        if let Some(namespaces) = &spec.instance_namespaces {
            let named = namespaces.iter().map(|name| Arc::from(&**name));
            self.instance_namespaces.extend(named);
        }
        if let Some(resolver) = spec.resolver {
            self.defaults.resolver = resolver.name().into();
        }
        let emissary = spec.emissary.as_ref();
        if let Some(ignore) = emissary.and_then(|emissary| emissary.ignore.as_ref()) {
            self.ignore
                .extend(ignore.iter().map(|name| name.to_ascii_lowercase()));
        }
        let headers = spec.headers.as_ref();
        self.requests.allow_underscores =
            headers.and_then(|headers| headers.underscores) == Some(Underscores::Allow);
        let paths = spec.paths.as_ref();
        self.requests.merge_slashes = paths.and_then(|paths| paths.merge_slashes).unwrap_or(true);
        self.requests.allow_escaped_slashes = paths
            .and_then(|paths| paths.allow_escaped_slashes)
            .unwrap_or(false);
        self.redirects_matched_only =
            spec.insecure_redirect == Some(InsecureRedirect::MatchedPaths);
        let upstream = spec.upstream_tls.as_ref();
        self.verifies_with_authority_only =
            upstream.and_then(|tls| tls.verification) == Some(Verification::WithAuthority);
        self.write_envoy_headers(spec.envoy_headers == Some(true));
        let compression = spec.compression.as_ref();
        self.clients.compression = compression
            .filter(|_| !findings.is_unreadable("spec.compression"))
            .and_then(compression::lower);
        self.clients.grpc_web = spec.grpc_web == Some(true);
        for (said, key, setting) in [
            (
                headers.is_some_and(|headers| headers.underscores.is_some()),
                "headers_with_underscores_action",
                "headers.underscores",
            ),
            (
                paths.is_some_and(|paths| paths.merge_slashes.is_some()),
                "merge_slashes",
                "paths.mergeSlashes",
            ),
            (
                paths.is_some_and(|paths| paths.allow_escaped_slashes.is_some()),
                "reject_requests_with_escaped_slashes",
                "paths.allowEscapedSlashes",
            ),
            (spec.resolver.is_some(), "resolver", "resolver"),
            (compression.is_some(), "gzip", "compression"),
            (spec.grpc_web.is_some(), "enable_grpc_web", "grpcWeb"),
            (spec.access.is_some(), "ip_allow", "access"),
            (spec.access.is_some(), "ip_deny", "access"),
        ] {
            if said || unreadable(setting) {
                self.decided.insert(key, setting);
            }
        }
    }
}

impl Settings {
    /// Whether objects of a namespace may settle something for the whole installation.
    pub(super) fn may_settle(&self, namespace: &str) -> bool {
        self.instance == Instance::Anywhere || self.instance_namespaces.contains(namespace)
    }

    /// Why no Mapping may be served in a region, if so.
    pub(super) fn refusal_in(&self, region: &RegionKey) -> Option<&Arc<str>> {
        let unclaimed = self.refusal_of_unclaimed.as_ref();
        let unclaimed = unclaimed.filter(|_| *region == RegionKey::Unclaimed);
        self.refusal.as_ref().or(unclaimed)
    }

    /// Says that a namespace may not do something that counts for the whole installation.
    pub(super) fn refuse_to_settle(&self, namespace: &str, what: &str, findings: &mut Findings) {
        let why = match self.instance {
            Instance::GivesWay => {
                ": there are RouteClaims, and it would count for what they give to others"
            }
            Instance::Named | Instance::Anywhere => "",
        };
        findings.push(
            Code::WrongNamespace,
            "",
            format!("Namespace {namespace} may not {what}{why}"),
            "Move it to Postern's own namespace, or have this one named in `instanceNamespaces`",
        );
    }

    pub(super) fn write_envoy_headers(&mut self, written: bool) {
        self.envoy = EnvoyHeaders {
            written,
            server: written.then(|| HeaderValue::from_static("envoy")),
        };
    }
}

/// A name that ignores nothing is a mistake: what was to be ignored may close everything.
fn check_ignored(spec: &GatewaySettingsSpec, findings: &mut Findings) {
    let emissary = spec.emissary.as_ref();
    let names = emissary.and_then(|emissary| emissary.ignore.as_ref());
    for (index, name) in names.into_iter().flatten().enumerate() {
        let known = || policies::may_be_ignored();
        if known().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let nearest = known()
            .map(|known| {
                (
                    strsim::damerau_levenshtein(&plain(known), &plain(name)),
                    known,
                )
            })
            .min()
            .filter(|(distance, known)| *distance <= known.len() / 3);
        findings.push(
            Code::InvalidValue,
            &format!("spec.emissary.ignore[{index}]"),
            format!("{name:?} is neither a kind nor a setting of the Module that can be ignored"),
            match nearest {
                Some((_, known)) => format!("Write `{known}`"),
                None => "Write a kind such as `AuthService`, a setting such as `lua_scripts`, or remove it".to_owned(),
            },
        );
    }
}

fn external(said: Option<&crate::crd::gateway_settings::ExternalReferences>) -> External {
    let Some(said) = said else {
        return External::Any;
    };
    let suffixes = said.suffixes.as_ref().map(|suffixes| {
        let spelled = suffixes.iter().map(|suffix| {
            let suffix = suffix.trim_start_matches("*.").trim_matches('.');
            suffix.to_ascii_lowercase()
        });
        spelled.filter(|suffix| !suffix.is_empty()).collect()
    });
    match (said.policy, suffixes) {
        (Some(ExternalPolicy::Deny), None) => External::Suffixes(Vec::new()),
        (_, Some(suffixes)) => External::Suffixes(suffixes),
        (Some(ExternalPolicy::Allow) | None, None) => External::Any,
    }
}
