//! A connection whose first bytes have been looked at.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Gives the bytes that were looked at once more before those that follow.
#[derive(Debug)]
pub(super) struct Prefixed<IO> {
    io: IO,
    prefix: SmallVec<[u8; 8]>,
    given: usize,
}

impl<IO> Prefixed<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            prefix: SmallVec::new(),
            given: 0,
        }
    }
}

impl<IO: AsyncRead + Unpin> Prefixed<IO> {
    /// Whether the connection begins with `expected`. Reads no further than the first byte that differs; an end of the
    /// connection differs.
    pub(super) async fn begins_with(&mut self, expected: &[u8]) -> io::Result<bool> {
        for (index, byte) in expected.iter().enumerate() {
            if index == self.prefix.len() {
                let mut next = [0; 1];
                if self.io.read(&mut next).await? == 0 {
                    return Ok(false);
                }
                self.prefix.extend(next);
            }
            if self.prefix[index] != *byte {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<IO: AsyncRead + Unpin> Prefixed<IO> {
    /// What was looked at.
    pub(super) fn looked_at(&self) -> &[u8] {
        &self.prefix
    }

    /// Waits for more to look at, up to `most` bytes in all, and tells how much it is; nothing at the end of the connection, or
    /// when there is no room left.
    pub(super) async fn look(&mut self, most: usize) -> io::Result<usize> {
        let mut more = [0; 2048];
        let room = most.saturating_sub(self.prefix.len()).min(more.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.io.read(&mut more[..room]).await?;
        self.prefix.extend_from_slice(&more[..count]);
        Ok(count)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefixed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.prefix.get(this.given..).unwrap_or_default();
        if !left.is_empty() {
            let count = left.len().min(buffer.remaining());
            buffer.put_slice(&left[..count]);
            this.given += count;
            if this.given == this.prefix.len() {
                // A handshake may have been looked at, and is not to take room for as long as the connection lives.
                (this.prefix, this.given) = (SmallVec::new(), 0);
            }
            // More may be there: taken in the same read, a head that arrived whole is read whole.
            return match Pin::new(&mut this.io).poll_read(context, buffer) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
            };
        }
        Pin::new(&mut this.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefixed<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"PRI * HTTP/2.0").await.unwrap();
        client.shutdown().await.unwrap();
        let mut io = Prefixed::new(server);
        assert!(!io.begins_with(&[22]).await.unwrap());
        assert!(io.begins_with(b"PRI ").await.unwrap());
        let mut all = String::new();
        io.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "PRI * HTTP/2.0");
        assert!(!io.begins_with(b"PRI * HTTP/2.0!").await.unwrap());
    }
}
