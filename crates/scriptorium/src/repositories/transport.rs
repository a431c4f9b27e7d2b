//! The guarded client of a registry, as blocking work reads from it.
//!
//! Owns the way from an asynchronous body to a blocking read, and that it ends at once when nobody waits any more. A read waits for the next
//! piece alone, so what is not read stays with the sender. Must not know what is asked, nor who may be asked.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use git_delivery::{GitAnswer, GitRequest, GitTransport};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::progress::{Progress, SlowestAverage};
use crate::upstream::{CouldNotAsk, GitPlace, GitQuestion, OwnedFetchContext, RegistryClient};

/// How often it is looked whether somebody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the end of an answer is waited for, of which all that was needed came.
const END_WITHIN: Duration = Duration::from_millis(100);

/// Why a body broke off. A request without an answer is repeated by who sends it, a body only as a whole.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct CutBody(pub(super) CouldNotAsk);

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
        let reply = self.runtime.block_on(while_awaited(self.is_left, asked)).map_err(io::Error::other)?;
        self.place = reply.place;
        let body = BlockingBody {
            runtime: &self.runtime,
            body: reply.body,
            piece: Bytes::new(),
            progress: Progress::at_least(SlowestAverage::USUAL),
            is_left: self.is_left,
            is_open: true,
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
    /// Whether more may come.
    is_open: bool,
}

impl BlockingBody<'_> {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, CouldNotAsk> {
        self.is_open = false;
        let (progress, body) = (&mut self.progress, &mut self.body);
        let next = async { Ok(progress.wait(body.next()).await?) };
        let piece = self.runtime.block_on(while_awaited(self.is_left, next))?;
        let Some(piece) = piece.transpose()? else { return Ok(None) };
        self.progress.came(piece.len())?;
        self.is_open = true;
        Ok(Some(piece))
    }
}

impl Drop for BlockingBody<'_> {
    /// Whoever reads knows where the last pack ends, and asks for no more. The end of the answer behind it says that all of it came.
    fn drop(&mut self) {
        if self.is_open && self.piece.is_empty() && !(self.is_left)() {
            let body = &mut self.body;
            // Without an end the exchange counts as broken off.
            let _ = self.runtime.block_on(async { timeout(END_WITHIN, body.next()).await });
        }
    }
}

/// The outcome of `work`, unless nobody waits for it any more.
async fn while_awaited<T>(
    is_left: &dyn Fn() -> bool,
    work: impl Future<Output = Result<T, CouldNotAsk>>,
) -> Result<T, CouldNotAsk> {
    let left = async {
        while !is_left() {
            sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = left => Err(CouldNotAsk::BrokenBody),
    }
}

impl Read for BlockingBody<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.next().map_err(|why| io::Error::other(CutBody(why)))? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
