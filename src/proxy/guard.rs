//! The bytes of an HTTP/1 connection on their way to and from hyper, watched.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    error::Malformed,
    framing::{Event, Framing},
};

/// Reads ahead of hyper what hyper reads, and keeps what it saw in a [`Watch`].
#[derive(Debug)]
pub(super) struct Guard<IO> {
    io: IO,
    framing: Framing,
    watch: Arc<Watch>,
}

/// What the guard of a connection saw. One thread alone writes and reads it; hyper asks of the IO of a connection that can
/// be upgraded that it could be sent to another.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Heads that have ended.
    heads: AtomicU64,
    /// The number of the head that must be refused, and why.
    refused: AtomicU64,
    why: AtomicU8,
    within_head: AtomicBool,
    write_blocked: AtomicBool,
    written: AtomicU64,
}

impl Watch {
    /// What is wrong with the head of this number, from 1.
    pub(super) fn verdict(&self, head: u64) -> Result<(), Malformed> {
        if self.refused.load(Relaxed) == head {
            let why = usize::from(self.why.load(Relaxed));
            let known = Malformed::ALL.get(why.wrapping_sub(1));
            return Err(known.copied().unwrap_or(Malformed::Framing));
        }
        // hyper has found a request where we have not.
        if self.heads.load(Relaxed) < head {
            return Err(Malformed::Framing);
        }
        Ok(())
    }

    /// The number of the head that has begun and not ended.
    pub(super) fn head_under_way(&self) -> Option<u64> {
        let under_way = self.within_head.load(Relaxed);
        under_way.then(|| self.heads.load(Relaxed) + 1)
    }

    /// How many bytes the client has taken, if more are ready that it does not take.
    pub(super) fn blocked_at(&self) -> Option<u64> {
        self.write_blocked
            .load(Relaxed)
            .then(|| self.written.load(Relaxed))
    }

    fn saw(&self, Event::Head(verdict): Event) {
        let head = self.heads.load(Relaxed) + 1;
        self.heads.store(head, Relaxed);
        if let Err(malformed) = verdict {
            self.why.store(malformed as u8, Relaxed);
            self.refused.store(head, Relaxed);
        }
    }
}

impl<IO> Guard<IO> {
    pub(super) fn new(io: IO, watch: Arc<Watch>) -> Self {
        Self {
            io,
            framing: Framing::new(),
            watch,
        }
    }
}

fn broken() -> io::Error {
    let why = "the chunks of the request body are malformed";
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.framing.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let sound = this.framing.feed(new, |event| this.watch.saw(event));
        // What is after a break is never seen by hyper, which would read some of it.
        buffer.set_filled(before + sound);
        if sound == 0 && this.framing.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        this.watch
            .within_head
            .store(this.framing.is_within_head(), Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch.write_blocked.store(poll.is_pending(), Relaxed);
        if let Poll::Ready(Ok(count)) = &poll {
            let written = self.watch.written.load(Relaxed);
            self.watch.written.store(written + *count as u64, Relaxed);
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
