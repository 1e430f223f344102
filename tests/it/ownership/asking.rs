//! Requests, and what the routing graph of some objects does with them.

use std::fmt::Write as _;

use http::{HeaderName, Method};
use postern::{
    compile::{Environment, Options},
    graph::{
        Authority, Connection, Decision, Graph, Handshake, Listener, Request, Step, Trace,
        VirtualHost, decide, matching::HeadView, path::canonical,
    },
    resource::{
        AnyObject, Origin, Positions, ResourceSet,
        decode::{self, Decoded},
    },
};
use serde_json::Value;

/// A request as a client writes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) tls: bool,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) method: Method,
    pub(crate) team: Option<&'static str>,
    /// Beside `x-team`.
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// What is done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Everything that somebody could want to change.
    pub(crate) whole: String,
    /// The virtual host, where there is one.
    pub(crate) host: Option<String>,
    /// The region, where routes are asked.
    pub(crate) region: Option<String>,
    /// The Mappings of the route, by namespace and name, with what each gets.
    pub(crate) members: Option<Vec<(String, u32)>>,
}

pub(crate) fn options() -> Options {
    Options {
        namespace: super::world::PLATFORM.into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment: Environment::Folder {
            backends: Vec::new(),
            echo: Some(([127, 0, 0, 1], 9).into()),
        },
    }
}

pub(crate) fn object(document: &Value) -> AnyObject {
    match decode::object(document, Origin::Cluster, "default", Positions::default()) {
        Decoded::Object(object) => object,
        other => panic!("{document} must be an object, and is {other:?}"),
    }
}

pub(crate) fn set<'d>(documents: impl IntoIterator<Item = &'d Value>) -> ResourceSet {
    let mut set = ResourceSet::default();
    for document in documents {
        set.insert(object(document));
    }
    set
}

impl HeadView for Ask {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.team.filter(|_| name == "x-team") {
            found(value.as_bytes());
        }
        let others = self.headers.iter().filter(|(own, _)| own == name);
        for (_, value) in others {
            found(value.as_bytes());
        }
    }
}

impl Ask {
    /// The canonical path, where there is one.
    pub(crate) fn canonical(&self, graph: &Graph) -> Option<String> {
        let path = canonical(&self.path, graph.requests).ok()?;
        Some(path.as_str().to_owned())
    }

    /// What the graph does with it; None for a request that is refused before anybody is asked.
    pub(crate) fn done(&self, graph: &Graph) -> Option<Done> {
        let authority = Authority::parse(&self.authority).ok()?;
        let path = canonical(&self.path, graph.requests).ok()?;
        let listener = graph.listener(if self.tls { 8443 } else { 8080 })?;
        let request = Request {
            connection: Connection {
                tls: self.tls,
                sni: self.tls.then(|| authority.host()),
                trusted: false,
                shown: None,
            },
            authority: &authority,
            path: &path,
            query: self.query.as_deref(),
            forwarded_proto: None,
        };
        // Of a name that is asked for in a handshake, TCPMappings have the connections before anybody else.
        let taken = self.tls.then(|| listener.tcp.named(Some(authority.host())));
        if let Some(route) = taken.flatten() {
            return Some(Done {
                whole: format!("{route:?}"),
                ..Done::default()
            });
        }
        let mut trace = Trace::default();
        let decision = decide(listener, &request, self, &mut trace);
        let region = trace.steps.iter().find_map(|step| match step {
            Step::Region { name } => Some(name.clone()),
            _ => None,
        });
        let mut done = Done {
            region,
            ..Done::default()
        };
        if self.tls {
            done.whole = handshake(listener, authority.host());
        }
        done.record(&decision);
        Some(done)
    }
}

impl Done {
    fn record(&mut self, decision: &Decision<'_>) {
        let (text, host) = match decision {
            Decision::Misdirected => ("misdirected", None),
            Decision::NoHost => ("no host", None),
            Decision::Rejected(host) => ("rejected", Some(*host)),
            Decision::RedirectToHttps(host) => ("redirected", Some(*host)),
            Decision::NoRoute(host) => ("no route", Some(*host)),
            Decision::Route { host, route } => {
                let members = route.members.iter();
                self.members = Some(
                    members
                        .map(|member| {
                            let id = member.id.to_string();
                            let id = id.strip_prefix("mapping/").unwrap_or(&id).to_owned();
                            (id, member.share)
                        })
                        .collect(),
                );
                for member in &route.members {
                    let _ = write!(self.whole, " {member:?}");
                }
                let _ = write!(self.whole, " {:?}", route.shadow);
                ("route", Some(*host))
            }
        };
        self.whole.push_str(text);
        if let Some(host) = host {
            self.host = Some(host.id.to_string());
            self.whole.push_str(&shown(host));
        }
    }
}

/// Its certificate is what the handshake shows.
fn shown(host: &VirtualHost) -> String {
    format!(" of {} {:?}", host.id, host.insecure)
}

fn handshake(listener: &Listener, name: &str) -> String {
    match listener.handshake(Some(name)) {
        Handshake::Certificate(certificate) => format!("{} ", certificate.digest),
        Handshake::Unrecognized => "unrecognized ".to_owned(),
        Handshake::Broken(fail) => format!("broken {fail:?} "),
    }
}

/// What becomes of a connection that is not HTTP: its TLS, and which TCPMappings have it; None when they have no such.
pub(crate) fn connection(graph: &Graph, port: u16, name: Option<&str>) -> Option<String> {
    let listener = graph.listener(port)?;
    let route = if !listener.tls {
        listener.tcp.any.as_ref()
    } else if listener.http {
        listener.tcp.named(name)
    } else {
        listener.tcp.route(name)
    }?;
    Some(format!("{:?} {:?}", route.client_tls, route.members))
}

/// Every host with every path, and of the rest a little of each.
pub(crate) fn asks(hosts: &[&str], paths: &[&str]) -> Vec<Ask> {
    let mut all = Vec::new();
    for (row, host) in hosts.iter().enumerate() {
        for (column, path) in paths.iter().enumerate() {
            let number = row * paths.len() + column;
            let ask = Ask {
                authority: (*host).to_owned(),
                path: (*path).to_owned(),
                ..Ask::default()
            };
            all.push(ask.clone());
            all.push(Ask {
                tls: !number.is_multiple_of(3),
                query: [None, Some("q=1"), Some("q=2&r")][number % 3].map(str::to_owned),
                method: if number.is_multiple_of(2) {
                    Method::POST
                } else {
                    Method::GET
                },
                team: [Some("one"), None, Some("two"), Some("three")][number % 4],
                ..ask
            });
        }
    }
    all
}
