//! From the API server's answer to a write until it is served, and until it is programmed.

use std::{thread, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{
    installation::{
        Installation, a_mapping, figure, is_ready, is_ready_at, mapping, ours, service, services,
    },
    platform::shared,
};
use crate::{client::Request, gateway::Gateway};

/// For one change to be live, on a machine that does much else.
const LIVE_LIMIT: Duration = Duration::from_secs(10);

/// A Lease, and the status of one object, are written at most once a second: a change that follows another at once would
/// measure that.
const QUIET: Duration = Duration::from_millis(1100);

/// One after the other.
struct Changes<'s> {
    installation: Installation<'s>,
    team: &'s str,
    replicas: Vec<Gateway>,
}

/// How long each change took.
#[derive(Debug, Default)]
struct Took(Vec<Duration>);

impl Took {
    fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / u32::try_from(self.0.len()).unwrap()
    }

    fn tell(&self, what: &str, routes: usize) {
        let count = self.0.len();
        let (mean, most) = (self.mean(), self.0.iter().max().unwrap());
        figure(format_args!(
            "{what} after {mean:?} (mean), {most:?} (max) of {count} changes at {routes} routes"
        ));
    }
}

impl<'s> Changes<'s> {
    fn new(namespace: &'s str, team: &'s str, routes: usize, replicas: &[&str]) -> Self {
        let server = shared();
        let installation = Installation::new(server, namespace, &[team]);
        server
            .create(&services(team), &service(team, "quote"))
            .unwrap();
        for route in 0..routes {
            let name = format!("route-{route}");
            let mapping = mapping(team, &name, &format!("/{name}/"));
            server.create(&ours("mappings", team), &mapping).unwrap();
        }
        let replicas = replicas.iter().map(|name| installation.replica(name));
        Self {
            replicas: replicas.collect(),
            installation,
            team,
        }
    }

    /// Makes one change; how long it took to be live, and to be programmed.
    fn change(&self, number: u32) -> (Duration, Duration) {
        let server = self.installation.server;
        let path = a_mapping(self.team, "route-7");
        let spec = json!({"spec": {"prefix": format!("/changed-{number}/")}});
        let generation = server.patch(&path, &spec).unwrap()["metadata"]["generation"].clone();
        let answered = Instant::now();
        let request = Request::get(&format!("http://any/changed-{number}/"));
        while self.replicas[0].send(&request).status != 200 {
            assert!(answered.elapsed() < LIVE_LIMIT, "{request:?}");
        }
        let live = answered.elapsed();
        server.until(&path, "it is programmed", is_ready_at(&generation));
        let programmed = answered.elapsed();
        for replica in &self.replicas {
            assert_eq!(replica.send(&request).status, 200, "it is programmed");
        }
        (live, programmed)
    }

    fn all(&self, routes: usize, count: u32) -> (Took, Took) {
        let server = self.installation.server;
        for route in [0, routes - 1] {
            let path = a_mapping(self.team, &format!("route-{route}"));
            server.until(&path, "the first status is written", is_ready);
        }
        let (mut live, mut programmed) = (Took::default(), Took::default());
        for number in 0..count {
            thread::sleep(QUIET);
            let (one, other) = self.change(number);
            live.0.push(one);
            programmed.0.push(other);
        }
        live.tell("live", routes);
        let what = format!("programmed with {} replicas", self.replicas.len());
        programmed.tell(&what, routes);
        (live, programmed)
    }
}

#[test]
fn a_change_is_live_and_programmed_soon_after_the_api_servers_answer() {
    let routes = 100;
    let changes = Changes::new("live-gateway", "live-shop", routes, &["one"]);
    let (live, programmed) = changes.all(routes, 10);
    assert!(live.mean() < Duration::from_millis(500), "{live:?}");
    assert!(programmed.mean() < Duration::from_secs(3), "{programmed:?}");
}
