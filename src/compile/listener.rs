//! Listeners: each lowered on its own, then one for each port.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Options,
    finding::Findings,
    host::LoweredHost,
    installation,
    selector::Selector,
    settings::{self, Settings},
    twin,
};
use crate::{
    crd::{
        ListenerSpec,
        listener::{NamespaceFrom, Protocol, ProtocolLayer, SecurityModel as Asked},
    },
    graph::SecurityModel,
    report::Code,
    resource::{Object, ResourceSet},
};

/// Of one HTTP/2 connection, unless the Listener says otherwise.
const DEFAULT_STREAMS: u32 = 100;

/// Where proxies in front are, unless the Listener says otherwise: private and local addresses.
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "fc00::/7",
    "::1/128",
];

/// A Listener as a plan item.
#[derive(Clone, Debug)]
pub(super) struct LoweredListener {
    /// None for the two that stand where there is no Listener.
    pub(super) object: Option<Arc<Object<ListenerSpec>>>,
    pub(super) plan: Option<ListenerPlan>,
    pub(super) findings: Findings,
}

/// A Listener without its hosts.
#[derive(Clone, Debug)]
pub(super) struct ListenerPlan {
    pub(super) name: Arc<str>,
    pub(super) port: u16,
    /// Where there is none, connections are TCPMappings'.
    pub(super) http: bool,
    pub(super) tls: bool,
    pub(super) cleartext: bool,
    pub(super) security: SecurityModel,
    pub(super) l7_depth: usize,
    pub(super) trusted_proxies: Arc<[IpNet]>,
    pub(super) http2_max_concurrent_streams: u32,
    binding: Binding,
}

/// What is spoken over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stack {
    http: bool,
    tls: bool,
}

/// Which Hosts a Listener serves.
#[derive(Clone, Debug)]
struct Binding {
    /// None for those of every namespace.
    namespace: Option<Arc<str>>,
    selector: Option<Selector>,
}

impl ListenerPlan {
    pub(super) fn binds(&self, host: &LoweredHost) -> bool {
        let binding = &self.binding;
        let object = &host.object;
        binding
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == object.key.namespace)
            && binding
                .selector
                .as_ref()
                .is_none_or(|selector| selector.selects(&object.meta.labels))
    }
}

/// Lowers the Listeners of this installation; where there is none, 8080 for HTTP and 8443 for HTTPS.
pub(super) fn lower_all(
    resources: &ResourceSet,
    options: &Options,
    settings: &Settings,
) -> Vec<LoweredListener> {
    let ours = resources.listeners.values().filter(|object| {
        let ids = object.spec.ambassador_id.as_deref();
        installation::includes(ids, &object.problems, options)
    });
    let mut listeners: Vec<_> = ours
        .map(|object| lower(object, options, settings))
        .collect();
    for listener in &mut listeners {
        settings::tell_of_claims(resources, &mut listener.findings);
    }
    let key = |listener: &LoweredListener| Some(listener.object.as_ref()?.key.clone());
    let keys: BTreeSet<_> = listeners.iter().filter_map(key).collect();
    for listener in &mut listeners {
        let twin = key(listener).as_ref().and_then(twin::of);
        if let Some(twin) = twin.filter(|twin| keys.contains(twin)) {
            twin::tell(&twin, &mut listener.findings);
        }
    }
    one_for_each_port(&mut listeners);
    // One that may not settle anything here is no Listener of this installation.
    let in_force = listeners.iter().any(|listener| {
        let key = listener.object.as_ref().map(|object| &object.key.namespace);
        key.is_some_and(|namespace| settings.may_settle(namespace))
    });
    if !in_force {
        listeners.push(default("default-http", 8080, false));
        listeners.push(default("default-https", 8443, true));
    }
    listeners
}

fn default(name: &str, port: u16, tls: bool) -> LoweredListener {
    let stack = Stack { http: true, tls };
    LoweredListener::without_object(name, port, stack)
}

impl LoweredListener {
    /// One that a TCPMapping opens.
    pub(super) fn for_tcp(port: u16, tls: bool) -> Self {
        let stack = Stack { http: false, tls };
        Self::without_object(&format!("default-tcp-{port}"), port, stack)
    }

    fn without_object(name: &str, port: u16, stack: Stack) -> Self {
        Self {
            object: None,
            plan: Some(ListenerPlan {
                name: name.into(),
                port,
                http: stack.http,
                tls: stack.tls,
                cleartext: stack.http || !stack.tls,
                security: SecurityModel::Xfp,
                l7_depth: 0,
                trusted_proxies: Arc::default(),
                http2_max_concurrent_streams: DEFAULT_STREAMS,
                binding: Binding {
                    namespace: None,
                    selector: None,
                },
            }),
            findings: Findings::default(),
        }
    }
}

