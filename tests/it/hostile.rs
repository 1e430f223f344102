//! Hostile clients against the real binary: raw bytes over loopback, while a bystander's requests must go on as if nothing were.
//!
//! The names of groups (`SEC-I1`) are those of the requirements in `docs/security.md`.

mod bystander;
pub(crate) mod dial;
mod floods;
mod frames;
mod heads;
mod http2;
mod recorder;
mod shapes;
mod slow;
mod upstream;

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::time::Instant;

use super::{client::tcp, gateway::Gateway};
pub(crate) use bystander::Bystander;
use recorder::Recorder;

/// Everything goes to the recorder, but what the bystander asks for; nobody may come to `/smuggled/` without being the tenant
/// that the header names.
const RESOURCES: &str = r#"
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {name: everything}
spec: {hostname: "*", prefix: /, service: recorder}
---
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {name: tenant}
spec: {hostname: "*", prefix: /tenant/, rewrite: /smuggled/, headers: {x-tenant: admin}, service: recorder}
---
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {name: upgrade}
spec: {hostname: "*", prefix: /upgrade/, rewrite: /, allowUpgrade: [websocket], service: recorder}
---
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {name: bystander}
spec: {hostname: bystander.com, prefix: /, service: echo}
---
"#;

/// What the process may grow by under any attack here. Generous: debug builds and parallel tests; `make soak` measures.
const MAX_GROWTH: f64 = 96.0 * 1024.0 * 1024.0;

/// A gateway, and the upstream behind it that keeps what it was sent.
struct Site {
    gateway: Gateway,
    recorder: Option<Recorder>,
}

fn gateway(upstream: SocketAddr, flags: &[&str]) -> Gateway {
    let backend = format!("default/recorder={upstream}");
    let flags = [&["--echo", "--backend", &backend], flags].concat();
    Gateway::with_flags(RESOURCES, &flags)
}

impl Site {
    fn start() -> Self {
        let recorder = Recorder::start();
        Self {
            gateway: gateway(recorder.address(), &[]),
            recorder: Some(recorder),
        }
    }

    /// In front of another upstream than the recorder.
    fn before(upstream: SocketAddr, flags: &[&str]) -> Self {
        Self {
            gateway: gateway(upstream, flags),
            recorder: None,
        }
    }

    /// Whether the recorder has seen this text.
    fn saw(&self, text: &str) -> bool {
        self.recorder.as_ref().unwrap().saw(text)
    }

    fn connect(&self) -> TcpStream {
        tcp(self.gateway.address(8080)).unwrap()
    }

    fn resident(&self) -> f64 {
        self.gateway.metrics()["postern_resident_memory_bytes"]
    }

    /// Runs an attack with a bystander beside it, and looks afterwards whether the gateway is as it was.
    fn withstands(&self, name: &str, attack: impl FnOnce(&Self)) {
        let before = self.resident();
        let bystander = Bystander::start(self.gateway.address(8080));
        attack(self);
        let answered = bystander.finish();
        assert!(
            answered.is_ok(),
            "{name}: {answered:?}\n{}",
            self.gateway.logged()
        );
        let growth = self.resident() - before;
        assert!(
            growth < MAX_GROWTH,
            "{name}: the process grew by {} MiB",
            growth / 1024.0 / 1024.0
        );
        let answer = self.gateway.get("http://bystander.com/after");
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
}

/// What came until the other side closed.
#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    closed: bool,
}

/// What must happen has happened after this, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(250);

/// Reads until the other side closes, or until `done` and silence after it, or until patience ends.
fn receive_until(stream: &mut TcpStream, done: impl Fn(&Received) -> bool) -> Received {
    let deadline = Instant::now() + PATIENCE;
    let mut received = Received::default();
    loop {
        let more = receive(stream, LOOK);
        received.bytes.extend(more.bytes);
        received.closed = more.closed;
        if received.closed || done(&received) || Instant::now() >= deadline {
            return received;
        }
    }
}

/// Reads until the other side closes, or says nothing for `patience`.
fn receive(stream: &mut TcpStream, patience: Duration) -> Received {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break false;
            }
            Err(_) => break true,
        }
    };
    Received { bytes, closed }
}
