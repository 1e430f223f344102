//! The body of a request for its copy: what passes is kept until the copy has taken it, up to a limit.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// Bytes that wait for the copy. One that takes them too slowly is broken off.
const MOST: usize = 64 * 1024;

/// Where a body passes. The copy breaks off when this goes before the end.
#[derive(Debug)]
pub(in crate::proxy) struct Tee(Rc<RefCell<Pipe>>);

/// The body of the copy.
#[derive(Debug)]
pub(in crate::proxy) struct Copied(Rc<RefCell<Pipe>>);

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<Piece>,
    bytes: usize,
    state: State,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Ended,
    /// It cannot be whole any more.
    Cut,
}

/// A body, and its copy.
pub(in crate::proxy) fn tee() -> (Tee, Copied) {
    let pipe = Rc::default();
    (Tee(Rc::clone(&pipe)), Copied(pipe))
}

// === impl Tee ===

impl Tee {
    /// A frame has passed.
    pub(in crate::proxy) fn pass(&self, frame: &Frame<Bytes>) {
        let mut pipe = self.0.borrow_mut();
        if pipe.state != State::Open {
            return;
        }
        if let Some(data) = frame.data_ref() {
            pipe.bytes += data.len();
            pipe.pieces.push_back(Piece::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            pipe.pieces.push_back(Piece::Trailers(trailers.clone()));
        }
        if pipe.bytes > MOST {
            pipe.cut();
        }
        pipe.wake();
    }

    /// All of it has passed.
    pub(in crate::proxy) fn end(&self) {
        let mut pipe = self.0.borrow_mut();
        if pipe.state == State::Open {
            pipe.state = State::Ended;
        }
        pipe.wake();
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        let mut pipe = self.0.borrow_mut();
        if pipe.state == State::Open {
            pipe.cut();
        }
        pipe.wake();
    }
}

// === impl Copied ===

impl Copied {
    /// The next frame; an error when the rest will not come.
    pub(in crate::proxy) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        let mut pipe = self.0.borrow_mut();
        if let Some(piece) = pipe.pieces.pop_front() {
            return Poll::Ready(Some(Ok(match piece {
                Piece::Data(data) => {
                    pipe.bytes -= data.len();
                    Frame::data(data)
                }
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        match pipe.state {
            State::Open => {
                pipe.waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Ended => Poll::Ready(None),
            State::Cut => Poll::Ready(Some(Err(()))),
        }
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        let pipe = self.0.borrow();
        pipe.state == State::Ended && pipe.pieces.is_empty()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // Nobody takes anything any more.
        self.0.borrow_mut().cut();
    }
}

// === impl Pipe ===

impl Pipe {
    fn cut(&mut self) {
        self.state = State::Cut;
        self.pieces.clear();
        self.bytes = 0;
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(vec![b'x'; length].into())
    }

    /// The next frame's length; None at the end, an error where it broke off.
    fn next(copied: &mut Copied) -> Poll<Option<Result<usize, ()>>> {
        let polled = std::future::poll_fn(|context| copied.poll(context)).now_or_never();
        let length = |frame: Frame<Bytes>| frame.into_data().map_or(0, |data| data.len());
        let polled = polled.map(|frame| frame.map(|frame| frame.map(length)));
        polled.map_or(Poll::Pending, Poll::Ready)
    }

    #[test]
    fn a_copy_gets_what_passes_and_the_end() {
        let (tee, mut copied) = tee();
        assert_eq!(next(&mut copied), Poll::Pending, "nothing has passed yet");
        tee.pass(&data(3));
        tee.pass(&Frame::trailers(HeaderMap::new()));
        tee.end();
        drop(tee);
        assert_eq!(next(&mut copied), Poll::Ready(Some(Ok(3))));
        assert!(!copied.is_end_stream());
        assert_eq!(next(&mut copied), Poll::Ready(Some(Ok(0))));
        assert!(copied.is_end_stream());
        assert_eq!(next(&mut copied), Poll::Ready(None));
    }

    #[test]
    fn a_copy_breaks_off_when_it_is_too_slow_or_the_body_does() {
        let (slow, mut copied) = tee();
        slow.pass(&data(MOST));
        slow.pass(&data(1));
        assert_eq!(slow.0.borrow().bytes, 0);
        assert_eq!(next(&mut copied), Poll::Ready(Some(Err(()))));
        let (broken, mut copied) = tee();
        broken.pass(&data(1));
        drop(broken);
        assert_eq!(next(&mut copied), Poll::Ready(Some(Err(()))));
    }

    #[test]
    fn what_nobody_takes_is_not_kept() {
        let (tee, copied) = tee();
        tee.pass(&data(10));
        drop(copied);
        tee.pass(&data(10));
        assert!(tee.0.borrow().pieces.is_empty());
    }
}
