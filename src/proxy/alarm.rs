//! Timers that cost nothing while no timeout is near.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for many deadlines of one task: it is set only when a deadline is nearer than what it is set to, so a
/// sequence of requests with the same timeout sets it once in that time. It may wake its task early; whoever asks is told
/// the truth.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Alarm {
    /// Ready when `deadline` has passed; else the task will be woken by then.
    pub(super) fn poll(&self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut slot = self.sleep.borrow_mut();
        let sleep = slot.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_met_whatever_was_asked_before() {
        let alarm = Alarm::default();
        let start = Instant::now();
        for millis in [50, 20, 90] {
            let deadline = start + Duration::from_millis(millis);
            poll_fn(|context| {
                let _ = alarm.poll(context, start + Duration::from_millis(60));
                alarm.poll(context, deadline)
            })
            .await;
            assert!(Instant::now() >= deadline, "{millis}");
        }
        assert_eq!(start.elapsed(), Duration::from_millis(90));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_in_the_past_is_ready_at_once() {
        let alarm = Alarm::default();
        let start = Instant::now();
        poll_fn(|context| alarm.poll(context, start)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
