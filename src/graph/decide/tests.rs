use super::*;
use crate::graph::{
    Certificate, HostId, HostTable, PrivateKey, Regions, RouteId,
    explain::{Step, Trace},
    matching::{
        RouteSet, Silent,
        tests::{Head, route},
    },
    path::canonical,
    table::RouteTable,
    tls::KeyFormat,
};

const CLEARTEXT: Connection<'static> = Connection {
    tls: false,
    sni: None,
    trusted: false,
    shown: None,
};

fn tls(sni: Option<&str>) -> Connection<'_> {
    Connection {
        tls: true,
        sni,
        trusted: false,
        shown: None,
    }
}

fn certificate(name: &str) -> HostTls {
    HostTls::Certificate(Arc::new(ServerTls::from(Certificate {
        digest: name.into(),
        chain: Vec::new(),
        key: PrivateKey {
            format: KeyFormat::Pkcs8,
            der: Arc::from([]),
        },
        staple: None,
    })))
}

fn routes(specs: &[&str]) -> Arc<RouteSet> {
    let table = RouteTable::new(specs.iter().map(|spec| Arc::new(route(spec))).collect());
    let region = crate::graph::Region {
        tables: [(crate::graph::HostPattern::ANY, Arc::new(table))]
            .into_iter()
            .collect(),
        ..Default::default()
    };
    Arc::new(RouteSet {
        regions: Regions::single(region),
    })
}

fn listener(security: SecurityModel, hosts: &[(&str, HostTls, InsecureAction)]) -> Listener {
    let entries = hosts.iter().map(|(name, tls, insecure)| {
        let host = VirtualHost {
            id: HostId((*name).into()),
            pattern: name.parse().unwrap(),
            tls: tls.clone(),
            insecure: *insecure,
            routes: routes(&["/a/", "/.well-known/"]),
        };
        (host.pattern.clone(), Arc::new(host))
    });
    Listener {
        name: "test".into(),
        port: 8443,
        http: true,
        tls: true,
        cleartext: true,
        security,
        l7_depth: 1,
        trusted_proxies: Arc::from(["10.0.0.0/8".parse().unwrap()]),
        http2_max_concurrent_streams: 100,
        hosts: entries.collect::<HostTable<_>>(),
        tcp: crate::graph::TcpTable::default(),
    }
}

fn two_hosts_and_a_catch_all() -> Listener {
    use InsecureAction::{Redirect, Reject};
    let broken = HostTls::Broken(Fail { code: 3001 });
    listener(
        SecurityModel::Xfp,
        &[
            ("x.com", certificate("x"), Redirect),
            ("y.com:8443", certificate("y"), Reject),
            ("plain.com", HostTls::None, Redirect),
            ("broken.com", broken, Redirect),
            ("*", certificate("any"), InsecureAction::Route),
        ],
    )
}

#[test]
fn a_handshake_gets_the_certificate_of_the_host_it_names() {
    let listener = two_hosts_and_a_catch_all();
    let shown = |sni| match listener.handshake(sni) {
        Handshake::Certificate(tls) => tls.digest.to_string(),
        other => format!("{other:?}"),
    };
    for (sni, expected) in [
        (Some("x.com"), "x"),
        (Some("y.com"), "y"),
        (Some("other.com"), "any"),
        (None, "any"),
        (Some("plain.com"), "Unrecognized"),
        (Some("broken.com"), "Broken(Fail { code: 3001 })"),
    ] {
        assert_eq!(shown(sni), expected, "{sni:?}");
    }
    let named = listener_of_x();
    assert_eq!(named.handshake(Some("y.com")), Handshake::Unrecognized);
    assert_eq!(named.handshake(None), Handshake::Unrecognized);
}

fn listener_of_x() -> Listener {
    let host = ("x.com", certificate("x"), InsecureAction::Redirect);
    listener(SecurityModel::Xfp, &[host])
}

#[test]
fn a_request_must_be_for_the_host_of_its_connection() {
    let listener = two_hosts_and_a_catch_all();
    for (connection, authority, expected) in [
        (tls(Some("x.com")), "x.com", "x.com"),
        (tls(Some("x.com")), "X.COM.:8443", "x.com"),
        (tls(Some("y.com")), "y.com:8443", "y.com:8443"),
        // The Host names a port, and the request has none: the routes of `*` are those of another Host's certificate only.
        (tls(Some("y.com")), "y.com", "*"),
        (tls(Some("x.com")), "y.com:8443", "421"),
        (tls(Some("x.com")), "other.com", "421"),
        (tls(Some("other.com")), "x.com", "421"),
        (tls(Some("other.com")), "another.com", "*"),
        (tls(None), "192.0.2.1", "*"),
        (tls(None), "x.com", "421"),
        (CLEARTEXT, "x.com", "x.com"),
        (CLEARTEXT, "other.com:1234", "*"),
    ] {
        let authority = Authority::parse(authority).unwrap();
        let chosen = match listener.host(connection, &authority) {
            HostChoice::Host(host) => host.id.to_string(),
            HostChoice::None => "404".to_owned(),
            HostChoice::Misdirected => "421".to_owned(),
        };
        assert_eq!(chosen, expected, "{connection:?} {authority}");
    }
    let unknown = Authority::parse("y.com").unwrap();
    let choice = listener_of_x().host(CLEARTEXT, &unknown).is_none();
    assert!(choice);
}

