//! Connections that are not HTTP: who has one is what the access log says, because the echo server speaks in nobody's name there.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{PATIENCE, Siege};
use crate::client;

impl Siege<'_> {
    /// The route and the upstream of a connection.
    pub(super) fn connection(&self, port: u16, name: Option<&str>) -> String {
        let mut log = File::open(self.log).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        let address = if port == 8443 { self.tls } else { self.orders };
        let mut stream = client::tcp(address).unwrap();
        let own = stream.local_addr().unwrap();
        if let Some(name) = name {
            client::hello(&mut stream, name).unwrap();
        } else {
            let _sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        }
        let _ended = stream.read_to_end(&mut Vec::new());
        drop(stream);
        told(log, own)
    }
}

/// The upstream of the connection from this address, in what is written to the access log from now on.
fn told(mut log: File, client: SocketAddr) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut text = String::new();
    loop {
        log.read_to_string(&mut text).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(serde_json::from_str::<Value>);
        let line = lines
            .map(Result::unwrap)
            .find(|line| line["client"] == client.to_string());
        if let Some(line) = line {
            return format!("{} {}", line["upstream"], line["route"]);
        }
        assert!(Instant::now() < deadline, "nothing is logged of {client}");
        thread::sleep(Duration::from_millis(1));
    }
}
