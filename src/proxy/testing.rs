//! What the tests of the proxy are made of: small graphs, scripted upstreams, connections in memory.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::upgrade::OnUpgrade;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::spawn_local,
};

use super::{
    body::RequestBody,
    connection,
    error::ProxyError,
    forward::Upstreams,
    metrics::Metrics,
    peer::PeerParts,
    site::{Common, Site},
    tls::Certificates,
    upstream::{Reached, Retries, Way},
};
use crate::graph::{
    Action, Balance, DialPolicy, Forward, ForwardTerms, Graph, HostId, HostPattern, HostRewrite,
    HostTable, HostTls, InsecureAction, Listener, Member, Rewrite, Route, RouteId, SecurityModel,
    Target, TcpTable, Upstream, UpstreamId, UpstreamProtocol, VirtualHost,
    breaker::Priority,
    matching::RouteSet,
    region::{Region, Regions},
    route::{PathMatch, Rank},
    table::RouteTable,
};
use crate::telemetry::metrics;

/// The port of the Listener of [`graph`].
pub(super) const PORT: u16 = 8080;

/// A cleartext Listener without Hosts.
pub(super) fn listener() -> Listener {
    Listener {
        name: "web".into(),
        port: PORT,
        http: true,
        tls: false,
        cleartext: true,
        security: SecurityModel::Xfp,
        l7_depth: 0,
        trusted_proxies: Arc::new([]),
        http2_max_concurrent_streams: 100,
        hosts: HostTable::default(),
        tcp: TcpTable::default(),
    }
}

/// To the upstream of this name, as it comes.
pub(super) fn forward(name: &str) -> Forward {
    Forward {
        upstream: Arc::new(Upstream {
            id: UpstreamId(name.into()),
            target: Target::Addresses(Arc::new([])),
            protocol: UpstreamProtocol::Http1,
            balance: Balance::RoundRobin,
            breakers: None,
            health: None,
            zones: None,
            tls: None,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_mins(1),
            max_age: None,
            keepalive: None,
        }),
        rewrite: Rewrite::Keep,
        host: HostRewrite::Keep,
        terms: Arc::new(ForwardTerms {
            head_timeout: Some(Duration::from_secs(3)),
            idle_timeout: Some(Duration::from_secs(30)),
            ..ForwardTerms::default()
        }),
    }
}

/// A route for every path that begins with `prefix`.
pub(super) fn route(prefix: &str, action: Action) -> Route {
    Route {
        rank: Arc::new(Rank {
            path_length: prefix.len(),
            ..Rank::default()
        }),
        path: PathMatch::Prefix(prefix.into()),
        case_sensitive: true,
        conditions: Arc::default(),
        members: [Member {
            id: RouteId("mapping/apps/quote".into()),
            share: 1,
            action,
        }]
        .into(),
        shadow: None,
    }
}

/// A Host with routes for every hostname.
pub(super) fn host(pattern: &str, tls: HostTls, routes: Vec<Route>) -> VirtualHost {
    let table = RouteTable::new(routes.into_iter().map(Arc::new).collect());
    let tables = HostTable::from_iter([(HostPattern::ANY, Arc::new(table))]);
    VirtualHost {
        id: HostId(pattern.into()),
        pattern: pattern.parse().unwrap(),
        tls,
        insecure: InsecureAction::Route,
        routes: Arc::new(RouteSet {
            regions: Regions::single(Region {
                tables,
                ..Region::default()
            }),
        }),
    }
}

/// A graph with one route, of this name.
pub(super) fn graph_of(name: &str) -> Graph {
    let mut route = route("/", Action::Forward(Arc::new(forward("quote"))));
    route.members[0].id = RouteId(name.into());
    graph(listener(), vec![host("*", HostTls::None, vec![route])])
}

/// One Listener with these Hosts.
pub(super) fn graph(mut listener: Listener, hosts: Vec<VirtualHost>) -> Graph {
    let hosts = hosts
        .into_iter()
        .map(|host| (host.pattern.clone(), Arc::new(host)));
    listener.hosts = hosts.collect();
    Graph {
        listeners: vec![Arc::new(listener)],
        ..Graph::default()
    }
}

/// A graph with one Host for everything.
pub(super) fn serving(routes: Vec<Route>) -> Graph {
    graph(listener(), vec![host("*", HostTls::None, routes)])
}

/// What the upstream was sent.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) replay: bool,
    pub(super) affinity: Option<u64>,
}

/// What a scripted upstream does with a request.
pub(super) enum Act {
    /// Reads the request, then answers.
    Answer(Response<Bytes>),
    /// The same, with trailers.
    Trailers(Response<Bytes>, HeaderMap),
    /// Never answers.
    Hang,
    Fail(ProxyError),
}

/// Upstreams that do what they are told, in turn; then they answer 200 with an empty body.
#[derive(Clone, Default)]
pub(super) struct Script {
    acts: Rc<RefCell<VecDeque<Act>>>,
    /// For the upstream `new`, which gets copies.
    shadows: Rc<RefCell<VecDeque<Act>>>,
    seen: Rc<RefCell<Vec<Seen>>>,
    begun: Rc<Cell<usize>>,
    retries: Retries,
    /// What becomes of connections that are opened, in turn; then they are refused.
    opens: Rc<RefCell<VecDeque<Result<DuplexStream, ProxyError>>>>,
    /// To which upstreams connections were opened.
    opened: Rc<RefCell<Vec<String>>>,
}

