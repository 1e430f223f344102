//! A burst of changes while one replica sleeps and the leader dies: no status is lost, and none was ever wrong.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use postern::resource::Group;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};

use super::{
    installation::{
        Installation, a_mapping, condition, figure, is_ready, mapping, ours, service, services,
    },
    platform::shared,
    replicas::until_another_leads,
    server::{ADMIN_TOKEN, Server},
    status::{client, mappings_of},
};

const TEAM: &str = "burst-shop";
const ROUTES: u32 = 30;
const CHANGES: u32 = 300;

/// More than what only waits is given before it is written that it does, and less than a Lease lives.
const ASLEEP: Duration = Duration::from_secs(4);

/// The Lease of a leader that was killed holds back for 30 s; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);

/// Generations by the name of their object.
type Generations = BTreeMap<String, i64>;

/// All that a watch of the Mappings has told, in order, and when.
struct Record {
    events: Arc<Mutex<Vec<(Instant, Value)>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

// === impl Record ===

impl Record {
    fn start(server: &'static Server) -> Self {
        let events = Arc::<Mutex<Vec<_>>>::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, until_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn({
            let events = events.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let watching = watch(server, &events, || ready.send(()).unwrap());
                runtime.block_on(async {
                    tokio::select! {
                        () = watching => panic!("the watch ended: what came after it is not known"),
                        _ = stopped => {}
                    }
                });
            }
        });
        until_ready.recv().unwrap();
        Self {
            events,
            stop,
            thread,
        }
    }

    fn end(self) -> Vec<(Instant, Value)> {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
        std::mem::take(&mut self.events.lock())
    }
}

/// One request from the list on, so that nothing is left out.
async fn watch(server: &Server, events: &Mutex<Vec<(Instant, Value)>>, begun: impl FnOnce()) {
    let mappings = mappings_of(client(server, ADMIN_TOKEN).await, Group::Postern, TEAM);
    let list = mappings.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(290);
    let watched = mappings.watch(&params, &version).await.unwrap();
    begun();
    let mut watched = watched.boxed();
    while let Some(event) = watched.try_next().await.unwrap() {
        if let WatchEvent::Modified(object) = event {
            let object = serde_json::to_value(object).unwrap();
            events.lock().push((Instant::now(), object));
        }
    }
}

fn name_of(number: u32) -> String {
    format!("route-{number:02}")
}

/// Makes an object that was good bad, and the other way round.
fn change(server: &Server, number: u32) -> (String, i64) {
    let name = name_of(number % ROUTES);
    let round = number / ROUTES;
    let service = if round.is_multiple_of(2) {
        "nowhere"
    } else {
        "quote"
    };
    let spec = json!({"spec": {"service": service, "prefix": format!("/{name}/{number}/")}});
    let changed = server.patch(&a_mapping(TEAM, &name), &spec).unwrap();
    (name, changed["metadata"]["generation"].as_i64().unwrap())
}

fn is_good(object: &Value) -> bool {
    object["spec"]["service"] == "quote"
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap()
}

/// What the status says of the object's newest generation is what is so.
fn is_right(object: &Value) -> bool {
    let ready = condition(&object["status"], "Ready");
    let current = object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && ready["observedGeneration"] == object["metadata"]["generation"];
    let reason = if is_good(object) {
        "Ready"
    } else {
        "ServiceNotFound"
    };
    current && ready["reason"] == reason && (ready["status"] == "True") == is_good(object)
}

