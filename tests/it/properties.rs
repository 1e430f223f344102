//! What must hold of every compile: the order of changes says nothing, one bad object is one bad object, and a compiler that
//! is kept gives what a fresh one gives.

use std::collections::BTreeMap;

use postern::{
    admin,
    compile::{Compiler, Environment, Options, compile},
    resource::{
        AnyObject, ObjectKey, Origin, Positions, ResourceSet,
        decode::{self, Decoded},
    },
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

fn options() -> Options {
    Options {
        namespace: "postern".into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment: Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: Vec::new(),
            echo: None,
        },
    }
}

fn object(document: &Value) -> AnyObject {
    match decode::object(document, Origin::Cluster, "default", Positions::default()) {
        Decoded::Object(object) => object,
        other => panic!("{document} must be an object, and is {other:?}"),
    }
}

fn set(documents: &[Value]) -> ResourceSet {
    let mut set = ResourceSet::default();
    for document in documents {
        set.insert(object(document));
    }
    set
}

/// Graph and report as text, so that a difference can be read.
fn shown(
    compiled: &(
        std::sync::Arc<postern::graph::Graph>,
        std::sync::Arc<postern::report::Report>,
    ),
) -> (Value, Value) {
    admin::dump(&compiled.0, &compiled.1)
}

fn metadata() -> impl Strategy<Value = Value> {
    let labels = select(vec![
        json!({}),
        json!({ "team": "a" }),
        json!({ "team": "b" }),
    ]);
    (select(vec!["a", "b", "postern"]), 0..4_u8, 0..4_u8, labels).prop_map(
        |(namespace, name, created, labels)| {
            let mut metadata =
                json!({ "namespace": namespace, "name": format!("o{name}"), "labels": labels });
            if created > 0 {
                metadata["creationTimestamp"] = json!(format!("2026-01-0{created}T00:00:00Z"));
            }
            metadata
        },
    )
}

/// One value for a field, or none.
fn maybe(
    field: &'static str,
    values: Vec<Value>,
) -> impl Strategy<Value = Option<(&'static str, Value)>> {
    proptest::option::of(select(values)).prop_map(move |value| value.map(|value| (field, value)))
}

