//! Hosts: each lowered on its own.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Options,
    client_certificate::{self, Asker},
    context::{Context, Contexts},
    finding::Findings,
    installation,
    secret::{self, Referrer, Secrets},
    selector::Selector,
    settings::Settings,
    terms, twin,
};
use crate::{
    crd::{HostSpec, TlsContextSpec, host::InsecureAction as Action},
    graph::{Fail, HostId, HostPattern, HostTls, InsecureAction, Offer, ServerTls, Terms},
    report::Code,
    resource::{Group, Object, ObjectKey, Objects},
};

/// A Host as a plan item.
#[derive(Clone, Debug)]
pub(super) struct LoweredHost {
    pub(super) object: Arc<Object<HostSpec>>,
    pub(super) id: HostId,
    /// None when it cannot be read: then the Host is absent.
    pub(super) pattern: Option<HostPattern>,
    pub(super) tls: HostTls,
    pub(super) insecure: InsecureAction,
    pub(super) selector: Option<Arc<Selector>>,
    /// Something of it that cannot be read may have protected it: every request is answered with this.
    pub(super) broken: Option<Fail>,
    pub(super) not_after: Option<i64>,
    pub(super) findings: Findings,
}

/// Lowers the Hosts of this installation.
pub(super) fn lower_all(
    objects: &Objects<HostSpec>,
    options: &Options,
    settings: &Settings,
    contexts: &Contexts,
    secrets: &mut Secrets<'_>,
) -> Vec<LoweredHost> {
    let mut hosts: Vec<_> = objects
        .values()
        .filter(|object| {
            let ids = object.spec.ambassador_id.as_deref();
            installation::includes(ids, &object.problems, options)
        })
        .map(|object| lower(object, settings, contexts, secrets))
        .collect();
    let group = |host: Option<&LoweredHost>| host.map(|host| host.object.key.group);
    if group(hosts.first()) == group(hosts.last()) {
        return hosts;
    }
    let keys: BTreeSet<_> = hosts.iter().map(|host| host.object.key.clone()).collect();
    for host in &mut hosts {
        if let Some(twin) = twin::of(&host.object.key).filter(|twin| keys.contains(twin)) {
            twin::tell(&twin, &mut host.findings);
        }
    }
    hosts
}

fn lower(
    object: &Arc<Object<HostSpec>>,
    settings: &Settings,
    contexts: &Contexts,
    secrets: &mut Secrets<'_>,
) -> LoweredHost {
    let mut findings = Findings::of(&object.problems);
    let spec = &object.spec;
    let pattern = hostname(spec, &mut findings);
    let asked = Asked::of(object, contexts, settings, &mut findings);
    // Before the Secret is looked at: with a bad one cleartext goes on as the Host says.
    let broken = findings.first_error().map(|error| Fail {
        code: error.code.number(),
    });
    let mut not_after = None;
    let tls = tls(
        object,
        asked.as_ref(),
        secrets,
        &mut findings,
        &mut not_after,
    );
    LoweredHost {
        id: id(object),
        pattern,
        tls: match (broken, tls) {
            (Some(fail), HostTls::Certificate(_)) => HostTls::Broken(fail),
            (_, tls) => tls,
        },
        insecure: insecure(spec, broken, settings),
        selector: Selector::of(spec.mapping_selector.as_ref())
            .or_else(|| Selector::of(spec.selector.as_ref()))
            .map(Arc::new),
        broken,
        not_after,
        findings,
        object: Arc::clone(object),
    }
}

fn id(object: &Object<HostSpec>) -> HostId {
    let key = &object.key;
    let group = match key.group {
        Group::Emissary => "getambassador.io:",
        _ => "",
    };
    HostId(format!("{group}{}/{}", key.namespace, key.name).into())
}

fn hostname(spec: &HostSpec, findings: &mut Findings) -> Option<HostPattern> {
    const FIELD: &str = "spec.hostname";
    if findings.is_unreadable(FIELD) {
        return None;
    }
    let Some(text) = spec.hostname.as_deref().filter(|text| !text.is_empty()) else {
        return Some(HostPattern::ANY);
    };
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            findings.push(
                Code::InvalidHostname,
                FIELD,
                format!("{text:?} is not a hostname: {error}"),
                "Write a name such as `example.com` or `*.example.com`, or `*`",
            );
            None
        }
    }
}

fn insecure(spec: &HostSpec, broken: Option<Fail>, settings: &Settings) -> InsecureAction {
    let asked = spec
        .request_policy
        .as_ref()
        .and_then(|policy| policy.insecure.as_ref())
        .and_then(|insecure| insecure.action);
    match asked {
        // The reply with the code is for everybody.
        _ if broken.is_some() => InsecureAction::Route,
        Some(Action::Route) => InsecureAction::Route,
        Some(Action::Reject) => InsecureAction::Reject,
        Some(Action::Redirect) | None if settings.redirects_matched_only => {
            InsecureAction::RedirectMatched
        }
        Some(Action::Redirect) | None => InsecureAction::Redirect,
    }
}

