//! Bytes both ways between two connections. What one side ends is ended on the other, each direction by itself.

use std::{cell::Cell, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout_at},
};

use super::End;
use crate::proxy::limits;

/// Bytes that one direction holds.
const BUFFER: usize = 16 * 1024;

/// Is told of every byte that was passed on.
pub(in crate::proxy) trait Meter {
    /// From the client.
    fn received(&self, bytes: u64);
    /// To the client.
    fn sent(&self, bytes: u64);
}

/// At which end of a direction it broke.
enum Fault {
    From,
    To,
}

/// Joins two connections until both have ended, one breaks, or neither says anything for `idle`.
pub(in crate::proxy) async fn join<C, U>(
    client: C,
    upstream: U,
    idle: Duration,
    meter: &impl Meter,
) -> End
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let last = Cell::new(Instant::now());
    let up = async {
        let copied = copy(from_client, to_upstream, &last, |bytes| {
            meter.received(bytes);
        })
        .await;
        copied.map_err(|fault| match fault {
            Fault::From => End::ClientClosed,
            Fault::To => End::UpstreamReset,
        })
    };
    let down = async {
        let copied = copy(from_upstream, to_client, &last, |bytes| meter.sent(bytes)).await;
        copied.map_err(|fault| match fault {
            Fault::From => End::UpstreamReset,
            Fault::To => End::ClientClosed,
        })
    };
    let both = async { tokio::try_join!(up, down) };
    let silence = async {
        while last.get().elapsed() < idle {
            sleep_until(last.get() + idle).await;
        }
    };
    tokio::select! {
        ended = both => ended.err().unwrap_or(End::Closed),
        () = silence => End::Idle,
    }
}

/// Passes bytes on until there are no more, then says so to the other side.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    last: &Cell<Instant>,
    passed: impl Fn(u64),
) -> Result<(), Fault> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.map_err(|_| Fault::From)?;
        if count == 0 {
            break;
        }
        last.set(Instant::now());
        to.write_all(&buffer[..count])
            .await
            .map_err(|_| Fault::To)?;
        to.flush().await.map_err(|_| Fault::To)?;
        last.set(Instant::now());
        passed(u64::try_from(count).unwrap_or(u64::MAX));
    }
    // The other side may be gone already: then there is nobody to tell.
    let _ = timeout_at(Instant::now() + limits::HEAD, to.shutdown()).await;
    Ok(())
}
