//! A client that behaves, on a connection of its own, while others do not.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::client::{Answer, tcp};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until it is told to finish.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u32>>,
}

impl Bystander {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let stop = stop.clone();
            move || ask(address, &stop)
        });
        Self { stop, thread }
    }

    /// How many requests were answered; an error if one was not.
    pub(crate) fn finish(self) -> io::Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Half of the requests come on a connection that is kept, half on new ones.
fn ask(address: SocketAddr, stop: &AtomicBool) -> io::Result<u32> {
    let mut kept = tcp(address)?;
    let mut answered = 0;
    loop {
        request(&mut kept)?;
        request(&mut tcp(address)?)?;
        answered += 2;
        if stop.load(Ordering::Relaxed) {
            return Ok(answered);
        }
        thread::sleep(PAUSE);
    }
}

fn request(stream: &mut std::net::TcpStream) -> io::Result<()> {
    stream.write_all(b"GET /beside HTTP/1.1\r\nHost: bystander.com\r\n\r\n")?;
    match Answer::read(stream, "GET")? {
        Answer { status: 200, .. } => Ok(()),
        answer => Err(io::Error::other(format!("{answer:?}"))),
    }
}
