//! Bodies that pass in large pieces.
//!
//! dockerd writes 32 KiB at a time. One system call on each side for each of those is what a large transfer through the
//! proxy would cost, and a reader that is woken each time.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// A piece below this, in bytes, is not part of a large transfer, and somebody may wait for it.
const LARGE: usize = 16 << 10;
/// Gathered pieces of so many bytes are enough.
const ENOUGH: usize = 256 << 10;

/// A body whose large pieces pass together, as far as they are there already.
#[derive(Debug)]
pub(super) struct Gather<B: Body> {
    body: B,
    pieces: Pieces,
    /// Ends when all tasks that were to run have had their turn, who brings the pieces among them.
    turn: Option<JoinHandle<()>>,
    /// What comes after the pieces.
    next: Option<Result<Frame<Pieces>, B::Error>>,
    has_ended: bool,
}

impl<B: Body> Gather<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, pieces: Pieces::default(), turn: None, next: None, has_ended: false }
    }

    fn take(&mut self) -> Poll<Option<Result<Frame<Pieces>, B::Error>>> {
        self.turn = None;
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.pieces)))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Gather<B>
where
    B::Error: Unpin,
{
    type Data = Pieces;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, B::Error>>> {
        while self.next.is_none() && !self.has_ended {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => {
                        let is_small = piece.len() < LARGE;
                        self.pieces.push(piece);
                        self.turn = None;
                        if is_small || self.pieces.remaining() >= ENOUGH || self.body.is_end_stream() {
                            return self.take();
                        }
                    }
                    Err(other) => self.next = Some(Ok(other.map_data(Pieces::from))),
                },
                Poll::Ready(Some(Err(error))) => self.next = Some(Err(error)),
                Poll::Ready(None) => self.has_ended = true,
                Poll::Pending if self.pieces.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    // Whoever brings the pieces has one ready at most, and the next one after its own turn.
                    let turn = self.turn.get_or_insert_with(|| tokio::spawn(async {}));
                    let _ = ready!(Pin::new(turn).poll(cx));
                    return self.take();
                }
            }
        }
        if self.pieces.is_empty() { Poll::Ready(self.next.take()) } else { self.take() }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.next.is_none() && (self.has_ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let held = self.pieces.remaining() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(hint.lower() + held);
        hint
    }
}

/// Bytes in several places.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    length: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl From<Bytes> for Pieces {
    fn from(piece: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(piece);
        pieces
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let count = self.pieces.len().min(into.len());
        for (slice, piece) in into.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "there are not as many bytes");
        self.length -= count;
        while count > 0 {
            let first = self.pieces.front_mut().expect("there are more bytes");
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use http_body_util::BodyExt as _;
    use hyper::HeaderMap;

    use super::*;

    /// What a body has next; none: it is not there yet.
    struct Source(VecDeque<Option<Frame<Bytes>>>);

    impl Body for Source {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }
    }

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(Bytes::from(vec![7; length]))
    }

    /// The lengths of what comes out; 0: not data.
    async fn lengths(frames: impl Into<VecDeque<Option<Frame<Bytes>>>>) -> Vec<usize> {
        let mut body = Gather::new(Source(frames.into()));
        let mut lengths = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            lengths.push(frame.data_ref().map_or(0, Buf::remaining));
        }
        assert!(body.is_end_stream());
        lengths
    }

    #[tokio::test]
    async fn large_pieces_pass_together_and_small_ones_at_once() {
        let piece = |length| Some(data(length));
        assert_eq!(lengths([]).await, [0; 0]);
        assert_eq!(lengths([piece(10), piece(20)]).await, [10, 20]);
        assert_eq!(lengths([piece(LARGE), None, piece(LARGE)]).await, [2 * LARGE]);
        assert_eq!(lengths([piece(LARGE), None, None, piece(LARGE)]).await, [LARGE, LARGE]);
        assert_eq!(lengths([piece(LARGE), None, piece(10), piece(5)]).await, [LARGE + 10, 5]);
        assert_eq!(lengths([piece(ENOUGH), piece(LARGE)]).await, [ENOUGH, LARGE]);
        let trailers = || Some(Frame::trailers(HeaderMap::new()));
        assert_eq!(lengths([piece(LARGE), trailers()]).await, [LARGE, 0]);
        assert_eq!(lengths([None, trailers()]).await, [0]);
    }

    #[tokio::test]
    async fn what_is_held_counts() {
        let mut body = Gather::new(http_body_util::Full::new(Bytes::from(vec![7; LARGE])));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(LARGE as u64), false));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
        assert!(body.is_end_stream());
        let mut body = Gather::new(Source([Some(data(LARGE)), None, None].into()));
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        assert_eq!((body.size_hint().lower(), body.is_end_stream()), (LARGE as u64, false));
    }

    #[test]
    fn bytes_come_in_their_order() {
        let mut pieces = Pieces::default();
        for text in ["ab", "", "cde", "f"] {
            pieces.push(Bytes::from(text));
        }
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(pieces.chunks_vectored(&mut slices), 2);
        assert_eq!([&*slices[0], &*slices[1]], [&b"ab"[..], b"cde"]);
        pieces.advance(3);
        assert_eq!((pieces.chunk(), pieces.remaining()), (&b"de"[..], 3));
        assert_eq!(pieces.copy_to_bytes(3), "def");
        assert!(pieces.is_empty() && pieces.chunk().is_empty());
    }
}
