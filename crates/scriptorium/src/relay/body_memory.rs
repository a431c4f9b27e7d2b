//! Memory for bodies that are read whole.
//!
//! Units are taken for bytes that have come, not for bytes that were announced: a client that sends nothing has none. A
//! body must come fast enough. Small bodies take no units, since there are no more of them than requests. Owns these
//! bounds. Must not know what is in a body.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;

use super::{ClientBody, PATIENCE, WriteRefusal, quarter_shares};
use crate::admission::{Admission, Slot};
use crate::limit::Client;

/// Bytes of all bodies that take units.
const ALL: usize = 256 << 20;

/// Bytes of a unit, and of the longest body that takes none.
const UNIT: usize = 16 << 10;

/// The most bytes that are reserved for an announced length.
const RESERVED: u64 = 64 * 1024;

/// The memory for bodies.
#[derive(Debug)]
pub(super) struct BodyMemory(Arc<Admission<Client>>);

/// A body and its memory, until the last of its clones is dropped.
struct HeldBody {
    body: Bytes,
    _slot: Option<Slot<Client>>,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl BodyMemory {
    pub(super) fn new() -> Self {
        Self(quarter_shares(ALL / UNIT))
    }

    /// All of a `client`'s `body`, at most `limit` bytes.
    ///
    /// # Errors
    /// [`WriteRefusal::OwnShare`] or [`WriteRefusal::Busy`] without memory, [`WriteRefusal::Body`] when the body does not
    /// come as it should.
    pub(super) async fn whole(
        &self,
        client: &Client,
        body: ClientBody,
        limit: u64,
    ) -> Result<Bytes, WriteRefusal> {
        let reserved = body.announced().unwrap_or_default().min(RESERVED).min(limit);
        let mut whole = BytesMut::with_capacity(usize::try_from(reserved).unwrap_or_default());
        let (mut pieces, mut slot, mut taken) = (body.in_memory().pieces(limit), None::<Slot<Client>>, 0);
        while let Some(piece) = pieces.try_next().await? {
            // One body takes no more than its client's share, so that the longest body fits whatever the share is.
            let needed = ((whole.len() + piece.len()) / UNIT).min(self.0.share());
            if needed > taken {
                let more = self.0.take(client, needed - taken, PATIENCE).await?;
                taken = needed;
                match &mut slot {
                    None => slot = Some(more),
                    Some(slot) => slot.merge(more),
                }
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Bytes::from_owner(HeldBody { body: whole.freeze(), _slot: slot }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::super::{BodyError, any_body};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3600);
    const MOST: u64 = 32 << 20;

    fn client(name: &str) -> Client {
        Client::Token(name.into())
    }

    /// A client that announces 32 MiB, and sends so many bytes of it at once and then nothing.
    fn stalled_after(bytes: usize) -> ClientBody {
        let first = [Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![7; bytes])))];
        let body = StreamBody::new(stream::iter(first).chain(stream::pending()));
        ClientBody::new(any_body(body), Some(MOST), PATIENCE)
    }

    fn sent(bytes: usize) -> ClientBody {
        let body = http_body_util::Full::new(Bytes::from(vec![7; bytes]));
        ClientBody::new(any_body(body), Some(bytes as u64), PATIENCE)
    }

    fn stall(memory: &Arc<BodyMemory>, name: &'static str, bytes: usize) {
        let memory = Arc::clone(memory);
        tokio::spawn(async move { memory.whole(&client(name), stalled_after(bytes), MOST).await });
    }

    #[tokio::test(start_paused = true)]
    async fn announced_bytes_that_do_not_come_take_no_memory() {
        let memory = Arc::new(BodyMemory::new());
        (0..1000).for_each(|_| stall(&memory, "staller", 0));
        tokio::task::yield_now().await;
        assert_eq!(memory.0.free(), ALL / UNIT);
        assert_eq!(memory.whole(&client("staller"), sent(1 << 20), MOST).await.unwrap().len(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_cannot_take_all_memory_and_small_bodies_need_none() {
        let memory = Arc::new(BodyMemory::new());
        (0..4).for_each(|_| stall(&memory, "one", ALL / 16));
        tokio::task::yield_now().await;
        assert_eq!(memory.0.free(), ALL / UNIT * 3 / 4);
        let more = memory.whole(&client("one"), sent(1 << 20), MOST).await;
        assert!(matches!(more, Err(WriteRefusal::OwnShare)), "{more:?}");
        assert_eq!(memory.whole(&client("one"), sent(UNIT - 1), MOST).await.unwrap().len(), UNIT - 1);
        assert_eq!(memory.whole(&client("two"), sent(1 << 20), MOST).await.unwrap().len(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_stalled() {
        let drop_by_drop = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![7; 20 << 10]))), ()))
        });
        let body = ClientBody::new(any_body(StreamBody::new(drop_by_drop)), Some(MOST), PATIENCE);
        let begun = tokio::time::Instant::now();
        let read = BodyMemory::new().whole(&client("one"), body, MOST).await;
        assert!(matches!(read, Err(WriteRefusal::Body(BodyError::Stalled))), "{read:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "after {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn memory_is_free_again_with_the_last_clone() {
        let memory = BodyMemory::new();
        let body = memory.whole(&client("one"), sent(1 << 20), 1 << 20).await.unwrap();
        let clone = body.clone();
        drop(body);
        assert_eq!((memory.0.free() * UNIT, clone.len()), (ALL - (1 << 20), 1 << 20));
        drop(clone);
        assert_eq!(memory.0.free() * UNIT, ALL);
        assert!(memory.whole(&client("one"), sent(2), 1).await.is_err());
    }

    #[tokio::test]
    async fn a_body_longer_than_a_share_is_read() {
        let (memory, long) = (BodyMemory::new(), ALL / 4 + (1 << 20));
        let body = memory.whole(&client("one"), sent(long), 1 << 30).await.unwrap();
        assert_eq!(body.len(), long);
        assert_eq!(memory.0.free() * UNIT, ALL * 3 / 4);
    }
}
