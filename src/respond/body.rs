//! The bodies this proxy sends: nothing, a few bytes held in memory, or a file or an answer as it comes.
//!
//! Owns their framing towards the server, and that a place is held until the last byte was handed on. Must not know where
//! the bytes come from.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};

use crate::limit::places::Place;

/// What is handed on at once of a body that lies in memory: its place is held until the last of these is asked for.
const SLICE: usize = 64 << 10;

/// A response body. One that fails midway ends the connection short of its `Content-Length`, so that no
/// client can take a part for the whole.
#[derive(Default)]
pub struct Body {
    content: Content,
    _place: Option<Place>,
    _download: Option<Place>,
}

#[derive(Default)]
enum Content {
    /// Nothing, or nothing any more.
    #[default]
    Empty,
    /// Bytes in memory.
    Whole(Bytes),
    /// Pieces as they come.
    Pieces { left: Option<u64>, pieces: BoxStream<'static, io::Result<Bytes>> },
}

impl Body {
    /// Nothing, also for HEAD.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Content::Whole(bytes.into()).into()
    }

    /// Pieces as they come; `left` bytes, unknown for what a registry sends without saying.
    #[must_use]
    pub fn pieces(left: Option<u64>, pieces: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Content::Pieces { left, pieces }.into()
    }

    /// The same body, which holds its request's place until it was handed on or given up.
    #[must_use]
    pub fn holding(self, place: Place) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// The same body, which holds a download's place as well.
    #[must_use]
    pub fn downloading(self, place: Place) -> Self {
        Self { _download: Some(place), ..self }
    }

    /// Its bytes, where they lie in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Whole(bytes) => Some(bytes),
            Content::Empty | Content::Pieces { .. } => None,
        }
    }

    fn left(&self) -> Option<u64> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Pieces { left, .. } => *left,
        }
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self { content, _place: None, _download: None }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Empty => f.write_str("Empty"),
            Content::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            Content::Pieces { left, .. } => write!(f, "Pieces({left:?})"),
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
            Content::Empty => None,
            Content::Whole(bytes) if bytes.len() > SLICE => Some(Ok(bytes.split_to(SLICE))),
            Content::Whole(bytes) => Some(Ok(mem::take(bytes))),
            Content::Pieces { left, pieces } => {
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
    use crate::limit::places::{Capacity, Places};

    async fn assert_held_to_the_last(mut body: Body, length: usize, slices: usize) {
        let places = std::sync::Arc::new(Places::new(Capacity {
            requests: 1,
            requests_per_client: 1,
            downloads: 1,
            downloads_per_client: 1,
        }));
        let has_room = || places.enter(&Client::Unknown).is_ok() && places.download(&Client::Unknown).is_ok();
        body = body
            .holding(places.enter(&Client::Unknown).unwrap())
            .downloading(places.download(&Client::Unknown).unwrap());
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
    async fn a_place_is_held_until_the_last_slice_is_asked_for() {
        for (length, slices) in [(1, 1), (SLICE, 1), (SLICE + 1, 2), (3 * SLICE, 3)] {
            assert_held_to_the_last(Body::whole(vec![7; length]), length, slices).await;
        }
        let pieces = stream::iter((0..3).map(|_| Ok(Bytes::from_static(b"piece")))).boxed();
        assert_held_to_the_last(Body::pieces(Some(15), pieces), 15, 3).await;
    }

    #[tokio::test]
    async fn what_fails_gives_its_place_back() {
        let places = std::sync::Arc::new(Places::new(Capacity {
            requests: 1,
            requests_per_client: 1,
            downloads: 1,
            downloads_per_client: 1,
        }));
        let pieces = stream::iter([Err(io::ErrorKind::UnexpectedEof.into())]).boxed();
        let mut body = Body::pieces(Some(9), pieces).holding(places.enter(&Client::Unknown).unwrap());
        assert!(body.frame().await.unwrap().is_err() && places.enter(&Client::Unknown).is_ok());
    }
}
