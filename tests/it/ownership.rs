//! Hostnames and paths have owners (design D4): what strangers write changes nothing about claimed requests, whoever came
//! first keeps what nobody has claimed, and the compiled tables mean what the manifests say.
//!
//! Worlds are drawn from seeds. A failure is told with the fewest objects that still fail.

pub(crate) mod agreement;
pub(crate) mod asking;
pub(crate) mod naive;
mod told;
pub(crate) mod world;

use std::collections::BTreeSet;

use postern::{
    admin,
    compile::{Compiler, compile},
    graph::{Authority, Graph},
    report::Code,
    resource::{AnyObject, Group, Kind, ResourceSet},
    source::annotation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::{
    asking::{Ask, asks, connection, options, set},
    naive::World,
    world::{Drawer, SMALL, STRANGER, TEAMS},
};
use crate::gateway::Gateway;

const HOSTS: &[&str] = &[
    "x.com",
    "X.com.",
    "x.com:8080",
    "y.x.com",
    "z.y.x.com:8080",
    "q.x.com",
    "wx.com",
    "com",
    "x.org",
    "y.w.com",
    "xn--bcher-kva.com",
    "XN--BCHER-KVA.com.",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/A/b",
    "/%61/b",
    "/a//b",
    "/b/../a/./b/c",
    "//a/b",
    "/a%2Fb",
    "/b/x",
    "/.well-known/acme-challenge/x",
    "/a/B/C",
    "//a",
    "/a//",
    "/a%2F",
    "/%2Fb/x",
];

/// What is wrong, if anything.
type Verdict = Result<(), String>;

/// The fewest of these objects with which something is still wrong, and what.
fn smallest(objects: &[Value], check: impl Fn(&[Value]) -> Verdict) -> Verdict {
    let Err(mut why) = check(objects) else {
        return Ok(());
    };
    let mut left = objects.to_vec();
    let mut at = 0;
    while at < left.len() {
        let mut fewer = left.clone();
        fewer.remove(at);
        match check(&fewer) {
            Err(still) => (left, why) = (fewer, still),
            Ok(()) => at += 1,
        }
    }
    left.retain(|object| !matches!(object["kind"].as_str(), Some("Secret")));
    let shown: Vec<_> = left.iter().map(ToString::to_string).collect();
    Err(format!("{why}\nwith\n{}", shown.join("\n")))
}

fn graph(objects: &[Value]) -> std::sync::Arc<Graph> {
    compile(&set(objects), &options()).0
}

/// As the sources read them: with what annotations carry.
fn decoded(objects: &[Value]) -> Vec<AnyObject> {
    let own = objects.iter().map(asking::object);
    let all = own.flat_map(|object| {
        let carried = annotation::objects(&object).objects;
        let carried: Vec<_> = carried.into_iter().map(|(_, object)| object).collect();
        std::iter::once(object).chain(carried)
    });
    all.collect()
}

/// Names that handshakes ask for.
const NAMES: [&str; 7] = [
    "x.com",
    "y.x.com",
    "z.y.x.com",
    "q.x.com",
    "com",
    "x.org",
    "y.w.com",
];

/// Whether a request is in a claim that a namespace has nothing to do with.
fn is_walled(world: &World<'_>, namespace: &str, ask: &Ask, graph: &Graph) -> bool {
    let (Ok(authority), Some(path)) = (Authority::parse(&ask.authority), ask.canonical(graph))
    else {
        return false;
    };
    let cell = world.cell(authority.host(), &path);
    cell.is_some_and(|cell| {
        !cell.owners.contains(namespace) && !world.has_say(namespace, authority.host())
    })
}

/// Whether what `namespace` writes changes something about a request in other people's claims.
fn changes_nothing(objects: &[Value], namespace: &str) -> Verdict {
    let (theirs, rest): (Vec<_>, Vec<_>) = objects.iter().cloned().partition(|object| {
        let is_own = object["metadata"]["namespace"] == namespace;
        // The certificate of a Host is there in any case: it takes long to make.
        is_own && !(object["kind"] == "Secret" && object["metadata"]["name"] == "certificate")
    });
    let world = World::new(&rest);
    let mut compiler = Compiler::new(options());
    let (rest, theirs) = (decoded(&rest), decoded(&theirs));
    let mut graph = |number: usize| {
        let theirs = theirs.iter().rev().take(number);
        let mut set = ResourceSet::default();
        rest.iter()
            .chain(theirs)
            .for_each(|object| set.insert(object.clone()));
        compiler.compile(&set).0
    };
    let without = graph(0);
    let with = graph(theirs.len());
    let gone = graph(0);
    let changed = graph(theirs.len() / 2);
    for ask in asks(HOSTS, PATHS)
        .iter()
        .filter(|ask| is_walled(&world, namespace, ask, &without))
    {
        let expected = ask.done(&without);
        for graph in [&with, &gone, &changed] {
            let found = ask.done(graph);
            if found != expected {
                return Err(format!(
                    "{ask:?} of a claim was {expected:?} and is {found:?}"
                ));
            }
        }
    }
    for (port, name) in world.connections_of_others(namespace, &world::PORTS, &NAMES) {
        let expected = connection(&without, port, name);
        for graph in [&with, &gone, &changed] {
            let found = connection(graph, port, name);
            if found != expected {
                return Err(format!(
                    "a connection to {name:?} on port {port} of a claim was {expected:?} and is {found:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether regions and routes are those that the manifests say, and whoever loses requests to a stranger is told so.
fn means_what_it_says(objects: &[Value]) -> Verdict {
    let (graph, report) = compile(&set(objects), &options());
    let told = |id: &String| {
        let mut all = report.objects.iter();
        let said = all.find(|said| {
            said.key.kind == Kind::Mapping
                && format!("{}/{}", said.key.namespace, said.key.name) == *id
        });
        let mut said = said.into_iter().flat_map(|said| &said.diagnostics);
        said.any(|said| said.code == Code::LosesRequests)
    };
    let world = World::new(objects);
    for ask in asks(HOSTS, PATHS) {
        let (Some(done), Some(path)) = (ask.done(&graph), ask.canonical(&graph)) else {
            continue;
        };
        let Some(host) = done.host.as_deref() else {
            continue;
        };
        let (name, _) = naive::authority(&ask.authority);
        let cell = world.cell(&name, &path).map_or("", |cell| cell.claim);
        if done
            .region
            .as_deref()
            .is_some_and(|region| region != cell && host != "claimed")
        {
            return Err(format!(
                "{ask:?} is in {:?} and not in {cell:?}",
                done.region
            ));
        }
        let is_answered = done.region.is_none() || done.whole.contains("redirected");
        if is_answered || host == "claimed" {
            continue;
        }
        let expected = world.route(host, &ask, &path);
        if cell.is_empty() && world.is_first_come() {
            let losers = expected.iter().flat_map(|found| &found.losers);
            if let Some(loser) = losers.clone().find(|loser| !told(loser)) {
                return Err(format!("{loser} is not told that it loses {ask:?}"));
            }
        }
        let expected = expected.map(|found| found.members);
        let found = done
            .members
            .map(|members| members.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        if found != expected {
            return Err(format!(
                "{ask:?} in {cell:?} of {host} goes to {found:?} and not to {expected:?}"
            ));
        }
    }
    Ok(())
}

/// A world, and who is a stranger in it.
fn drawn(seed: u64) -> (Vec<Value>, &'static str) {
    let mut drawer = Drawer::new(seed, &SMALL);
    let everybody = [STRANGER, STRANGER, TEAMS[0], TEAMS[1], TEAMS[2]];
    let stranger = everybody[drawer.random.usize(..everybody.len())];
    let claims = drawer.random.usize(1..7);
    let mut objects = drawer.platform(claims);
    let (mappings, hosts) = (drawer.random.usize(2..16), drawer.random.usize(..4));
    objects.extend(drawer.teams(stranger, mappings, hosts));
    let number = drawer.random.usize(1..8);
    objects.extend(drawer.hostile(stranger, number));
    (objects, stranger)
}

/// Objects for pairs that somebody else has, made later, in every disguise.
fn latecomers(seed: u64, objects: &[Value]) -> Vec<Value> {
    /// Of which some are in the far future, as a clock that is wrong would have them.
    const TIMES: [&str; 3] = [
        "2026-01-06T00:00:00Z",
        "2027-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
    ];
    let mut random = fastrand::Rng::with_seed(seed);
    let disguise = |(number, object): (usize, &Value)| {
        let mut late = object.clone();
        late["metadata"] = json!({
            "namespace": STRANGER, "name": format!("late{number}"),
            "labels": object["metadata"]["labels"],
            "creationTimestamp": TIMES[random.usize(..TIMES.len())],
        });
        let spec = &mut late["spec"];
        if let Some(name) = spec["hostname"].as_str() {
            let all = spellings(name.split(':').next().unwrap_or_default());
            spec["hostname"] = json!(all[random.usize(..all.len())]);
        }
        if random.bool() {
            spec["precedence"] = json!(100);
        }
        if random.bool() {
            spec["headers"]["x-team"] = json!("one");
        }
        if spec["prefixRegex"] != true && random.bool() {
            let prefix = spec["prefix"].as_str().unwrap().replace("%61", "a");
            let other = [
                prefix.to_uppercase(),
                prefix.replace('a', "%61").replace('b', "%62"),
                prefix.replace('a', "%41").replace("%2F", "%2f"),
            ];
            spec["prefix"] = json!(other[random.usize(..other.len())]);
            spec["caseSensitive"] = json!(random.bool());
        }
        spec["weight"] = json!([0, 50, 100][random.usize(..3)]);
        spec["rewrite"] = json!("/elsewhere/");
        late
    };
    let mappings = objects.iter().filter(|object| object["kind"] == "Mapping");
    mappings.enumerate().map(disguise).collect()
}

/// Other ways to write a hostname.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), format!("{name}:8080"), format!("{name}:9")];
    let ascii = name.replace("bücher", "xn--bcher-kva");
    // A name that ends in a wildcard has no dot after it.
    let ends = if name.ends_with('*') {
        &[""][..]
    } else {
        &["", "."]
    };
    for end in ends {
        all.push(format!("{ascii}{end}"));
        all.push(format!("{}{end}", ascii.to_uppercase()));
    }
    all
}

/// How many worlds each property looks at: two thousand in all. `make worlds` looks at more.
pub(crate) fn cases() -> u32 {
    let asked = std::env::var("OWNERSHIP_WORLDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn what_a_stranger_writes_changes_nothing_about_claimed_requests(seed in any::<u64>()) {
        let (objects, stranger) = drawn(seed);
        let verdict = smallest(&objects, |objects| changes_nothing(objects, stranger));
        prop_assert!(verdict.is_ok(), "seed {}, a stranger is {}: {}", seed, stranger, verdict.unwrap_err());
    }

    #[test]
    fn regions_and_routes_are_those_that_the_manifests_say(seed in any::<u64>()) {
        let (objects, _) = drawn(seed);
        let verdict = smallest(&objects, means_what_it_says);
        prop_assert!(verdict.is_ok(), "seed {}: {}", seed, verdict.unwrap_err());
    }

    #[test]
    fn who_came_first_never_loses_a_pair_to_a_latecomer(seed in any::<u64>()) {
        let mut drawer = Drawer::new(seed, &SMALL);
        let mut objects = drawer.platform(0);
        objects.retain(|object| object["kind"] != "GatewaySettings");
        let mappings = drawer.random.usize(1..9);
        objects.extend(drawer.teams(STRANGER, mappings, 2));
        let late = latecomers(seed, &objects);
        let all = [objects.clone(), late.clone()].concat();
        let (before, after) = (compile(&set(&objects), &options()), compile(&set(&all), &options()));
        let (mut again, mut kept) = (late.clone(), Compiler::new(options()));
        for object in &mut again {
            object["metadata"]["creationTimestamp"] = json!("2028-01-01T00:00:00Z");
        }
        // The latecomers are seen first, go, and are made again.
        let again = [objects.clone(), again].concat();
        let seen = [&late, &all, &objects, &again].map(|objects| kept.compile(&set(objects)));
        let shown = |compiled: &(std::sync::Arc<Graph>, std::sync::Arc<postern::report::Report>)| {
            admin::dump(&compiled.0, &compiled.1).0
        };
        // One without a hostname that no Host selects is nowhere, and neither is its pair.
        for after in [&after, &seen[1], &seen[3]] {
            prop_assert_eq!(shown(&before), shown(after), "seed {}", seed);
        }
        for object in late.iter().filter(|object| !object["spec"]["hostname"].is_null()) {
            let key = asking::object(object).key().clone();
            let report = after.1.object(&key).unwrap();
            prop_assert!(!report.in_graph && report.has_errors(), "seed {}: {:?}", seed, report);
        }
    }
}

#[test]
fn the_worlds_are_worth_looking_at() {
    let (mut unrouted, mut routed, mut other) = (0_u32, 0_u32, 0_u32);
    let (mut taken, mut free, mut kinds) = (0, 0, BTreeSet::new());
    for seed in 0..60 {
        let (objects, stranger) = drawn(seed);
        let (graph, world) = (graph(&objects), World::new(&objects));
        for (port, name) in world.connections_of_others(stranger, &world::PORTS, &NAMES) {
            match connection(&graph, port, name) {
                Some(_) => taken += 1,
                None => free += 1,
            }
        }
        let theirs = decoded(&objects)
            .into_iter()
            .map(|object| object.key().clone());
        let theirs = theirs.filter(|key| &*key.namespace == stranger);
        kinds.extend(theirs.map(|key| (key.group, key.kind)));
        for ask in asks(HOSTS, PATHS) {
            if !is_walled(&world, stranger, &ask, &graph) {
                other += 1;
            } else if ask.done(&graph).is_some_and(|done| done.members.is_some()) {
                routed += 1;
            } else {
                unrouted += 1;
            }
        }
    }
    assert!(
        routed > 1200 && unrouted > 5000 && other > 5000,
        "{routed} {unrouted} {other}"
    );
    assert!(taken > 50 && free > 300, "{taken} {free}");
    for kind in [Kind::TcpMapping, Kind::Mapping, Kind::Host] {
        for group in [Group::Postern, Group::Emissary] {
            assert!(kinds.contains(&(group, kind)), "{group:?} {kind:?}");
        }
    }
    for kind in [Kind::Service, Kind::Secret] {
        assert!(kinds.contains(&(Group::Core, kind)), "{kind:?}");
    }
    assert!(kinds.contains(&(Group::Gateway, Kind::ReferenceGrant)));
    assert!(kinds.contains(&(Group::Emissary, Kind::TlsContext)));
}

#[test]
fn why_the_manifests_and_the_proxy_agree() {
    let tally = agreement::agree(3000, 6, |manifests| {
        let gateway = Gateway::with_flags(manifests, &["--echo", "--namespace", world::PLATFORM]);
        let (cleartext, tls) = (gateway.address(8080), gateway.address(8443));
        (gateway, cleartext, tls)
    });
    let tally = tally.unwrap_or_else(|why| panic!("{why}"));
    assert!(tally.is_worth(), "{tally:?}");
}
