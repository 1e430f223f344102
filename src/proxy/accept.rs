//! From a socket to connections.

use std::{io, net::SocketAddr, rc::Rc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};

use super::limits;

/// The socket of one worker for one Listener.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) socket: std::net::TcpListener,
    /// One for each connection that the worker may have. Without one, connections wait in the kernel.
    pub(super) slots: std::sync::Arc<Semaphore>,
    pub(super) stop: Rc<Notify>,
}

/// A connection, counted against the worker's limit for as long as it lives.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) slot: OwnedSemaphorePermit,
}

impl Acceptor {
    /// Hands over connections until it is stopped; then those that the kernel has already taken, so that none of them is
    /// reset when the socket closes.
    pub(super) async fn run(self, mut take: impl FnMut(Accepted)) -> io::Result<()> {
        let Self {
            socket,
            slots,
            stop,
        } = self;
        let listener = TcpListener::from_std(socket)?;
        loop {
            let next = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                biased;
                next = next => next,
                () = stop.notified() => break,
            };
            let Ok(slot) = slot else {
                break;
            };
            match accepted {
                Ok((stream, client)) => hand_over(stream, client, slot, &mut take),
                Err(error) => back_off(&error).await,
            }
        }
        let socket = listener.into_std()?;
        while let Ok((stream, client)) = socket.accept() {
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                break;
            };
            stream.set_nonblocking(true)?;
            hand_over(TcpStream::from_std(stream)?, client, slot, &mut take);
        }
        Ok(())
    }
}

fn hand_over(
    stream: TcpStream,
    client: SocketAddr,
    slot: OwnedSemaphorePermit,
    take: &mut impl FnMut(Accepted),
) {
    // A connection that is gone already has no address: there is nobody to serve.
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Without it a small last packet waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    take(Accepted {
        stream,
        client: canonical(client),
        local: canonical(local),
        slot,
    });
}

/// An IPv4 client of a socket for both families has an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

/// Errors of one connection are nobody else's; when files have run out, time must pass.
async fn back_off(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => {}
        _ => {
            tracing::warn!(%error, "Connections cannot be accepted");
            tokio::time::sleep(limits::ACCEPT_BACK_OFF).await;
        }
    }
}
