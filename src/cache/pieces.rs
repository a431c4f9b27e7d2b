//! Pieces of files on their way to clients: read and verified once for all who send them at the same time.
//!
//! Owns which piece is in memory, for as long as anybody sends it and no longer, so that a crowd on one file costs one
//! reading of it and no more memory; and how many bytes that is. Must not know files, nor what is done about one that cannot be read.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::domain::Sha256;

/// A part of a content, known by the digest of the whole: the same bytes wherever they are read.
type Place = (Sha256, Range<u64>);

type Known<E> = DashMap<Place, Weak<Piece<E>>, ahash::RandomState>;

/// All pieces that somebody reads or sends. A reading fails with `E`.
#[derive(Debug)]
pub(super) struct Pieces<E> {
    known: Arc<Known<E>>,
    bytes: Arc<AtomicU64>,
}

struct Piece<E> {
    place: Place,
    /// Carried on by whoever of those who wait for it is awake: one whose client takes nothing may never be.
    reading: Shared<BoxFuture<'static, Result<Bytes, E>>>,
    known: Weak<Known<E>>,
    bytes: Arc<AtomicU64>,
}

impl<E> Default for Pieces<E> {
    fn default() -> Self {
        Self { known: Arc::default(), bytes: Arc::default() }
    }
}

impl<E> Pieces<E> {
    /// How many bytes somebody reads or sends.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl<E: Clone + Send + Sync + 'static> Pieces<E> {
    /// The bytes of `range` of the content `raw`, from whoever has them or by `read`. A failure is that of all who wait
    /// for it; who asks after it reads anew.
    pub(super) async fn get<F>(
        &self,
        raw: Sha256,
        range: Range<u64>,
        read: impl FnOnce() -> F,
    ) -> Result<Bytes, E>
    where
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
    {
        let piece = self.piece((raw, range), read);
        match piece.reading.clone().await {
            Ok(bytes) => Ok(Bytes::from_owner(Sent { bytes, _piece: piece })),
            Err(error) => {
                let is_this = |known: &Weak<_>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&piece));
                self.known.remove_if(&piece.place, |_, known| is_this(known));
                Err(error)
            }
        }
    }

    fn piece<F>(&self, place: Place, read: impl FnOnce() -> F) -> Arc<Piece<E>>
    where
        F: Future<Output = Result<Bytes, E>> + Send + 'static,
    {
        let mut known = self.known.entry(place.clone()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let reading = read().boxed().shared();
            self.bytes.fetch_add(place.1.end - place.1.start, Ordering::Relaxed);
            let bytes = Arc::clone(&self.bytes);
            let piece = Arc::new(Piece { place, reading, known: Arc::downgrade(&self.known), bytes });
            *known = Arc::downgrade(&piece);
            piece
        })
    }
}

impl<E> Drop for Piece<E> {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.place.1.end - self.place.1.start, Ordering::Relaxed);
        if let Some(known) = self.known.upgrade() {
            known.remove_if(&self.place, |_, piece| piece.strong_count() == 0);
        }
    }
}

/// One client's share of a piece.
struct Sent<E> {
    bytes: Bytes,
    _piece: Arc<Piece<E>>,
}

impl<E> AsRef<[u8]> for Sent<E> {
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
        let (pieces, reads, raw) = (Pieces::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let ask = || pieces.get(raw, 0..5, || read(reads.clone(), "hello"));
        let crowd = join_all((0..100).map(|_| ask())).await;
        assert!(crowd.iter().all(|bytes| bytes.as_ref().unwrap() == "hello"));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let late = ask().await.unwrap();
        assert_eq!((reads.load(Ordering::Relaxed), &late[..]), (1, &b"hello"[..]), "somebody still sends it");
        assert_eq!(pieces.bytes(), 5, "once for all");

        drop((crowd, late));
        assert!(pieces.known.is_empty() && pieces.bytes() == 0);
        ask().await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn other_parts_and_other_contents_are_other_pieces() {
        let (pieces, reads) = (Pieces::default(), Arc::<AtomicUsize>::default());
        let (one, other) = (Sha256::of(b"1"), Sha256::of(b"2"));
        let first = pieces.get(one, 0..1, || read(reads.clone(), "a")).await.unwrap();
        let second = pieces.get(one, 1..2, || read(reads.clone(), "b")).await.unwrap();
        let third = pieces.get(other, 0..1, || read(reads.clone(), "c")).await.unwrap();
        assert_eq!([&first[..], &second[..], &third[..]], [b"a", b"b", b"c"]);
    }

    #[tokio::test]
    async fn who_began_and_is_never_awake_again_delays_nobody() {
        let (pieces, reads, raw) = (Pieces::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let ask = || pieces.get(raw, 0..5, || read(reads.clone(), "hello"));
        let mut asleep = pin!(ask());
        assert!(poll!(asleep.as_mut()).is_pending());
        assert_eq!(ask().await.unwrap(), "hello");
        assert_eq!((asleep.await.unwrap(), reads.load(Ordering::Relaxed)), ("hello".into(), 1));
    }

    #[tokio::test]
    async fn who_asks_after_a_failure_reads_anew_though_one_has_yet_to_hear_of_it() {
        let (pieces, reads, raw) = (Pieces::default(), Arc::<AtomicUsize>::default(), Sha256::of(b"x"));
        let fail = || {
            pieces.get(raw, 0..5, || async {
                tokio::task::yield_now().await;
                Err("broken")
            })
        };
        let mut asleep = pin!(fail());
        assert!(poll!(asleep.as_mut()).is_pending());
        assert_eq!(fail().await, Err("broken"));
        let sound = pieces.get(raw, 0..5, || read(reads.clone(), "hello")).await.unwrap();
        assert_eq!(asleep.await, Err("broken"));
        let again = pieces.get(raw, 0..5, || read(reads.clone(), "hello")).await.unwrap();
        assert_eq!((&sound, &again, reads.load(Ordering::Relaxed)), (&again, &sound, 1));
    }

    #[tokio::test]
    async fn who_leaves_takes_an_unfinished_reading_along() {
        let (pieces, raw) = (Pieces::<Failing>::default(), Sha256::of(b"x"));
        assert!(pieces.get(raw, 5..6, pending).now_or_never().is_none());
        assert!(pieces.known.is_empty() && pieces.bytes() == 0);
    }
}
