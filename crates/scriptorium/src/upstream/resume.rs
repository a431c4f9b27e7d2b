//! A download that resumes where it broke off, if the registry sends ranges.
//!
//! ```text
//!  breaks off ─ length known, something came, a try left ─> Range, with If-Range where there is a strong tag
//!      206 of a whole as long           goes on with it
//!      200 of a whole of the same kind  goes on behind what came already
//!      anything else                    broken, for its asker to begin anew
//! ```
//! A resumption counts as a retry, except after one that brought at least a MiB, or that other proxies recalled, up to a bound. If a file that was
//! joined from two answers fails verification, it is downloaded once more as a whole: the joint may be at fault. Owns
//! that. Must not know what is downloaded, nor how it is verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tracing::info;
use url::Url;

use super::exchange::ReadRequest;
use super::part::WholeFile;
use super::{
    CouldNotAsk, Download, FetchContext, OwnedFetchContext, PartialDownload, Payload, RegistryClient,
};

/// The most resumptions of one download.
const MOST: u32 = 32;
/// A resumption that brings so many bytes earns the next one.
const WORTH: u64 = 1 << 20;

/// The retries that are left for one file. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct RetryAllowance(Arc<TriesState>);

#[derive(Debug)]
struct TriesState {
    left: AtomicU32,
    taken: AtomicU32,
    may_resume: AtomicBool,
    /// The last download was complete, and was joined from several answers.
    joined: AtomicBool,
}

impl RetryAllowance {
    /// So many retries after the first attempt.
    pub(crate) fn new(retries: u32) -> Self {
        let (left, may_resume) = (AtomicU32::new(retries), AtomicBool::new(retries > 0));
        Self(Arc::new(TriesState {
            left,
            may_resume,
            taken: AtomicU32::new(0),
            joined: AtomicBool::new(false),
        }))
    }

    /// Whether to begin anew after a failed attempt. `is_transport`: the transport failed, not the verification.
    pub(crate) fn again(&self, is_transport: bool) -> bool {
        if self.0.joined.swap(false, Ordering::Relaxed) {
            self.0.may_resume.store(false, Ordering::Relaxed);
            return true;
        }
        is_transport && self.take()
    }

    /// How many retries were used.
    pub(crate) fn taken(&self) -> u32 {
        self.0.taken.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        let left = |left: u32| left.checked_sub(1);
        let taken = self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok();
        self.0.taken.fetch_add(u32::from(taken), Ordering::Relaxed);
        taken
    }

    fn may_resume(&self) -> bool {
        self.0.may_resume.load(Ordering::Relaxed)
    }
}

/// A download under way.
struct ResumableDownload {
    upstream: Arc<RegistryClient>,
    payload: Payload,
    url: Url,
    context: OwnedFetchContext,
    tries: RetryAllowance,
    whole: WholeFile,
    body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    came: u64,
    /// How many bytes had come at the last resumption.
    resumed_at: u64,
    resumptions: u32,
}

impl RegistryClient {
    /// Opens the file at `locator` like [`download`](Self::download), and resumes it where it breaks off, as often as
    /// `tries` allows.
    ///
    /// # Errors
    /// Why there are no bytes.
    pub(crate) async fn download_on(
        self: &Arc<Self>,
        payload: Payload,
        locator: &str,
        from: &str,
        context: FetchContext<'_>,
        tries: &RetryAllowance,
    ) -> Result<Download, CouldNotAsk> {
        let download = self.download(payload, locator, from, context).await?;
        let Download { whole: Some(whole), length, body } = download else { return Ok(download) };
        if !tries.may_resume() {
            return Ok(Download { whole: Some(whole), length, body });
        }
        let going = ResumableDownload {
            upstream: Arc::clone(self),
            payload,
            url: self.locate(locator, from)?,
            context: context.owned(),
            tries: tries.clone(),
            whole,
            body,
            came: 0,
            resumed_at: 0,
            resumptions: 0,
        };
        Ok(Download {
            length,
            whole: None,
            body: stream::unfold(Some(going), ResumableDownload::next).boxed(),
        })
    }
}

impl ResumableDownload {
    async fn next(going: Option<Self>) -> Option<(Result<Bytes, CouldNotAsk>, Option<Self>)> {
        let mut going = going?;
        loop {
            match going.body.next().await? {
                Ok(piece) => {
                    going.came = going.came.saturating_add(piece.len() as u64);
                    return Some((Ok(piece), Some(going)));
                }
                Err(why @ (CouldNotAsk::BrokenBody | CouldNotAsk::Recalled)) => {
                    if !going.resume(why == CouldNotAsk::Recalled).await {
                        return going.broken(why);
                    }
                }
                Err(why) => return going.broken(why),
            }
        }
    }

    /// Ends here, for its asker to begin anew.
    fn broken(&self, why: CouldNotAsk) -> Option<(Result<Bytes, CouldNotAsk>, Option<Self>)> {
        self.tries.0.joined.store(false, Ordering::Relaxed);
        Some((Err(why), None))
    }

    /// Asks for the rest. The slot of the old connection is released first.
    async fn resume(&mut self, is_recalled: bool) -> bool {
        self.body = stream::empty().boxed();
        let left = self.came..self.whole.length;
        let worth = is_recalled || self.came.saturating_sub(self.resumed_at) >= WORTH;
        if self.came == 0 || left.is_empty() || self.resumptions >= MOST || !(worth || self.tries.take()) {
            return false;
        }
        let attempt = if worth { 0 } else { self.resumptions };
        self.resumptions += 1;
        self.resumed_at = self.came;
        self.upstream.pause_before_retry(attempt).await;
        let context = self.context.borrowed();
        let question = ReadRequest::rest(self.payload, left, self.whole.etag.clone(), context);
        let came = match self.upstream.exchange_download(self.payload, &self.url, &question).await {
            Ok(PartialDownload::Part { of, download }) if of == Some(self.whole.length) => download.body,
            Ok(PartialDownload::Whole(download)) if download.whole.as_ref() == Some(&self.whole) => {
                behind(download.body, self.came)
            }
            Ok(_) | Err(_) => return false,
        };
        let (name, came_so_far) = (self.upstream.name(), self.came);
        info!(
            upstream = name,
            what = self.payload.as_str(),
            came = came_so_far,
            request_id = context.id,
            "goes on"
        );
        self.tries.0.joined.store(true, Ordering::Relaxed);
        self.body = came;
        true
    }
}

/// The body without its first `skipped` bytes.
fn behind(
    body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    skipped: u64,
) -> BoxStream<'static, Result<Bytes, CouldNotAsk>> {
    let mut left = skipped;
    let rest = body.map(move |piece| {
        let piece: Bytes = piece?;
        let skip = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        left -= skip as u64;
        Ok(piece.slice(skip..))
    });
    rest.boxed()
}

#[cfg(test)]
mod tests;
