//! The writer against an API server that misbehaves as a [`Scenario`] says.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::{
    report::ObjectReport,
    resource::{Group, Kind, ObjectKey, Origin, Revision},
    status::{Timing, metrics::StatusMetrics, testing::lease},
    telemetry::health::Health,
};

/// What is wrong with the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// Nothing.
    Fine,
    /// Every object is deleted before it is read.
    Deleted,
    /// Another writer comes between the read and the first write of each object.
    Conflicts,
    /// The schema does not take the status.
    Refuses,
    /// The first this many requests about objects fail.
    AwayFor(u32),
    /// It never answers about objects.
    Silent,
    /// The objects may not be listed.
    ListForbidden,
    /// There is another replica, which has stopped before it had come as far.
    Straggler,
}

type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// An API server with Mappings and Leases in it.
struct Server {
    scenario: Scenario,
    mappings: Mutex<BTreeMap<String, Value>>,
    leases: Vec<Lease>,
    requests: AtomicU32,
    patches: Mutex<BTreeMap<String, u32>>,
}

fn mapping(name: &str) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1",
        "kind": "Mapping",
        "metadata": {
            "name": name, "namespace": "apps", "uid": format!("uid-{name}"),
            "generation": 1, "resourceVersion": "5",
        },
        "spec": {},
    })
}

/// A watch in which our own Lease is renewed every 10 s, and no other.
fn heartbeats() -> Response<Answer> {
    let beats = stream::unfold(1, |beat| async move {
        tokio::time::sleep(Timing::default().heartbeat).await;
        let object = lease("me", true, "9", beat);
        let event = json!({"type": "MODIFIED", "object": object});
        let line = Bytes::from(format!("{event}\n"));
        Some((Ok::<_, Infallible>(Frame::data(line)), beat + 1))
    });
    Response::new(StreamBody::new(beats).boxed_unsync())
}

impl Server {
    fn new(scenario: Scenario, names: &[String]) -> Arc<Self> {
        let mut leases = vec![lease("me", true, "9", 0)];
        if scenario == Scenario::Straggler {
            leases.push(lease("stopped", true, "8", 0));
        }
        let mappings = names.iter().map(|name| (name.clone(), mapping(name)));
        Arc::new(Self {
            scenario,
            mappings: Mutex::new(mappings.collect()),
            leases,
            requests: AtomicU32::new(0),
            patches: Mutex::default(),
        })
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "postern")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if path.contains("/leases") {
            if query.contains("watch=true") {
                return heartbeats();
            }
            let list = json!({"metadata": {"resourceVersion": "1"}, "items": self.leases});
            return reply(200, &list);
        }
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.answer_about_objects(&method, &path, &sent).await
    }

    async fn answer_about_objects(
        &self,
        method: &Method,
        path: &str,
        sent: &Value,
    ) -> Response<Answer> {
        let listed = path.ends_with("/mappings");
        let other_kind = !path.contains("postern.dev") || !path.contains("/mappings");
        if other_kind {
            return failure(404);
        }
        if listed {
            return self.list();
        }
        let count = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.scenario {
            Scenario::AwayFor(requests) if count < requests => return failure(503),
            Scenario::Silent => return std::future::pending().await,
            Scenario::Deleted => return failure(404),
            _ => {}
        }
        let name = path.trim_end_matches("/status").rsplit('/').next().unwrap();
        if *method == Method::GET {
            return reply(200, &self.mappings.lock()[name]);
        }
        self.patch(name, sent)
    }

    fn list(&self) -> Response<Answer> {
        if self.scenario == Scenario::ListForbidden {
            return failure(403);
        }
        let items: Vec<_> = self.mappings.lock().values().cloned().collect();
        reply(
            200,
            &json!({"metadata": {"resourceVersion": "9"}, "items": items}),
        )
    }

    fn patch(&self, name: &str, patch: &Value) -> Response<Answer> {
        let mut mappings = self.mappings.lock();
        let object = mappings.get_mut(name).unwrap();
        let attempts = {
            let mut patches = self.patches.lock();
            let attempts = patches.entry(name.to_owned()).or_default();
            *attempts += 1;
            *attempts
        };
        match self.scenario {
            Scenario::Refuses => return failure(422),
            Scenario::Conflicts if attempts == 1 => {
                object["metadata"]["resourceVersion"] = json!("6");
                object["status"]["installations"] = json!([{"name": "other", "conditions": [],
                    "observedGeneration": 1}]);
            }
            _ => {}
        }
        if patch["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return failure(409);
        }
        object["status"] = patch["status"].clone();
        object["metadata"]["resourceVersion"] = json!("7");
        reply(200, object)
    }

    fn patches(&self) -> u32 {
        self.patches.lock().values().sum()
    }

    fn ready(&self) -> usize {
        let mappings = self.mappings.lock();
        let ready = |object: &&Value| object["status"]["conditions"][3]["status"] == "True";
        mappings.values().filter(ready).count()
    }
}

fn reply(status: u16, body: &Value) -> Response<Answer> {
    let body = Full::new(Bytes::from(body.to_string()));
    let body = body.boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

fn failure(code: u16) -> Response<Answer> {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": "as told",
        "reason": "AsTold"});
    reply(code, &status)
}

