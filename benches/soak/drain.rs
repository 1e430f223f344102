//! The gateway is told to end while clients are served: every request is answered, and it ends soon.

use std::{io::Write, net::TcpStream, thread, time::Duration};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tokio::{runtime::Handle, time::Instant};

use super::{
    changes::{clients, place, write_routes},
    connection::Speech,
    harness::{
        gateway::{Gateway, PROGRAM},
        process,
        text::{grouped, milliseconds},
    },
    load::{Client, Load, Tally},
};

/// Each with its own delay before connections are refused.
const DELAYS: [&str; 4] = ["0s", "0s", "300ms", "1s"];
const BEFORE: Duration = Duration::from_secs(2);
/// Nobody who runs a request needs so long, and who has asked for nothing is not waited for.
const EXIT_LIMIT: Duration = Duration::from_secs(6);

/// What the end of one gateway came to.
struct End {
    answered: u64,
    connections: u64,
    took: Duration,
}

/// Proves it with some delays.
pub(super) fn prove(runtime: &Handle) -> Result<String> {
    let ends = DELAYS
        .iter()
        .map(|delay| end_one(delay, runtime))
        .collect::<Result<Vec<_>>>()?;
    let sum = |figure: fn(&End) -> u64| ends.iter().map(figure).sum();
    let each = ends.iter().zip(DELAYS);
    let exits: Vec<_> = each
        .map(|(end, delay)| format!("{} with a delay of {delay}", milliseconds(end.took)))
        .collect();
    Ok(format!(
        "SIGTERM under load, {} times: {} requests on {} connections, 0 failed; exit after {}",
        ends.len(),
        grouped(sum(|end| end.answered)),
        grouped(sum(|end| end.connections)),
        exits.join(", "),
    ))
}

/// Connections as load balancers keep them ready: some have said nothing, some the beginning of a head.
fn silent(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    let mut silent = Vec::new();
    for port in [8080, 8443] {
        let address = gateway.address(port)?;
        for said in [&b""[..], b"GET /sta", b""] {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(said)?;
            silent.push(stream);
        }
    }
    Ok(silent)
}

fn end_one(delay: &str, runtime: &Handle) -> Result<End> {
    let folder = tempfile::tempdir()?;
    write_routes(folder.path())?;
    let path = folder.path().display().to_string();
    let arguments = [&*path, "--echo", "--drain-delay", delay];
    let mut gateway = Gateway::launch(process::tied(PROGRAM), &arguments)?;
    gateway.wait_until_ready(Duration::from_secs(30))?;
    let mut clients = clients();
    // Some answers are not there yet when the end comes.
    clients.extend([false, true].map(|http2| Client {
        speech: Speech { tls: true, http2 },
        fresh: false,
        path: "/stable/a?delay_ms=400",
        pause: Duration::ZERO,
    }));
    let silent = silent(&gateway)?;
    let load = Load::start(runtime, &place(&gateway)?, &clients, 2);
    thread::sleep(BEFORE);
    let told = Instant::now();
    gateway.signal(Signal::TERM)?;
    let status = gateway.wait(EXIT_LIMIT)?;
    let took = told.elapsed();
    drop(silent);
    // By now every client was refused; one that was not is stopped.
    let tally = load.stop(runtime);
    let count = |counter: fn(&Tally) -> &std::sync::atomic::AtomicU64| tally.count(counter);
    let failed = count(|tally| &tally.failed);
    ensure!(
        failed == 0,
        "{failed} of {} requests failed with a delay of {delay}: {}",
        count(|tally| &tally.answered) + failed,
        tally.told()
    );
    ensure!(status.success(), "it ended with {status}");
    Ok(End {
        answered: count(|tally| &tally.answered),
        connections: count(|tally| &tally.connections),
        took,
    })
}
