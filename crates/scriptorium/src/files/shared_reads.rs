//! Reads of stored content, shared by all requests that want the same range at the same time.
//!
//! A range is read and verified once and lies in memory once, for as long as anybody reads or sends it, so that a crowd
//! on one file costs one read and the memory of one. Unlike a flight, a read is no task of its own: that would cost
//! each hit a task, and nothing here needs to outlive its client.
//!
//! Owns which ranges are in memory, and how many bytes they have. Must not know files, nor how one that cannot be read is
//! mended.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::domain::Sha256;

/// A range of a content, known by the digest of the whole: the same bytes wherever they are read.
type ReadKey = (Sha256, Range<u64>);

type KnownReads<E> = DashMap<ReadKey, Weak<SharedRead<E>>, ahash::RandomState>;

/// The reads under way, and the bytes of finished reads that are still being sent. A read fails with `E`.
#[derive(Debug)]
pub(super) struct SharedReads<E> {
    known: Arc<KnownReads<E>>,
    bytes: Arc<AtomicU64>,
}

struct SharedRead<E> {
    key: ReadKey,
    /// Any of its readers may drive it: one whose client takes no bytes may never be polled again.
    reading: Shared<BoxFuture<'static, Result<Bytes, E>>>,
    known: Weak<KnownReads<E>>,
    bytes: Arc<AtomicU64>,
}

impl<E> Default for SharedReads<E> {
    fn default() -> Self {
        Self { known: Arc::default(), bytes: Arc::default() }
    }
}

impl<E> SharedReads<E> {
    /// How many bytes are being read or sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl<E: Clone + Send + Sync + 'static> SharedReads<E> {
    /// The bytes of `range` of the content `raw`: those in memory, or what `read` gives. A failure is shared by all
    /// requests that wait for it; the next request reads anew.
    pub(super) async fn get<F>(
        &self,
        raw: Sha256,
        range: Range<u64>,
        read: impl FnOnce() -> F,
    ) -> Result<Bytes, E>
    where
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
    {
        let shared = self.join((raw, range), read);
        match shared.reading.clone().await {
            Ok(bytes) => Ok(Bytes::from_owner(SharedBytes { bytes, _read: shared })),
            Err(error) => {
                let is_this = |known: &Weak<_>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&shared));
                self.known.remove_if(&shared.key, |_, known| is_this(known));
                Err(error)
            }
        }
    }

    fn join<F>(&self, key: ReadKey, read: impl FnOnce() -> F) -> Arc<SharedRead<E>>
    where
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
    {
        let mut known = self.known.entry(key.clone()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let reading = read().boxed().shared();
            self.bytes.fetch_add(key.1.end - key.1.start, Ordering::Relaxed);
            let bytes = Arc::clone(&self.bytes);
            let shared = Arc::new(SharedRead { key, reading, known: Arc::downgrade(&self.known), bytes });
            *known = Arc::downgrade(&shared);
            shared
        })
    }
}

impl<E> Drop for SharedRead<E> {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.key.1.end - self.key.1.start, Ordering::Relaxed);
        if let Some(known) = self.known.upgrade() {
            known.remove_if(&self.key, |_, shared| shared.strong_count() == 0);
        }
    }
}

/// Bytes that keep their read in memory as long as they are sent.
struct SharedBytes<E> {
    bytes: Bytes,
    _read: Arc<SharedRead<E>>,
}

impl<E> AsRef<[u8]> for SharedBytes<E> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join_all, pending};
    use futures_util::poll;

    use super::*;

    type Failing = &'static str;

    /// Reads `text` in two steps, and counts that it did.
    async fn read(reads: Arc<AtomicUsize>, text: &'static str) -> Result<Bytes, Failing> {
        reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_crowd_reads_once_and_nothing_stays() {
        let (shared, reads, raw) = (SharedReads::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let ask = || shared.get(raw, 0..5, || read(reads.clone(), "hello"));
        let crowd = join_all((0..100).map(|_| ask())).await;
        assert!(crowd.iter().all(|bytes| bytes.as_ref().unwrap() == "hello"));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let late = ask().await.unwrap();
        assert_eq!((reads.load(Ordering::Relaxed), &late[..]), (1, &b"hello"[..]), "somebody still sends it");
        assert_eq!(shared.bytes(), 5, "once for all");

        drop((crowd, late));
        assert!(shared.known.is_empty() && shared.bytes() == 0);
        ask().await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn other_ranges_and_other_contents_are_other_reads() {
        let (shared, reads) = (SharedReads::default(), Arc::<AtomicUsize>::default());
        let (one, other) = (Sha256::of(b"1"), Sha256::of(b"2"));
        let first = shared.get(one, 0..1, || read(reads.clone(), "a")).await.unwrap();
        let second = shared.get(one, 1..2, || read(reads.clone(), "b")).await.unwrap();
        let third = shared.get(other, 0..1, || read(reads.clone(), "c")).await.unwrap();
        assert_eq!([&first[..], &second[..], &third[..]], [b"a", b"b", b"c"]);
    }

    #[tokio::test]
    async fn a_reader_that_is_never_polled_again_delays_nobody() {
        let (shared, reads, raw) = (SharedReads::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let ask = || shared.get(raw, 0..5, || read(reads.clone(), "hello"));
        let mut asleep = pin!(ask());
        assert!(poll!(asleep.as_mut()).is_pending());
        assert_eq!(ask().await.unwrap(), "hello");
        assert_eq!((asleep.await.unwrap(), reads.load(Ordering::Relaxed)), ("hello".into(), 1));
    }

    #[tokio::test]
    async fn a_request_after_a_failure_reads_anew_though_another_has_yet_to_see_it() {
        let (shared, reads, raw) = (SharedReads::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let fail = || {
            shared.get(raw, 0..5, || async {
                tokio::task::yield_now().await;
                Err("broken")
            })
        };
        let mut asleep = pin!(fail());
        assert!(poll!(asleep.as_mut()).is_pending());
        assert_eq!(fail().await, Err("broken"));
        let sound = shared.get(raw, 0..5, || read(reads.clone(), "hello")).await.unwrap();
        assert_eq!(asleep.await, Err("broken"));
        let again = shared.get(raw, 0..5, || read(reads.clone(), "hello")).await.unwrap();
        assert_eq!((&sound, &again, reads.load(Ordering::Relaxed)), (&again, &sound, 1));
    }

    #[tokio::test]
    async fn an_unfinished_read_ends_with_its_only_reader() {
        let (shared, raw) = (SharedReads::<Failing>::default(), Sha256::of(b"x"));
        assert!(shared.get(raw, 5..6, pending).now_or_never().is_none());
        assert!(shared.known.is_empty() && shared.bytes() == 0);
    }
}