fn lower(
    object: &Arc<Object<ListenerSpec>>,
    options: &Options,
    settings: &Settings,
) -> LoweredListener {
    let mut findings = Findings::of(&object.problems);
    let key = &object.key;
    if !settings.may_settle(&key.namespace) {
        settings.refuse_to_settle(&key.namespace, "open ports", &mut findings);
    }
    let plan = plan(object, options, &mut findings).filter(|_| findings.first_error().is_none());
    LoweredListener {
        object: Some(Arc::clone(object)),
        plan,
        findings,
    }
}

fn plan(
    object: &Object<ListenerSpec>,
    options: &Options,
    findings: &mut Findings,
) -> Option<ListenerPlan> {
    let spec = &object.spec;
    let port = port(spec, options, findings);
    let stack = stack(spec, findings);
    let security = security(spec, findings);
    let binding = binding(object, findings);
    let l7_depth = number(spec.l7_depth, "spec.l7Depth", 0, findings);
    let streams = number(
        spec.http2_max_concurrent_streams,
        "spec.http2MaxConcurrentStreams",
        1,
        findings,
    );
    let l7_depth = l7_depth.map_or(0, |depth| usize::try_from(depth).unwrap_or(usize::MAX));
    let trusted_proxies = trusted_proxies(spec, l7_depth, findings);
    let (security, Stack { http, tls }) = (security?, stack?);
    Some(ListenerPlan {
        name: format!("{}/{}", object.key.namespace, object.key.name).into(),
        port: port?,
        http,
        tls,
        // Every request of a SECURE Listener counts as secure: then TLS must be what makes it so.
        cleartext: !tls || http && security != SecurityModel::Secure,
        security,
        l7_depth,
        trusted_proxies,
        http2_max_concurrent_streams: streams.unwrap_or(DEFAULT_STREAMS),
        binding: binding?,
    })
}

fn port(spec: &ListenerSpec, options: &Options, findings: &mut Findings) -> Option<u16> {
    const FIELD: &str = "spec.port";
    let Some(port) = spec.port else {
        missing(FIELD, findings);
        return None;
    };
    let number = u16::try_from(port).ok().filter(|port| *port > 0);
    if number.is_none() {
        findings.push(
            Code::InvalidValue,
            FIELD,
            format!("{port} is not a port"),
            "Write a number from 1 to 65535",
        );
    }
    number.filter(|port| !is_reserved(*port, options, findings))
}

/// Whether the process listens on the port itself; if so, says so.
pub(super) fn is_reserved(port: u16, options: &Options, findings: &mut Findings) -> bool {
    let is_own = options.own_ports.contains(&port);
    if is_own {
        findings.push(
            Code::ReservedPort,
            "spec.port",
            format!("Postern itself listens on port {port}, for health, metrics or diagnostics"),
            "Choose another port",
        );
    }
    is_own
}

/// The stack; None, with a finding, when it is not one that Postern serves.
fn stack(spec: &ListenerSpec, findings: &mut Findings) -> Option<Stack> {
    use ProtocolLayer::{Http, Tcp, Tls};
    let by_name = match spec.protocol {
        Some(Protocol::Http) => Ok(vec![Http, Tcp]),
        Some(Protocol::Https) => Ok(vec![Tls, Http, Tcp]),
        Some(Protocol::Tcp) => Ok(vec![Tcp]),
        Some(Protocol::Tls) => Ok(vec![Tls, Tcp]),
        Some(other) => Err(format!("{other:?}").to_ascii_uppercase()),
        None => Ok(Vec::new()),
    };
    let stack = match (&spec.protocol_stack, by_name) {
        (Some(stack), _) => {
            if spec.protocol.is_some() {
                findings.push(
                    Code::NoEffect,
                    "spec.protocol",
                    "`protocol` has no effect beside `protocolStack`",
                    "Remove one of the two",
                );
            }
            stack.clone()
        }
        (None, Ok(stack)) if stack.is_empty() => {
            if !findings.is_unreadable("spec.protocolStack") {
                missing("spec.protocol", findings);
            }
            return None;
        }
        (None, Ok(stack)) => stack,
        (None, Err(name)) => {
            invalid_protocol("spec.protocol", &name, findings);
            return None;
        }
    };
    let served = |http, tls| Some(Stack { http, tls });
    match *stack {
        [Http, Tcp] => served(true, false),
        [Tls, Http, Tcp] => served(true, true),
        [Tcp] => served(false, false),
        [Tls, Tcp] => served(false, true),
        _ => {
            let shown: Vec<_> = stack
                .iter()
                .map(|layer| format!("{layer:?}").to_ascii_uppercase())
                .collect();
            invalid_protocol("spec.protocolStack", &shown.join(", "), findings);
            None
        }
    }
}

