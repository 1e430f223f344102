//! Many changes at once, and once more with the leader killed in the middle.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::{runtime::Handle, time::Instant};

use super::{
    field::{Change, Field, GOOD, PATIENCE},
    figure,
    record::BAD,
};

/// As many routes are changed at most.
const MOST: usize = 1000;

/// Routes that are good become bad, at once; then they become good again, while the leader dies.
pub(super) fn burst(field: &Field, runtime: &Handle) -> Result<String> {
    let names = field.record.some(MOST);
    field.record.writes();
    let times = runtime.block_on(async {
        let changes = field.change_all(&names, BAD).await?;
        until_right(field, &changes).await
    })?;
    let (writes, most) = field.record.writes();
    ensure!(
        most <= 1,
        "an object had {most} writes of its status, and {} objects had {writes}",
        names.len()
    );
    let (before, after) = names.split_at(names.len() / 2);
    let leader = runtime.block_on(field.leader())?;
    let mut changes = runtime.block_on(field.change_all(before, GOOD))?;
    leader.signal(Signal::KILL)?;
    let killed = Instant::now();
    changes.extend(runtime.block_on(field.change_all(after, GOOD))?);
    let last = runtime.block_on(until_right(field, &changes))?;
    let wrong = field.record.wrong();
    ensure!(wrong.is_empty(), "wrong statuses: {wrong:#?}");
    Ok(format!(
        "{} changes at once from good to bad, from the API server's answer: right status {}, {writes} writes and none has two; back to good with the leader killed in \
         the middle: right status {}, all of them {:.1} s after it was killed, 0 lost, 0 wrong",
        names.len(),
        figure(times.into_iter()),
        figure(last.into_iter()),
        killed.elapsed().as_secs_f64(),
    ))
}

async fn until_right(field: &Field, changes: &[Change]) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for change in changes {
        let right = field.until_right(change, PATIENCE).await;
        times.push(right.context("a status is lost")?);
    }
    Ok(times)
}
