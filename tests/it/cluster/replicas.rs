//! Three replicas as three processes: when an object is programmed, who writes, and what an API server that is away changes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    installation::{
        Installation, LIMIT, a_mapping, condition, figure, is_ready, is_ready_at, mapping, ours,
        service, services,
    },
    platform::{namespace, own, shared},
    server::Server,
};
use crate::{client::Request, gateway::Gateway};

const NAMES: [&str; 3] = ["pod-1", "pod-2", "pod-3"];

/// Changes the prefix; returns the generation that this makes.
fn move_to(server: &Server, path: &str, prefix: &str) -> Value {
    let change = json!({"spec": {"prefix": prefix}});
    server.patch(path, &change).unwrap()["metadata"]["generation"].clone()
}

fn serves(gateway: &Gateway, prefix: &str) -> bool {
    let request = Request::get(&format!("http://any{prefix}"));
    gateway.send(&request).status == 200
}

pub(super) fn until_another_leads(installation: &Installation<'_>, than: Option<&str>) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(leader) = installation.leader()
            && Some(&*leader) != than
            && !leader.is_empty()
        {
            return leader;
        }
        assert!(Instant::now() < deadline, "nobody leads after {than:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn programmed_means_all_replicas_and_the_rest_goes_on_without_the_one_that_is_gone() {
    let server = shared();
    let installation = Installation::new(server, "replicas-gateway", &["replicas-shop"]);
    server
        .create(
            &services("replicas-shop"),
            &service("replicas-shop", "quote"),
        )
        .unwrap();
    let a = mapping("replicas-shop", "a", "/a/");
    server
        .create(&ours("mappings", "replicas-shop"), &a)
        .unwrap();
    let path = a_mapping("replicas-shop", "a");
    let mut replicas = NAMES.map(|name| (name, installation.replica(name)));
    server.until(&path, "it is ready with three replicas", is_ready);

    let took: Vec<_> = (0..5)
        .map(|change| {
            let prefix = format!("/a-{change}/");
            let generation = move_to(server, &path, &prefix);
            let answered = Instant::now();
            server.until(&path, "it is ready again", is_ready_at(&generation));
            for (name, replica) in &replicas {
                assert!(
                    serves(replica, &prefix),
                    "{name} must serve what is programmed"
                );
            }
            answered.elapsed()
        })
        .collect();
    figure(format_args!(
        "programmed with three replicas after {took:?}"
    ));

    let leader = until_another_leads(&installation, None);
    let index = replicas
        .iter()
        .position(|(name, _)| *name != leader)
        .unwrap();
    held_back_by_one_that_sleeps(server, &path, &replicas, index);

    let index = replicas
        .iter()
        .position(|(name, _)| *name == leader)
        .unwrap();
    replicas[index].1.signal(Signal::TERM);
    let began = Instant::now();
    let next = until_another_leads(&installation, Some(&leader));
    figure(format_args!("{next} leads after {:?}", began.elapsed()));
    assert!(replicas[index].1.wait().success(), "it must end well");
    let generation = move_to(server, &path, "/last/");
    server.until(&path, "the new leader writes", is_ready_at(&generation));
}

/// Stops a replica by SIGSTOP: what changes then is not programmed before its Lease has expired.
fn held_back_by_one_that_sleeps(
    server: &Server,
    path: &str,
    replicas: &[(&str, Gateway)],
    index: usize,
) {
    replicas[index].1.signal(Signal::STOP);
    let began = Instant::now();
    let generation = move_to(server, path, "/held/");
    let awake = replicas.iter().enumerate().filter(|(i, _)| *i != index);
    for (_, (_, replica)) in awake {
        replica.send_until(&Request::get("http://any/held/"), |answer| {
            answer.status == 200
        });
    }
    let waiting = server.until(path, "it waits for the replica", |status| {
        status["observedGeneration"] == generation
    });
    let leads = |(_, replica): &&(_, Gateway)| replica.metrics()["postern_status_leader"] > 0.0;
    let awake = replicas.iter().enumerate().filter(|(i, _)| *i != index);
    let (_, leader) = { awake }.map(|(_, replica)| replica).find(leads).unwrap();
    let name = replicas[index].0;
    let behind = format!("postern_replica_behind_seconds{{replica=\"postern-default-{name}\"}}");
    assert!(leader.metrics()[&behind] > 1.0, "{:#?}", leader.metrics());
    let programmed = condition(&waiting["status"], "Programmed");
    assert_eq!(programmed["status"], "False", "{programmed}");
    assert_eq!(programmed["reason"], "Pending", "{programmed}");
    server.until(path, "nobody waits for ever", is_ready_at(&generation));
    // The Lease was last written up to one heartbeat before.
    let held = began.elapsed();
    figure(format_args!("held back for {held:?}"));
    assert!(held > Duration::from_secs(19), "only {held:?}");
    let metrics = leader.metrics();
    assert_eq!(metrics.get(&behind), None, "it is gone");
    assert!(metrics["postern_replicas{state=\"expired\"}"] > 0.0);
    let warnings = leader
        .logged()
        .matches("does not serve what was changed")
        .count();
    assert_eq!(warnings, 1, "{}", leader.logged());
    replicas[index].1.signal(Signal::CONT);
    replicas[index]
        .1
        .send_until(&Request::get("http://any/held/"), |a| a.status == 200);
}

#[test]
fn a_leader_that_slept_is_succeeded_and_writes_nothing_when_it_wakes() {
    let server = shared();
    let team = "sleep-shop";
    let installation = Installation::new(server, "sleep-gateway", &[team]);
    server
        .create(&services(team), &service(team, "quote"))
        .unwrap();
    server
        .create(&ours("mappings", team), &mapping(team, "a", "/a/"))
        .unwrap();
    let path = a_mapping(team, "a");
    let one = installation.replica("pod-1");
    let leader = until_another_leads(&installation, None);
    assert_eq!(leader, "pod-1");
    let _two = installation.replica("pod-2");
    server.until(&path, "it is ready", is_ready);

    one.signal(Signal::STOP);
    let began = Instant::now();
    let generation = move_to(server, &path, "/b/");
    until_another_leads(&installation, Some(&leader));
    figure(format_args!("succeeded after {:?}", began.elapsed()));
    let written = server.until(&path, "the successor writes", |status| {
        status["observedGeneration"] == generation
    });
    let programmed = condition(&written["status"], "Programmed");
    assert_eq!(programmed["reason"], "Pending", "{programmed}");
    // Its Lease as a replica has grown old while that of the leader did: one wait, not one after the other.
    let ready = server.until(&path, "nobody waits for ever", is_ready_at(&generation));
    let held = began.elapsed();
    figure(format_args!("held back by a leader for {held:?}"));
    assert!(held < Duration::from_secs(40), "{held:?}");
    one.signal(Signal::CONT);
    one.send_until(&Request::get("http://any/b/"), |answer| {
        answer.status == 200
    });
    // Awake again it finds that all is said, and that another leads.
    thread::sleep(Duration::from_secs(3));
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&server.get(&path).unwrap()), version(&ready));
    assert_eq!(installation.leader().as_deref(), Some("pod-2"));
}

