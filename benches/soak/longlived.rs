//! WebSockets and gRPC streams live on while the configuration changes, their own routes among it, and while the endpoints that
//! they reached are replaced: what is there stays where it is, what comes goes to the new ones.

mod backend;
mod client;

use std::{fs, path::Path, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use self::{
    backend::Endpoint,
    client::{Life, Tally},
};
use super::{
    field::Field,
    harness::{
        manifest::{mapping, object},
        text::{grouped, mebibytes},
        usage,
    },
};

const HOSTNAME: &str = "app.example.com";
/// Streams on one connection of a client.
const STREAMS: usize = 10;
/// Opened at a time: a queue of connections that nobody has accepted yet is no subject here.
const OPENING: usize = 50;
const OPEN_LIMIT: Duration = Duration::from_mins(2);
/// After the last change.
const REST: Duration = Duration::from_secs(3);

/// Proves it with so many of each, and so many changes.
pub(super) fn prove(
    tunnels: usize,
    streams: usize,
    changes: usize,
    runtime: &Handle,
) -> Result<String> {
    let [before, after] = ["a", "b"].map(|name| runtime.block_on(Endpoint::start(name)));
    let (before, after) = (before?, after?);
    let field = Field::new(&[], |folder| {
        write(folder, 0)?;
        Ok(fs::write(folder.join("endpoints.yaml"), before.slices())?)
    })?;
    let place = field.gateway.address(8080)?;

    let tally = Arc::<Tally>::default();
    let (stop, stopped) = watch::channel(false);
    let mut lives = JoinSet::new();
    let connections = streams.div_ceil(STREAMS);
    let tunnels_first = (0..tunnels).map(|_| Life::Tunnel);
    let all = tunnels_first.chain((0..connections).map(|at| Life::Streams {
        count: STREAMS.min(streams - at * STREAMS),
    }));
    let wanted = (tunnels + streams) as u64;
    let mut opened = 0;
    for life in all {
        let run = client::run(life, place, "a", tally.clone(), stopped.clone());
        lives.spawn_on(run, runtime);
        opened += life.size();
        while tally.open() + tally.broken() + (OPENING as u64) < opened {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let opening = tokio::time::Instant::now();
    while tally.open() < wanted && opening.elapsed() < OPEN_LIMIT {
        ensure!(tally.broken() == 0, "while opening: {}", tally.told());
        thread::sleep(Duration::from_millis(10));
    }
    ensure!(
        tally.open() == wanted,
        "{} of {wanted} are open",
        tally.open()
    );
    let resident = usage::resident_bytes(field.gateway.pid())?;

    let begin = field.generation()?;
    for number in 0..changes {
        if number == changes / 2 {
            field.make(|field| field.replace("endpoints", &after.slices()))?;
        }
        field.make(|field| change(field, number))?;
    }
    let snapshots = field.generation()? - begin;
    // What comes now goes where the endpoints are now.
    let newcomers = runtime.block_on(async {
        let tally = Arc::<Tally>::default();
        let (_, stopped) = watch::channel(true);
        for life in [Life::Tunnel, Life::Streams { count: 1 }] {
            client::run(life, place, "b", tally.clone(), stopped.clone()).await;
        }
        tally
    });
    ensure!(
        newcomers.broken() == 0,
        "after the roll: {}",
        newcomers.told()
    );
    thread::sleep(REST);

    stop.send_replace(true);
    runtime.block_on(async {
        let ended = tokio::time::timeout(OPEN_LIMIT, lives.join_all()).await;
        ended.map(drop).context("some do not end")
    })?;
    let figures = format!(
        "{} WebSockets and {} gRPC streams through {changes} changes ({snapshots:.0} snapshots) and a roll of their endpoints: {} \
         messages came back, {} broken, {} ended as they should; RSS {} with all of them open",
        grouped(tunnels as u64),
        grouped(streams as u64),
        grouped(tally.messages()),
        tally.broken(),
        grouped(tally.ended()),
        mebibytes(resident),
    );
    ensure!(tally.broken() == 0, "{figures}: {}", tally.told());
    ensure!(tally.ended() == wanted, "some ended otherwise: {figures}");
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let distinct = (changes * 9 / 10) as f64;
    ensure!(snapshots >= distinct, "too few snapshots: {figures}");
    Ok(figures)
}

fn write(folder: &Path, number: usize) -> Result<()> {
    fs::write(folder.join("tunnels.yaml"), tunnels_route(number))?;
    Ok(fs::write(
        folder.join("streams.yaml"),
        streams_route(number),
    )?)
}

fn tunnels_route(number: usize) -> String {
    let spec = format!(
        "{{hostname: {HOSTNAME}, prefix: /tunnels/, service: tunnels, resolver: endpoint, allowUpgrade: [websocket], \
         addRequestHeaders: {{x-edit: {{value: \"{number}\"}}}}}}"
    );
    object("Mapping", "tunnels", &spec)
}

fn streams_route(number: usize) -> String {
    let spec = format!(
        "{{hostname: {HOSTNAME}, prefix: /echo.Echo/, service: streams, resolver: endpoint, grpc: true, timeoutMs: 0, \
         addRequestHeaders: {{x-edit: {{value: \"{number}\"}}}}}}"
    );
    object("Mapping", "streams", &spec)
}

/// In turn: a route more or less, the route of the tunnels, that of the streams.
fn change(field: &Field, number: usize) -> Result<()> {
    match number % 3 {
        0 => {
            let name = format!("extra-{}", number % 20);
            let prefix = format!("/extra/{number}/");
            field.toggle(&name, || mapping(&name, HOSTNAME, &prefix, "tunnels"))
        }
        1 => field.replace("tunnels", &tunnels_route(number)),
        _ => field.replace("streams", &streams_route(number)),
    }
}
