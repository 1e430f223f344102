//! What was written of a request, in case it must be written again.
//!
//! Nearly every request is answered. Keeping its bytes costs one copy of them; keeping its fields costs a count on each, up and
//! down again.

use std::{io, sync::Arc, task::Poll};

use http::Request;
use httparse::{EMPTY_HEADER, Status};
use parking_lot::Mutex;

/// Memory that an idle connection keeps for it.
const KEPT: usize = 4 * 1024;
/// A longer head is not recorded, and so not sent again: none comes from a client.
const LONGEST: usize = 64 * 1024;
/// Fields of a request: those that a client may send, and what a route may add to them.
const MAX_FIELDS: usize = 256;

/// The head of the request under way. One thread alone uses it; hyper asks of a connection that it could be sent to another.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape(Arc<Mutex<Recording>>);

#[derive(Default)]
struct Recording {
    on: bool,
    /// What was offered to the connection, ...
    bytes: Vec<u8>,
    /// ... and how much of it the connection has taken.
    taken: usize,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // There are credentials in it.
        write!(f, "Recording({} bytes)", self.bytes.len())
    }
}

impl Tape {
    /// Forgets what was recorded. With `on`, what is written from now on is recorded: the head of a request without a body.
    pub(super) fn begin(&self, on: bool) {
        let mut recording = self.0.lock();
        recording.on = on;
        recording.taken = 0;
        recording.bytes.clear();
        recording.bytes.shrink_to(KEPT);
    }

    /// `bytes` were offered to the connection.
    pub(super) fn record(&self, bytes: &[u8], polled: &Poll<io::Result<usize>>) {
        let mut recording = self.0.lock();
        if !recording.on {
            return;
        }
        let taken = recording.taken;
        if taken + bytes.len() > LONGEST {
            *recording = Recording::default();
            return;
        }
        recording.bytes.truncate(taken);
        recording.bytes.extend_from_slice(bytes);
        if let Poll::Ready(Ok(count)) = polled {
            recording.taken += count;
        }
    }

    /// The request that was recorded, if the whole of it was.
    pub(super) fn request<B: Default>(&self) -> Option<Request<B>> {
        let recording = self.0.lock();
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let read = head.parse(&recording.bytes).ok()?;
        if read != Status::Complete(recording.bytes.len()) {
            return None;
        }
        let request = Request::builder().method(head.method?).uri(head.path?);
        let request = head.headers.iter().fold(request, |request, field| {
            request.header(field.name, field.value)
        });
        request.body(B::default()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /a?b HTTP/1.1\r\nhost: x\r\nx-a: 1\r\nx-a: \xFF\r\n\r\n";

    #[test]
    fn a_request_is_read_back_however_it_was_taken() {
        let whole: &[(usize, Poll<io::Result<usize>>)] = &[(0, Poll::Ready(Ok(HEAD.len())))];
        let refused = [(0, Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())))];
        let pieces = [
            (0, Poll::Pending),
            (0, Poll::Ready(Ok(7))),
            (7, Poll::Pending),
            (7, Poll::Ready(Ok(HEAD.len() - 7))),
        ];
        for writes in [whole, &refused, &pieces] {
            let tape = Tape::default();
            tape.begin(true);
            for (from, polled) in writes {
                tape.record(&HEAD[*from..], polled);
            }
            let request = tape.request::<()>().unwrap();
            assert_eq!(
                (request.method(), request.uri()),
                (&http::Method::GET, &"/a?b".parse().unwrap())
            );
            let values: Vec<_> = request.headers().get_all("x-a").iter().collect();
            assert_eq!(values, [&b"1"[..], b"\xFF"]);
        }
    }

    #[test]
    fn nothing_is_made_of_a_part_or_of_more_than_a_head() {
        let more = [HEAD, b"x"].concat();
        for bytes in [&HEAD[..HEAD.len() - 1], &more, b""] {
            let tape = Tape::default();
            tape.begin(true);
            tape.record(bytes, &Poll::Ready(Ok(bytes.len())));
            assert!(tape.request::<()>().is_none());
        }
        let tape = Tape::default();
        tape.begin(false);
        tape.record(HEAD, &Poll::Ready(Ok(HEAD.len())));
        assert!(tape.request::<()>().is_none(), "it was not to be recorded");
    }
}
