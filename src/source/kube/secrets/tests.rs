use serde_json::json;

use super::*;
use crate::{
    resource::{Group, Kind},
    source::kube::{
        found,
        resource::{self, Resource},
    },
};

fn kind() -> Resource {
    resource::built_in()
        .find(|resource| resource.kind == Kind::Secret)
        .unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Core, Kind::Secret, "apps", name)
}

fn seen(name: &str, version: &str) -> Found {
    Found::Secret {
        key: key(name),
        version: version.into(),
    }
}

fn body(name: &str, version: &str) -> Outcome {
    let manifest = json!({
        "metadata": {"namespace": "apps", "name": name, "resourceVersion": version},
        "data": {"token": "c2VjcmV0"},
    });
    Outcome::Body(found::secret(&kind(), manifest, false).unwrap().0)
}

/// The machine, with what it asks for and what it says written down as text: `+a 1` a body, `-a` withdrawn, `0a` absent,
/// `?a` to be fetched.
struct Vault {
    secrets: Secrets,
    watch: Arc<str>,
    asked: Vec<Fetch>,
    now: Instant,
}

impl Vault {
    fn new() -> Self {
        let mut secrets = Secrets::default();
        let watch = Arc::from("secrets");
        secrets.watch(&watch, Place::default());
        Self {
            secrets,
            watch,
            asked: Vec::new(),
            now: Instant::now(),
        }
    }

    fn show(&mut self, output: Output) -> Vec<String> {
        let changes = output.changes.iter().map(|change| match change {
            Change::Put(object) => {
                let version = &object.meta().revision.resource_version;
                format!("+{} {version}", object.key().name)
            }
            Change::Delete(key) => format!("-{}", key.name),
            Change::AbsentSecret(key) => format!("0{}", key.name),
            other => format!("{other:?}"),
        });
        let fetches = output
            .fetches
            .iter()
            .map(|fetch| format!("?{}", fetch.key.name));
        let shown = changes.chain(fetches).collect();
        self.asked.extend(output.fetches);
        shown
    }

    fn want(&mut self, names: &[&str]) -> Vec<String> {
        let wanted = names.iter().map(|name| key(name)).collect();
        let output = self.secrets.want(&Arc::new(wanted), self.now);
        self.show(output)
    }

    fn list(&mut self, found: Vec<Found>) -> Vec<String> {
        let output = self.secrets.list(&self.watch, found, self.now);
        self.show(output)
    }

    fn change(&mut self, event: Event) -> Vec<String> {
        let output = self.secrets.change(&self.watch, vec![event], self.now);
        self.show(output)
    }

    /// Answers the oldest request.
    fn answer(&mut self, outcome: Outcome) -> Vec<String> {
        let fetch = self.asked.remove(0);
        let output = self.secrets.fetched(&fetch, outcome, self.now);
        self.show(output)
    }

