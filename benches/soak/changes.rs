//! The configuration changes all the time while clients are served: no request fails, no connection ends, and memory stays
//! where it was.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Result, ensure};
use tokio::runtime::Handle;

use super::{
    connection::{Place, Speech},
    field::Field,
    harness::{
        gateway::Gateway,
        manifest::{self, certificate, host, mapping, mappings, object, secret},
        text::{grouped, mebibytes, milliseconds},
        usage,
    },
    load::{Client, Load},
};

pub(super) const HOSTNAME: &str = "app.example.com";
const PAUSE: Duration = Duration::from_millis(3);
/// Routes beside those that are asked for.
const OTHERS: (usize, usize) = (10, 20);
/// Of a hundred changes, this many must be snapshots of their own; others may share one.
const DISTINCT: usize = 90;
const GROWTH: f64 = 1.1;

/// What a round of changes came to.
struct Round {
    snapshots: f64,
    slowest: Duration,
    total: Duration,
    resident: u64,
}

/// Proves it with two rounds of this many changes.
pub(super) fn prove(changes: usize, runtime: &Handle) -> Result<String> {
    let field = Field::new(&["--echo"], |folder| {
        write_routes(folder)?;
        let others = mappings(OTHERS.0, OTHERS.1, "web:80");
        Ok(fs::write(folder.join("others.yaml"), others)?)
    })?;
    let load = Load::start(runtime, &place(&field.gateway)?, &clients(), 2);
    let first = round(&field, 0, changes)?;
    let second = round(&field, changes, changes)?;
    let tally = load.stop(runtime);

    let answered = tally.count(|tally| &tally.answered);
    let failed = tally.count(|tally| &tally.failed);
    let dropped = tally.count(|tally| &tally.dropped);
    let ended = tally.count(|tally| &tally.ended);
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let growth = second.resident as f64 / first.resident as f64;
    let figures = format!(
        "2 x {} changes under load: {:.0} + {:.0} snapshots, a change in {} on average, {} at most; {} requests, {failed} \
         failed; {dropped} connections dropped, {ended} ended; RSS {} after the first round, {} after the second ({growth:.3} x)",
        grouped(changes as u64),
        first.snapshots,
        second.snapshots,
        milliseconds((first.total + second.total) / u32::try_from(changes.max(1) * 2)?),
        milliseconds(first.slowest.max(second.slowest)),
        grouped(answered),
        mebibytes(first.resident),
        mebibytes(second.resident),
    );
    ensure!(answered > 0 && failed == 0, "{figures}: {}", tally.told());
    ensure!(dropped == 0 && ended == 0, "connections ended: {figures}");
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let wanted = (changes * DISTINCT / 100) as f64;
    ensure!(
        first.snapshots >= wanted && second.snapshots >= wanted,
        "too few snapshots: {figures}"
    );
    ensure!(growth <= GROWTH, "memory grew: {figures}");
    Ok(figures)
}

/// One of each speech on each of the routes that change, and some that connect anew for each request.
pub(super) fn clients() -> Vec<Client> {
    let mut clients = Vec::new();
    for path in ["/stable/a", "/weighted/a", "/edited/a"] {
        for (tls, http2) in [(false, false), (false, true), (true, false), (true, true)] {
            clients.push(Client {
                speech: Speech { tls, http2 },
                fresh: false,
                path,
                pause: PAUSE,
            });
        }
    }
    for tls in [false, true] {
        clients.push(Client {
            speech: Speech { tls, http2: false },
            fresh: true,
            path: "/stable/a",
            pause: PAUSE,
        });
    }
    clients
}

/// Writes what the clients ask for.
pub(super) fn write_routes(folder: &Path) -> Result<()> {
    let fixed = mapping("stable", HOSTNAME, "/stable/", "web:80")
        + &mapping("weighted", HOSTNAME, "/weighted/", "web:80")
        + &host("app", HOSTNAME, "app");
    fs::write(folder.join("fixed.yaml"), fixed)?;
    fs::write(folder.join("weighted.yaml"), canary(10))?;
    fs::write(folder.join("edited.yaml"), edited(0))?;
    let pair = certificate(&[HOSTNAME])?;
    Ok(fs::write(folder.join("secret.yaml"), secret("app", &pair))?)
}

fn canary(weight: usize) -> String {
    let spec = format!(
        "{{hostname: {HOSTNAME}, prefix: /weighted/, service: \"canary:80\", weight: {weight}}}"
    );
    object("Mapping", "canary", &spec)
}

fn edited(number: usize) -> String {
    let spec = format!(
        "{{hostname: {HOSTNAME}, prefix: /edited/, service: \"web:80\", addRequestHeaders: {{x-edit: {{value: \"{number}\"}}}}}}"
    );
    object("Mapping", "edited", &spec)
}

/// Makes changes one after the other, each as soon as the one before is a snapshot.
fn round(field: &Field, from: usize, changes: usize) -> Result<Round> {
    let begin = field.generation()?;
    let (mut slowest, mut total) = (Duration::ZERO, Duration::ZERO);
    for number in from..from + changes {
        let took = field.make(|field| change(field, number))?;
        total += took;
        slowest = slowest.max(took);
    }
    Ok(Round {
        snapshots: field.generation()? - begin,
        slowest,
        total,
        resident: usage::resident_bytes(field.gateway.pid())?,
    })
}

/// In turn: a route more or less, a weight, a certificate, a Host more or less, an edited route.
fn change(field: &Field, number: usize) -> Result<()> {
    let turn = number / 5;
    match number % 5 {
        0 => {
            let name = format!("extra-{}", turn % 20);
            let prefix = format!("/extra/{turn}/");
            field.toggle(&name, || mapping(&name, HOSTNAME, &prefix, "web:80"))
        }
        1 => field.replace("weighted", &canary(turn % 100)),
        2 => {
            let pair = certificate(&[HOSTNAME])?;
            field.replace("secret", &secret("app", &pair))
        }
        3 => {
            let name = format!("host-{}", turn % 20);
            let hostname = format!("{name}.example.com");
            field.toggle(&name, || manifest::host(&name, &hostname, "app"))
        }
        _ => field.replace("edited", &edited(number)),
    }
}

/// Where the clients of [`clients`] find a gateway with the routes of [`write_routes`].
pub(super) fn place(gateway: &Gateway) -> Result<Place> {
    let [cleartext, tls]: [Result<SocketAddr>; 2] = [8080, 8443].map(|port| gateway.address(port));
    Ok(Place {
        hostname: HOSTNAME.to_owned(),
        cleartext: cleartext?,
        tls: tls?,
    })
}