fn options() -> Options {
    Options {
        installation: "default".to_owned(),
        namespace: "postern".to_owned(),
        replica: "me".to_owned(),
        pod_uid: None,
        namespaces: Vec::new(),
        silent: Vec::new(),
        publish: None,
        node_addresses: Vec::new(),
        build: "test".to_owned(),
        preset: None,
        digest: Box::new(String::new),
        unbound: Box::new(BTreeSet::new),
        health: Health::new(),
        metrics: StatusMetrics::default(),
        timing: Timing::default(),
    }
}

fn snapshot(names: &[String]) -> Snapshot {
    let objects = names.iter().map(|name| {
        Arc::new(ObjectReport {
            key: ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name),
            origin: Origin::Cluster,
            revision: Arc::new(Revision {
                uid: format!("uid-{name}").into(),
                generation: 1,
                resource_version: "9".into(),
                created: None,
            }),
            diagnostics: Box::default(),
            in_graph: true,
            serves: Box::default(),
            asks: None,
            settled: crate::report::Settled::default(),
            certificate_not_after: None,
        })
    });
    Snapshot {
        report: Arc::new(Report {
            objects: objects.collect(),
            ..Report::default()
        }),
        versions: Arc::new([("mappings.postern.dev".into(), "9".into())].into()),
        generation: 1,
    }
}

/// Leads for `seconds`, in a time that passes as fast as nothing happens.
async fn lead_for(scenario: Scenario, objects: usize, seconds: u64) -> Arc<Server> {
    let names: Vec<_> = (0..objects).map(|n| format!("m{n:04}")).collect();
    let server = Server::new(scenario, &names);
    lead(&server, snapshot(&names), seconds).await;
    server
}

async fn lead(server: &Arc<Server>, snapshot: Snapshot, seconds: u64) {
    follow_and_lead(server, snapshot, 0, seconds).await;
}

/// Follows for some seconds, and then leads for others.
async fn follow_and_lead(server: &Arc<Server>, snapshot: Snapshot, follow: u64, lead: u64) {
    let options = options();
    let (_snapshots, snapshots) = watch::channel(Some(snapshot));
    let (elected, terms) = watch::channel(None);
    let (stopping, stop) = watch::channel(false);
    let names = Names::new("default", "me");
    let writer = Writer::new(server.client(), names, &options, snapshots, terms);
    let clock = async {
        tokio::time::sleep(Duration::from_secs(follow)).await;
        let until = Instant::now() + Duration::from_secs(lead);
        elected.send_replace(Some(until));
        tokio::time::sleep_until(until + Duration::from_secs(1)).await;
        stopping.send_replace(true);
    };
    tokio::join!(writer.run(stop), clock);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_objects_are_written_once_each_and_at_a_pace() {
    // 500 at once, and then 250 a second.
    let server = lead_for(Scenario::Fine, 1000, 1).await;
    let early = server.ready();
    assert!((500..=760).contains(&early), "{early} in a second");

    let server = lead_for(Scenario::Fine, 1000, 20).await;
    assert_eq!(server.ready(), 1000);
    assert_eq!(server.patches(), 1000, "at most one write per object");
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_writes_nothing() {
    let server = lead_for(Scenario::Fine, 50, 10).await;
    let before = server.patches();
    let names: Vec<_> = server.mappings.lock().keys().cloned().collect();
    lead(&server, snapshot(&names), 25).await;
    assert_eq!(server.patches(), before);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_let_go() {
    let server = lead_for(Scenario::Deleted, 10, 20).await;
    assert_eq!(server.patches(), 0);
    assert_eq!(
        server.requests.load(Ordering::Relaxed),
        10,
        "it must not be asked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_read_again_and_the_other_writer_kept() {
    let server = lead_for(Scenario::Conflicts, 10, 10).await;
    assert_eq!(server.patches(), 20);
    for object in server.mappings.lock().values() {
        let entries = object["status"]["installations"].as_array().unwrap();
        let names: Vec<_> = entries.iter().map(|entry| &entry["name"]).collect();
        assert_eq!(names, ["default", "other"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_status_is_not_sent_again() {
    let server = lead_for(Scenario::Refuses, 10, 25).await;
    assert_eq!(server.patches(), 10);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_the_api_server_is_away() {
    let server = lead_for(Scenario::AwayFor(100), 30, 28).await;
    assert_eq!(server.ready(), 30);
    assert_eq!(server.patches(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_not_flooded() {
    let server = lead_for(Scenario::Silent, 1000, 28).await;
    let requests = server.requests.load(Ordering::Relaxed);
    assert!((16..=80).contains(&requests), "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_list_every_object_is_read_before_it_is_written() {
    let server = lead_for(Scenario::ListForbidden, 10, 10).await;
    assert_eq!(server.ready(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_successor_does_not_give_a_lease_its_time_anew() {
    let names = ["a".to_owned()];
    // The replica that stopped at 0 s was the leader: its own Lease ends at 30 s, and another leads from 20 s on.
    for (until, programmed) in [(29, 0), (31, 1)] {
        let server = Server::new(Scenario::Straggler, &names);
        follow_and_lead(&server, snapshot(&names), 20, until - 20).await;
        assert_eq!(server.ready(), programmed, "at {until} s");
    }
    // Who has not followed cannot know since when the Lease stands still.
    for (until, programmed) in [(29, 0), (31, 1)] {
        let server = Server::new(Scenario::Straggler, &names);
        lead(&server, snapshot(&names), until).await;
        assert_eq!(server.ready(), programmed, "after {until} s");
    }
}
