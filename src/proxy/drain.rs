//! How the connections of a worker hear that the worker drains.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

/// Told once that no more connections and requests are wanted; all on one thread, so that a look costs a load.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closing: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, Option<Waker>>>,
    emptied: Notify,
}

/// A connection behind the gate: the worker waits for it.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Rc<Gate>,
    number: u64,
    registered: bool,
}

impl Gate {
    /// Lets a connection in.
    pub(super) fn pass(self: &Rc<Self>) -> Pass {
        let number = self.next.get();
        self.next.set(number + 1);
        self.waiting.borrow_mut().insert(number, None);
        Pass {
            gate: self.clone(),
            number,
            registered: false,
        }
    }

    /// Wakes every connection, to end in good order.
    pub(super) fn close(&self) {
        self.closing.set(true);
        for waker in self.waiting.borrow_mut().values_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        while !self.waiting.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.waiting.borrow().len()
    }
}

impl Pass {
    /// Whether the worker drains; if not, the task is woken when it does. A connection stays in one task.
    pub(super) fn is_closing(&mut self, context: &Context<'_>) -> bool {
        if self.gate.closing.get() {
            return true;
        }
        if !self.registered {
            self.registered = true;
            let waker = Some(context.waker().clone());
            self.gate.waiting.borrow_mut().insert(self.number, waker);
        }
        false
    }

    /// Ends so long after the worker has begun to drain.
    pub(super) async fn drained(&mut self, patience: Duration) {
        poll_fn(|context| {
            if self.is_closing(context) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        sleep(patience).await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.waiting.borrow_mut().remove(&self.number);
        self.gate.emptied.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn closing_wakes_every_connection_and_waits_for_it() {
        let gate = Rc::new(Gate::default());
        let ended = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let mut pass = gate.pass();
            let ended = ended.clone();
            tokio::task::spawn_local(async move {
                pass.drained(Duration::ZERO).await;
                ended.set(ended.get() + 1);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!((gate.connections(), ended.get()), (3, 0));
        gate.close();
        gate.emptied().await;
        assert_eq!((gate.connections(), ended.get()), (0, 3));
    }
}