fn document(
    kind: &'static str,
    metadata: &Value,
    fields: Vec<Option<(&'static str, Value)>>,
) -> Value {
    let group = match kind {
        "TLSContext" | "AuthService" => "getambassador.io/v3alpha1",
        _ => "postern.dev/v1alpha1",
    };
    let spec: serde_json::Map<_, _> = fields
        .into_iter()
        .flatten()
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    json!({ "apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec })
}

fn hostnames() -> Vec<Value> {
    ["*", "x.com", "*.com", "x.*", "x.com:8080", "y.com", "a.*.b"]
        .map(Value::from)
        .into()
}

fn mapping() -> impl Strategy<Value = Value> {
    let matching = (
        maybe("hostname", hostnames()),
        select(vec!["/", "/a", "/a/", "/A/", "/b/(", "x"])
            .prop_map(|prefix| Some(("prefix", json!(prefix)))),
        maybe("prefixRegex", vec![json!(true), json!(false)]),
        maybe("caseSensitive", vec![json!(false)]),
        maybe(
            "headers",
            vec![json!({ "x-a": "b" }), json!({ "x y": "b" })],
        ),
        maybe(
            "weight",
            vec![json!(0), json!(10), json!(60), json!(100), json!(101)],
        ),
    );
    let services = [
        "quote",
        "missing",
        "db.b",
        "a:b:c",
        "localhost",
        "https://example.org",
        "10.96.0.1",
    ];
    let action = (
        select(services.to_vec()).prop_map(|service| Some(("service", json!(service)))),
        maybe("hostRedirect", vec![json!(true)]),
        maybe("rewrite", vec![json!("/v1/"), json!("bad")]),
        maybe("bogus", vec![json!(1)]),
        maybe("tls", vec![json!("o1"), json!("true")]),
    );
    (metadata(), matching, action).prop_map(|(metadata, m, a)| {
        let fields = vec![m.0, m.1, m.2, m.3, m.4, m.5, a.0, a.1, a.2, a.3, a.4];
        document("Mapping", &metadata, fields)
    })
}

fn host() -> impl Strategy<Value = Value> {
    let selector = |team: &str| json!({ "matchLabels": { "team": team } });
    (
        metadata(),
        maybe("hostname", hostnames()),
        maybe(
            "mappingSelector",
            vec![selector("a"), selector("b"), json!({ "matchLabels": {} })],
        ),
        maybe(
            "tlsSecret",
            vec![
                json!({ "name": "o1" }),
                json!({ "name": "o1", "namespace": "b" }),
            ],
        ),
        maybe("bogus", vec![json!(1)]),
    )
        .prop_map(|(metadata, a, b, c, d)| document("Host", &metadata, vec![a, b, c, d]))
}

fn claim() -> impl Strategy<Value = Value> {
    let names = |names: &[&str]| json!({ "names": names });
    (
        metadata(),
        select(vec![
            json!(["x.com"]),
            json!(["*.com", "y.com"]),
            json!(["*"]),
            json!(["x.com", "x.com:80"]),
            json!("bad"),
        ])
        .prop_map(|names| Some(("hostnames", names))),
        maybe(
            "paths",
            vec![json!(["/a"]), json!(["/a/", "/b"]), json!(["bad"])],
        ),
        maybe(
            "namespaces",
            vec![
                names(&["a"]),
                names(&["b", "postern"]),
                json!({ "selector": { "matchLabels": { "team": "a" } } }),
                json!({ "names": 1 }),
            ],
        ),
    )
        .prop_map(|(metadata, a, b, c)| document("RouteClaim", &metadata, vec![a, b, c]))
}

fn platform() -> impl Strategy<Value = Value> {
    let binding = json!({ "namespace": { "from": "ALL" } });
    let settings = (
        maybe(
            "defaultHost",
            vec![json!("Auto"), json!("Never"), json!("Bad")],
        ),
        maybe(
            "ownership",
            vec![
                json!({ "unclaimed": "Shared" }),
                json!({ "unclaimed": "Deny" }),
            ],
        ),
        maybe("references", vec![json!({ "services": "Allow" })]),
        maybe("emissary", vec![json!({ "ignore": ["AuthService"] })]),
    );
    prop_oneof![
        (metadata(), settings).prop_map(|(metadata, (a, b, c, d))| document(
            "GatewaySettings",
            &metadata,
            vec![a, b, c, d]
        )),
        (
            metadata(),
            maybe("port", vec![json!(8080), json!(8081)]),
            maybe("protocol", vec![json!("HTTP"), json!("HTTPS")])
        )
            .prop_map(move |(metadata, port, protocol)| document(
                "Listener",
                &metadata,
                vec![
                    port,
                    protocol,
                    Some(("securityModel", json!("XFP"))),
                    Some(("hostBinding", binding.clone())),
                ]
            )),
        (
            metadata(),
            maybe("sni", vec![json!("s.com")]),
            maybe("secret", vec![json!("o1")])
        )
            .prop_map(|(metadata, sni, secret)| document(
                "TLSContext",
                &metadata,
                vec![sni, secret]
            )),
        metadata().prop_map(|metadata| document(
            "AuthService",
            &metadata,
            vec![Some(("auth_service", json!("a")))]
        )),
    ]
}

fn kubernetes() -> impl Strategy<Value = Value> {
    let name = (select(vec!["a", "b"]), select(vec!["quote", "db"]));
    let ip = select(vec!["10.96.0.1", "10.96.0.2", "None"]);
    prop_oneof![
        (name.clone(), ip).prop_map(|((namespace, name), ip)| json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": ip, "ports": [{ "name": "http", "port": 80 }] },
        })),
        // The last one is also a ClusterIP: who writes slices can write that.
        (name, select(vec!["10.1.0.1", "10.1.0.2", "10.96.0.1"])).prop_map(|((namespace, name), address)| json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "namespace": namespace, "name": name, "labels": { "kubernetes.io/service-name": name } },
            "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": [{ "addresses": [address] }],
        })),
        select(vec!["Mapping", "Host"]).prop_map(|kind| json!({
            "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
            "metadata": { "namespace": "b", "name": kind.to_lowercase() },
            "spec": {
                "from": [{ "group": "postern.dev", "kind": kind, "namespace": "a" }],
                "to": [{ "group": "", "kind": "Service" }, { "group": "", "kind": "Secret" }],
            },
        })),
        metadata().prop_map(|metadata| json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": metadata["namespace"], "labels": metadata["labels"] },
        })),
        select(vec!["a", "b"]).prop_map(|namespace| json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "namespace": namespace, "name": "o1" },
            "data": { "tls.crt": "bm8=", "tls.key": "bm8=" },
        })),
    ]
}

