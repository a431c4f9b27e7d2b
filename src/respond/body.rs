//! The bodies this proxy sends: nothing, a few bytes held in memory, or a file or an answer as it comes.
//!
//! Owns their framing towards the server. Must not know where the bytes come from.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};

/// A response body. One that fails midway ends the connection short of its `Content-Length`, so that no
/// client can take a part for the whole.
pub enum Body {
    /// Nothing, also for HEAD.
    Empty,
    /// Bytes in memory.
    Full(Bytes),
    /// Pieces as they come.
    Stream {
        /// Bytes still to come; unknown for what a registry sends without saying.
        left: Option<u64>,
        /// The pieces.
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
}

impl Body {
    /// The same body, which holds `places` until it was sent or given up. One that lies in memory needs none.
    #[must_use]
    pub fn holding(self, places: impl Send + 'static) -> Self {
        match self {
            Self::Stream { left, pieces } => {
                let pieces = pieces.inspect(move |_| {
                    let _held = &places;
                });
                Self::Stream { left, pieces: pieces.boxed() }
            }
            body @ (Self::Empty | Self::Full(_)) => body,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({})", bytes.len()),
            Self::Stream { left, .. } => write!(f, "Stream({left:?})"),
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
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream { left, pieces } => {
                let piece = std::task::ready!(pieces.as_mut().poll_next(context));
                if let (Some(Ok(piece)), Some(left)) = (&piece, left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream { left, .. } => *left,
        };
        left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
