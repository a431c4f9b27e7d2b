//! A circuit breaker for a bucket that does not answer.
//!
//! A client's request may need the bucket several times. When the bucket does not answer, the first call waits for some
//! seconds and the following fail at once, so that a response that needs no bucket is soon there. After a pause one call at
//! a time tries again. Owns that, and how long the wait is. Must not know what is asked.

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
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tracing::warn;

use crate::clock::Clock;

/// How long an answer may take to begin, and each part of it to come.
const ANSWER: Duration = Duration::from_secs(8);
/// Bytes for which one second more is given to what is sent.
const SECOND: usize = 1 << 20;
/// How long calls fail at once after one got no answer.
const PAUSE: Duration = Duration::from_secs(10);
/// There is no pause.
const NEVER: u64 = 0;

#[derive(Debug, thiserror::Error)]
#[error("the bucket did not answer a moment ago and is not asked now")]
struct Paused;

#[derive(Debug, thiserror::Error)]
#[error("the bucket did not answer within {} s", .0.as_secs())]
struct Silent(Duration);

/// A bucket behind the breaker.
#[derive(Debug)]
pub(super) struct BucketBreaker<T> {
    bucket: T,
    pause: Arc<BucketPause>,
}

#[derive(Debug)]
struct BucketPause {
    /// The millisecond of the clock's monotonic time at which a call may try again.
    ends: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl BucketPause {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn end_of_pause(&self) -> u64 {
        self.now().saturating_add(PAUSE.as_millis() as u64)
    }

    /// Lets a call through unless there is a pause; at its end, lets one call through to try again.
    fn let_through(&self) -> Result<()> {
        let paused = |until: u64| match until {
            NEVER => None,
            until if self.now() < until => None,
            _ => Some(self.end_of_pause()),
        };
        let before = self.ends.fetch_update(Ordering::SeqCst, Ordering::SeqCst, paused);
        match before {
            Ok(_) | Err(NEVER) => Ok(()),
            Err(_) => Err(Error::Generic { store: "S3", source: Box::new(Paused) }),
        }
    }

    /// What `call` answers, if it is made and answers in time.
    async fn during<T>(&self, within: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.let_through()?;
        self.saw(timely(within, call).await)
    }

    /// What comes in `parts`, up to the first that does not come in time.
    fn timely_parts<I: Send + 'static>(
        self: &Arc<Self>,
        parts: BoxStream<'static, Result<I>>,
    ) -> BoxStream<'static, Result<I>> {
        let pause = Arc::clone(self);
        let timely = stream::unfold(Some(parts), async |parts| {
            let mut parts = parts?;
            match timely(ANSWER, parts.next().map(Ok)).await.transpose()? {
                Ok(part) => Some((part, Some(parts))),
                Err(silence) => Some((Err(silence), None)),
            }
        });
        // Who reads an object may ask again after its end.
        timely.map(move |part| pause.saw(part)).fuse().boxed()
    }

    fn saw<T>(&self, answer: Result<T>) -> Result<T> {
        match &answer {
            Err(error) if is_silence(error) => {
                let error: &(dyn StdError + 'static) = error;
                warn!(error, "the bucket does not answer and is not asked for {} s", PAUSE.as_secs());
                self.ends.store(self.end_of_pause(), Ordering::SeqCst);
            }
            Err(error) if causes(error).any(|cause| cause.is::<Paused>()) => {}
            Ok(_) | Err(_) => self.ends.store(NEVER, Ordering::SeqCst),
        }
        answer
    }
}

async fn timely<T>(within: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    let silent = |_| Err(Error::Generic { store: "S3", source: Box::new(Silent(within)) });
    tokio::time::timeout(within, call).await.unwrap_or_else(silent)
}

/// Whether the bucket did not answer; a refusal is an answer.
fn is_silence(error: &Error) -> bool {
    if causes(error).any(|cause| cause.is::<Silent>()) {
        return true;
    }
    let kind = causes(error).find_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind);
    matches!(kind, Some(HttpErrorKind::Connect | HttpErrorKind::Timeout))
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source())
}