fn any_document() -> impl Strategy<Value = Value> {
    prop_oneof![6 => mapping(), 2 => host(), 1 => platform(), 1 => claim(), 2 => kubernetes()]
}

/// A change of the set: an object there, or gone.
#[derive(Clone, Debug)]
enum Edit {
    Put(Value),
    Delete(prop::sample::Index),
}

fn edits() -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let edit = prop_oneof![
        4 => any_document().prop_map(Edit::Put),
        1 => any::<prop::sample::Index>().prop_map(Edit::Delete),
    ];
    proptest::collection::vec(proptest::collection::vec(edit, 1..5), 1..12)
}

fn keys(set: &ResourceSet) -> Vec<ObjectKey> {
    let ours = set
        .mappings
        .keys()
        .chain(set.hosts.keys())
        .chain(set.settings.keys())
        .chain(set.claims.keys());
    let others = set
        .listeners
        .keys()
        .chain(set.others.keys())
        .chain(set.tls_contexts.keys());
    let cluster = set.services.keys().chain(set.endpoint_slices.keys());
    let rest = set.grants.keys().chain(set.secrets.keys());
    let rest = rest.chain(set.namespaces.keys());
    ours.chain(others)
        .chain(cluster)
        .chain(rest)
        .cloned()
        .collect()
}

/// Fields that say nothing about what a Mapping matches, spoilt.
fn spoilt() -> impl Strategy<Value = (&'static str, Value)> {
    select(vec![
        ("nonsense", json!(1)),
        ("service", json!("a:b:c")),
        ("service", json!(["quote"])),
        ("timeoutMs", json!("soon")),
        ("timeoutMs", json!(-1)),
        ("rewrite", json!("bad")),
        (
            "regexRewrite",
            json!({ "pattern": "(", "substitution": "" }),
        ),
        ("addRequestHeaders", json!({ "x y": { "value": "a" } })),
        ("bypassAuth", json!(true)),
        ("tls", json!("nobody")),
    ])
}

