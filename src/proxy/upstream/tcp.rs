//! Connections that are not HTTP: one is opened for each of a client, and belongs to nobody else.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Pools, Reached, RequestBody, Trial,
    breaker::Slot,
    error::UpstreamError,
    load::Counted,
    pool::{Aim, Order},
    stream::Stream,
};
use crate::graph::{DialPolicy, Upstream, breaker::Priority};

/// An open connection. It counts for the limits of its upstream until it is dropped.
#[derive(Debug)]
pub struct Opened {
    stream: Stream,
    _slot: Option<Slot>,
    _load: Option<Counted>,
}

impl<B: RequestBody> Pools<B> {
    /// Opens a connection, to the endpoint whose turn it is.
    pub async fn open(
        &self,
        upstream: &Arc<Upstream>,
        dial: &DialPolicy,
        reached: &Reached,
    ) -> Result<Opened, UpstreamError> {
        let pool = self.pool(&upstream.id);
        pool.set_idle_timeout(upstream.idle_timeout);
        let Aim {
            endpoint,
            turn,
            counted,
            seat: _,
        } = pool.aim(&self.0.shared, upstream, None);
        let lane = pool.lane(&self.0.shared, upstream, Priority::Default);
        // A connection has no status to be judged by; one that does not come about is blamed where it is dialled.
        let trial = Trial::default();
        let order = Order {
            shared: &self.0.shared,
            pool,
            endpoint,
            turn,
            upstream,
            policy: dial,
            lane,
            reached: Some(reached),
            trial: &trial,
        };
        // A client that would have to wait may as well try again: what it says first is not known to be worth keeping.
        let slot = match &order.lane {
            None => None,
            Some(lane) => Some(lane.try_slot().ok_or_else(|| order.too_much())?),
        };
        let dialled = order.dial().await?;
        let counters = order.pool.worker.counters.clone();
        Ok(Opened {
            stream: Stream::new(dialled.transport, counters),
            _slot: slot,
            _load: counted,
        })
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
