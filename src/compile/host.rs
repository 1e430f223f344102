//! Hosts: each lowered on its own.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Options,
    finding::Findings,
    installation,
    secret::{self, Referrer, Secrets},
    selector::Selector,
    settings::Settings,
    twin,
};
use crate::{
    crd::{HostSpec, host::InsecureAction as Asked},
    graph::{Fail, HostId, HostPattern, HostTls, InsecureAction},
    report::Code,
    resource::{Group, Object, Objects},
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
    secrets: &mut Secrets<'_>,
) -> Vec<LoweredHost> {
    let mut hosts: Vec<_> = objects
        .values()
        .filter(|object| {
            let ids = object.spec.ambassador_id.as_deref();
            installation::includes(ids, &object.problems, options)
        })
        .map(|object| lower(object, settings, secrets))
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
    secrets: &mut Secrets<'_>,
) -> LoweredHost {
    let mut findings = Findings::of(&object.problems);
    let spec = &object.spec;
    let pattern = hostname(spec, &mut findings);
    // Before the Secret is looked at: with a bad one cleartext goes on as the Host says.
    let broken = findings.first_error().map(|error| Fail {
        code: error.code.number(),
    });
    let mut not_after = None;
    let tls = tls(object, secrets, &mut findings, &mut not_after);
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
        Some(Asked::Route) => InsecureAction::Route,
        Some(Asked::Reject) => InsecureAction::Reject,
        Some(Asked::Redirect) | None if settings.redirects_matched_only => {
            InsecureAction::RedirectMatched
        }
        Some(Asked::Redirect) | None => InsecureAction::Redirect,
    }
}

fn tls(
    object: &Object<HostSpec>,
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
    let Some(name) = reference.name.as_deref().filter(|name| !name.is_empty()) else {
        if !findings.is_unreadable(FIELD) {
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
    let namespace = reference
        .namespace
        .as_deref()
        .filter(|name| !name.is_empty());
    let secret = secret::key(namespace.unwrap_or(&object.key.namespace), name);
    let by = Referrer {
        key: &object.key,
        field: FIELD,
    };
    let before = findings.0.len();
    if let Some(served) = secrets.certificate(&by, &secret, findings) {
        *not_after = served.not_after;
        return HostTls::Certificate(served.certificate);
    }
    let reason = findings.0.get(before).map(|found| found.code);
    fail(reason.unwrap_or(Code::SecretNotFound))
}
