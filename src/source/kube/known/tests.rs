use serde_json::{Value, json};

use super::*;
use crate::source::kube::resource::{self, Resource};

fn service() -> Resource {
    resource::built_in()
        .find(|resource| resource.kind == Kind::Service)
        .unwrap()
}

fn emissary() -> Resource {
    let list = ("v3alpha1", vec![("mappings".to_owned(), true)]);
    resource::served(Group::Emissary, &[list])[0]
}

fn postern() -> Resource {
    let list = ("v1alpha1", vec![("mappings".to_owned(), true)]);
    resource::served(Group::Postern, &[list])[0]
}

/// A Service, with one Mapping in its annotation for each prefix.
fn carrier(name: &str, version: u32, prefixes: &[&str]) -> Found {
    let documents: Vec<_> = prefixes
        .iter()
        .map(|prefix| {
            format!("{{apiVersion: getambassador.io/v3alpha1, kind: Mapping, name: m, prefix: {prefix}, service: s}}")
        })
        .collect();
    let mut metadata =
        json!({"namespace": "apps", "name": name, "resourceVersion": version.to_string()});
    if !prefixes.is_empty() {
        metadata["annotations"] = json!({"getambassador.io/config": documents.join("\n---\n")});
    }
    let manifest = json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}});
    Found::new(&service(), manifest)
}

fn mapping(resource: &Resource, name: &str, version: u32) -> Found {
    Found::new(resource, mapping_json(name, version))
}

fn mapping_json(name: &str, version: u32) -> Value {
    json!({
        "metadata": {"namespace": "apps", "name": name, "resourceVersion": version.to_string()},
        "spec": {"prefix": format!("/own-{version}"), "service": "s"},
    })
}

/// `+` for Put, `-` for Delete, `!` for problems with their number, and the names.
fn shown(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Put(AnyObject::Mapping(object)) => {
                format!(
                    "+{} {}",
                    object.key.name,
                    object.spec.read().prefix.unwrap_or_default()
                )
            }
            Change::Put(object) => format!("+{}", object.key().name),
            Change::Delete(key) => format!("-{}", key.name),
            Change::File(about, problems) => format!("!{about}:{}", problems.len()),
            other => format!("{other:?}"),
        })
        .collect()
}

