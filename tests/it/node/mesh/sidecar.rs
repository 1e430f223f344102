//! Stands where the sidecar of a mesh stands: the kernel of a pod redirects to it what the pod's user dials, and it asks the
//! kernel where that was meant to go. It notes what a sidecar decides by, and then does what a test says.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::SockRef;
use tokio::time::Instant;

use super::super::process::Process;

/// Where Linkerd's listens for what goes out.
const PORT: u16 = 4140;
/// As many bytes as Linkerd's reads, once, to tell the protocol of a connection.
const DETECTED_BY: usize = 1024;
/// More of a connection is not noted.
const NOTED: usize = 64 * 1024;

/// What a pod's user dials goes to the sidecar; names are counted, as the sidecar never sees them.
const RULES: &str = "
table ip sidecar {
  counter names { }
  chain output {
    type nat hook output priority -100; policy accept;
    oifname lo return
    meta skuid != 65532 return
    meta l4proto tcp redirect to :4140
  }
  chain count {
    type filter hook output priority 0; policy accept;
    udp dport 53 counter name names
  }
}
";

/// A connection that was meant to go somewhere else.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where: the address and the port of the SYN.
    pub(super) to: SocketAddr,
    /// What its first read gave.
    pub(super) first: Vec<u8>,
    /// How long the first read took.
    pub(super) silent: Duration,
    /// What the pod has sent.
    pub(super) sent: Vec<u8>,
}

/// Of a connection that may go on.
type Note = Arc<Mutex<Seen>>;

/// What becomes of connections to an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conduct {
    /// They are led to where they were meant to go.
    Forward,
    /// Every request is answered with this.
    Answer(&'static str),
    /// The first request is answered with this, and then the sidecar sends no more, and reads on.
    AnswerAndEnd(&'static str),
    /// The request is read, and then the sidecar sends no more, and reads on.
    End,
    /// The request is read, and the connection is reset.
    Reset,
}

/// A sidecar in the network of a process; it is there until this process ends.
#[derive(Clone, Debug)]
pub(super) struct Sidecar {
    pub(super) of: Process,
    network: Arc<File>,
    seen: Arc<Mutex<Vec<Note>>>,
    conducts: Arc<Mutex<HashMap<SocketAddr, Conduct>>>,
    closed: Arc<AtomicBool>,
}

// === impl Seen ===

impl Seen {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// Beside a process, which must be in a network of its own.
    pub(super) fn beside(process: Process) -> Self {
        let sidecar = Self {
            of: process,
            network: Arc::new(process.network()),
            seen: Arc::default(),
            conducts: Arc::default(),
            closed: Arc::default(),
        };
        let listener = sidecar.inside(|| {
            nft(&["-f", "-"], RULES);
            TcpListener::bind(("127.0.0.1", PORT)).unwrap()
        });
        let worker = sidecar.clone();
        thread::spawn(move || {
            worker.enter();
            for stream in listener.incoming().map_while(Result::ok) {
                if worker.closed.load(Relaxed) {
                    // The listener is closed with this one: whoever dials now is refused.
                    return;
                }
                let worker = worker.clone();
                thread::spawn(move || {
                    worker.enter();
                    // A connection that breaks is not the sidecar's fault.
                    drop(worker.serve(stream));
                });
            }
        });
        sidecar
    }

    pub(super) fn conduct(&self, to: SocketAddr, conduct: Conduct) {
        self.conducts.lock().insert(to, conduct);
    }

    /// The connections to an address, oldest first.
    pub(super) fn to(&self, to: SocketAddr) -> Vec<Seen> {
        let all = self.seen.lock();
        let all = all.iter().map(|seen| seen.lock().clone());
        all.filter(|seen| seen.to == to).collect()
    }

    /// Where connections were meant to go.
    pub(super) fn destinations(&self) -> Vec<SocketAddr> {
        let all = self.seen.lock();
        all.iter().map(|seen| seen.lock().to).collect()
    }

    pub(super) fn forget(&self) {
        self.seen.lock().clear();
    }

    /// Takes no more connections; those that there are go on.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        // Wakes the listener; in vain when the pod, and its loopback with it, is gone already.
        let itself = SocketAddr::from(([127, 0, 0, 1], PORT));
        drop(self.inside(|| TcpStream::connect_timeout(&itself, Duration::from_millis(200))));
    }

    /// How often a name was looked up.
    pub(super) fn names(&self) -> u64 {
        let said = self.inside(|| nft(&["list", "counter", "ip", "sidecar", "names"], ""));
        let count = said.split("packets ").nth(1).unwrap();
        count.split(' ').next().unwrap().parse().unwrap()
    }

    fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let entered = || {
                self.enter();
                work()
            };
            scope.spawn(entered).join().unwrap()
        })
    }

    fn enter(&self) {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(self.network.as_fd(), kind).unwrap();
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let to = SockRef::from(&stream).original_dst_v4()?;
        let to = to.as_socket().unwrap();
        let began = Instant::now();
        let note = Note::new(Mutex::new(Seen {
            to,
            first: Vec::new(),
            silent: Duration::ZERO,
            sent: Vec::new(),
        }));
        self.seen.lock().push(note.clone());
        let mut first = vec![0; DETECTED_BY];
        let length = stream.read(&mut first)?;
        first.truncate(length);
        {
            let mut seen = note.lock();
            seen.first.clone_from(&first);
            seen.silent = began.elapsed();
            seen.sent.clone_from(&first);
        }
        let conduct = self.conducts.lock().get(&to).copied();
        match conduct.unwrap_or(Conduct::Forward) {
            Conduct::Forward => forward(&note, stream, to, &first),
            Conduct::Answer(answer) => loop {
                stream.write_all(answer.as_bytes())?;
                more(&note, &mut stream)?;
            },
            Conduct::AnswerAndEnd(answer) => {
                stream.write_all(answer.as_bytes())?;
                end(&note, stream)
            }
            Conduct::End => end(&note, stream),
            Conduct::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        }
    }
}

fn forward(note: &Note, mut stream: TcpStream, to: SocketAddr, first: &[u8]) -> io::Result<()> {
    let mut onward = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    onward.write_all(first)?;
    let (mut from, mut back) = (onward.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut back));
        back.shutdown(Shutdown::Write)
    });
    loop {
        match more(note, &mut stream) {
            Ok(bytes) => onward.write_all(&bytes)?,
            Err(_) => return onward.shutdown(Shutdown::Write),
        }
    }
}

/// Sends the end, and reads on until the pod has closed as well.
fn end(note: &Note, mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    loop {
        more(note, &mut stream)?;
    }
}

/// Reads more; an error at the end.
fn more(note: &Note, stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    let length = stream.read(&mut buffer)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.truncate(length);
    let mut seen = note.lock();
    let room = NOTED.saturating_sub(seen.sent.len());
    seen.sent.extend(&buffer[..length.min(room)]);
    Ok(buffer)
}

/// What nft prints, which must succeed; it works in the network of the thread.
fn nft(arguments: &[&str], rules: &str) -> String {
    let mut child = Command::new("nft")
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(rules.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
