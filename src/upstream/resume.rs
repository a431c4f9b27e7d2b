//! A download that goes on where it broke off, where the registry sends ranges of what it sent first.
//!
//! ```text
//!  breaks off ─ length known, something came, a try left ─> Range, with If-Range where there is a strong tag
//!      206 of a whole as long           goes on with it
//!      200 of a whole of the same kind  goes on behind what came already
//!      anything else                    broken, for its asker to begin anew
//! ```
//! A resumption is a retry, counted with those that begin anew; one that brought a MiB earns the next, up to a bound.
//! What was put together of two answers proves nothing against the file: it is asked for once more, as a whole. Owns
//! that. Must not know what is downloaded, nor how it is verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ::http::header::{CONTENT_LENGTH, ETAG};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tracing::info;
use url::Url;

use super::exchange::Question;
use super::{CouldNotAsk, Download, Errand, KeptErrand, Partial, Payload, Upstream, answer};

/// Resumptions of one download, however much they bring.
const MOST: u32 = 32;
/// What a resumption brings that earns the next one.
const WORTH: u64 = 1 << 20;

/// What is known of a whole that parts of it can be held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    length: u64,
    /// Strong: bytes with it are these bytes.
    etag: Option<HeaderValue>,
}

impl Whole {
    /// Reads it off the head of an answer that is all of it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let length = answer::number(headers, &CONTENT_LENGTH)?;
        let strong = |etag: &&HeaderValue| etag.as_bytes().starts_with(b"\"");
        Some(Self { length, etag: headers.get(ETAG).filter(strong).cloned() })
    }
}

/// How often one file may still be asked for after it broke off. Clones count together.
#[derive(Debug, Clone)]
pub struct Tries(Arc<State>);

#[derive(Debug)]
struct State {
    left: AtomicU32,
    taken: AtomicU32,
    may_resume: AtomicBool,
    /// What came last came to its end, and was put together.
    joined: AtomicBool,
}

impl Tries {
    /// So many after the first.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        let (left, may_resume) = (AtomicU32::new(retries), AtomicBool::new(retries > 0));
        Self(Arc::new(State { left, may_resume, taken: AtomicU32::new(0), joined: AtomicBool::new(false) }))
    }

    /// Whether to begin anew after a try that failed, which its transport is to blame for or its bytes.
    #[must_use]
    pub fn again(&self, is_transport: bool) -> bool {
        if self.0.joined.swap(false, Ordering::Relaxed) {
            self.0.may_resume.store(false, Ordering::Relaxed);
            return true;
        }
        is_transport && self.take()
    }

    /// How often it was tried again so far.
    #[must_use]
    pub fn taken(&self) -> u32 {
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
struct Going {
    upstream: Arc<Upstream>,
    payload: Payload,
    url: Url,
    errand: KeptErrand,
    tries: Tries,
    whole: Whole,
    body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    came: u64,
    /// What had come when it was resumed last.
    resumed_at: u64,
    resumptions: u32,
}

impl Upstream {
    /// Opens the payload at `locator` as [`download`](Self::download) does, and goes on where it breaks off, as often
    /// as `tries` lets it.
    ///
    /// # Errors
    /// Why there are no bytes.
    pub async fn download_on(
        self: &Arc<Self>,
        payload: Payload,
        locator: &str,
        from: &str,
        errand: Errand<'_>,
        tries: &Tries,
    ) -> Result<Download, CouldNotAsk> {
        let download = self.download(payload, locator, from, errand).await?;
        let Download { whole: Some(whole), length, body } = download else { return Ok(download) };
        if !tries.may_resume() {
            return Ok(Download { whole: Some(whole), length, body });
        }
        let going = Going {
            upstream: Arc::clone(self),
            payload,
            url: self.locate(locator, from)?,
            errand: errand.kept(),
            tries: tries.clone(),
            whole,
            body,
            came: 0,
            resumed_at: 0,
            resumptions: 0,
        };
        Ok(Download { length, whole: None, body: stream::unfold(Some(going), Going::next).boxed() })
    }
}

impl Going {
    async fn next(going: Option<Self>) -> Option<(Result<Bytes, CouldNotAsk>, Option<Self>)> {
        let mut going = going?;
        loop {
            match going.body.next().await? {
                Ok(piece) => {
                    going.came = going.came.saturating_add(piece.len() as u64);
                    return Some((Ok(piece), Some(going)));
                }
                Err(CouldNotAsk::BrokenBody) if going.resume().await => {}
                Err(why) => {
                    going.tries.0.joined.store(false, Ordering::Relaxed);
                    return Some((Err(why), None));
                }
            }
        }
    }

    /// Asks for what has not come yet. The old connection's place is free before.
    async fn resume(&mut self) -> bool {
        self.body = stream::empty().boxed();
        let left = self.came..self.whole.length;
        let worth = self.came.saturating_sub(self.resumed_at) >= WORTH;
        if self.came == 0 || left.is_empty() || self.resumptions >= MOST || !(worth || self.tries.take()) {
            return false;
        }
        let attempt = if worth { 0 } else { self.resumptions };
        self.resumptions += 1;
        self.resumed_at = self.came;
        self.upstream.pause_before_retry(attempt).await;
        let errand = self.errand.lend();
        let question = Question::rest(self.payload, left, self.whole.etag.clone(), errand);
        let came = match self.upstream.exchange_download(self.payload, &self.url, &question).await {
            Ok(Partial::Part { of, download }) if of == Some(self.whole.length) => download.body,
            Ok(Partial::Whole(download)) if download.whole.as_ref() == Some(&self.whole) => {
                behind(download.body, self.came)
            }
            Ok(_) | Err(_) => return false,
        };
        let (name, came_so_far) = (self.upstream.name(), self.came);
        info!(
            upstream = name,
            what = self.payload.as_str(),
            came = came_so_far,
            request_id = errand.id,
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