impl HostChoice<'_> {
    fn is_none(&self) -> bool {
        matches!(self, HostChoice::None)
    }
}

#[test]
fn what_makes_a_request_secure() {
    use SecurityModel::{Insecure, Secure, Xfp};
    let https = Some(b"https".as_slice());
    let trusted = Connection {
        trusted: true,
        ..CLEARTEXT
    };
    let trusted_tls = Connection {
        trusted: true,
        ..tls(Some("x.com"))
    };
    for (model, connection, forwarded, expected) in [
        (Xfp, tls(Some("x.com")), None, true),
        (Xfp, CLEARTEXT, None, false),
        (Xfp, CLEARTEXT, https, false),
        (Xfp, trusted, https, true),
        (Xfp, trusted, Some(b"HTTPS ".as_slice()), true),
        (Xfp, trusted, Some(b"https, http".as_slice()), false),
        (Xfp, trusted, Some(b"https,https".as_slice()), true),
        (Xfp, trusted, Some(b"wss".as_slice()), false),
        (Xfp, trusted, Some(b"".as_slice()), false),
        (Xfp, trusted, None, false),
        (Xfp, trusted_tls, Some(b"http".as_slice()), false),
        (Xfp, trusted_tls, None, true),
        (Secure, CLEARTEXT, None, true),
        (Secure, trusted, Some(b"http".as_slice()), true),
        (Insecure, tls(Some("x.com")), None, false),
        (Insecure, trusted, https, false),
    ] {
        let listener = listener(model, &[]);
        let secure = listener.is_secure(connection, forwarded);
        assert_eq!(secure, expected, "{model:?} {connection:?} {forwarded:?}");
    }
}

