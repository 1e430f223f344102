//! The composition root: builds all parts, joins them by channels, and stops them.
//!
//! ```text
//!  source ──changes──> reconcile ──published──┬─> proxy workers
//!    ^                     │                  ├─> admin ports
//!    └──────wanted─────────┘                  └─> status writer (in a cluster)
//! ```

mod files;
mod hints;
mod signals;
mod site;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use self::{signals::Signals, site::Site};
use crate::{
    admin,
    config::{Compat, Serve},
    crd::gateway_settings::Preset,
    graph::Graph,
    proxy::{self, Proxy},
    reconcile::{Ends, Published, Reconciler},
    resource::ObjectKey,
    source::Change,
    status::StatusMetrics,
    telemetry::{
        health::Health,
        metrics::{self, ConfigMetrics, VERSION},
        watches::WatchMetrics,
    },
};

/// Batches of changes on the way to the compiler. The source waits when it is full.
const CHANGES: usize = 64;

/// Open files of the process beside those of its workers: admin ports, watches, logs.
const FILES: u64 = 64;
/// Of a worker that serves nobody yet: its runtime, and its sockets for a few Listeners.
const FILES_OF_WORKER: u64 = 8;

/// For what is told to others when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where the compiler's output goes.
type Snapshots = watch::Receiver<Option<Arc<Published>>>;

/// Serves until the process is told to end. An error says what failed and what to do.
pub fn serve(serve: &Serve) -> Result<()> {
    let files = files::raise_limit();
    ensure_room(serve.workers, files)?;
    // Everything but traffic: watches, compiles, admin ports, echo.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("starting threads")?;
    info!(
        version = VERSION,
        workers = serve.workers(),
        open.files = files,
        "Starting"
    );
    let served = runtime.block_on(run(serve));
    // The process ends with all its threads. To stop them one after the other would take time, and end what stands in for
    // Services before those who still ask them.
    std::mem::forget(runtime);
    served
}

/// Fails where more workers are asked for than there can be open files for: what runs out of them would be anything.
fn ensure_room(workers: Option<NonZeroUsize>, files: Option<u64>) -> Result<()> {
    let (Some(workers), Some(files)) = (workers, files) else {
        return Ok(());
    };
    let needed = FILES + FILES_OF_WORKER * u64::try_from(workers.get()).unwrap_or(u64::MAX / FILES);
    ensure!(
        needed <= files,
        "{workers} workers need about {needed} open files before the first connection, and the process may have {files}: ask for \
         fewer with `--workers`, or raise the limit (`ulimit -n`)"
    );
    Ok(())
}

/// Every family of metrics with its help, in the text format.
pub fn metric_families() -> String {
    let mut registry = metrics::registry();
    let config = ConfigMetrics::register(&mut registry);
    // Some families are there only once something was compiled.
    config.applied(metrics::Compiled::default(), Duration::ZERO, Duration::ZERO);
    WatchMetrics::register(&mut registry).kept(Some(Duration::ZERO));
    StatusMetrics::register(&mut registry);
    proxy::describe_metrics(&mut registry);
    metrics::render(&registry)
}

async fn run(serve: &Serve) -> Result<()> {
    let mut signals = Signals::new().context("listening for signals")?;
    let health = Health::new();
    let mut registry = metrics::registry();
    let config_metrics = ConfigMetrics::register(&mut registry);
    let (change_sender, changes) = mpsc::channel::<Vec<Change>>(CHANGES);
    let (published_sender, published) = watch::channel(None);
    let (wanted_sender, wanted) = watch::channel(Arc::new(BTreeSet::<ObjectKey>::new()));

    let site = Site::find(serve, &mut registry).await?;
    let options = site.compiler_options(serve);
    let proxy = Proxy::start(
        proxy_options(serve),
        graphs(published.clone()),
        health.clone(),
        &mut registry,
    )
    .context("starting the proxy")?;
    let state = admin::State {
        health: health.clone(),
        registry,
        config: site.shown_config(serve),
        snapshot: Box::new(shown(published.clone())),
    };
    serve_admin(serve, state).await?;

    let ends = Ends {
        changes,
        published: published_sender,
        wanted: wanted_sender,
        hold_off: serve.hold_off,
        health: health.clone(),
        metrics: config_metrics,
    };
    let preset = match serve.compat {
        Some(Compat::Emissary) => Preset::Emissary,
        None => Preset::None,
    };
    let reconciler = Reconciler::new(ends, move || {
        let mut compiler = crate::compile::Compiler::new(options.clone()).with_preset(preset);
        move |resources: &_| compiler.compile(resources)
    });
    let reconciling = tokio::spawn(reconciler.run());
    let reconciling = async {
        match reconciling.await {
            // There is nothing more to compile because the source has ended, and it says why.
            Ok(Ok(())) => std::future::pending().await,
            failed => failed,
        }
    };
    let status = site.write_status(serve, &health, proxy.unbound(), published.clone());
    let source = site.run_source(serve, &health, change_sender, wanted);
    let hints = async {
        if serve.dir.is_some() {
            print_hints(published, &health, &proxy).await;
        }
        std::future::pending::<()>().await;
    };

    let failure = tokio::select! {
        () = signals.end() => None,
        () = hints => None,
        why = proxy.failed() => Some(anyhow!("a worker ended: {why}")),
        ended = source => Some(ended_source(ended)),
        ended = reconciling => Some(anyhow!("the compiler's task ended: {ended:?}")),
    };
    if let Some(failure) = &failure {
        health.dead(format!("{failure:#}"));
    }
    let drained = tokio::select! {
        cut_off = proxy.drain() => Some(cut_off),
        () = signals.end() => None,
    };
    // The leader's Lease is given back, so that another replica need not wait for it to expire.
    status.stop().await;
    match drained {
        Some(0) => {}
        Some(cut_off) => warn!(
            requests.cut = cut_off,
            "The drain timeout was too short for some requests"
        ),
        None => warn!("Told to end a second time: ending at once"),
    }
    failure.map_or(Ok(()), Err)
}

