//! The cost of deciding: it must hardly depend on how many routes and hosts there are.

use std::{fmt::Write as _, hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, Method};
use postern::graph::{
    Authority, Connection, Decision, Fail, HostId, HostPattern, HostTable, HostTls, InsecureAction,
    Listener, Member, Request, RequestPolicy, Route, RouteId, SecurityModel, VirtualHost,
    decide::decide,
    matching::{HeadView, RouteSet, Silent},
    path::canonical,
    region::{Region, Regions},
    route::{Action, PathMatch, Rank},
    table::RouteTable,
};
use postern::plugin::{self, Console};

struct Head {
    method: Method,
    headers: HeaderMap,
}

impl HeadView for Head {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.headers.get_all(name) {
            found(value.as_bytes());
        }
    }
}

fn route(host: &str, path: &str) -> Arc<Route> {
    Arc::new(Route {
        rank: Arc::new(Rank {
            path_length: path.len(),
            header_weight: 10 + host.len(),
            prefix: path.into(),
            tie: host.into(),
            ..Rank::default()
        }),
        path: PathMatch::Prefix(path.into()),
        case_sensitive: true,
        conditions: Arc::default(),
        shadow: None,
        members: [Member {
            id: RouteId(format!("mapping{path}").into()),
            share: 1,
            action: Action::Fail(Fail { code: 1 }),
        }]
        .into(),
    })
}

/// `routes` spread over `hosts`, all on one listener.
fn listener(hosts: usize, routes: usize) -> Listener {
    let tables = (0..hosts).map(|host| {
        let name = format!("host-{host:03}.example.com");
        let own = (0..routes / hosts).map(|path| route(&name, &format!("/team-{path:05}/api/")));
        let pattern: HostPattern = name.parse().expect("the name must be one");
        (pattern, Arc::new(RouteTable::new(own.collect())))
    });
    let region = Region {
        tables: tables.collect(),
        ..Region::default()
    };
    let routes = Arc::new(RouteSet {
        regions: Regions::single(region),
    });
    let host = VirtualHost {
        id: HostId("default".into()),
        pattern: HostPattern::ANY,
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes,
    };
    Listener {
        name: "bench".into(),
        port: 8080,
        http: true,
        tls: false,
        cleartext: true,
        security: SecurityModel::Xfp,
        l7_depth: 0,
        trusted_proxies: Arc::from([]),
        http2_max_concurrent_streams: 100,
        hosts: HostTable::from_iter([(HostPattern::ANY, Arc::new(host))]),
        tcp: postern::graph::TcpTable::default(),
    }
}

fn whole_decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (hosts, routes) in [(1, 1), (1, 100), (1, 10_000), (100, 10_000)] {
        let listener = listener(hosts, routes);
        let name = format!("host-{:03}.example.com", hosts / 2);
        let path = format!("/team-{:05}/api/items/42", routes / hosts / 2);
        let head = Head {
            method: Method::GET,
            headers: HeaderMap::new(),
        };
        let decide_once = || {
            let policy = RequestPolicy::default();
            let authority = Authority::parse(black_box(&name)).expect("the host must be one");
            let path = canonical(black_box(&path), policy).expect("the path must be one");
            let request = Request {
                connection: Connection {
                    tls: false,
                    sni: None,
                    trusted: false,
                    shown: None,
                },
                authority: &authority,
                path: &path,
                query: None,
                forwarded_proto: None,
            };
            match decide(&listener, &request, &head, &mut Silent) {
                Decision::Route { route, .. } => route.member(7).map(|member| member.share),
                other => panic!("a route must be found, not {other:?}"),
            }
        };
        let id = BenchmarkId::from_parameter(format!("{routes} routes on {hosts} hosts"));
        group.bench_function(id, |bencher| bencher.iter(decide_once));
    }
    group.finish();
}

fn building(criterion: &mut Criterion) {
    let routes: Vec<_> = (0..10_000)
        .map(|path| route("*", &format!("/team-{path:05}/api/")))
        .collect();
    criterion.bench_function("build a table of 10,000 routes", |bencher| {
        bencher.iter(|| RouteTable::new(black_box(routes.clone())));
    });
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonical");
    for (name, path) in [
        ("plain", "/team-00042/api/items/42"),
        ("escaped", "/team%2d00042/./api//items/4%32"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                canonical(black_box(path), RequestPolicy::default()).map(|path| path.as_str().len())
            });
        });
    }
    group.finish();
}

/// `kubectl postern status` of a folder with 1,000 Mappings: read, compiled and printed.
fn listing(criterion: &mut Criterion) {
    let mut manifests = String::new();
    for number in 0..1000 {
        let _infallible = write!(
            manifests,
            "---\napiVersion: postern.dev/v1alpha1\nkind: Mapping\n\
             metadata: {{name: m{number}, namespace: n{}}}\n\
             spec: {{hostname: h{}.example.com, prefix: /p{number}/, service: s{number}}}\n",
            number % 20,
            number % 50,
        );
    }
    let folder = tempfile::tempdir().expect("there must be a place for temporary files");
    std::fs::write(folder.path().join("all.yaml"), manifests).expect("it must be writable");
    let folder = folder.path().display().to_string();
    criterion.bench_function("list 1000 objects", |bencher| {
        bencher.iter(|| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut console = Console {
                out: &mut out,
                err: &mut err,
                colour: false,
                now: jiff::Timestamp::UNIX_EPOCH,
            };
            let arguments = ["kubectl-postern", "status", "-f", &folder];
            let code = plugin::answer(arguments.map(Into::into), &mut console);
            assert_eq!(code, 0, "{}", String::from_utf8_lossy(&err));
            black_box(out.len())
        });
    });
}

criterion_group!(benches, whole_decision, building, paths, listing);
criterion_main!(benches);
