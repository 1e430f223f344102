//! A process that starts while the API server is away, and what an earlier one has kept for it.

use tempfile::TempDir;

use super::*;
use crate::{
    resource::{AnyObject, SecretData},
    source::kept::{Owner, StateDir},
    telemetry::health::Part,
};

fn state(folder: &TempDir) -> StateDir {
    StateDir {
        folder: folder.path().to_owned(),
        is_good: |secret| secret.data.contains_key("token"),
        owner: Owner {
            server: "https://192.0.2.1/".to_owned(),
            installation: "default".to_owned(),
            namespace: "postern".to_owned(),
            watch_namespaces: Vec::new(),
        },
    }
}

fn secret_key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Core, Kind::Secret, "apps", name)
}

/// With two Mappings and a Secret that has a body.
fn a_cluster() -> Cluster {
    let cluster = Cluster::new();
    cluster.set(
        &path(Kind::Mapping),
        Reply::Json(list(5, &[mapping("both"), mapping("gone")])),
    );
    cluster.set("/api/v1/secrets", Reply::Json(list(5, &[object("tls", 2)])));
    let mut body = object("tls", 2);
    body["data"] = json!({"token": "c2VjcmV0"});
    cluster.set("/api/v1/namespaces/apps/secrets/tls", Reply::Json(body));
    cluster
}

fn want(source: &Source) {
    let wanted = [secret_key("tls"), secret_key("nowhere")];
    source.wanted.send_replace(Arc::new(BTreeSet::from(wanted)));
}

fn mappings(source: &Source) -> Vec<&str> {
    source
        .set
        .mappings
        .keys()
        .map(|key| key.name.as_ref())
        .collect()
}

