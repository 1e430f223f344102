//! The body of a request that may be sent again: what has gone by is kept, up to a limit.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// Bytes of one body that are kept. A longer one is sent once.
const MOST: usize = 64 * 1024;
/// Bytes of all bodies of a worker that are kept. Beyond that, bodies are sent once.
const MOST_OF_WORKER: usize = 16 * 1024 * 1024;

/// The bytes that a worker keeps, of all requests together.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Memory {
    kept: Rc<Cell<usize>>,
    /// Of one body.
    most: usize,
    most_of_worker: usize,
}

/// A body, and what of it has gone by.
#[derive(Debug)]
pub(in crate::proxy) struct Replay<B = Incoming> {
    body: RefCell<B>,
    pieces: RefCell<Vec<Piece>>,
    kept: Cell<usize>,
    /// Whether it is all there. Not when it became too long, or broke off.
    whole: Cell<bool>,
    memory: Memory,
}

/// A part of a body.
#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// A frame, or the end; and whether it is one that has not gone by before.
type Polled<E> = (Option<Result<Frame<Bytes>, E>>, bool);

/// The body from its beginning.
#[derive(Debug)]
pub(in crate::proxy) struct Replayed<B = Incoming> {
    of: Rc<Replay<B>>,
    next: usize,
}

// === impl Memory ===

impl Memory {
    /// For bodies that are held back until they are whole, so many bytes of a worker.
    pub(in crate::proxy) fn for_whole_bodies(most_of_worker: usize) -> Self {
        Self {
            kept: Rc::default(),
            most: most_of_worker,
            most_of_worker,
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let all = self.kept.get() + bytes;
        let fits = all <= self.most_of_worker;
        if fits {
            self.kept.set(all);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.kept.set(self.kept.get() - bytes);
    }
}

/// For bodies that may be sent again.
impl Default for Memory {
    fn default() -> Self {
        Self {
            most: MOST,
            ..Self::for_whole_bodies(MOST_OF_WORKER)
        }
    }
}

// === impl Replay ===

impl<B: Body> Replay<B> {
    /// Whether not all of it has gone by yet.
    pub(in crate::proxy) fn is_still_coming(&self) -> bool {
        !self.body.borrow().is_end_stream()
    }
}

impl<B> Replay<B> {
    pub(in crate::proxy) fn new(body: B, memory: Memory) -> Rc<Self> {
        Rc::new(Self {
            body: RefCell::new(body),
            pieces: RefCell::default(),
            kept: Cell::new(0),
            whole: Cell::new(true),
            memory,
        })
    }

    /// Whether all that has gone by is kept.
    pub(in crate::proxy) fn is_whole(&self) -> bool {
        self.whole.get()
    }

    /// The body once more; None when it is not all there.
    pub(in crate::proxy) fn again(self: &Rc<Self>) -> Option<Replayed<B>> {
        self.whole.get().then(|| Replayed {
            of: self.clone(),
            next: 0,
        })
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        if !self.whole.get() {
            return;
        }
        let piece = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Piece::Data(data.clone()),
            (None, Some(trailers)) => Piece::Trailers(trailers.clone()),
            (None, None) => return,
        };
        let length = piece.length();
        if self.kept.get() + length > self.memory.most || !self.memory.take(length) {
            self.forget();
            return;
        }
        self.kept.set(self.kept.get() + length);
        self.pieces.borrow_mut().push(piece);
    }

    fn forget(&self) {
        self.whole.set(false);
        self.pieces.borrow_mut().clear();
        self.memory.give_back(self.kept.take());
    }
}

impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        self.memory.give_back(self.kept.get());
    }
}

// === impl Piece ===

impl Piece {
    /// What it takes to keep it: a piece of few bytes holds on to more.
    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len() + 64,
            Self::Trailers(trailers) => {
                let lines = trailers.iter();
                let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + 64);
                lines.sum::<usize>() + 64
            }
        }
    }
}

// === impl Replayed ===

impl<B: Body<Data = Bytes> + Unpin> Replayed<B> {
    /// The next frame.
    pub(in crate::proxy) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Polled<B::Error>> {
        if let Some(piece) = self.of.pieces.borrow().get(self.next) {
            self.next += 1;
            let frame = match piece.clone() {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            };
            return Poll::Ready((Some(Ok(frame)), false));
        }
        let polled = ready!(Pin::new(&mut *self.of.body.borrow_mut()).poll_frame(context));
        match &polled {
            Some(Ok(frame)) => {
                self.of.keep(frame);
                self.next = self.of.pieces.borrow().len();
            }
            Some(Err(_)) => self.of.forget(),
            None => {}
        }
        Poll::Ready((polled, true))
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        self.next >= self.of.pieces.borrow().len() && self.of.body.borrow().is_end_stream()
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        let rest = self.of.body.borrow().size_hint();
        let pieces = self.of.pieces.borrow();
        let again = pieces.iter().skip(self.next).map(|piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        });
        let again: u64 = again.sum();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use http_body_util::StreamBody;

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, &'static str>>;
    type Source = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, &'static str>>>>;

    fn replay(frames: Frames, memory: &Memory) -> Rc<Replay<Source>> {
        Replay::new(StreamBody::new(stream::iter(frames)), memory.clone())
    }

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(vec![b'x'; length].into())
    }

    /// Reads up to `most` frames; how many bytes were in them, and of those that were new.
    fn read(body: &mut Replayed<Source>, most: usize) -> (usize, usize) {
        let (mut all, mut fresh) = (0, 0);
        for _ in 0..most {
            let polled = std::future::poll_fn(|context| body.poll(context)).now_or_never();
            let Some((Some(Ok(frame)), new)) = polled else {
                break;
            };
            let length = frame.into_data().map_or(0, |data| data.len());
            all += length;
            fresh += if new { length } else { 0 };
        }
        (all, fresh)
    }

    #[test]
    fn a_body_is_sent_again_from_its_beginning_and_goes_on_where_it_was() {
        let memory = Memory::default();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        let frames = vec![Ok(data(10)), Ok(data(20)), Ok(Frame::trailers(trailers))];
        let replay = replay(frames, &memory);
        assert_eq!(read(&mut replay.again().unwrap(), 1), (10, 10));
        let mut second = replay.again().unwrap();
        assert_eq!(second.size_hint().lower(), 10);
        assert_eq!(read(&mut second, 9), (30, 20));
        let mut third = replay.again().unwrap();
        assert_eq!(read(&mut third, 9), (30, 0));
        assert_eq!(third.next, 3, "with the trailers");
        assert!(memory.kept.get() > 30);
        drop((second, third, replay));
        assert_eq!(memory.kept.get(), 0);
    }

    #[test]
    fn a_body_that_is_too_long_or_breaks_off_is_sent_once() {
        let memory = Memory::default();
        let long = replay(vec![Ok(data(10)), Ok(data(MOST)), Ok(data(5))], &memory);
        let mut first = long.again().unwrap();
        assert_eq!(read(&mut first, 9), (MOST + 15, MOST + 15));
        assert!(long.again().is_none());
        assert_eq!(memory.kept.get(), 0);
        let broken = replay(vec![Ok(data(10)), Err("gone")], &memory);
        assert_eq!(read(&mut broken.again().unwrap(), 9), (10, 10));
        assert!(broken.again().is_none());
        let crowded = Memory::default();
        assert!(crowded.take(MOST_OF_WORKER));
        let short = replay(vec![Ok(data(10))], &crowded);
        assert_eq!(read(&mut short.again().unwrap(), 9), (10, 10));
        assert!(short.again().is_none());
    }
}
