//! Clients that send requests until they are told to stop, and count what goes wrong.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time::Instant};

use super::connection::{Connection, Outcome, Place, Sender, Speech};

/// The longest that an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests at a time on a connection with streams.
const STREAMS: usize = 4;
/// Failures that are told; the others are only counted.
const TOLD: usize = 5;
/// Times of answers that are kept.
const TIMES: usize = 1_000_000;

/// One client, which has one connection at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) speech: Speech,
    /// Whether each request has a connection of its own.
    pub(super) fresh: bool,
    pub(super) path: &'static str,
    /// Between an answer and the next request.
    pub(super) pause: Duration,
}

/// Running clients.
#[derive(Debug)]
pub(super) struct Load {
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<()>>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: AtomicU64,
    pub(super) connections: AtomicU64,
    /// Requests without the answer that was due.
    pub(super) failed: AtomicU64,
    /// Connections that the server ended, after saying so.
    pub(super) ended: AtomicU64,
    /// Connections that the server ended without a word.
    pub(super) dropped: AtomicU64,
    failures: Mutex<Vec<String>>,
    micros: Mutex<Vec<u32>>,
}

// === impl Load ===

impl Load {
    /// Starts `copies` of each client.
    pub(super) fn start(
        runtime: &Handle,
        place: &Place,
        clients: &[Client],
        copies: usize,
    ) -> Self {
        let tally = Arc::<Tally>::default();
        let (stop, stopped) = watch::channel(false);
        let each = clients.iter().flat_map(|client| vec![*client; copies]);
        let clients = each.map(|client| {
            let run = run(client, place.clone(), tally.clone(), stopped.clone());
            runtime.spawn(run)
        });
        Self {
            clients: clients.collect(),
            tally,
            stop,
        }
    }

    /// Lets every client finish its request, and gives what all have seen.
    pub(super) fn stop(self, runtime: &Handle) -> Arc<Tally> {
        self.stop.send_replace(true);
        runtime.block_on(async {
            let ended = tokio::time::timeout(PATIENCE * 2, join_all(self.clients)).await;
            match ended {
                Ok(clients) if clients.iter().all(Result::is_ok) => {}
                _ => self.tally.fail(&"a client did not end"),
            }
        });
        self.tally
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn fail(&self, what: &dyn fmt::Display) {
        self.failed.fetch_add(1, Relaxed);
        let mut failures = self.failures.lock();
        if failures.len() < TOLD {
            failures.push(what.to_string());
        }
    }

    pub(super) fn count(&self, counter: fn(&Self) -> &AtomicU64) -> u64 {
        counter(self).load(Relaxed)
    }

    /// The first failures, for people.
    pub(super) fn told(&self) -> String {
        self.failures.lock().join("; ")
    }

    /// How long an answer took that is slower than this share of all.
    pub(super) fn percentile(&self, share: f64) -> Duration {
        let mut micros = self.micros.lock().clone();
        micros.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index of a short list"
        )]
        let at = (micros.len().saturating_sub(1) as f64 * share) as usize;
        Duration::from_micros(micros.get(at).copied().unwrap_or_default().into())
    }

    fn answered(&self, status: u16, took: Duration, client: &Client) {
        if status == 200 {
            self.answered.fetch_add(1, Relaxed);
        } else {
            self.fail(&format_args!("{} answered {status}", client.path));
        }
        let mut micros = self.micros.lock();
        if micros.len() < TIMES {
            micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// One client, until it is stopped or nobody listens any more.
async fn run(client: Client, place: Place, tally: Arc<Tally>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let opening = Connection::open(&place, client.speech);
        let connection = match tokio::time::timeout(PATIENCE, opening).await {
            Ok(Ok(connection)) => connection,
            // Nobody listens: whoever sends traffic here has been told to go elsewhere.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            Ok(Err(error)) => {
                tally.fail(&format_args!("{:?} cannot connect: {error}", client.speech));
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(_) => {
                tally.fail(&"connecting took too long");
                continue;
            }
        };
        tally.connections.fetch_add(1, Relaxed);
        converse(client, &place, &tally, &stop, connection).await;
    }
}

/// Uses a connection until it ends.
async fn converse(
    client: Client,
    place: &Place,
    tally: &Tally,
    stop: &watch::Receiver<bool>,
    connection: Connection,
) {
    let Connection { sender, driver } = connection;
    let others = (1..STREAMS)
        .filter_map(|_| sender.another())
        .collect::<Vec<_>>();
    let senders = std::iter::once(sender).chain(others);
    let ends = senders.map(|sender| exchange(client, place, tally, stop, sender));
    let ends = join_all(ends).await;
    if ends.iter().any(|end| matches!(end, End::Closed)) {
        // Without its senders the driver ends at once, if it has not yet.
        let goodbye = client.speech.http2 && matches!(driver.await, Ok(Ok(())));
        let counter = if goodbye {
            &tally.ended
        } else {
            &tally.dropped
        };
        counter.fetch_add(1, Relaxed);
    } else if ends.iter().any(|end| matches!(end, End::Told)) {
        tally.ended.fetch_add(1, Relaxed);
    }
}

/// How the use of a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client wanted no more.
    Done,
    /// The server said that it would end the connection.
    Told,
    /// The connection was closed between two requests.
    Closed,
    /// A request was lost with it, which is counted already.
    Lost,
}

/// Sends one request after the other.
async fn exchange(
    client: Client,
    place: &Place,
    tally: &Tally,
    stop: &watch::Receiver<bool>,
    mut sender: Sender,
) -> End {
    while !*stop.borrow() {
        let begun = Instant::now();
        let sending = sender.send(place, client.path);
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Outcome::Answered { status, last }) => {
                tally.answered(status, begun.elapsed(), &client);
                if last {
                    return End::Told;
                }
            }
            Ok(Outcome::Unsent) => return End::Closed,
            Ok(Outcome::Lost(error)) => {
                tally.fail(&format_args!(
                    "{:?} lost {}: {error:?}",
                    client.speech, client.path
                ));
                return End::Lost;
            }
            Err(_) => {
                tally.fail(&format_args!("{} was not answered", client.path));
                return End::Lost;
            }
        }
        if client.fresh {
            return End::Done;
        }
        tokio::time::sleep(client.pause).await;
    }
    End::Done
}
