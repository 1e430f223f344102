//! Clients in the cluster's network, and which of their requests failed.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::Instant;

use super::cluster::Cluster;
use crate::client::{Answer, Request, tcp};

/// Between two requests of a client: all of them together ask some hundred times a second.
const PAUSE: Duration = Duration::from_millis(10);
/// Longer than any test: a bound, should nobody stop it.
const AT_MOST: Duration = Duration::from_mins(3);

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// One for each request.
    Fresh,
    /// One for as long as the gateway keeps it. A GET that finds it closed before the first byte of an answer is sent once
    /// more on a new one, as every HTTP client does.
    Kept,
}

/// GET requests for one URL, by two clients of each habit.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Outcome>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    /// On a connection that was closed before an answer began, and then answered on another one.
    pub(crate) sent_again: usize,
    pub(crate) failed: Vec<String>,
}

// === impl Load ===

impl Load {
    /// On port 80 of Postern's LoadBalancer.
    pub(crate) fn start(cluster: &Cluster, path: &str) -> Self {
        Self::at(cluster, SocketAddr::new(cluster.address(), 80), path)
    }

    pub(crate) fn at(cluster: &Cluster, address: SocketAddr, path: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let habits = [Habit::Fresh, Habit::Kept, Habit::Fresh, Habit::Kept];
        // Threads are of the namespace of the one that starts them.
        let clients = cluster.inside(|| {
            habits
                .map(|habit| {
                    let (stop, path) = (stop.clone(), path.to_owned());
                    thread::spawn(move || client(habit, address, &path, &stop))
                })
                .into_iter()
                .collect()
        });
        Self { stop, clients }
    }

    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Relaxed);
        let mut all = Outcome::default();
        for client in self.clients {
            let outcome = client.join().unwrap();
            all.sent += outcome.sent;
            all.sent_again += outcome.sent_again;
            all.failed.extend(outcome.failed);
        }
        all
    }
}

fn client(habit: Habit, address: SocketAddr, path: &str, stop: &AtomicBool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    let url = format!("http://{address}{path}");
    let deadline = Instant::now() + AT_MOST;
    while !stop.load(Relaxed) && Instant::now() < deadline {
        outcome.sent += 1;
        let answer = match habit {
            Habit::Fresh => Request::get(&url).try_send(address),
            Habit::Kept => ask(&mut connection, address, path, &mut outcome),
        };
        let failure = match answer {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => Some(format!("{habit:?}: {} {}", answer.status, answer.text())),
            Err(error) => Some(format!("{habit:?}: {error}")),
        };
        outcome.failed.extend(failure);
        thread::sleep(PAUSE);
    }
    outcome
}

/// Asks on the kept connection, or on a new one.
fn ask(
    kept: &mut Option<TcpStream>,
    address: SocketAddr,
    path: &str,
    outcome: &mut Outcome,
) -> std::io::Result<Answer> {
    if let Some(mut connection) = kept.take() {
        match exchange(&mut connection, address, path) {
            Ok(answer) => {
                *kept = reusable(connection, &answer);
                return Ok(answer);
            }
            Err(error) if is_closed(&error) => outcome.sent_again += 1,
            Err(error) => return Err(error),
        }
    }
    let mut connection = tcp(address)?;
    let answer = exchange(&mut connection, address, path)?;
    *kept = reusable(connection, &answer);
    Ok(answer)
}

fn exchange(
    connection: &mut TcpStream,
    address: SocketAddr,
    path: &str,
) -> std::io::Result<Answer> {
    use std::io::Write as _;
    connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())?;
    Answer::read(connection, "GET")
}

fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn reusable(connection: TcpStream, answer: &Answer) -> Option<TcpStream> {
    (answer.header("connection") != Some("close")).then_some(connection)
}