fn watch(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn a_new_list_is_told_as_a_difference() {
    let (mut known, watch, kind) = (Known::default(), watch("w"), postern());
    let list = |names: &[(&str, u32)]| {
        names
            .iter()
            .map(|(name, version)| mapping(&kind, name, *version))
            .collect()
    };
    let mut told = |names: &[(&str, u32)]| shown(&known.list(&watch, list(names)));
    assert_eq!(told(&[("a", 1), ("b", 2)]), ["+a /own-1", "+b /own-2"]);
    assert_eq!(told(&[("b", 2), ("a", 1)]), [""; 0], "nothing is different");
    assert_eq!(
        told(&[("a", 3), ("c", 4)]),
        ["+a /own-3", "+c /own-4", "-b"]
    );
    assert_eq!(told(&[]), ["-a", "-c"]);
}

#[test]
fn watches_of_two_namespaces_do_not_touch_each_other() {
    let (mut known, kind) = (Known::default(), postern());
    known.list(&watch("one"), vec![mapping(&kind, "a", 1)]);
    assert_eq!(shown(&known.list(&watch("two"), Vec::new())), [""; 0]);
    assert_eq!(shown(&known.forget(&watch("one"))), ["-a"]);
    assert_eq!(shown(&known.forget(&watch("one"))), [""; 0]);
}

#[test]
fn an_event_that_was_listed_already_is_not_told_again() {
    let (mut known, watch, kind) = (Known::default(), watch("w"), postern());
    known.list(&watch, vec![mapping(&kind, "a", 5)]);
    let key = kind.key(&mapping_json("a", 5)).unwrap();
    let mut told = |event| shown(&known.change(&watch, vec![event]));
    assert_eq!(told(Event::Put(mapping(&kind, "a", 5))), [""; 0]);
    assert_eq!(told(Event::Put(mapping(&kind, "a", 6))), ["+a /own-6"]);
    assert_eq!(told(Event::Gone(key.clone())), ["-a"]);
    assert_eq!(told(Event::Gone(key)), [""; 0], "gone twice is gone once");
}

#[test]
fn what_cannot_be_decoded_says_so_and_hides_no_other() {
    let (mut known, watch, kind) = (Known::default(), watch("w"), postern());
    known.list(&watch, vec![mapping(&kind, "a", 1)]);
    let unreadable = || Found::Unreadable {
        key: kind.key(&mapping_json("a", 2)),
        why: "why".to_owned(),
    };
    let garbage = Found::new(&kind, json!("garbage"));
    let told = known.list(&watch, vec![garbage, unreadable(), mapping(&kind, "b", 3)]);
    assert_eq!(shown(&told), ["!w:1", "!Mapping apps/a:1", "+b /own-3"]);
    let told = known.list(&watch, vec![mapping(&kind, "a", 4), mapping(&kind, "b", 3)]);
    assert_eq!(shown(&told), ["!w:0", "+a /own-4", "!Mapping apps/a:0"]);
    known.change(&watch, vec![Event::Put(unreadable())]);
    let told = known.list(&watch, Vec::new());
    assert_eq!(shown(&told), ["-a", "!Mapping apps/a:0", "-b"]);
}

#[test]
fn what_an_annotation_holds_comes_and_goes_with_its_carrier() {
    let (mut known, watch) = (Known::default(), watch("services"));
    let put = |found| vec![Event::Put(found)];
    let mut told = |events| shown(&known.change(&watch, events));
    assert_eq!(told(put(carrier("s", 1, &["/a"]))), ["+s", "+m /a"]);
    assert_eq!(told(put(carrier("s", 2, &["/a"]))), [""; 0]);
    assert_eq!(told(put(carrier("s", 3, &["/b"]))), ["+s", "+m /b"]);
    assert_eq!(
        told(put(carrier("s", 4, &["/b", "/twice"]))),
        ["+s", "!Service apps/s:1"]
    );
    assert_eq!(
        told(put(carrier("s", 5, &[]))),
        ["+s", "-m", "!Service apps/s:0"]
    );
    told(put(carrier("s", 6, &["/c"])));
    let key = ObjectKey::new(Group::Core, Kind::Service, "apps", "s");
    assert_eq!(told(vec![Event::Gone(key)]), ["-s", "-m"]);
    assert!(known.holders.is_empty() && known.carriers.is_empty() && known.told.is_empty());
}

#[test]
fn an_object_of_its_own_counts_before_one_in_an_annotation() {
    let (mut known, services, mappings) = (Known::default(), watch("s"), watch("m"));
    let kind = emissary();
    known.list(
        &services,
        vec![carrier("b", 1, &["/b"]), carrier("a", 2, &["/a"])],
    );
    let told = known.change(&mappings, vec![Event::Put(mapping(&kind, "m", 3))]);
    assert_eq!(
        shown(&told),
        ["+m /own-3", "!Service apps/a:1", "!Service apps/b:1"]
    );
    // What does not count changes nothing.
    let told = known.change(&services, vec![Event::Put(carrier("a", 4, &["/other"]))]);
    assert_eq!(shown(&told), ["+a"]);
    // When it goes, the next one counts: there was no moment without any.
    let told = known.list(&mappings, Vec::new());
    assert_eq!(
        shown(&told),
        ["+m /other", "!Service apps/a:0", "!Service apps/b:1"]
    );
    let gone = ObjectKey::new(Group::Core, Kind::Service, "apps", "a");
    let told = known.change(&services, vec![Event::Gone(gone)]);
    assert_eq!(shown(&told), ["-a", "+m /b", "!Service apps/b:0"]);
}

#[test]
fn what_nobody_reads_is_dropped() {
    let manifest = json!({
        "metadata": {
            "namespace": "apps", "name": "a", "resourceVersion": "1", "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "getambassador.io/config": "yes"},
        },
        "spec": {"prefix": "/a", "service": "s"},
    });
    let Found::Object { object, .. } = Found::new(&postern(), manifest) else {
        panic!("it is an object");
    };
    let annotations: Vec<_> = object.meta().annotations.keys().collect();
    assert_eq!(annotations, ["getambassador.io/config"]);
}

#[test]
fn a_new_status_is_no_change() {
    let (mut known, watch, kind) = (Known::default(), watch("w"), postern());
    let table = [
        ("/kind", json!("Mapping"), vec!["+a /own-1"]),
        ("/status", json!({"conditions": []}), vec![]),
        ("/metadata/managedFields", json!([{}]), vec![]),
        ("/metadata/labels", json!({"a": "b"}), vec!["+a /own-1"]),
    ];
    for (version, (field, value, expected)) in table.into_iter().enumerate() {
        let mut manifest = mapping_json("a", 1);
        manifest["metadata"]["resourceVersion"] = version.to_string().into();
        let (parent, name) = field.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[name] = value;
        let events = vec![Event::Put(Found::new(&kind, manifest))];
        assert_eq!(shown(&known.change(&watch, events)), expected, "{field}");
    }
}

#[test]
fn what_is_readable_again_is_told_even_if_it_is_as_before() {
    let (mut known, watch, kind) = (Known::default(), watch("w"), postern());
    let readable = || vec![Event::Put(mapping(&kind, "a", 1))];
    let unreadable = Found::Unreadable {
        key: kind.key(&mapping_json("a", 2)),
        why: "why".to_owned(),
    };
    known.change(&watch, readable());
    known.change(&watch, vec![Event::Put(unreadable)]);
    let told = known.change(&watch, readable());
    assert_eq!(shown(&told), ["+a /own-1", "!Mapping apps/a:0"]);
}
