//! A bucket that does not answer is left alone for a while.
//!
//! A request of a client may need the store several times in a row. Where nobody answers, the first waits for a
//! timeout and the next fail at once, so that what can be had without the bucket is had soon. One at a time tries again.
//! Owns that. Must not know what is asked.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{iter, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tracing::warn;

use crate::clock::Clock;

/// How long nobody is asked after nobody answered.
const PAUSE: Duration = Duration::from_secs(10);
/// No pause.
const NEVER: u64 = 0;

/// The bucket answered nothing a moment ago.
#[derive(Debug, thiserror::Error)]
#[error("the bucket did not answer a moment ago")]
struct Silent;

/// A bucket that is asked with little patience.
#[derive(Debug)]
pub(super) struct Impatient<T> {
    bucket: T,
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct Watch {
    /// The millisecond of the clock's monotonic time at which somebody may ask again.
    asks_again: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Watch {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn end_of_pause(&self) -> u64 {
        self.now().saturating_add(PAUSE.as_millis() as u64)
    }

    /// Lets a request through, or the one that finds out whether there are answers again.
    fn let_through(&self) -> Result<()> {
        let paused = |until: u64| match until {
            NEVER => None,
            until if self.now() < until => None,
            _ => Some(self.end_of_pause()),
        };
        let before = self.asks_again.fetch_update(Ordering::SeqCst, Ordering::SeqCst, paused);
        match before {
            Ok(_) | Err(NEVER) => Ok(()),
            Err(_) => Err(Error::Generic { store: "S3", source: Box::new(Silent) }),
        }
    }

    fn saw<T>(&self, answer: Result<T>) -> Result<T> {
        match &answer {
            Err(error) if is_silence(error) => {
                let error: &(dyn StdError + 'static) = error;
                warn!(error, "the bucket does not answer and is left alone for {} s", PAUSE.as_secs());
                self.asks_again.store(self.end_of_pause(), Ordering::SeqCst);
            }
            Err(error) if causes(error).any(|cause| cause.is::<Silent>()) => {}
            Ok(_) | Err(_) => self.asks_again.store(NEVER, Ordering::SeqCst),
        }
        answer
    }
}

/// Whether nobody answered; a refusal is an answer.
fn is_silence(error: &Error) -> bool {
    let kind = causes(error).find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind);
    matches!(kind, Some(HttpErrorKind::Connect | HttpErrorKind::Timeout))
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source())
}

impl<T> Impatient<T> {
    pub(super) fn new(bucket: T, clock: Arc<dyn Clock>) -> Self {
        Self { bucket, watch: Arc::new(Watch { asks_again: AtomicU64::new(NEVER), clock }) }
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for Impatient<T> {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.watch.let_through()?;
        self.watch.saw(self.bucket.put_opts(at, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.watch.let_through()?;
        self.watch.saw(self.bucket.put_multipart_opts(at, options).await)
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.watch.let_through()?;
        self.watch.saw(self.bucket.get_opts(at, options).await)
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.watched(self.bucket.delete_stream(keys))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.watched(self.bucket.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.watch.let_through()?;
        self.watch.saw(self.bucket.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.watch.let_through()?;
        self.watch.saw(self.bucket.copy_opts(from, to, options).await)
    }
}

impl<T> Impatient<T> {
    fn watched<I: Send + 'static>(
        &self,
        answers: BoxStream<'static, Result<I>>,
    ) -> BoxStream<'static, Result<I>> {
        let watch = Arc::clone(&self.watch);
        let opened = async move {
            watch.let_through()?;
            Ok::<_, Error>(answers.map(move |answer| watch.saw(answer)))
        };
        stream::once(opened.boxed()).try_flatten().boxed()
    }
}

impl<T: fmt::Display> fmt::Display for Impatient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bucket.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::clock::ManualClock;

    fn silence() -> Error {
        let source = HttpError::new(HttpErrorKind::Timeout, std::io::Error::other("nobody"));
        Error::Generic { store: "S3", source: Box::new(source) }
    }

    #[tokio::test]
    async fn after_silence_one_asks_again_and_the_rest_fail_at_once() {
        let clock = Arc::new(ManualClock::at(5));
        let bucket = Impatient::new(InMemory::new(), clock.clone());
        let key = Path::from("key");
        let paused = async || {
            let asked = bucket.head(&key).await.unwrap_err();
            causes(&asked).any(|cause| cause.is::<Silent>())
        };
        assert!(!paused().await);
        drop(bucket.watch.saw::<()>(Err(silence())));
        clock.advance(PAUSE - Duration::from_millis(1));
        assert!(paused().await);
        assert!(bucket.list(None).next().await.unwrap().is_err());
        assert!(bucket.delete(&key).await.is_err());
        clock.advance(Duration::from_millis(1));
        bucket.watch.let_through().unwrap();
        assert!(paused().await, "another asks while the first waits");
        drop(bucket.watch.saw::<()>(Err(silence())));
        clock.advance(PAUSE);
        assert!(!paused().await, "an absence is an answer");
        assert!(!paused().await);
        assert!(bucket.list(None).next().await.is_none());
    }
}