impl<T> BucketBreaker<T> {
    pub(super) fn new(bucket: T, clock: Arc<dyn Clock>) -> Self {
        Self { bucket, pause: Arc::new(BucketPause { ends: AtomicU64::new(NEVER), clock }) }
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for BucketBreaker<T> {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let sending = Duration::from_secs((payload.content_length() / SECOND) as u64);
        self.pause.during(ANSWER + sending, self.bucket.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pause.during(ANSWER, self.bucket.put_multipart_opts(at, options)).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let answer = self.pause.during(ANSWER, self.bucket.get_opts(at, options)).await?;
        let payload = match answer.payload {
            GetResultPayload::Stream(bytes) => GetResultPayload::Stream(self.pause.timely_parts(bytes)),
            file @ GetResultPayload::File(..) => file,
        };
        Ok(GetResult { payload, ..answer })
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.guarded(self.bucket.delete_stream(keys))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.guarded(self.bucket.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pause.during(ANSWER, self.bucket.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pause.let_through()?;
        self.pause.saw(self.bucket.copy_opts(from, to, options).await)
    }
}

impl<T> BucketBreaker<T> {
    fn guarded<I: Send + 'static>(
        &self,
        answers: BoxStream<'static, Result<I>>,
    ) -> BoxStream<'static, Result<I>> {
        let pause = Arc::clone(&self.pause);
        let opened = async move {
            pause.let_through()?;
            Ok::<_, Error>(pause.timely_parts(answers))
        };
        stream::once(opened.boxed()).try_flatten().boxed()
    }
}

impl<T: fmt::Display> fmt::Display for BucketBreaker<T> {
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

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_for_an_answer_to_begin_than_it_is_given() {
        let pause = BucketPause { ends: AtomicU64::new(NEVER), clock: Arc::new(ManualClock::at(5)) };
        let begun = tokio::time::Instant::now();
        let silence = pause.during(ANSWER, std::future::pending::<Result<()>>()).await.unwrap_err();
        assert!(is_silence(&silence) && begun.elapsed() == ANSWER, "{silence:?}");
        let next = pause.during(ANSWER, std::future::pending::<Result<()>>()).await.unwrap_err();
        assert!(causes(&next).any(|cause| cause.is::<Paused>()) && begun.elapsed() == ANSWER);
        let bucket = BucketBreaker::new(InMemory::new(), Arc::new(ManualClock::at(5)));
        let mut listed = bucket.guarded(stream::pending::<Result<Path>>().boxed());
        assert!(is_silence(&listed.next().await.unwrap().unwrap_err()));
        assert!(listed.next().await.is_none());
    }

    #[tokio::test]
    async fn after_silence_one_ends_and_the_rest_fail_at_once() {
        let clock = Arc::new(ManualClock::at(5));
        let bucket = BucketBreaker::new(InMemory::new(), clock.clone());
        let key = Path::from("key");
        let paused = async || {
            let asked = bucket.head(&key).await.unwrap_err();
            causes(&asked).any(|cause| cause.is::<Paused>())
        };
        assert!(!paused().await);
        drop(bucket.pause.saw::<()>(Err(silence())));
        clock.advance(PAUSE - Duration::from_millis(1));
        assert!(paused().await);
        assert!(bucket.list(None).next().await.unwrap().is_err());
        assert!(bucket.delete(&key).await.is_err());
        clock.advance(Duration::from_millis(1));
        bucket.pause.let_through().unwrap();
        assert!(paused().await, "another asks while the first waits");
        drop(bucket.pause.saw::<()>(Err(silence())));
        clock.advance(PAUSE);
        assert!(!paused().await, "an absence is an answer");
        assert!(!paused().await);
        assert!(bucket.list(None).next().await.is_none());
    }
}