fn ended_source(ended: Result<Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the source of resources ended"),
        Ok(Err(error)) => error,
        Err(error) => anyhow!(error).context("the source of resources failed"),
    }
}

fn proxy_options(serve: &Serve) -> proxy::Options {
    proxy::Options {
        workers: serve.workers(),
        binds: serve.binds.clone(),
        drain_delay: serve.drain_delay(),
        drain_timeout: serve.drain_timeout,
        access_log: serve.access_log.clone(),
        route_metrics: serve.route_metrics,
        hostname: site::machine_name().into(),
        zone: serve
            .pod
            .zone
            .as_deref()
            .filter(|zone| !zone.is_empty())
            .map(Into::into),
    }
}

/// The graphs among what is published.
fn graphs(mut published: Snapshots) -> watch::Receiver<Option<Arc<Graph>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let graph = published
                .borrow_and_update()
                .as_ref()
                .map(|published| published.graph.clone());
            sender.send_if_modified(|last| {
                let same = match (&*last, &graph) {
                    (Some(last), Some(graph)) => Arc::ptr_eq(last, graph),
                    (last, graph) => last.is_none() && graph.is_none(),
                };
                *last = graph;
                !same
            });
            if published.changed().await.is_err() {
                // The last graph stays in use.
                sender.closed().await;
                return;
            }
        }
    });
    receiver
}

/// The last snapshot, for the admin ports.
fn shown(published: Snapshots) -> impl Fn() -> Option<admin::Snapshot> + Send + Sync {
    move || {
        published
            .borrow()
            .as_ref()
            .map(|published| admin::Snapshot {
                generation: published.generation,
                graph: published.graph.clone(),
                report: published.report.clone(),
                versions: published.versions.clone(),
            })
    }
}

async fn serve_admin(serve: &Serve, state: admin::State) -> Result<()> {
    let state = Arc::new(state);
    let ports = [
        (admin::Port::Health, serve.admin_address, "--admin-address"),
        (
            admin::Port::Diagnostics,
            serve.diagnostics_address,
            "--diagnostics-address",
        ),
    ];
    for (port, address, flag) in ports {
        let admin = bind_admin(port, address, &state)
            .await
            .with_context(|| format!("binding {address}; choose another with `{flag}`"))?;
        info!(server.addr = %admin.address()?, ?port, "Listening for operators");
        tokio::spawn(admin.run());
    }
    Ok(())
}

/// Binds to an address; in the place of every address to those of IPv4, where there is no IPv6.
async fn bind_admin(
    port: admin::Port,
    address: SocketAddr,
    state: &Arc<admin::State>,
) -> io::Result<admin::Admin> {
    let bound = admin::Admin::bind(port, address, state.clone()).await;
    match bound {
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED
                && error.kind() != io::ErrorKind::AddrInUse =>
        {
            let address = (Ipv4Addr::UNSPECIFIED, address.port()).into();
            admin::Admin::bind(port, address, state.clone()).await
        }
        bound => bound,
    }
}

/// Tells whoever tries a folder what to ask it.
async fn print_hints(mut published: Snapshots, health: &Health, proxy: &Proxy) {
    while !health.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let published = published.borrow_and_update().clone();
    if let Some(published) = published {
        let text = hints::of(&published.graph, &published.report, &proxy.addresses());
        // Nobody reads it when standard output is closed.
        let _unread = io::stdout().write_all(text.as_bytes());
    }
}

/// A task that stops when asked.
#[derive(Debug, Default)]
struct Stoppable(Option<(watch::Sender<bool>, JoinHandle<()>)>);

impl Stoppable {
    async fn stop(self) {
        if let Some((stop, task)) = self.0 {
            stop.send_replace(true);
            let _stopped = tokio::time::timeout(LAST_WORDS, task).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_without_room_for_their_files_are_refused_with_what_helps() {
        let room = |workers, files| ensure_room(NonZeroUsize::new(workers), Some(files));
        let error = room(500, 1024).unwrap_err().to_string();
        for help in ["500 workers", "1024", "--workers", "ulimit -n"] {
            assert!(error.contains(help), "{error}");
        }
        room(64, 1024).unwrap();
        ensure_room(None, Some(64)).unwrap();
        ensure_room(NonZeroUsize::new(500), None).unwrap();
    }
}