#[test]
fn forwarding_headers_count_from_trusted_peers_behind_proxies_only() {
    let mut listener = listener_of_x();
    assert!(listener.trusts("10.1.2.3".parse().unwrap()));
    assert!(listener.trusts("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!listener.trusts("11.1.2.3".parse().unwrap()));
    listener.l7_depth = 0;
    assert!(!listener.trusts("10.1.2.3".parse().unwrap()));
}

#[test]
fn insecure_requests_get_the_action_of_the_host() {
    use InsecureAction::{Redirect, Reject, Route};
    let acme = "/.well-known/acme-challenge/token";
    for (action, secure, path, expected) in [
        (Redirect, true, "/a/1", Entry::Route),
        (Reject, true, "/a/1", Entry::Route),
        (Redirect, false, "/a/1", Entry::Redirect),
        (Redirect, false, "/no-mapping", Entry::Redirect),
        (Route, false, "/a/1", Entry::Route),
        (Reject, false, "/a/1", Entry::NotFound),
        (Redirect, false, acme, Entry::Route),
        (Reject, false, acme, Entry::Route),
        (
            Redirect,
            false,
            "/.well-known/acme-challenge",
            Entry::Redirect,
        ),
        (
            Redirect,
            false,
            "/.well-known/acme-challenger/x",
            Entry::Redirect,
        ),
    ] {
        let listener = listener(SecurityModel::Xfp, &[("*", HostTls::None, action)]);
        let entry = listener.hosts.any().unwrap().entry(secure, path);
        assert_eq!(entry, expected, "{action:?} {secure} {path}");
    }
}

/// Decides without and with a record, and holds both to the same answer.
fn decided(
    listener: &Listener,
    connection: Connection<'_>,
    host: &str,
    path: &str,
) -> (String, Trace) {
    let authority = Authority::parse(host).unwrap();
    let path = canonical(path, RequestPolicy::default()).unwrap();
    let request = Request {
        connection,
        authority: &authority,
        path: &path,
        query: None,
        forwarded_proto: None,
    };
    let mut trace = Trace::default();
    let answers = [
        decide(listener, &request, &Head::default(), &mut Silent),
        decide(listener, &request, &Head::default(), &mut trace),
    ];
    let [silent, traced] = answers.map(|answer| match answer {
        Decision::Misdirected => "421".to_owned(),
        Decision::NoHost => "no host".to_owned(),
        Decision::Rejected(_) => "rejected".to_owned(),
        Decision::RedirectToHttps(_) => https_location(&authority, path.as_str(), None),
        Decision::NoRoute(_) => "no route".to_owned(),
        Decision::Route { route, .. } => route.rank.prefix.to_string(),
    });
    assert_eq!(silent, traced);
    (silent, trace)
}

#[test]
fn decisions_of_the_worked_examples() {
    let listener = listener_of_x();
    let secure = tls(Some("x.com"));
    for (connection, host, path, expected) in [
        (CLEARTEXT, "x.com", "/a/1", "https://x.com/a/1"),
        (CLEARTEXT, "x.com:8080", "/a/1", "https://x.com:8080/a/1"),
        (CLEARTEXT, "x.com:80", "/b", "https://x.com/b"),
        (CLEARTEXT, "y.com", "/a/1", "no host"),
        (
            CLEARTEXT,
            "x.com",
            "/.well-known/acme-challenge/t",
            "/.well-known/",
        ),
        (secure, "x.com", "/a/1", "/a/"),
        (secure, "x.com", "/b", "no route"),
        (secure, "y.com", "/a/1", "421"),
    ] {
        assert_eq!(
            decided(&listener, connection, host, path).0,
            expected,
            "{host}{path}"
        );
    }
}

#[test]
fn a_trace_tells_every_step_and_what_is_shadowed() {
    let mut listener = listener(
        SecurityModel::Secure,
        &[("*", HostTls::None, InsecureAction::Redirect)],
    );
    let mut host = VirtualHost::clone(listener.hosts.any().unwrap());
    host.routes = routes(&["/a/", "/"]);
    listener.hosts = [(host.pattern.clone(), Arc::new(host))]
        .into_iter()
        .collect();
    let (_, trace) = decided(&listener, CLEARTEXT, "x.com", "/a/1");
    let kinds: Vec<_> = trace
        .steps
        .iter()
        .map(|step| serde_json::to_value(step).unwrap())
        .collect();
    let names: Vec<_> = kinds
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["host", "entry", "region", "candidate", "shadowed"]);
    assert_eq!(kinds[3]["path"], "/a/");
    assert!(matches!(
        trace.steps[1],
        Step::Entry {
            secure: true,
            action: "route"
        }
    ));
}

#[test]
fn members_share_by_weight() {
    let weights = |shares: &[u32]| {
        let mut route = route("/");
        let members = shares.iter().enumerate().map(|(index, share)| Member {
            id: RouteId(index.to_string().into()),
            share: *share,
            action: Action::Fail(Fail { code: 1 }),
        });
        route.members = members.collect();
        let mut counts = vec![0; shares.len()];
        for step in 0..1_000_u64 {
            let random = step * (u64::MAX / 999);
            if let Some(member) = route.member(random) {
                counts[member.id.0.parse::<usize>().unwrap()] += 1;
            }
        }
        counts
    };
    assert_eq!(weights(&[1]), [1_000]);
    assert_eq!(weights(&[10, 0, 90]), [100, 0, 900]);
    assert_eq!(weights(&[33, 33, 33]), [334, 333, 333]);
    assert_eq!(weights(&[0, 0]), [0, 0]);
    assert_eq!(weights(&[u32::MAX, u32::MAX]), [500, 500]);
    assert!(weights(&[]).is_empty());
}

#[test]
fn an_escaped_slash_needs_leave() {
    let redirect = |allow_escaped_slashes| Member {
        id: RouteId("r".into()),
        share: 1,
        action: Action::Redirect(Arc::new(crate::graph::Redirect {
            status: http::StatusCode::FOUND,
            scheme: None,
            host: "x.com".into(),
            path: crate::graph::route::RedirectPath::Keep,
            allow_escaped_slashes,
        })),
    };
    let strict = RequestPolicy::default();
    let lenient = RequestPolicy {
        allow_escaped_slashes: true,
        ..strict
    };
    let escaped = canonical("/@a%2fb", strict).unwrap();
    let plain = canonical("/@a/b", strict).unwrap();
    assert!(redirect(false).refuses(&escaped, strict));
    assert!(!redirect(true).refuses(&escaped, strict));
    assert!(!redirect(false).refuses(&escaped, lenient));
    assert!(!redirect(false).refuses(&plain, strict));
    let query = https_location(&Authority::parse("x.com").unwrap(), "/a", Some("q=1"));
    assert_eq!(query, "https://x.com/a?q=1");
}
