//! TLSContexts: how TLS is spoken to an upstream that a Mapping's `tls` names, and with the clients of a Host that names one.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Options,
    client_certificate::{self, Asker},
    finding::Findings,
    installation,
    secret::{self, Referrer, Secrets},
    settings::Settings,
    terms,
};
use crate::{
    crd::TlsContextSpec,
    graph::{Certificate, Offer, ServerTls, Terms, tls::Roots},
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
    pub(super) revoked: Arc<[Arc<[u8]>]>,
    pub(super) terms: Terms,
    /// For those who have a Host's or a TCPMapping's TLS from here.
    pub(super) offer: Offer,
    pub(super) spec: Arc<TlsContextSpec>,
    /// For the TCPMappings that it names, if it has a certificate.
    pub(super) server: Option<Arc<ServerTls>>,
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

    /// The first that has a certificate for the TCPMappings of a namespace with this `host`, as it is written.
    pub(super) fn serving(
        &self,
        host: &str,
        namespace: &str,
        settings: &Settings,
    ) -> Option<&Arc<ServerTls>> {
        let is_for = |context: &&Context| {
            let hosts = context.spec.hosts.as_deref().unwrap_or_default();
            !context.broken && hosts.iter().any(|name| name == host)
        };
        let all = || self.by_name.values().filter(is_for);
        let own = all().find(|context| *context.key.namespace == *namespace);
        let found = own.or_else(|| {
            all().find(|context| {
                settings
                    .instance_namespaces
                    .contains(&context.key.namespace)
            })
        });
        found?.server.as_ref()
    }

    /// The context of that name in a namespace.
    pub(super) fn own(&self, name: &str, namespace: &str) -> Option<&Context> {
        self.by_name.get(&(name.into(), namespace.into()))
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
        secrets.certificate(&by, &secret::key_of(text, spec, namespace), findings)
    });
    let roots = spec.ca_secret.as_deref().and_then(|text| {
        let by = Referrer {
            key: &object.key,
            field: "spec.caSecret",
        };
        secrets.roots(&by, &secret::key_of(text, spec, namespace), findings)
    });
    let revoked = spec.crl_secret.as_deref().and_then(|text| {
        let by = Referrer {
            key: &object.key,
            field: "spec.crlSecret",
        };
        secrets.revoked(&by, &secret::key_of(text, spec, namespace), findings)
    });
    let terms = terms::terms(spec, "spec", findings);
    let offer = terms::offer(spec, "spec", findings);
    let certificate = client.as_ref().map(|served| &served.certificate);
    let server = certificate.filter(|_| spec.hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()));
    let server = server.and_then(|certificate| {
        let asker = Asker {
            spec,
            key: &object.key,
            field: &|name| format!("spec.{name}"),
        };
        client_certificate::check(asker, true, findings);
        let clients = client_certificate::asked(asker, None, secrets, findings).ok()?;
        let certificate = Arc::clone(certificate);
        Some(Arc::new(ServerTls::new(
            certificate,
            terms.clone(),
            offer,
            clients,
        )))
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
        revoked: revoked.unwrap_or_default().into(),
        terms,
        offer,
        spec: Arc::new(spec.clone()),
        server,
        broken: findings.first_error().is_some(),
    }
}
