//! Response bodies: empty, in memory, or a stream.
//!
//! Owns how they are handed to the server, and that a request's slot is held until the last byte was handed over. Must
//! not know where the bytes come from.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};

use crate::files::FileBytes;
use crate::limit::{InFlightDownload, InFlightSlot};

/// A body in memory is handed over in slices of this length, so that its slot is held until the last one is asked for.
const SLICE: usize = 64 << 10;

/// A response body. If it fails midway, the connection ends before the announced `Content-Length`, so that no client can
/// mistake a part for the whole.
#[derive(Default)]
pub(crate) struct Body {
    content: BodyContent,
    _place: Option<InFlightSlot>,
    _download: Option<InFlightDownload>,
}

#[derive(Default)]
enum BodyContent {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces {
        left: Option<u64>,
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        BodyContent::Whole(bytes.into()).into()
    }

    /// A stream of `left` bytes, or of unknown length where a registry does not announce one.
    pub(crate) fn pieces(left: Option<u64>, pieces: BoxStream<'static, io::Result<Bytes>>) -> Self {
        BodyContent::Pieces { left, pieces }.into()
    }

    /// `length` bytes of a file.
    pub(crate) fn file(bytes: FileBytes, length: u64) -> Self {
        match bytes {
            FileBytes::Whole(bytes) => Self::whole(bytes),
            FileBytes::Pieces(pieces) => Self::pieces(Some(length), pieces),
        }
    }

    /// The same body, which keeps its request's slot until it was handed over or dropped.
    pub(crate) fn holding(self, place: InFlightSlot) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// The same body, which also keeps a download's slot.
    pub(crate) fn downloading(self, place: InFlightDownload) -> Self {
        Self { _download: Some(place), ..self }
    }

    /// Its bytes, where they lie in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            BodyContent::Whole(bytes) => Some(bytes),
            BodyContent::Empty | BodyContent::Pieces { .. } => None,
        }
    }

    fn left(&self) -> Option<u64> {
        match &self.content {
            BodyContent::Empty => Some(0),
            BodyContent::Whole(bytes) => Some(bytes.len() as u64),
            BodyContent::Pieces { left, .. } => *left,
        }
    }
}

impl From<BodyContent> for Body {
    fn from(content: BodyContent) -> Self {
        Self { content, _place: None, _download: None }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            BodyContent::Empty => f.write_str("Empty"),
            BodyContent::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            BodyContent::Pieces { left, .. } => write!(f, "Pieces({left:?})"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut self.content {
            BodyContent::Empty => None,
            BodyContent::Whole(bytes) if bytes.len() > SLICE => Some(Ok(bytes.split_to(SLICE))),
            BodyContent::Whole(bytes) => Some(Ok(mem::take(bytes))),
            BodyContent::Pieces { left, pieces } => {
                let piece = ready!(pieces.as_mut().poll_next(context));
                if let (Some(Ok(piece)), Some(left)) = (&piece, left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                piece
            }
        };
        if !matches!(piece, Some(Ok(_))) || self.left() == Some(0) {
            *self = Self::empty();
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;
    use crate::limit::Client;
    use crate::limit::{Capacity, InFlight};

    async fn assert_held_to_the_last(mut body: Body, length: usize, slices: usize) {
        let in_flight = std::sync::Arc::new(InFlight::new(Capacity {
            requests: 1,
            requests_per_client: 1,
            downloads: 1,
            downloads_per_client: 1,
        }));
        let has_room =
            || in_flight.request(&Client::Unknown).is_ok() && in_flight.download(&Client::Unknown).is_ok();
        body = body
            .holding(in_flight.request(&Client::Unknown).unwrap())
            .downloading(in_flight.download(&Client::Unknown).unwrap());
        let mut sent = 0;
        for _ in 0..slices {
            assert!(!has_room(), "there are bytes to come");
            assert_eq!(body.size_hint().exact(), Some((length - sent) as u64));
            sent += body.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap().len();
        }
        assert!(has_room() && sent == length && body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_slot_is_held_until_the_last_slice_is_asked_for() {
        for (length, slices) in [(1, 1), (SLICE, 1), (SLICE + 1, 2), (3 * SLICE, 3)] {
            assert_held_to_the_last(Body::whole(vec![7; length]), length, slices).await;
        }
        let pieces = stream::iter((0..3).map(|_| Ok(Bytes::from_static(b"piece")))).boxed();
        assert_held_to_the_last(Body::pieces(Some(15), pieces), 15, 3).await;
    }

    #[tokio::test]
    async fn a_body_that_fails_gives_its_slot_back() {
        let in_flight = std::sync::Arc::new(InFlight::new(Capacity {
            requests: 1,
            requests_per_client: 1,
            downloads: 1,
            downloads_per_client: 1,
        }));
        let pieces = stream::iter([Err(io::ErrorKind::UnexpectedEof.into())]).boxed();
        let mut body = Body::pieces(Some(9), pieces).holding(in_flight.request(&Client::Unknown).unwrap());
        assert!(body.frame().await.unwrap().is_err() && in_flight.request(&Client::Unknown).is_ok());
    }
}
