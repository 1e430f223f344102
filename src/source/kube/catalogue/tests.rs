use serde_json::json;

use super::*;

fn all(group: Group) -> Vec<Resource> {
    let names = KINDS.iter().map(|row| (row.3.to_owned(), true)).collect();
    let version = resource::versions(group)[0];
    resource::served(group, &[(version, names)])
}

fn answer(group: Group, resources: Vec<Resource>) -> Answer {
    Answer {
        group,
        result: Ok(resources),
    }
}

fn failed(group: Group) -> Answer {
    Answer {
        group,
        result: Err(Failure::Silent(SOON)),
    }
}

/// As if the watches of a kind had heard that it is gone.
fn take(catalogue: &mut Catalogue, answer: Answer) -> Vec<Step> {
    catalogue.take(answer, |_| true)
}

#[test]
fn a_kind_that_was_not_there_is_watched_once() {
    let mut catalogue = Catalogue::default();
    assert_eq!(
        take(&mut catalogue, answer(Group::Emissary, Vec::new())),
        []
    );
    let kinds = all(Group::Emissary);
    let steps = take(&mut catalogue, answer(Group::Emissary, kinds.clone()));
    assert_eq!(steps.len(), kinds.len());
    assert_eq!(take(&mut catalogue, answer(Group::Emissary, kinds)), []);
}

#[test]
fn a_kind_is_gone_when_that_is_confirmed_and_never_because_a_request_failed() {
    let mut catalogue = Catalogue::default();
    let kinds = all(Group::Gateway);
    take(&mut catalogue, answer(Group::Gateway, kinds.clone()));
    for _ in 0..10 {
        assert_eq!(take(&mut catalogue, failed(Group::Gateway)), []);
    }
    assert_eq!(take(&mut catalogue, answer(Group::Gateway, Vec::new())), []);
    // A server that has just started has not read all CRDs yet.
    assert_eq!(
        take(&mut catalogue, answer(Group::Gateway, kinds.clone())),
        []
    );
    assert_eq!(take(&mut catalogue, answer(Group::Gateway, Vec::new())), []);
    assert_eq!(take(&mut catalogue, failed(Group::Gateway)), []);
    let steps = take(&mut catalogue, answer(Group::Gateway, Vec::new()));
    assert_eq!(steps, [Step::Drop(kinds[0])]);
    assert_eq!(
        take(&mut catalogue, answer(Group::Gateway, kinds.clone())),
        [Step::Watch(kinds[0])]
    );
}

#[test]
fn a_kind_whose_watches_still_get_answers_is_not_gone() {
    let mut catalogue = Catalogue::default();
    take(&mut catalogue, answer(Group::Gateway, all(Group::Gateway)));
    for _ in 0..10 {
        let steps = catalogue.take(answer(Group::Gateway, Vec::new()), |_| false);
        assert_eq!(steps, []);
    }
    assert_eq!(
        take(&mut catalogue, answer(Group::Gateway, Vec::new())).len(),
        1
    );
}

#[test]
fn another_version_of_a_kind_is_watched_anew() {
    let mut catalogue = Catalogue::default();
    let list = |version| {
        resource::served(
            Group::Gateway,
            &[(version, vec![("referencegrants".to_owned(), true)])],
        )
    };
    take(&mut catalogue, answer(Group::Gateway, list("v1beta1")));
    let newer = list("v1");
    let steps = take(&mut catalogue, answer(Group::Gateway, newer.clone()));
    assert_eq!(steps, [Step::Watch(newer[0])]);
}

#[test]
fn what_is_missing_is_said_with_the_next_step() {
    let mut catalogue = Catalogue::default();
    for group in [Group::Postern, Group::Emissary, Group::Gateway] {
        assert!(catalogue.missing().unwrap().contains("is not known"));
        assert_eq!(catalogue.period(), SOON);
        take(&mut catalogue, failed(group));
        assert!(catalogue.missing().unwrap().contains("no sign of life"));
        take(&mut catalogue, answer(group, Vec::new()));
    }
    let missing = catalogue.missing().unwrap();
    assert!(missing.contains("mappings.postern.dev"), "{missing}");
    assert!(missing.contains("kubectl apply -f crds/"), "{missing}");
    take(&mut catalogue, answer(Group::Postern, all(Group::Postern)));
    assert_eq!(catalogue.missing(), None);
    assert_eq!(catalogue.period(), LATER);
    take(&mut catalogue, failed(Group::Postern));
    assert_eq!(catalogue.missing(), None, "what is known stays known");
    assert_eq!(catalogue.period(), SOON);
}

#[test]
fn in_the_place_of_another_gateway_own_kinds_need_not_be_there_but_must_be_asked_for() {
    let mut catalogue = Catalogue {
        spares_own_kinds: true,
        ..Catalogue::default()
    };
    for group in [Group::Postern, Group::Emissary, Group::Gateway] {
        assert!(catalogue.missing().unwrap().contains("is not known"));
        take(&mut catalogue, answer(group, Vec::new()));
    }
    assert_eq!(catalogue.missing(), None);
}

#[test]
fn only_what_can_be_listed_and_watched_counts() {
    let list = json!({"resources": [
        {"name": "mappings", "namespaced": true, "verbs": ["get", "list", "watch"]},
        {"name": "mappings/status", "namespaced": true, "verbs": ["get", "patch"]},
        {"name": "routeclaims", "namespaced": false, "verbs": ["list", "watch"]},
        {"name": "garbage"},
    ]});
    let resources = watchable(&list).unwrap();
    assert_eq!(
        resources,
        [
            ("mappings".to_owned(), true),
            ("routeclaims".to_owned(), false)
        ]
    );
    assert!(watchable(&json!({"kind": "Status"})).is_err());
}
