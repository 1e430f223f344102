//! The thread that asks endpoints how they are: one for the process, beside the workers.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

use super::{
    Ended, Graphs,
    upstream::{self, Shared},
};
use crate::telemetry::logs::message_of;

/// Starts it. It ends with the last graph; that it ends otherwise is told as if it were a worker.
pub(super) fn start(
    (shared, graphs): (Arc<Shared>, Graphs),
    ending: mpsc::Sender<Ended>,
) -> io::Result<()> {
    let body = move || {
        let run = std::panic::AssertUnwindSafe(|| run(shared, graphs));
        let why = match std::panic::catch_unwind(run) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => message_of(&*panic).to_owned(),
        };
        // There is room for it; without a receiver the process ends anyway.
        let _ = ending.try_send(Ended {
            worker: "health".into(),
            result: Err(why),
        });
    };
    thread::Builder::new()
        .name("health".into())
        .spawn(body)
        .map(|_| ())
}

fn run(shared: Arc<Shared>, graphs: Graphs) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(upstream::watch_health(shared, graphs));
    Ok(())
}
