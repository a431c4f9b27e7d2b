//! Pieces of files on their way to clients: read and verified once for all who send them at the same time.
//!
//! Owns which piece is in memory, for as long as anybody sends it and no longer, so that a crowd on one file costs one
//! reading of it and no more memory. Must not know files, nor what is done about one that cannot be read.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::OnceCell;

use crate::domain::Sha256;

/// A part of a content, known by the digest of the whole: the same bytes wherever they are read.
type Place = (Sha256, Range<u64>);

/// All pieces that somebody reads or sends.
#[derive(Debug, Default)]
pub(super) struct Pieces(Arc<DashMap<Place, Weak<Piece>, ahash::RandomState>>);

#[derive(Debug)]
struct Piece {
    place: Place,
    bytes: OnceCell<Bytes>,
    pieces: Weak<DashMap<Place, Weak<Piece>, ahash::RandomState>>,
}

impl Pieces {
    /// The bytes of `range` of the content `raw`, from whoever has them or by `read`, which is waited for by all who
    /// ask meanwhile. A failure is that of the one who read; the next in turn tries itself.
    pub(super) async fn get<E>(
        &self,
        raw: Sha256,
        range: Range<u64>,
        read: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        let piece = self.piece((raw, range));
        piece.bytes.get_or_try_init(|| read).await?;
        Ok(Bytes::from_owner(Sent(piece)))
    }

    fn piece(&self, place: Place) -> Arc<Piece> {
        let mut known = self.0.entry(place.clone()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let pieces = Arc::downgrade(&self.0);
            let piece = Arc::new(Piece { place, bytes: OnceCell::new(), pieces });
            *known = Arc::downgrade(&piece);
            piece
        })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(pieces) = self.pieces.upgrade() {
            pieces.remove_if(&self.place, |_, piece| piece.strong_count() == 0);
        }
    }
}

/// One client's share of a piece.
struct Sent(Arc<Piece>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes.get().map_or(&[], Bytes::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// Reads `text`, and counts that it did.
    async fn read(reads: &AtomicUsize, text: &'static str) -> Result<Bytes, Infallible> {
        reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_crowd_reads_once_and_nothing_stays() {
        let (pieces, reads, raw) = (Pieces::default(), AtomicUsize::new(0), Sha256::of(b"x"));
        let ask = || pieces.get(raw, 0..5, read(&reads, "hello"));
        let crowd = join_all((0..100).map(|_| ask())).await;
        assert!(crowd.iter().all(|bytes| bytes.as_ref().unwrap() == "hello"));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let late = ask().await.unwrap();
        assert_eq!((reads.load(Ordering::Relaxed), &late[..]), (1, &b"hello"[..]), "somebody still sends it");

        drop((crowd, late));
        assert!(pieces.0.is_empty());
        ask().await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn other_parts_and_other_contents_are_other_pieces() {
        let (pieces, reads) = (Pieces::default(), AtomicUsize::new(0));
        let (one, other) = (Sha256::of(b"1"), Sha256::of(b"2"));
        let first = pieces.get(one, 0..1, read(&reads, "a")).await.unwrap();
        let second = pieces.get(one, 1..2, read(&reads, "b")).await.unwrap();
        let third = pieces.get(other, 0..1, read(&reads, "c")).await.unwrap();
        assert_eq!([&first[..], &second[..], &third[..]], [b"a", b"b", b"c"]);
    }

    #[tokio::test]
    async fn who_fails_or_leaves_spoils_nothing_for_the_next() {
        let (pieces, raw) = (Pieces::default(), Sha256::of(b"x"));
        let failing = pieces.get(raw, 0..1, async { Err("broken") });
        let sound = pieces.get(raw, 0..1, async { Ok::<_, &str>(Bytes::from_static(b"a")) });
        let (failed, read) = futures_util::join!(failing, sound);
        assert_eq!((failed, read), (Err("broken"), Ok(Bytes::from_static(b"a"))));

        let left = pieces.get(raw, 5..6, std::future::pending::<Result<Bytes, &str>>());
        assert!(futures_util::FutureExt::now_or_never(left).is_none());
        assert!(pieces.0.is_empty());
    }
}
