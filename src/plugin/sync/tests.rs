use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

use super::*;
use crate::{
    plugin::{output::Format, source::leases::Leases},
    resource::{AnyObject, Group, Kind, Meta, Object, Origin as Found, Positions, Revision},
};

fn replica(name: &str, version: &str, digest: &str) -> ReplicaState {
    ReplicaState {
        namespace: "postern".to_owned(),
        name: name.to_owned(),
        lease: name.to_owned(),
        says: Some(Replica {
            build: "0.1.0".to_owned(),
            ready: true,
            digest: digest.to_owned(),
            versions: [("mappings.postern.dev".into(), version.into())].into(),
            ..Replica::default()
        }),
        renewed: Some(100),
        expires_after: 30,
    }
}

#[test]
fn a_replica_is_behind_where_it_has_missed_something() {
    let key = ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "quote");
    let watch = "mappings.postern.dev";
    // How far it has come, what it serves, the version of the object that is there, and whether it is behind another one.
    for (reached, digest, object, expected) in [
        ("9", "x", "9", false),
        ("9", "x", "10", true),
        ("12", "x", "12", false),
        ("9", "y", "9", true),
        ("12", "y", "9", false),
    ] {
        let all = [replica("a", "12", "x"), replica("b", reached, digest)];
        let says: Vec<_> = all
            .iter()
            .filter_map(|replica| replica.says.as_ref())
            .collect();
        let marks = [(key.clone(), object.into())];
        let row = row(&all[1], (&says, &marks), 110);
        let behind = row.behind.iter().any(|found| found.watch == watch);
        assert_eq!(behind, expected, "{reached} {digest} {object}");
    }
    assert_eq!(row(&replica("a", "1", "x"), (&[], &[]), 131).state, "Gone");
}

#[test]
fn equal_objects_must_give_equal_graphs() {
    for (other, wrong) in [
        (replica("b", "12", "x"), false),
        (replica("b", "13", "y"), false),
        (replica("b", "12", "y"), true),
    ] {
        let all = [replica("a", "12", "x"), other];
        assert_eq!(divided(all.iter()), wrong, "{all:?}");
    }
}

/// A Lease as a replica writes it: `behind` is what the leader says of others.
fn lease(pod: &str, digest: &str, versions: [&str; 2], behind: &serde_json::Value) -> Lease {
    let says = json!({
        "build": "0.1.0",
        "ready": pod != "c",
        "digest": digest,
        "versions": {"mappings.postern.dev": versions[0], "endpointslices.discovery.k8s.io": versions[1]},
        "applied": 1000 + versions[0].parse::<i64>().unwrap(),
        "behind": behind,
    });
    let lease = json!({
        "metadata": {
            "namespace": "postern",
            "name": format!("postern-default-{pod}"),
            "annotations": {"postern.dev/replica": says.to_string()},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": format!("postern-{pod}"), "uid": "u"}],
        },
        "spec": {"leaseDurationSeconds": 30, "renewTime": "1970-01-01T00:29:55.000000Z"},
    });
    serde_json::from_value(lease).unwrap()
}

/// Facts of a cluster with these replicas and some Mappings, each in this version.
fn facts(leases: &[Lease], mappings: &[&str]) -> Facts {
    let mut facts = Facts::for_tests();
    let mut compiled = match facts.answers {
        crate::plugin::facts::Answers::Compiled(compiled) => compiled,
        crate::plugin::facts::Answers::Replica(_) => unreachable!("it was compiled here"),
    };
    for (number, version) in mappings.iter().enumerate() {
        let name = format!("m{number}");
        compiled.set.insert(AnyObject::Namespace(Arc::new(Object {
            key: ObjectKey::new(Group::Postern, Kind::Mapping, "apps", &name),
            origin: Found::Cluster,
            meta: Meta {
                revision: Arc::new(Revision {
                    resource_version: (*version).into(),
                    ..Revision::default()
                }),
                ..Meta::default()
            },
            spec: (),
            problems: Box::default(),
            positions: Positions::default(),
        })));
    }
    facts.answers = crate::plugin::facts::Answers::Compiled(compiled);
    facts.replicas = Leases::of(leases).replicas;
    facts
}

fn page(leases: &[Lease], mappings: &[&str]) -> Page {
    let now = Timestamp::from_second(1800).unwrap();
    Sync {}.page(&facts(leases, mappings), now).unwrap()
}

#[test]
fn who_is_behind_is_told_with_the_watch_how_many_objects_and_since_when() {
    let debt = json!({"postern-default-b": {"since": 1080, "watch": "mappings.postern.dev"}});
    let leases = [
        lease("a", "7c1e90aa00", ["120", "70"], &debt),
        lease("b", "51ab07d200", ["90", "70"], &json!({})),
        lease("c", "7c1e90aa00", ["120", "70"], &json!({})),
    ];
    let page = page(&leases, &["80", "100", "120"]);
    assert_eq!(page.verdict, Verdict::Problems);
    let printed = |format| page.render(format, false).unwrap();
    assert_eq!(
        printed(Format::Table),
        "\
REPLICA            STATE     VERSION  DIGEST    APPLIED  RENEWED  BEHIND
postern/postern-a  Ready     0.1.0    7c1e90aa  11m ago  5s ago   -
postern/postern-b  Ready     0.1.0    51ab07d2  11m ago  5s ago   mappings.postern.dev: 2 objects for 12m
postern/postern-c  NotReady  0.1.0    7c1e90aa  11m ago  5s ago   -
3 replicas: 2 ready
"
    );
    assert_eq!(printed(Format::Wide), printed(Format::Table));
    assert_eq!(
        printed(Format::Name),
        "pod/postern-a\npod/postern-b\npod/postern-c\n"
    );
    assert_eq!(
        page.data["items"][1],
        json!({
            "namespace": "postern", "name": "postern-b", "state": "Ready", "version": "0.1.0", "digest": "51ab07d200",
            "behind": [{"watch": "mappings.postern.dev", "objects": 2, "seconds": 720}],
            "appliedSeconds": 710, "renewedSeconds": 5,
        })
    );
    let yaml: serde_json::Value = serde_saphyr::from_str(&printed(Format::Yaml)).unwrap();
    assert_eq!(yaml, page.data);
}

#[test]
fn a_stalled_watch_of_a_kind_without_status_is_seen_beside_replicas_that_serve_something_else() {
    let leases = [
        lease("a", "7c1e90aa00", ["120", "70"], &json!({})),
        lease("b", "51ab07d200", ["120", "60"], &json!({})),
    ];
    let page = page(&leases, &["120"]);
    assert_eq!(
        page.data["items"][1]["behind"],
        json!([{"watch": "endpointslices.discovery.k8s.io", "objects": 0}])
    );
    let text = page.render(Format::Table, false).unwrap();
    let told = "endpointslices.discovery.k8s.io for more than 5s";
    assert!(text.contains(told), "{text}");
}

#[test]
fn whoever_may_read_only_leases_is_told_by_the_leader() {
    let debt = json!({"postern-default-b": {"since": 1790, "watch": "mappings.postern.dev"}});
    let leases = [
        lease("a", "x", ["120", "70"], &debt),
        lease("b", "x", ["120", "70"], &json!({})),
    ];
    let text = page(&leases, &[]).render(Format::Table, false).unwrap();
    assert!(text.contains("mappings.postern.dev for 10s"), "{text}");
    let news = rows(&facts(&leases, &[]), 1800);
    assert!(!news.iter().any(Row::is_news), "{news:?}");
    let news = rows(&facts(&leases, &["130"]), 1800);
    assert!(news[0].is_news() && !news[1].is_news(), "{news:?}");
}