#[test]
fn an_api_server_that_is_away_fails_no_request_and_nothing_is_missed() {
    let mut server = own();
    let (own_namespace, team) = ("away-gateway", "away-shop");
    let gateway = {
        let installation = Installation::new(&server, own_namespace, &[]);
        namespace(&server, team);
        server
            .create(&services(team), &service(team, "quote"))
            .unwrap();
        server
            .create(&ours("mappings", team), &mapping(team, "a", "/a/"))
            .unwrap();
        installation.replica("one")
    };
    let path = a_mapping(team, "a");
    server.until(&path, "it is ready", is_ready);

    let load = Load::start(gateway.address(8080));
    server.stop_apiserver();
    thread::sleep(Duration::from_secs(8));
    server.start_apiserver();
    let changed = json!({"spec": {"timeoutMs": 4000}});
    let generation = server.patch(&path, &changed).unwrap()["metadata"]["generation"].clone();
    let late = mapping(team, "late", "/late/");
    server.create(&ours("mappings", team), &late).unwrap();
    let back = Instant::now();
    gateway.send_until(&Request::get("http://any/late/"), |answer| {
        answer.status == 200
    });
    let caught_up = back.elapsed();
    figure(format_args!(
        "caught up {caught_up:?} after the API server was back"
    ));
    assert!(
        caught_up < Duration::from_secs(5),
        "only after {caught_up:?}"
    );
    server.until(&path, "status goes on", is_ready_at(&generation));
    let (answers, failed) = load.end();
    assert_eq!(failed, [""; 0], "of {answers}");
    assert!(answers > 100, "{answers} requests say little");
}

/// Requests one after the other, on a thread of its own.
struct Load {
    stop: Arc<AtomicBool>,
    requests: JoinHandle<(u32, Vec<String>)>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = thread::spawn({
            let stop = stop.clone();
            move || {
                let (mut served, mut failed) = (0, Vec::new());
                while !stop.load(Relaxed) {
                    match Request::get("http://any/a/").try_send(address) {
                        Ok(answer) if answer.status == 200 => served += 1,
                        other => failed.push(format!("{other:?}")),
                    }
                    thread::sleep(Duration::from_millis(2));
                }
                (served, failed)
            }
        });
        Self { stop, requests }
    }

    /// How many were served, and what went wrong.
    fn end(self) -> (u32, Vec<String>) {
        self.stop.store(true, Relaxed);
        self.requests.join().unwrap()
    }
}