/// Runs a process until it has kept all of the cluster.
async fn keep_in(folder: &TempDir) {
    let mut source = a_cluster().start_with(&[], Some(state(folder)));
    source.until(|source| source.synced).await;
    want(&source);
    source
        .until(|source| source.set.secrets.contains_key(&secret_key("tls")))
        .await;
    source.pause(Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_is_given_out_while_nobody_answers_and_replaced_at_once_when_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    keep_in(&folder).await;

    let cluster = a_cluster();
    cluster.set_all(Reply::Status(503, "away"));
    let before = tokio::time::Instant::now();
    let mut source = cluster.start_with(&[], Some(state(&folder)));
    want(&source);
    source.until(|source| source.synced).await;
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    assert_eq!(mappings(&source), ["both", "gone"]);
    let secret = &source.set.secrets[&secret_key("tls")];
    assert_eq!(&*secret.spec.data["token"].0, b"secret");
    assert!(source.set.absent_secrets.contains(&secret_key("nowhere")));
    source.health.satisfied(Part::Configuration);
    source.pause(Duration::from_mins(1)).await;
    assert!(
        source.says().contains("by an earlier process"),
        "{}",
        source.says()
    );
    assert_eq!(mappings(&source), ["both", "gone"]);

    cluster.set(
        &path(Kind::Mapping),
        Reply::Json(list(9, &[mapping("both"), mapping("new")])),
    );
    cluster.set("/api/v1/secrets", Reply::Json(list(9, &[])));
    cluster.set(&path(Kind::Host), Reply::Status(500, "not yet"));
    cluster.clear("*");
    source.pause(Duration::from_mins(1)).await;
    assert_eq!(
        mappings(&source),
        ["both", "gone"],
        "half of a list is no list"
    );
    cluster.clear(&path(Kind::Host));
    source.synced = false;
    source.until(|source| source.synced).await;
    assert_eq!(mappings(&source), ["both", "new"]);
    source
        .until(|source| source.set.absent_secrets.contains(&secret_key("tls")))
        .await;
    assert!(source.set.secrets.is_empty());
    source.health.satisfied(Part::Configuration);
    source.pause(Duration::from_secs(10)).await;
    assert!(!source.says().contains("kept"), "{}", source.says());
}

#[tokio::test(start_paused = true)]
async fn a_kept_secret_that_nobody_wants_any_more_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    keep_in(&folder).await;
    let cluster = a_cluster();
    cluster.set_all(Reply::Hang);
    let mut source = cluster.start_with(&[], Some(state(&folder)));
    source.until(|source| source.synced).await;
    assert_eq!(source.set.secrets.len(), 1);
    cluster.clear("*");
    source.synced = false;
    source.until(|source| source.synced).await;
    assert!(source.set.secrets.is_empty() && source.set.absent_secrets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_answers_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    keep_in(&folder).await;
    for refused in [&*path(Kind::Host), "*"] {
        let cluster = a_cluster();
        cluster.set(refused, Reply::Status(403, "it is forbidden"));
        let mut source = cluster.start_with(&[], Some(state(&folder)));
        source.pause(Duration::from_mins(1)).await;
        assert!(!source.synced, "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_file_that_can_be_used_it_waits_as_ever() {
    for garbage in [None, Some("garbage\n"), Some("{\"posternResources\":1")] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(garbage) = garbage {
            std::fs::write(state(&folder).path(), garbage).unwrap();
        }
        let cluster = a_cluster();
        cluster.set_all(Reply::Status(503, "away"));
        let mut source = cluster.start_with(&[], Some(state(&folder)));
        source.pause(Duration::from_mins(1)).await;
        assert!(!source.synced, "{garbage:?}");
        cluster.clear("*");
        source.until(|source| source.synced).await;
        assert_eq!(mappings(&source), ["both", "gone"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_as_soon_as_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = state(&folder);
    state.folder.push("below");
    std::fs::write(&state.folder, "in the way").unwrap();
    let mut source = a_cluster().start_with(&[], Some(state.clone()));
    source.until(|source| source.synced).await;
    source.pause(Duration::from_mins(1)).await;
    assert!(state.read().is_err());
    std::fs::remove_file(&state.folder).unwrap();
    source.pause(Duration::from_mins(2)).await;
    assert!(state.read().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_set_is_kept_whole_and_again_only_when_something_is_different() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = a_cluster();
    cluster.set(
        "/api/v1/namespaces/apps/secrets/tls",
        Reply::Status(500, "not yet"),
    );
    let mut source = cluster.start_with(&[], Some(state(&folder)));
    want(&source);
    source.until(|source| source.synced).await;
    source.pause(Duration::from_mins(1)).await;
    let read = || state(&folder).read().unwrap();
    assert!(read().is_none(), "a wanted Secret is not known yet");

    let mut body = object("tls", 2);
    body["data"] = json!({"token": "c2VjcmV0"});
    cluster.set("/api/v1/namespaces/apps/secrets/tls", Reply::Json(body));
    source.pause(Duration::from_mins(1)).await;
    let kept = read().unwrap();
    assert_eq!(kept.secrets.len(), 1);
    assert_eq!(kept.absent, [secret_key("nowhere")]);
    let of_mappings = kept
        .objects
        .iter()
        .filter(|(_, manifest)| manifest["kind"] == "Mapping");
    assert_eq!(of_mappings.count(), 2);

    let path = state(&folder).path();
    std::fs::remove_file(&path).unwrap();
    source.pause(Duration::from_mins(5)).await;
    assert!(read().is_none(), "nothing is different");
    source.wanted.send_replace(Arc::default());
    source.pause(Duration::from_secs(10)).await;
    let kept = read().unwrap();
    assert!(kept.secrets.is_empty() && kept.absent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_good_content_of_a_secret_is_kept_before_the_present_one() {
    const BODY: &str = "/api/v1/namespaces/apps/secrets/tls";
    let is_good = |secret: &SecretData| secret.data.contains_key("token");
    let folder = tempfile::tempdir().unwrap();
    let cluster = a_cluster();
    let mut source = cluster.start_with(&[], Some(state(&folder)));
    source.until(|source| source.synced).await;
    want(&source);
    for (version, data) in [
        (3, json!({"tokem": "Z29uZQ=="})),
        (4, json!({"tokem": "YQ=="})),
    ] {
        source.pause(Duration::from_secs(10)).await;
        // Its watch has to ask anew.
        cluster.set("/api/v1/secrets", Reply::Status(410, "too old"));
        source.pause(Duration::from_mins(20)).await;
        let mut body = object("tls", version);
        body["data"] = data;
        cluster.set(
            "/api/v1/secrets",
            Reply::Json(list(version, &[object("tls", version)])),
        );
        cluster.set(BODY, Reply::Json(body));
        source.pause(Duration::from_mins(20)).await;
    }

    let away = Cluster::new();
    away.set_all(Reply::Status(503, "away"));
    let mut source = away.start_with(&[], Some(state(&folder)));
    want(&source);
    let mut set = ResourceSet::default();
    while !set.secrets.contains_key(&secret_key("tls")) {
        for change in source.changes.recv().await.unwrap() {
            match change {
                Change::Put(AnyObject::Secret(secret)) => set.insert_secret(secret, is_good),
                change => change.apply(&mut set),
            }
        }
    }
    let token = |secret: &SecretData, name: &str| secret.data[name].0.to_vec();
    assert_eq!(token(&set.secrets[&secret_key("tls")].spec, "tokem"), b"a");
    assert_eq!(
        token(&set.former_secrets[&secret_key("tls")].spec, "token"),
        b"secret"
    );
}
