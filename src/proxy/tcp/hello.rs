//! The name that a TLS handshake asks for, read ahead of whoever makes the handshake.

use std::io;

use rustls::server::Acceptor;
use tokio::{io::AsyncRead, time::timeout};

use super::End;
use crate::proxy::{drain::Pass, limits, prefixed::Prefixed, tls};

/// The name in lower case, if there is one. What was read for it is read again.
pub(super) async fn name<IO>(
    io: &mut Prefixed<IO>,
    pass: &mut Pass,
) -> Result<Option<Box<str>>, End>
where
    IO: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        read = timeout(limits::HANDSHAKE, read(io)) => {
            read.unwrap_or(Ok(Err(End::HandshakeFailed))).unwrap_or(Err(End::ClientClosed))
        }
        () = pass.drained(limits::DRAIN_BEGUN) => Err(End::Drained),
    }
}

async fn read<IO>(io: &mut Prefixed<IO>) -> io::Result<Result<Option<Box<str>>, End>>
where
    IO: AsyncRead + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        let mut rest = io.looked_at().get(fed..).unwrap_or_default();
        while !rest.is_empty() {
            let count = acceptor.read_tls(&mut rest)?;
            fed += count;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(tls::normal);
                    return Ok(Ok(name));
                }
                Ok(None) if count > 0 => {}
                Ok(None) | Err(_) => return Ok(Err(End::HandshakeFailed)),
            }
        }
        if io.look(limits::CLIENT_HELLO).await? == 0 {
            return Ok(Err(End::HandshakeFailed));
        }
    }
}
