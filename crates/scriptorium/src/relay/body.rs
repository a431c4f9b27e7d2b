//! A client's body: not read until it is asked for, then bounded in size and time.
//!
//! Owns those bounds. Must not know what is sent, nor what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};

use crate::progress::{Progress, SlowestAverage, Stalled};

/// Why a body is incomplete or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The client stopped sending, or sends too slowly.
    #[error("the request's body stopped coming; send it again")]
    Stalled,
    /// Its length is not the announced one, or its framing is broken.
    #[error("the request's body broke off; send it again")]
    Broken,
}

impl From<Stalled> for BodyError {
    fn from(_: Stalled) -> Self {
        Self::Stalled
    }
}

/// A body of any type.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BodyError>;

/// Boxes `body`, unless it is empty.
pub(crate) fn any_body<B: Body<Data = Bytes> + Send + 'static>(body: B) -> AnyBody {
    match body.is_end_stream() {
        true => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        false => body.map_err(|_| BodyError::Broken).boxed_unsync(),
    }
}

/// A client's body, bounded in size and time.
pub(crate) struct ClientBody {
    body: AnyBody,
    announced: Option<u64>,
    patience: Duration,
    slowest: SlowestAverage,
}

impl ClientBody {
    /// An empty body.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(any_body(Empty::new()), Some(0), Duration::ZERO)
    }

    /// `body`, whose `Content-Length` is `announced`. `patience` is its longest silence.
    pub(crate) fn new(body: AnyBody, announced: Option<u64>, patience: Duration) -> Self {
        Self { body, announced, patience, slowest: SlowestAverage::USUAL }
    }

    /// The same, held in memory while it comes, and therefore required to come faster.
    pub(crate) fn in_memory(self) -> Self {
        Self { slowest: SlowestAverage::IN_MEMORY, ..self }
    }

    /// The length that the client announced.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether it is known to be empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.announced == Some(0) || self.body.is_end_stream()
    }

    /// Checks the announced length against `limit`.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when it is longer.
    pub(crate) fn fits(&self, limit: u64) -> Result<(), BodyError> {
        let too_long = self.announced.is_some_and(|announced| announced > limit);
        if too_long { Err(BodyError::TooLarge { limit }) } else { Ok(()) }
    }

    /// Its pieces, at most `limit` bytes. They end with an error when the body breaks off, stalls or exceeds the
    /// limit; at once where the announced length does.
    pub(crate) fn pieces(self, limit: u64) -> BoxStream<'static, Result<Bytes, BodyError>> {
        if let Err(error) = self.fits(limit) {
            return stream::iter([Err(error)]).boxed();
        }
        let Self { body, announced, patience, slowest } = self;
        let progress = Progress::at_least(slowest).silent_for(patience);
        let reader = BodyReader { body, limit, announced, received: 0, progress };
        let next = |mut reader: BodyReader| async { Ok(reader.next().await?.map(|piece| (piece, reader))) };
        stream::try_unfold(reader, next).boxed()
    }
}

/// A body that is being read.
struct BodyReader {
    body: AnyBody,
    limit: u64,
    announced: Option<u64>,
    received: u64,
    progress: Progress,
}

impl BodyReader {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let Some(frame) = self.progress.wait(self.body.frame()).await? else {
                let is_whole = self.announced.is_none_or(|announced| announced == self.received);
                return if is_whole { Ok(None) } else { Err(BodyError::Broken) };
            };
            // Trailers are not passed on.
            let piece = frame?.into_data().unwrap_or_default();
            self.received = self.received.saturating_add(piece.len() as u64);
            if self.received > self.limit {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            if self.announced.is_some_and(|announced| self.received > announced) {
                return Err(BodyError::Broken);
            }
            self.progress.came(piece.len())?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

#[cfg(test)]
mod tests;