impl Script {
    pub(super) fn of(acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            acts: Rc::new(RefCell::new(acts.into_iter().collect())),
            ..Self::default()
        }
    }

    /// What becomes of copies.
    pub(super) fn for_shadows(acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            shadows: Rc::new(RefCell::new(acts.into_iter().collect())),
            ..Self::default()
        }
    }

    /// How many requests have been begun to be sent.
    pub(super) fn begun(&self) -> usize {
        self.begun.get()
    }

    /// Connections that are opened lead to these.
    pub(super) fn for_connections(
        opens: impl IntoIterator<Item = Result<DuplexStream, ProxyError>>,
    ) -> Self {
        Self {
            opens: Rc::new(RefCell::new(opens.into_iter().collect())),
            ..Self::default()
        }
    }

    pub(super) fn opened(&self) -> Vec<String> {
        self.opened.borrow().clone()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

impl Upstreams for Script {
    type Body = UnsyncBoxBody<Bytes, Infallible>;

    async fn send<'o>(
        &'o self,
        way: Way<'o>,
        request: Request<RequestBody>,
    ) -> Result<Response<Self::Body>, ProxyError> {
        self.begun.set(self.begun.get() + 1);
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_| ProxyError::UpstreamReset)?;
        let trailers = body.trailers().cloned();
        self.seen.borrow_mut().push(Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body: body.to_bytes(),
            trailers,
            replay: way.replay,
            affinity: way.affinity,
        });
        let acts = match &*way.upstream.id.0 {
            "new" => &self.shadows,
            _ => &self.acts,
        };
        let act = acts.borrow_mut().pop_front();
        match act {
            Some(Act::Answer(response)) => Ok(response.map(|body| Full::new(body).boxed_unsync())),
            Some(Act::Trailers(response, trailers)) => Ok(response.map(|body| {
                let trailers = async move { Some(Ok(trailers)) };
                Full::new(body).with_trailers(trailers).boxed_unsync()
            })),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Fail(error)) => Err(error),
            None => Ok(Response::new(Full::default().boxed_unsync())),
        }
    }

    fn retries(&self, _upstream: &Upstream, _priority: Priority) -> Retries {
        self.retries.clone()
    }

    type Tcp = DuplexStream;

    async fn open<'o>(
        &'o self,
        upstream: &'o Arc<Upstream>,
        _dial: &'o DialPolicy,
        _reached: &'o Reached,
    ) -> Result<DuplexStream, ProxyError> {
        self.opened.borrow_mut().push(upstream.id.to_string());
        let next = self.opens.borrow_mut().pop_front();
        next.unwrap_or(Err(ProxyError::Connect))
    }

    fn upgrade(mut response: Response<Self::Body>) -> OnUpgrade {
        hyper::upgrade::on(&mut response)
    }

    fn sweep(&self, _graph: &Graph) {}

    fn close(&self) {}
}

/// A response with a body of text.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
}

/// A worker without sockets.
pub(super) fn site<U: Upstreams>(graph: Graph, upstreams: U) -> Rc<Site<U>> {
    let common = Common {
        certificates: Certificates::default(),
        hostname: "pod-1".into(),
        log: None,
        metrics: Metrics::register(&mut metrics::registry(), 100, None),
    };
    let site = Rc::new(Site::new(upstreams, common));
    site.swap(Arc::new(graph));
    site
}

/// A new connection to a worker, in memory.
pub(super) fn connect<U: Upstreams>(site: &Rc<Site<U>>) -> DuplexStream {
    connect_with_room(site, 1 << 20)
}

/// The same, where the client takes no more than `room` bytes ahead of reading them.
pub(super) fn connect_with_room<U: Upstreams>(site: &Rc<Site<U>>, room: usize) -> DuplexStream {
    let (client, server) = duplex(room);
    let listener = "web".into();
    let parts = PeerParts {
        port: PORT,
        client: ([192, 0, 2, 1], 4711).into(),
        local: ([192, 0, 2, 80], 80).into(),
        counters: site.counters(&listener),
        listener,
        log: site.log.clone(),
        running: site.running.clone(),
    };
    let pass = site.gate.pass();
    let site = site.clone();
    spawn_local(connection::serve(site, parts, server, pass));
    client
}

/// Sends bytes and reads until the connection is closed.
pub(super) async fn exchange<U: Upstreams>(site: &Rc<Site<U>>, bytes: &str) -> String {
    let mut client = connect(site);
    client.write_all(bytes.as_bytes()).await.unwrap();
    rest(&mut client).await
}

/// All that is still to come. A connection that is reset has nothing to come.
pub(super) async fn rest(client: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has come.
pub(super) async fn until(client: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut bytes = [0; 1024];
        let count = client.read(&mut bytes).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}
