//! Where a policy comes from: the object and the field that settle it, by what the report says of each object.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    graph::why::{Answer, MemberAnswer, Outcome, Policy, PolicyAnswer},
    plugin::{
        facts::{Facts, Known},
        output::{Cell, Style, Table},
        place::{host_of, object_of},
    },
    report::{Field, settled::is_same},
    resource::Kind,
};

/// A policy as it holds for the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settled {
    /// The Mapping whose share of the requests it holds for; none when it holds for all.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    policy: Policy,
    value: String,
    /// The fields that settle it; none when nobody has said anything.
    from: Vec<Said>,
    /// Why an object may settle it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(skip)]
    quiet: bool,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Said {
    /// `Mapping shop/cart`.
    object: String,
    /// As the object writes it.
    field: String,
}

/// Which object settles a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The Mapping that the request goes to.
    Mapping,
    /// The TLSContext that the Mapping names.
    Context,
    /// The Host that has the request.
    Host,
    Settings,
    Module,
}

/// The fields that settle a policy together: the first group of which an object says one does.
type Groups = &'static [&'static [(By, Field)]];

/// Objects that say something about a request.
struct Sayers<'f> {
    facts: &'f Facts,
    host: Option<String>,
    /// Of the member at hand.
    mapping: Option<&'f Known>,
}

/// What holds for the request, policy by policy; taken out of the answer.
pub(super) fn settled(answer: &mut Answer, facts: &Facts) -> Vec<Settled> {
    let mut sayers = Sayers {
        facts,
        host: answer.host.as_ref().and_then(|host| host_of(&host.id)),
        mapping: None,
    };
    let general = std::mem::take(&mut answer.policies).into_iter();
    let mut all: Vec<_> = general.map(|found| sayers.settled(found, None)).collect();
    let (Outcome::Route { members } | Outcome::NoShare { members }) = &mut answer.outcome else {
        return all;
    };
    for MemberAnswer { id, policies, .. } in members {
        let title = object_of(id);
        sayers.mapping = facts.object(&title);
        let own = std::mem::take(policies).into_iter();
        all.extend(own.map(|found| sayers.settled(found, Some(title.clone()))));
    }
    all
}

/// By which objects and fields a Mapping has its Service dialled as it is; none where nobody has said anything.
pub(super) fn resolver(mapping: &str, facts: &Facts) -> Vec<String> {
    const GROUPS: Groups = &[
        &[(By::Mapping, Field::Resolver)],
        &[(By::Settings, Field::Resolver)],
        &[(By::Module, Field::ModuleResolver)],
    ];
    let sayers = Sayers {
        facts,
        host: None,
        mapping: facts.object(mapping),
    };
    let said = GROUPS.iter().map(|group| sayers.said(group));
    let first = said.into_iter().find(|said| !said.is_empty());
    let first = first.unwrap_or_default().into_iter();
    first
        .map(|said| format!("{} {}", said.object, said.field))
        .collect()
}

/// Those that somebody has settled, or that do something; what holds for all members alike is told once.
pub(super) fn table(all: &[Settled]) -> Table {
    let members: BTreeSet<_> = all.iter().filter_map(|one| one.of.as_ref()).collect();
    let mut table = Table::new(&["POLICY", "VALUE", "FROM", "FOR"]);
    let told = |one: &&Settled| !one.quiet || !one.from.is_empty();
    for one in all.iter().filter(told) {
        let alike = || all.iter().filter(|other| one.is_like(other));
        let holds_for_all = one.of.is_none() || alike().count() == members.len();
        let is_first = alike().next().is_some_and(|first| first.of == one.of);
        if holds_for_all && !is_first {
            continue;
        }
        let of = one.of.as_deref().filter(|_| !holds_for_all);
        table.push([
            one.policy.name().into(),
            (&*one.value).into(),
            one.origin(),
            of.unwrap_or_default().into(),
        ]);
    }
    table
}

