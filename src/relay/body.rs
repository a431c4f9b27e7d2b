//! A client's body: nothing until it is read, then bounded in size and patience.
//!
//! Owns those bounds. Must not know what is sent, nor what becomes of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};

use crate::intake::{Pace, Trickles};

/// Why a body cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than may be.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        /// The most there may be.
        limit: u64,
    },
    /// The client stopped sending, or sends too slowly.
    #[error("the request's body stopped coming; send it again")]
    Stalled,
    /// It is not as long as was announced, or its framing is broken.
    #[error("the request's body broke off; send it again")]
    Broken,
}

impl From<Trickles> for BodyError {
    fn from(_: Trickles) -> Self {
        Self::Stalled
    }
}

/// A body whose kind does not matter any more.
pub type AnyBody = UnsyncBoxBody<Bytes, BodyError>;

/// `body` on the heap, unless there is nothing in it.
pub fn any_body<B: Body<Data = Bytes> + Send + 'static>(body: B) -> AnyBody {
    match body.is_end_stream() {
        true => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        false => body.map_err(|_| BodyError::Broken).boxed_unsync(),
    }
}

/// What a client sends, bounded in size and patience.
pub struct ClientBody {
    body: AnyBody,
    announced: Option<u64>,
    patience: Duration,
    promptly: bool,
}

impl ClientBody {
    /// That of a client that sends none.
    #[must_use]
    pub fn none() -> Self {
        Self::new(any_body(Empty::new()), Some(0), Duration::ZERO)
    }

    /// `body`, whose `Content-Length` is `announced`; `patience` is the longest wait between two pieces.
    #[must_use]
    pub fn new(body: AnyBody, announced: Option<u64>, patience: Duration) -> Self {
        Self { body, announced, patience, promptly: false }
    }

    /// The same, of which none is waited for long: it is held in memory while it comes.
    #[must_use]
    pub fn promptly(self) -> Self {
        Self { promptly: true, ..self }
    }

    /// How long the client says it is.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether it is known to hold nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.announced == Some(0) || self.body.is_end_stream()
    }

    /// Whether it may be at most `limit` bytes, as far as it says.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when it says that it is longer.
    pub fn fits(&self, limit: u64) -> Result<(), BodyError> {
        let too_long = self.announced.is_some_and(|announced| announced > limit);
        if too_long { Err(BodyError::TooLarge { limit }) } else { Ok(()) }
    }

    /// At most `limit` bytes of it as they come, for staging or sending on. Ends with an error when it breaks off,
    /// stalls or goes past the limit; at once where the announced length does.
    pub fn pieces(self, limit: u64) -> BoxStream<'static, Result<Bytes, BodyError>> {
        if let Err(error) = self.fits(limit) {
            return stream::iter([Err(error)]).boxed();
        }
        let reading = Reading::new(&self, limit);
        let rest = Some((self.body, reading));
        stream::unfold(rest, |rest| async {
            let (mut body, mut reading) = rest?;
            match reading.next(&mut body).await {
                Ok(Some(piece)) => Some((Ok(piece), Some((body, reading)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBody")
            .field("announced", &self.announced)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// How far a body was read.
struct Reading {
    limit: u64,
    announced: Option<u64>,
    patience: Duration,
    received: u64,
    pace: Pace,
}

impl Reading {
    fn new(body: &ClientBody, limit: u64) -> Self {
        let ClientBody { announced, patience, promptly, .. } = *body;
        let pace = if promptly { Pace::prompt() } else { Pace::default() };
        Self { limit, announced, patience, received: 0, pace }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self, body: &mut AnyBody) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = tokio::time::timeout(self.patience, body.frame());
            let Some(frame) = self.pace.waiting(frame).await.map_err(|_| BodyError::Stalled)? else {
                let whole = self.announced.is_none_or(|announced| announced == self.received);
                return if whole { Ok(None) } else { Err(BodyError::Broken) };
            };
            // Trailers say nothing to anybody here.
            let piece = frame?.into_data().unwrap_or_default();
            self.received = self.received.saturating_add(piece.len() as u64);
            if self.received > self.limit {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            if self.announced.is_some_and(|announced| self.received > announced) {
                return Err(BodyError::Broken);
            }
            self.pace.came(piece.len())?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

#[cfg(test)]
mod tests;