fn tls(
    object: &Object<HostSpec>,
    asked: Option<&Asked<'_>>,
    secrets: &mut Secrets<'_>,
    findings: &mut Findings,
    not_after: &mut Option<i64>,
) -> HostTls {
    const FIELD: &str = "spec.tlsSecret";
    let fail = |code: Code| {
        HostTls::Broken(Fail {
            code: code.number(),
        })
    };
    let Some(reference) = &object.spec.tls_secret else {
        return if findings.is_unreadable(FIELD) {
            fail(Code::WrongType)
        } else {
            HostTls::None
        };
    };
    let Some(secret) = tls_secret(object) else {
        if reference.name.is_none() && !findings.is_unreadable(FIELD) {
            findings.push(
                Code::MissingField,
                "spec.tlsSecret.name",
                "`tlsSecret` has no name",
                "Name the Secret, or remove `tlsSecret`",
            );
        }
        return fail(Code::MissingField);
    };
    if findings.is_unreadable("spec.tlsSecret.namespace") {
        return fail(Code::WrongType);
    }
    let by = Referrer {
        key: &object.key,
        field: FIELD,
    };
    let before = findings.0.len();
    let Some(served) = secrets.certificate(&by, &secret, findings) else {
        let reason = findings.0.get(before).map(|found| found.code);
        return fail(reason.unwrap_or(Code::SecretNotFound));
    };
    *not_after = served.not_after;
    let nothing = TlsContextSpec::default();
    let by_whom = match asked {
        Some(asked) => asked.asker(),
        None => Asker {
            spec: &nothing,
            key: &object.key,
            field: &|_| FIELD.to_owned(),
        },
    };
    match client_certificate::asked(by_whom, Some(&secret), secrets, findings) {
        Ok(clients) => {
            let (terms, offer) = asked.map_or_else(Default::default, Asked::terms);
            HostTls::Certificate(Arc::new(ServerTls::new(
                served.certificate,
                terms,
                offer,
                clients,
            )))
        }
        Err(code) => fail(code),
    }
}

fn tls_secret(object: &Object<HostSpec>) -> Option<ObjectKey> {
    let reference = object.spec.tls_secret.as_ref()?;
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let name = said(&reference.name)?;
    let namespace = said(&reference.namespace);
    let namespace = namespace.as_deref().unwrap_or(&object.key.namespace);
    Some(secret::key(namespace, &name))
}

/// Further settings of a Host's TLS.
struct Asked<'a> {
    spec: &'a TlsContextSpec,
    key: &'a ObjectKey,
    terms: Terms,
    offer: Offer,
    field: fn(&str) -> String,
}

impl<'a> Asked<'a> {
    /// What the Host says itself, or the TLSContext that it names. An error of it is one of the Host: it may protect.
    fn of(
        object: &'a Object<HostSpec>,
        contexts: &'a Contexts,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Option<Self> {
        let spec = &object.spec;
        if let (Some(_), Some(_)) = (&spec.tls, &spec.tls_context) {
            findings.push(
                Code::InvalidValue,
                "spec.tlsContext",
                "There are `tls` and `tlsContext`, and one of them counts",
                "Remove one of them",
            );
        }
        let asked = match (&spec.tls, &spec.tls_context) {
            (Some(spec), _) => {
                let terms = terms::terms(spec, "spec.tls", findings);
                let offer = terms::offer(spec, "spec.tls", findings);
                Self {
                    spec,
                    key: &object.key,
                    terms,
                    offer,
                    field: |name| format!("spec.tls.{name}"),
                }
            }
            (None, Some(named)) => {
                let name = named.name.as_deref().filter(|name| !name.is_empty())?;
                let context = contexts.find(name, &object.key.namespace, settings);
                Self::of_context(name, object, context, findings)?
            }
            (None, None) => {
                // Emissary's older way to have one; a Host that has been converted keeps it.
                let name = format!("{}-context", object.key.name);
                let context = contexts.own(&name, &object.key.namespace)?;
                Self::of_context(&name, object, Some(context), findings)?
            }
        };
        asked.check(object, findings);
        Some(asked)
    }

    fn of_context(
        name: &str,
        object: &Object<HostSpec>,
        context: Option<&'a Context>,
        findings: &mut Findings,
    ) -> Option<Self> {
        const FIELD: &str = "spec.tlsContext";
        let Some(context) = context.filter(|context| !context.broken) else {
            let message = match context {
                Some(context) => format!("{} has an error of its own", context.key),
                None => format!(
                    "There is no TLSContext {name} in namespace {}",
                    object.key.namespace
                ),
            };
            findings.push(
                Code::TlsContextNotFound,
                FIELD,
                message,
                "Create or correct the TLSContext, or its name here",
            );
            return None;
        };
        let spec = &*context.spec;
        let own = object.spec.hostname.as_deref().unwrap_or("*");
        let is_own = |name: &String| *name == own || **name == *object.key.name;
        let hosts = spec.hosts.as_deref().unwrap_or_default();
        if !hosts.is_empty() && !hosts.iter().any(is_own) {
            findings.push(
                Code::NoEffect,
                FIELD,
                format!(
                    "The `hosts` of {} do not have {own}; it counts all the same",
                    context.key
                ),
                "Add the hostname to `hosts`, or leave them out",
            );
        }
        Some(Self {
            spec,
            key: &context.key,
            terms: context.terms.clone(),
            offer: context.offer,
            field: |_| FIELD.to_owned(),
        })
    }

    fn check(&self, object: &Object<HostSpec>, findings: &mut Findings) {
        let own = tls_secret(object);
        client_certificate::check(self.asker(), own.is_some(), findings);
        let Some(text) = &self.spec.secret else {
            return;
        };
        let named = secret::key_of(text, self.spec, &self.key.namespace);
        if own.is_some_and(|own| own != named) {
            findings.push(
                Code::InvalidValue,
                &(self.field)("secret"),
                format!("It names {named}, and `tlsSecret` of the Host another Secret"),
                "Name the Secret in `tlsSecret` only",
            );
        }
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            spec: self.spec,
            key: self.key,
            field: &self.field,
        }
    }

    fn terms(&self) -> (Terms, Offer) {
        (self.terms.clone(), self.offer)
    }
}