fn until_all_are_right(server: &Server) {
    let deadline = Instant::now() + LIMIT;
    for number in 0..ROUTES {
        let path = a_mapping(TEAM, &name_of(number));
        loop {
            let object = server.get(&path).unwrap();
            if is_right(&object) {
                break;
            }
            assert!(Instant::now() < deadline, "a lost status: {object:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Every status that ever was is held against the generation that it is about.
fn check_all(events: &[(Instant, Value)]) -> usize {
    let mut good = BTreeMap::new();
    let mut observed = Generations::new();
    let mut statuses = 0;
    for (_, object) in events {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        good.insert((name.clone(), generation(object)), is_good(object));
        let Some(about) = object["status"]["observedGeneration"].as_i64() else {
            continue;
        };
        let ready = condition(&object["status"], "Ready");
        let before = observed.insert(name.clone(), about);
        assert!(before <= Some(about), "the status went back: {object:#}");
        // The first generation was there before the watch, and was good.
        let truth = good.get(&(name, about)).copied().unwrap_or(true);
        let fits = match ready["reason"].as_str().unwrap() {
            "Ready" => truth && ready["status"] == "True",
            "ServiceNotFound" => !truth && ready["status"] == "False",
            "Pending" => ready["status"] == "False",
            _ => false,
        };
        assert!(fits, "a wrong status: {object:#}");
        statuses += usize::from(before < Some(about));
    }
    statuses
}

/// A replica that sleeps has nothing that was written after it fell asleep.
fn check_sleep(events: &[(Instant, Value)], had: &Generations, asleep: [Instant; 2]) -> usize {
    let meanwhile = events
        .iter()
        .filter(|(at, _)| (asleep[0]..asleep[1]).contains(at));
    let mut newer = 0;
    for (_, object) in meanwhile {
        let name = object["metadata"]["name"].as_str().unwrap();
        let ready = condition(&object["status"], "Ready");
        let about = ready["observedGeneration"].as_i64().unwrap_or_default();
        if about > had[name] {
            newer += 1;
            assert_ne!(ready["status"], "True", "one sleeps: {object:#}");
        }
    }
    newer
}

#[test]
fn a_leader_that_dies_in_a_burst_leaves_no_lost_and_no_wrong_status() {
    let server = shared();
    let installation = Installation::new(server, "burst-gateway", &[TEAM]);
    server
        .create(&services(TEAM), &service(TEAM, "quote"))
        .unwrap();
    for number in 0..ROUTES {
        let name = name_of(number);
        let mapping = mapping(TEAM, &name, &format!("/{name}/"));
        server.create(&ours("mappings", TEAM), &mapping).unwrap();
    }
    let replicas = ["pod-1", "pod-2", "pod-3"].map(|name| (name, installation.replica(name)));
    for number in 0..ROUTES {
        server.until(&a_mapping(TEAM, &name_of(number)), "it is ready", is_ready);
    }
    let leader = until_another_leads(&installation, None);
    let leads = |replica: &&(&str, _)| replica.0 == leader;
    let (_, first) = replicas.iter().find(leads).unwrap();
    let (_, sleeper) = replicas.iter().find(|replica| !leads(replica)).unwrap();
    let record = Record::start(server);
    let mut had: Generations = (0..ROUTES).map(|number| (name_of(number), 1)).collect();

    had.extend((0..CHANGES / 3).map(|number| change(server, number)));
    sleeper.signal(Signal::STOP);
    let fell_asleep = Instant::now();
    for number in CHANGES / 3..CHANGES / 2 {
        change(server, number);
    }
    thread::sleep(ASLEEP.saturating_sub(fell_asleep.elapsed()));
    first.signal(Signal::KILL);
    let killed = Instant::now();
    for number in CHANGES / 2..CHANGES * 5 / 6 {
        change(server, number);
    }
    let woken = Instant::now();
    sleeper.signal(Signal::CONT);
    for number in CHANGES * 5 / 6..CHANGES {
        change(server, number);
    }
    until_all_are_right(server);
    let settled = killed.elapsed();
    let next = until_another_leads(&installation, Some(&leader));

    let events = record.end();
    let statuses = check_all(&events);
    let newer = check_sleep(&events, &had, [fell_asleep, woken]);
    assert!(newer > 0, "nothing was said while one slept");
    figure(format_args!(
        "{CHANGES} changes of {ROUTES} routes, {statuses} generations spoken of in {} events; \
         {newer} statuses while one slept; {next} leads, and all is right {settled:?} after {leader} was killed",
        events.len()
    ));
}