fn invalid_protocol(field: &str, shown: &str, findings: &mut Findings) {
    findings.push(
        Code::InvalidProtocol,
        field,
        format!("Postern does not serve {shown}"),
        "Use `protocol: HTTP`, `HTTPS`, `TCP` or `TLS`",
    );
}

fn security(spec: &ListenerSpec, findings: &mut Findings) -> Option<SecurityModel> {
    match spec.security_model {
        Some(Asked::Xfp) => Some(SecurityModel::Xfp),
        Some(Asked::Secure) => Some(SecurityModel::Secure),
        Some(Asked::Insecure) => Some(SecurityModel::Insecure),
        None => {
            missing("spec.securityModel", findings);
            None
        }
    }
}

fn binding(object: &Object<ListenerSpec>, findings: &mut Findings) -> Option<Binding> {
    const FIELD: &str = "spec.hostBinding";
    let Some(asked) = &object.spec.host_binding else {
        missing(FIELD, findings);
        return None;
    };
    let from = asked
        .namespace
        .as_ref()
        .and_then(|namespace| namespace.from);
    let selector = Selector::of(asked.selector.as_ref());
    if from.is_none() && selector.is_none() {
        missing(FIELD, findings);
        return None;
    }
    if from == Some(NamespaceFrom::Selector) && selector.is_none() {
        labels_of_namespaces(findings);
        return None;
    }
    let namespace = match from {
        Some(NamespaceFrom::All) => None,
        Some(NamespaceFrom::Own | NamespaceFrom::Selector) | None => {
            Some(Arc::clone(&object.key.namespace))
        }
    };
    Some(Binding {
        namespace,
        selector,
    })
}

/// Emissary-ingress has a word for it and never implemented it. `postern.dev` has a rule against it.
fn labels_of_namespaces(findings: &mut Findings) {
    const FIELD: &str = "spec.hostBinding.namespace.from";
    if !findings.is_unreadable(FIELD) {
        findings.push(
            Code::NotImplemented,
            FIELD,
            "Postern does not choose namespaces by their labels",
            "Write SELF or ALL; a `selector` beside it chooses Hosts by their own labels",
        );
    }
}

fn number(value: Option<i32>, field: &str, least: u32, findings: &mut Findings) -> Option<u32> {
    let value = value?;
    let number = u32::try_from(value).ok().filter(|number| *number >= least);
    if number.is_none() {
        findings.push(
            Code::InvalidValue,
            field,
            format!("{value} is below {least}"),
            format!("Write a number from {least}"),
        );
    }
    number
}

fn trusted_proxies(spec: &ListenerSpec, l7_depth: usize, findings: &mut Findings) -> Arc<[IpNet]> {
    let Some(asked) = &spec.trusted_proxies else {
        let private = PRIVATE.iter().filter(|_| l7_depth > 0);
        return private.filter_map(|range| range.parse().ok()).collect();
    };
    let mut ranges = Vec::with_capacity(asked.len());
    for (position, text) in asked.iter().enumerate() {
        let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or(address) {
            Ok(range) => ranges.push(range),
            Err(_) => findings.push(
                Code::InvalidValue,
                &format!("spec.trustedProxies[{position}]"),
                format!("{text:?} is not a range of addresses"),
                "Write an address or a range such as 10.0.0.0/8",
            ),
        }
    }
    ranges.into()
}

fn missing(field: &str, findings: &mut Findings) {
    if !findings.is_unreadable(field) {
        findings.push(
            Code::MissingField,
            field,
            format!("`{}` is missing", field.trim_start_matches("spec.")),
            "Add the field",
        );
    }
}

/// Of several with the same port the oldest stays.
fn one_for_each_port(listeners: &mut [LoweredListener]) {
    listeners.sort_by(|a, b| {
        let age = |listener: &LoweredListener| listener.object.clone();
        match (age(a), age(b)) {
            (Some(a), Some(b)) => super::age(&a).cmp(&super::age(&b)),
            _ => std::cmp::Ordering::Equal,
        }
    });
    let mut taken: BTreeMap<u16, Arc<str>> = BTreeMap::new();
    for listener in listeners {
        let Some(plan) = &listener.plan else {
            continue;
        };
        match taken.get(&plan.port) {
            None => {
                taken.insert(plan.port, Arc::clone(&plan.name));
            }
            Some(first) => {
                listener.findings.push(
                    Code::PortConflict,
                    "spec.port",
                    format!(
                        "Listener {first} has port {} and was there first",
                        plan.port
                    ),
                    "Delete one, or give it another port",
                );
                listener.plan = None;
            }
        }
    }
}
