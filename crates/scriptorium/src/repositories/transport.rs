//! The guarded client of a registry, as blocking work reads from it.
//!
//! Owns the way from an asynchronous body to a blocking read, and that nothing more is read once nobody waits. A read waits for the next piece
//! alone, so what is not read stays with the sender. Must not know what is asked, nor who may be asked.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use git_delivery::{GitAnswer, GitRequest, GitTransport};
use tokio::runtime::Handle;

use crate::progress::{Progress, SlowestAverage};
use crate::upstream::{CouldNotAsk, GitPlace, GitQuestion, OwnedFetchContext, RegistryClient};

/// A way to one repository, for a thread that may block.
pub(super) struct GuardedTransport<'a> {
    pub(super) runtime: Handle,
    pub(super) upstream: &'a Arc<RegistryClient>,
    pub(super) place: GitPlace,
    pub(super) context: &'a OwnedFetchContext,
    /// Whether nobody waits any more.
    pub(super) is_left: &'a dyn Fn() -> bool,
}

impl GitTransport for GuardedTransport<'_> {
    fn exchange(&mut self, request: &GitRequest<'_>) -> io::Result<GitAnswer<'_>> {
        let question = GitQuestion {
            path: request.path(),
            headers: request.headers(),
            body: request.body().map(Bytes::copy_from_slice),
        };
        let asked = self.upstream.ask_git(&self.place, &question, self.context.borrowed());
        let reply = self.runtime.block_on(asked).map_err(io::Error::other)?;
        self.place = reply.place;
        let body = BlockingBody {
            runtime: &self.runtime,
            body: reply.body,
            piece: Bytes::new(),
            progress: Progress::at_least(SlowestAverage::USUAL),
            is_left: self.is_left,
        };
        Ok(GitAnswer { content_type: reply.content_type, body: Box::new(body) })
    }
}

/// A body that is read by a blocking thread.
struct BlockingBody<'a> {
    runtime: &'a Handle,
    body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    piece: Bytes,
    progress: Progress,
    is_left: &'a dyn Fn() -> bool,
}

impl BlockingBody<'_> {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, CouldNotAsk> {
        if (self.is_left)() {
            return Err(CouldNotAsk::BrokenBody);
        }
        let (progress, body) = (&mut self.progress, &mut self.body);
        let piece = self.runtime.block_on(async { progress.wait(body.next()).await })?;
        let Some(piece) = piece.transpose()? else { return Ok(None) };
        self.progress.came(piece.len())?;
        Ok(Some(piece))
    }
}

impl Read for BlockingBody<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.next().map_err(io::Error::other)? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
