//! Timers that cost nothing while no timeout is near.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// One timer for many deadlines of one task: it is set only when a deadline is nearer than what it is set to, so a
/// sequence of requests with the same timeout sets it once in that time. It may wake its task early; whoever asks is told
/// the truth.
#[derive(Debug, Default)]
pub(super) struct Alarm(RefCell<Option<Armed>>);

#[derive(Debug)]
struct Armed {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes.
    wakes: Waker,
}

impl Alarm {
    /// Ready when `deadline` has passed; else the task will be woken by then.
    pub(super) fn poll(&self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut slot = self.0.borrow_mut();
        let armed = slot.get_or_insert_with(|| Armed {
            sleep: Box::pin(sleep_until(deadline)),
            wakes: Waker::noop().clone(),
        });
        if armed.is_set_for(context, deadline) {
            return Poll::Pending;
        }
        armed.poll(context, deadline)
    }
}

impl Armed {
    /// Whether nothing is to be done: asking the timer itself costs more.
    fn is_set_for(&self, context: &Context<'_>, deadline: Instant) -> bool {
        self.sleep.deadline() <= deadline
            && !self.sleep.is_elapsed()
            && self.wakes.will_wake(context.waker())
    }

    fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.wakes.clone_from(context.waker());
        if self.sleep.deadline() > deadline {
            self.sleep.as_mut().reset(deadline);
        }
        loop {
            // A task that has used up its turn would be told to come again, and the timer would not be set.
            if pin!(unconstrained(self.sleep.as_mut()))
                .poll(context)
                .is_pending()
            {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
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