impl Settled {
    /// Whether it says the same of another member.
    fn is_like(&self, other: &Self) -> bool {
        (self.policy, &self.value, &self.from) == (other.policy, &other.value, &other.from)
    }

    /// Whether it is as no object says and no default is: then the environment of the process has said so.
    fn is_of_preset(&self) -> bool {
        let by_preset = groups(self.policy)
            .concat()
            .contains(&(By::Settings, Field::Preset));
        !self.quiet && by_preset
    }

    fn origin(&self) -> Cell {
        let said: Vec<_> = { self.from.iter() }
            .map(|said| format!("{} {}", said.object, said.field))
            .collect();
        match &self.unknown {
            _ if !said.is_empty() => said.join(", ").into(),
            Some(why) => Cell::new(format!("default, or not told: {why}"), Style::Warn),
            None if self.policy == Policy::UpstreamProtocol && !self.quiet => {
                "the appProtocol of the Service's port".into()
            }
            None if self.policy == Policy::Zones && !self.quiet => {
                "the trafficDistribution of the Service".into()
            }
            None if self.is_of_preset() => "the preset that the replicas were started with".into(),
            None => Cell::new("default", Style::Dim),
        }
    }
}

impl Sayers<'_> {
    fn settled(&self, found: PolicyAnswer, of: Option<String>) -> Settled {
        let groups = groups(found.policy);
        let said = groups.iter().map(|group| self.said(group));
        let from = said
            .into_iter()
            .find(|said| !said.is_empty())
            .unwrap_or_default();
        let unknown = from.is_empty().then(|| self.unknown(groups)).flatten();
        Settled {
            of,
            policy: found.policy,
            value: found.value,
            from,
            unknown,
            quiet: found.quiet,
        }
    }

    fn said(&self, group: &[(By, Field)]) -> Vec<Said> {
        let said = group.iter().flat_map(|(by, field)| {
            let says = move |known: &&Known| field_of(known, *field).is_some();
            self.sayers(*by).into_iter().filter(says).map(|known| Said {
                object: known.view.title(),
                field: field_of(known, *field).unwrap_or_default().to_owned(),
            })
        });
        said.collect()
    }

    fn sayers(&self, by: By) -> Vec<&Known> {
        let of_kind = |kind: Kind| {
            let all = self.facts.objects.iter();
            all.filter(move |known| known.view.kind == kind.name())
        };
        match by {
            By::Mapping => self.mapping.into_iter().collect(),
            By::Host => { self.host.iter() }
                .filter_map(|title| self.facts.object(title))
                .collect(),
            By::Settings => of_kind(Kind::GatewaySettings).collect(),
            By::Module => of_kind(Kind::Module).collect(),
            By::Context => self.context().into_iter().collect(),
        }
    }

    /// The TLSContext that the Mapping names: of its own namespace, or of one that settles things for everybody.
    fn context(&self) -> Option<&Known> {
        let mapping = &self.mapping?.view;
        let name = mapping.tls_context.as_ref()?;
        let found = || {
            let all = self.facts.objects.iter();
            all.filter(|known| {
                known.view.kind == Kind::TlsContext.name() && known.view.name == *name
            })
        };
        let in_namespace =
            |namespace: &str| found().find(|known| known.view.namespace == namespace);
        in_namespace(&mapping.namespace)
            .or_else(|| found().next().filter(|_| found().count() == 1))
            .or_else(|| in_namespace(&self.facts.gateway_namespace))
    }

    /// Why it is not known that nobody has settled it.
    fn unknown(&self, groups: Groups) -> Option<String> {
        let by: Vec<_> = groups
            .iter()
            .flat_map(|group| group.iter().map(|(by, _)| *by))
            .collect();
        let own = self.mapping.filter(|_| by.contains(&By::Mapping));
        if own.is_some_and(|known| known.view.settles.is_none()) {
            return Some("this replica does not tell by which field".to_owned());
        }
        let kinds = [
            (By::Settings, Kind::GatewaySettings),
            (By::Module, Kind::Module),
        ];
        let namespace = &self.facts.gateway_namespace;
        let mut asked = kinds.iter().filter(|(who, _)| by.contains(who));
        asked.find_map(|(_, kind)| self.facts.unread(&[*kind], namespace))
    }
}