    /// Lets time pass until something is due, and tells how long that took.
    fn wait(&mut self) -> (Duration, Vec<String>) {
        let due = self.secrets.next_retry().unwrap();
        let waited = due - self.now;
        self.now = due;
        let output = self.secrets.retry(due);
        (waited, self.show(output))
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_body_is_fetched_only_when_it_is_wanted_and_known_to_be_there() {
    let mut vault = Vault::new();
    assert_eq!(
        vault.want(&["a", "gone"]),
        NOTHING,
        "nobody knows yet what there is"
    );
    assert_eq!(
        vault.list(vec![seen("a", "1"), seen("b", "2")]),
        ["0gone", "?a"]
    );
    assert_eq!(vault.answer(body("a", "1")), ["+a 1"]);
    assert_eq!(vault.list(vec![seen("a", "1"), seen("b", "2")]), NOTHING);
    assert_eq!(vault.want(&["a", "b", "gone"]), ["?b"]);
    assert_eq!(vault.want(&["gone"]), ["-a"], "withdrawn at once");
    assert_eq!(
        vault.answer(body("b", "2")),
        NOTHING,
        "nobody waits for it any more"
    );
    assert_eq!(vault.want(&[]), ["-gone"]);
}

#[test]
fn another_version_of_the_metadata_fetches_the_body_again() {
    let mut vault = Vault::new();
    vault.want(&["a"]);
    vault.list(vec![seen("a", "1")]);
    assert_eq!(
        vault.change(Event::Put(seen("a", "2"))),
        NOTHING,
        "it is on its way"
    );
    assert_eq!(vault.answer(body("a", "1")), ["+a 1", "?a"]);
    assert_eq!(
        vault.answer(body("a", "3")),
        ["+a 3"],
        "newer than what was seen"
    );
    assert_eq!(
        vault.change(Event::Put(seen("a", "3"))),
        NOTHING,
        "it is here already"
    );
    assert_eq!(vault.change(Event::Put(seen("a", "4"))), ["?a"]);
}

#[test]
fn a_secret_that_goes_is_withdrawn_and_absent() {
    let mut vault = Vault::new();
    vault.want(&["a"]);
    vault.list(vec![seen("a", "1")]);
    vault.answer(body("a", "1"));
    assert_eq!(vault.change(Event::Gone(key("a"))), ["-a", "0a"]);
    assert_eq!(vault.change(Event::Put(seen("a", "2"))), ["?a"]);
    assert_eq!(
        vault.change(Event::Gone(key("a"))),
        NOTHING,
        "absent it was"
    );
    assert_eq!(vault.answer(body("a", "2")), NOTHING, "too late");
    vault.change(Event::Put(seen("a", "3")));
    assert_eq!(
        vault.answer(Outcome::Nothing),
        NOTHING,
        "deleted in between"
    );
    assert!(vault.secrets.next_retry().is_none(), "the watch will tell");
}

#[test]
fn a_request_that_fails_is_tried_again_and_changes_nothing() {
    let mut vault = Vault::new();
    vault.want(&["a"]);
    vault.list(vec![seen("a", "1")]);
    vault.answer(body("a", "1"));
    vault.change(Event::Put(seen("a", "2")));
    assert_eq!(vault.answer(Outcome::Failed), NOTHING);
    let (first, asked) = vault.wait();
    assert_eq!(asked, ["?a"]);
    for _ in 0..5 {
        vault.answer(Outcome::Failed);
        vault.wait();
    }
    assert_eq!(vault.answer(Outcome::Failed), NOTHING);
    let (later, _) = vault.wait();
    assert!(first < later, "the waits grow: {first:?}, {later:?}");
    assert_eq!(vault.answer(body("a", "2")), ["+a 2"]);
}

#[test]
fn what_may_not_be_read_is_absent_until_it_may() {
    let mut vault = Vault::new();
    vault.want(&["a"]);
    vault.list(vec![seen("a", "1")]);
    assert_eq!(vault.answer(Outcome::Forbidden), ["0a"]);
    let (waited, asked) = vault.wait();
    assert_eq!((waited, asked), (ASK_AGAIN, vec!["?a".to_owned()]));
    assert_eq!(vault.answer(body("a", "1")), ["+a 1"]);
    vault.change(Event::Put(seen("a", "2")));
    assert_eq!(
        vault.answer(Outcome::Forbidden),
        NOTHING,
        "what is held stays"
    );

    let mut vault = Vault::new();
    vault.want(&["a"]);
    let output = vault.secrets.denied(&vault.watch, vault.now);
    assert_eq!(vault.show(output), ["0a"]);
    assert_eq!(vault.list(vec![seen("a", "1")]), ["?a"]);
    let output = vault.secrets.denied(&vault.watch, vault.now);
    assert_eq!(vault.show(output), NOTHING, "what was listed once is known");
}

#[test]
fn what_no_watch_covers_is_absent() {
    let mut vault = Vault::new();
    vault.secrets.watches.clear();
    let watch = Arc::from("web/secrets");
    let place = Place {
        namespace: Some("web".into()),
        name: None,
    };
    vault.secrets.watch(&watch, place);
    assert_eq!(vault.want(&["a"]), ["0a"]);
}

#[test]
fn a_watch_of_one_secret_tells_of_no_other() {
    let mut vault = Vault::new();
    vault.secrets.watches.clear();
    let place = Place {
        namespace: Some("apps".into()),
        name: Some("a".into()),
    };
    vault.secrets.watch(&vault.watch, place);
    assert_eq!(vault.want(&["a", "b"]), ["0b"]);
    assert_eq!(vault.list(vec![seen("a", "1")]), ["?a"]);
}

#[test]
fn versions_are_held_back_while_a_body_is_on_its_way() {
    let mut vault = Vault::new();
    vault.want(&["a"]);
    vault.list(vec![seen("a", "1")]);
    vault.secrets.reached(&vault.watch, "7".into());
    assert!(vault.secrets.versions().is_empty());
    vault.answer(body("a", "1"));
    let versions = vault.secrets.versions();
    assert!(
        matches!(&versions[..], [Change::Version(watch, version)] if **watch == *"secrets" && **version == *"7"),
        "{versions:?}"
    );
    vault.change(Event::Put(seen("a", "8")));
    vault.secrets.reached(&vault.watch, "8".into());
    vault.want(&[]);
    assert_eq!(vault.secrets.versions().len(), 1, "nobody waits any more");
}
