//! An upstream that keeps every byte it is sent, and answers 200 to what looks like a request.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Lives until the test process ends.
pub(super) struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = recorder.seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                thread::spawn(move || answer(stream, &seen));
            }
        });
        recorder
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether any connection brought this text, and not only as the beginning of a longer name.
    pub(super) fn saw(&self, text: &str) -> bool {
        let seen = self.seen.lock();
        let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        seen.windows(text.len() + 1)
            .any(|part| part.starts_with(text.as_bytes()) && !part.last().is_some_and(goes_on))
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut waiting = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        while let Some(length) = request(&waiting) {
            waiting.drain(..length);
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => {
                seen.lock().extend_from_slice(&piece[..length]);
                waiting.extend_from_slice(&piece[..length]);
            }
            _ => return,
        }
    }
}

/// The length of the first request, once it is whole.
fn request(bytes: &[u8]) -> Option<usize> {
    let find = |bytes: &[u8], end: &[u8]| {
        let at = bytes.windows(end.len()).position(|part| part == end)?;
        Some(at + end.len())
    };
    let head = find(bytes, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let body = &bytes[head..];
    if value("transfer-encoding:").is_some() {
        let end = if body.starts_with(b"0\r\n") {
            0
        } else {
            find(body, b"\r\n0\r\n")? - 3
        };
        return Some(head + end + find(&body[end..], b"\r\n\r\n")?);
    }
    let length = value("content-length:").map_or(0, |length| length.parse().unwrap_or(0));
    (body.len() >= length).then_some(head + length)
}