/// A field as an object writes it, if it settles something by it.
fn field_of(known: &Known, field: Field) -> Option<&str> {
    let mut settles = known.view.settles.iter().flatten();
    let found = settles.find(|path| is_same(path, field.path()));
    found.map(String::as_str)
}

/// Who may settle a policy, those first who have the last word.
#[expect(
    clippy::too_many_lines,
    reason = "a table that the compiler knows to be whole"
)]
fn groups(policy: Policy) -> Groups {
    use By::{Context, Host, Mapping, Module, Settings};
    match policy {
        Policy::MergeSlashes => &[
            &[(Settings, Field::MergeSlashes)],
            &[(Module, Field::ModuleMergeSlashes)],
            &[(Settings, Field::Preset)],
        ],
        Policy::EscapedSlashes => &[
            &[(Settings, Field::EscapedSlashes)],
            // The Module can only take back what the preset gives.
            &[
                (Module, Field::ModuleEscapedSlashes),
                (Settings, Field::Preset),
            ],
        ],
        Policy::Access => &[
            &[
                (Settings, Field::AccessAllow),
                (Settings, Field::AccessDeny),
            ],
            &[
                (Module, Field::ModuleIpAllow),
                (Module, Field::ModuleIpDeny),
            ],
        ],
        Policy::Handshake => &[&[(Host, Field::Tls), (Host, Field::HostContext)]],
        Policy::UpstreamHandshake => &[&[
            (Context, Field::MinTlsVersion),
            (Context, Field::MaxTlsVersion),
            (Context, Field::CipherSuites),
            (Context, Field::EcdhCurves),
            (Context, Field::CrlSecret),
        ]],
        Policy::ForwardedCert => &[&[
            (Module, Field::ModuleForwardedCert),
            (Module, Field::ModuleCertDetails),
        ]],
        Policy::Underscores => &[
            &[(Settings, Field::Underscores)],
            &[(Module, Field::ModuleUnderscores)],
            &[(Settings, Field::Preset)],
        ],
        Policy::EnvoyHeaders => &[
            &[
                (Settings, Field::EnvoyHeaders),
                (Module, Field::ModuleSuppressEnvoyHeaders),
            ],
            &[(Settings, Field::Preset)],
        ],
        Policy::ServerHeader => &[
            &[(Module, Field::ModuleServerName)],
            &[(Settings, Field::EnvoyHeaders)],
            &[(Settings, Field::Preset)],
        ],
        Policy::Compression => &[
            &[(Settings, Field::Compression)],
            &[(Module, Field::ModuleGzip)],
        ],
        Policy::GrpcWeb => &[
            &[(Settings, Field::GrpcWeb)],
            &[(Module, Field::ModuleGrpcWeb)],
        ],
        Policy::Buffer => &[&[(Module, Field::ModuleBuffer)]],
        Policy::MaxHead => &[&[(Module, Field::ModuleMaxHead)]],
        Policy::Http10 => &[&[(Module, Field::ModuleHttp10)]],
        Policy::HeaderCase => &[&[(Module, Field::ModuleProperCase)]],
        Policy::HostPort => &[&[(Module, Field::ModuleStripPort)]],
        Policy::RequestId => &[&[(Module, Field::ModuleRequestId)]],
        Policy::InsecureRequests => &[&[(Host, Field::InsecureAction)]],
        Policy::InsecureRedirect => &[
            &[(Settings, Field::InsecureRedirect)],
            &[(Settings, Field::Preset)],
        ],
        Policy::Certificate => &[&[(Host, Field::TlsSecret)]],
        Policy::Weight => &[&[(Mapping, Field::Weight)]],
        Policy::Rewrite => &[
            &[(Mapping, Field::RegexRewrite)],
            &[(Mapping, Field::Rewrite)],
        ],
        Policy::HostHeader => &[
            &[(Mapping, Field::HostRewrite)],
            &[(Mapping, Field::AutoHostRewrite)],
        ],
        Policy::RouteEscapedSlashes => &[&[(Mapping, Field::AllowEscapedSlashes)]],
        Policy::HeadTimeout => &[
            &[(Mapping, Field::Timeout)],
            &[(Module, Field::ModuleTimeout)],
        ],
        Policy::TotalTimeout => &[&[(Mapping, Field::Timeout)]],
        Policy::IdleTimeout => &[&[(Mapping, Field::IdleTimeout)]],
        Policy::ConnectTimeout => &[&[(Mapping, Field::ConnectTimeout)]],
        Policy::RequestBody => &[&[(Mapping, Field::MaxRequestBody)]],
        Policy::Upgrades => &[&[
            (Mapping, Field::AllowUpgrade),
            (Mapping, Field::UseWebsocket),
        ]],
        Policy::RequestHeaders => &[
            &[
                (Mapping, Field::AddRequestHeaders),
                (Mapping, Field::RemoveRequestHeaders),
                (Mapping, Field::AddLinkerdHeaders),
            ],
            &[(Module, Field::ModuleLinkerd)],
        ],
        Policy::ResponseHeaders => &[&[
            (Mapping, Field::AddResponseHeaders),
            (Mapping, Field::RemoveResponseHeaders),
        ]],
        Policy::Cors => &[&[(Mapping, Field::Cors)], &[(Module, Field::ModuleCors)]],
        Policy::Retry => &[
            &[(Mapping, Field::RetryPolicy)],
            &[(Module, Field::ModuleRetryPolicy)],
        ],
        Policy::Priority => &[&[(Mapping, Field::Priority)]],
        Policy::Balance | Policy::SlowStart => &[
            &[(Mapping, Field::LoadBalancer)],
            &[(Module, Field::ModuleLoadBalancer)],
        ],
        Policy::Breakers => &[
            &[(Mapping, Field::CircuitBreakers)],
            &[(Module, Field::ModuleCircuitBreakers)],
        ],
        // The Service says so, by its trafficDistribution.
        Policy::Zones => &[],
        Policy::HealthChecks => &[&[(Mapping, Field::HealthChecks)]],
        Policy::Outliers => &[&[(Mapping, Field::OutlierDetection)]],
        Policy::Keepalive => &[
            &[(Mapping, Field::Keepalive)],
            &[(Module, Field::ModuleKeepalive)],
        ],
        Policy::ConnectionIdle => &[
            &[(Mapping, Field::ConnectionIdle)],
            &[(Module, Field::ModuleIdleTimeout)],
        ],
        Policy::ConnectionLifetime => &[
            &[(Mapping, Field::ConnectionLifetime)],
            &[(Module, Field::ModuleLifetime)],
        ],
        Policy::UpstreamProtocol => &[&[(Mapping, Field::Grpc)]],
        Policy::UpstreamTls => &[
            &[(Mapping, Field::Tls), (Context, Field::Sni)],
            &[(Mapping, Field::Service)],
        ],
        Policy::UpstreamTrust => &[
            &[(Context, Field::InsecureSkipVerify)],
            &[(Context, Field::CaSecret)],
            &[(Settings, Field::Verification)],
            &[(Settings, Field::Preset)],
        ],
        Policy::ClientCertificate => &[&[(Context, Field::ClientSecret)]],
        Policy::Redirect => &[&[
            (Mapping, Field::HostRedirect),
            (Mapping, Field::PathRedirect),
            (Mapping, Field::PrefixRedirect),
            (Mapping, Field::RegexRedirect),
        ]],
        Policy::RedirectStatus => &[&[(Mapping, Field::RedirectResponseCode)]],
    }
}
