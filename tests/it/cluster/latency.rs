//! From the API server's answer to a write until it is served, and until it is programmed.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    installation::{
        Installation, a_mapping, figure, is_ready, is_ready_at, mapping, ours, service, services,
    },
    platform::shared,
    server::Server,
};
use crate::{client::Request, gateway::Gateway};

/// For one change to be live, on a machine that does much else.
const LIVE_LIMIT: Duration = Duration::from_secs(10);

/// Leases are written at most once a second, and once more for the status that the change before it was given: a change that
/// follows another sooner would measure that.
const QUIET: Duration = Duration::from_millis(2200);

const ROUTES: usize = 100;

/// How long each change took.
#[derive(Debug, Default)]
struct Took(Vec<Duration>);

// === impl Took ===

impl Took {
    fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / u32::try_from(self.0.len()).unwrap()
    }

    fn tell(&self, what: &str) {
        let count = self.0.len();
        let (mean, most) = (self.mean(), self.0.iter().max().unwrap());
        figure(format_args!(
            "{what} after {mean:?} (mean), {most:?} (max) of {count} changes at {ROUTES} routes"
        ));
    }
}

/// Changes the prefix of a Mapping; returns when the API server answered, and the generation.
fn change(server: &Server, path: &str, number: u32) -> (Instant, Value) {
    let spec = json!({"spec": {"prefix": format!("/changed-{number}/")}});
    let changed = server.patch(path, &spec).unwrap();
    (Instant::now(), changed["metadata"]["generation"].clone())
}

/// How long it takes until the change is served.
fn live(gateway: &Gateway, answered: Instant, number: u32) -> Duration {
    let request = Request::get(&format!("http://any/changed-{number}/"));
    while gateway.send(&request).status != 200 {
        assert!(answered.elapsed() < LIVE_LIMIT, "{request:?}");
    }
    answered.elapsed()
}

#[test]
fn a_change_is_live_and_programmed_soon_after_the_api_servers_answer() {
    let (server, team) = (shared(), "live-shop");
    let installation = Installation::new(server, "live-gateway", &[team]);
    server
        .create(&services(team), &service(team, "quote"))
        .unwrap();
    for route in 0..ROUTES {
        let name = format!("route-{route}");
        let mapping = mapping(team, &name, &format!("/{name}/"));
        server.create(&ours("mappings", team), &mapping).unwrap();
    }
    let replicas = ["one", "two", "three"].map(|name| installation.replica(name));
    let path = a_mapping(team, "route-7");
    for route in 0..ROUTES {
        let path = a_mapping(team, &format!("route-{route}"));
        server.until(&path, "the first status is written", is_ready);
    }

    let (mut until_live, mut until_programmed) = (Took::default(), Took::default());
    for number in 0..40 {
        let (answered, _) = change(server, &path, number);
        until_live.0.push(live(&replicas[0], answered, number));
    }
    for number in 40..44 {
        thread::sleep(QUIET);
        let (answered, generation) = change(server, &path, number);
        server.until(&path, "it is programmed", is_ready_at(&generation));
        until_programmed.0.push(answered.elapsed());
        let request = Request::get(&format!("http://any/changed-{number}/"));
        for replica in &replicas {
            assert_eq!(replica.send(&request).status, 200, "it is programmed");
        }
    }
    until_live.tell("live");
    until_programmed.tell("programmed with three replicas");
    assert!(
        until_live.mean() < Duration::from_millis(500),
        "{until_live:?}"
    );
    assert!(
        until_programmed.mean() < Duration::from_secs(2),
        "{until_programmed:?}"
    );
}