/// Whose Host has the requests of an authority.
fn host_of(graph: &postern::graph::Graph, name: &str, port: u16) -> Vec<String> {
    let hosts = graph
        .listeners
        .iter()
        .filter_map(|listener| listener.hosts.best(name, Some(port)));
    hosts.map(|host| host.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_compiler_gives_what_a_fresh_one_gives(batches in edits()) {
        let mut compiler = Compiler::new(options());
        let mut set = ResourceSet::default();
        for batch in batches {
            for edit in batch {
                match edit {
                    Edit::Put(document) => set.insert(object(&document)),
                    Edit::Delete(index) => {
                        let keys = keys(&set);
                        if !keys.is_empty() {
                            set.remove(index.get(&keys));
                        }
                    }
                }
            }
            let kept = shown(&compiler.compile(&set));
            let fresh = shown(&compile(&set, &options()));
            prop_assert_eq!(kept, fresh);
        }
    }

    #[test]
    fn the_order_in_which_objects_come_says_nothing(
        (documents, shuffled) in proptest::collection::vec(any_document(), 1..14)
            .prop_map(|documents| {
                // Of equal names one: which one it is must not depend on the order.
                let named = documents.into_iter().map(|document| (object(&document).key().clone(), document));
                named.collect::<BTreeMap<_, _>>().into_values().collect::<Vec<_>>()
            })
            .prop_flat_map(|documents| (Just(documents.clone()), Just(documents).prop_shuffle())),
    ) {
        let expected = shown(&compile(&set(&documents), &options()));
        let mut compiler = Compiler::new(options());
        let mut growing = ResourceSet::default();
        let mut last = None;
        for document in &shuffled {
            growing.insert(object(document));
            last = Some(compiler.compile(&growing));
        }
        prop_assert_eq!(last.map(|last| shown(&last)), Some(expected));
    }

    #[test]
    fn a_strangers_host_has_no_name_that_an_older_mapping_serves(
        mappings in proptest::collection::vec(mapping(), 1..6),
        own in proptest::collection::vec(mapping(), 0..3),
        hosts in proptest::collection::vec(host(), 1..4),
    ) {
        let from = |documents: Vec<Value>, namespace: &str, created: &str| -> Vec<Value> {
            let placed = documents.into_iter().enumerate().map(|(number, mut document)| {
                document["metadata"]["name"] = json!(format!("o{number}"));
                document["metadata"]["namespace"] = json!(namespace);
                document["metadata"]["creationTimestamp"] = json!(created);
                document
            });
            placed.collect()
        };
        let theirs = from(mappings, "a", "2026-01-01T00:00:00Z");
        let strangers = [
            from(own, "b", "2026-01-02T00:00:00Z"),
            from(hosts, "b", "2026-01-03T00:00:00Z"),
        ];
        let (before, report) = compile(&set(&theirs), &options());
        let (after, _) = compile(&set(&[theirs.clone(), strangers.concat()].concat()), &options());
        let is_served = |mapping: &&Value| {
            let key = object(mapping).key().clone();
            report.object(&key).is_some_and(|report| report.in_graph)
        };
        let patterns: Vec<postern::graph::HostPattern> = theirs
            .iter()
            .filter(is_served)
            .filter_map(|mapping| mapping["spec"]["hostname"].as_str()?.parse().ok())
            .collect();
        let authorities = [("x.com", 80), ("x.com", 8080), ("z.com", 80), ("y.com", 80), ("x.org", 80), ("a.b", 80)];
        for (name, port) in authorities {
            if patterns.iter().any(|pattern| pattern.matches(name, Some(port))) {
                prop_assert_eq!(host_of(&before, name, port), host_of(&after, name, port), "{}:{}", name, port);
            }
        }
    }

    #[test]
    fn one_bad_object_is_one_bad_object(
        documents in proptest::collection::vec(any_document(), 0..12),
        victim in mapping(),
        (field, value) in spoilt(),
    ) {
        let mut bad = victim.clone();
        bad["spec"][field] = value;
        let key = object(&victim).key().clone();
        let id = format!("mapping/{}/{}", key.namespace, key.name);
        let with = |victim: &Value| {
            let documents = [documents.as_slice(), std::slice::from_ref(victim)].concat();
            let (mut graph, mut report) = shown(&compile(&set(&documents), &options()));
            without_action(&mut graph, &id);
            let objects = report["objects"].as_array_mut().unwrap();
            objects.retain(|found| {
                found["kind"] != "Mapping"
                    || found["namespace"] != *key.namespace
                    || found["name"] != *key.name
            });
            (graph, report)
        };
        prop_assert_eq!(with(&victim), with(&bad));
    }
}

/// Takes out what one member does, and the list of upstreams, which is made of what all do.
fn without_action(value: &mut Value, id: &str) {
    match value {
        Value::Object(fields) => {
            if fields.get("id").is_some_and(|found| found == id) {
                fields.remove("action");
            }
            fields.remove("upstreams");
            fields
                .values_mut()
                .for_each(|value| without_action(value, id));
        }
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| without_action(value, id)),
        _ => {}
    }
}
