//! TLSContexts: how TLS is spoken to an upstream that a Mapping's `tls` names.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Options,
    finding::Findings,
    installation,
    secret::{self, Referrer, Secrets},
    settings::Settings,
};
use crate::{
    crd::TlsContextSpec,
    graph::{Certificate, tls::Roots},
    report::Code,
    resource::{Object, ObjectKey, Objects},
};

/// A TLSContext as upstreams need it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Context {
    pub(super) key: ObjectKey,
    pub(super) server_name: Option<Arc<str>>,
    pub(super) verify: bool,
    pub(super) roots: Roots,
    pub(super) client: Option<Arc<Certificate>>,
    /// Whether an error of its own makes it useless.
    pub(super) broken: bool,
}

/// All contexts of the installation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contexts {
    by_name: BTreeMap<(Arc<str>, Arc<str>), Context>,
}

/// A TLSContext with what there is to say about it.
pub(super) struct ContextReport {
    pub(super) object: Arc<Object<TlsContextSpec>>,
    pub(super) findings: Findings,
}

impl Contexts {
    pub(super) fn new(
        objects: &Objects<TlsContextSpec>,
        options: &Options,
        secrets: &mut Secrets<'_>,
    ) -> (Self, Vec<ContextReport>) {
        let mut contexts = Self::default();
        let mut reports = Vec::new();
        for object in objects.values() {
            let ids = object.spec.ambassador_id.as_deref();
            if !installation::includes(ids, &object.problems, options) {
                continue;
            }
            let mut findings = Findings::of(&object.problems);
            let context = lower(object, secrets, &mut findings);
            let key = &object.key;
            let name = (Arc::from(&*key.name), Arc::clone(&key.namespace));
            contexts.by_name.insert(name, context);
            reports.push(ContextReport {
                object: Arc::clone(object),
                findings,
            });
        }
        (contexts, reports)
    }

    /// The context of that name in the namespace of who asks, or in one that is named to settle things for everybody. The preset
    /// opens this to no other: whoever can write a TLSContext would choose the authority, and lend a client key, for routes of others.
    pub(super) fn find(
        &self,
        name: &str,
        namespace: &str,
        settings: &Settings,
    ) -> Option<&Context> {
        let get = |namespace: &str| self.by_name.get(&(name.into(), namespace.into()));
        let mut instance = settings.instance_namespaces.iter();
        get(namespace).or_else(|| instance.find_map(|namespace| get(namespace)))
    }
}

fn lower(
    object: &Object<TlsContextSpec>,
    secrets: &mut Secrets<'_>,
    findings: &mut Findings,
) -> Context {
    let spec = &object.spec;
    let namespace = &*object.key.namespace;
    let client = spec.secret.as_deref().and_then(|text| {
        let by = Referrer {
            key: &object.key,
            field: "spec.secret",
        };
        secrets.certificate(&by, &secret_key(text, namespace), findings)
    });
    let roots = spec.ca_secret.as_deref().and_then(|text| {
        let by = Referrer {
            key: &object.key,
            field: "spec.caSecret",
        };
        secrets.roots(&by, &secret_key(text, namespace), findings)
    });
    let verify = spec.insecure_skip_verify != Some(true);
    if !verify {
        findings.push(
            Code::UpstreamNotVerified,
            "spec.insecureSkipVerify",
            "The certificates of upstreams are not verified",
            "",
        );
    }
    Context {
        key: object.key.clone(),
        server_name: spec.sni.as_deref().map(Arc::from),
        verify,
        roots: roots.unwrap_or(Roots::System),
        client: client.map(|served| served.certificate),
        broken: findings.first_error().is_some(),
    }
}

/// `name`, or `name.namespace`, split at the last dot as Emissary does.
fn secret_key(text: &str, namespace: &str) -> ObjectKey {
    let (name, namespace) = text.rsplit_once('.').unwrap_or((text, namespace));
    secret::key(namespace, name)
}
