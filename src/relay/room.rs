//! Room for bodies that are read whole into memory, whoever sends them.
//!
//! Room is taken for what has come, not for what was announced: a client that sends nothing keeps none. What comes must
//! come at a sane pace. Owns that. Small bodies need no room, since there are no more of them than requests. Must not
//! know what is in one.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;

use super::shares::{Share, Shares};
use super::{ClientBody, Refused};
use crate::limit::Client;

/// Bytes of all that need room.
const ALL: usize = 256 << 20;

/// What room is counted in, and the longest body that needs none.
const UNIT: usize = 16 << 10;

/// Most that is reserved for what a client only announced.
const RESERVED: u64 = 64 * 1024;

/// The room there is.
#[derive(Debug)]
pub(super) struct Room(Shares);

/// A body and its room, until the last of its clones is dropped.
struct Held {
    body: Bytes,
    _room: Option<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Room {
    /// All of it free.
    pub(super) fn new() -> Self {
        Self(Shares::of(ALL / UNIT))
    }

    /// All of a `client`'s `body`, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Refused::OwnShare`] or [`Refused::Busy`] without room, [`Refused::Body`] when it does not come as it should.
    pub(super) async fn whole(
        &self,
        client: &Client,
        body: ClientBody,
        limit: u64,
    ) -> Result<Bytes, Refused> {
        let reserved = body.announced().unwrap_or_default().min(RESERVED).min(limit);
        let mut whole = BytesMut::with_capacity(usize::try_from(reserved).unwrap_or_default());
        let (mut pieces, mut room, mut taken) = (body.promptly().pieces(limit), None, 0);
        while let Some(piece) = pieces.try_next().await? {
            // One body takes no more than its client's share, so that a longest one fits whatever the share is.
            let needed = ((whole.len() + piece.len()) / UNIT).min(self.0.of_one());
            if needed > taken {
                let more = self.0.take(client, needed - taken).await?;
                taken = needed;
                match &mut room {
                    None => room = Some(more),
                    Some(room) => room.merge(more),
                }
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Bytes::from_owner(Held { body: whole.freeze(), _room: room }))
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

    fn stall(room: &Arc<Room>, name: &'static str, bytes: usize) {
        let room = Arc::clone(room);
        tokio::spawn(async move { room.whole(&client(name), stalled_after(bytes), MOST).await });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_and_does_not_come_takes_nothing() {
        let room = Arc::new(Room::new());
        (0..1000).for_each(|_| stall(&room, "staller", 0));
        tokio::task::yield_now().await;
        assert_eq!(room.0.free(), ALL / UNIT);
        assert_eq!(room.whole(&client("staller"), sent(1 << 20), MOST).await.unwrap().len(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_leaves_room_to_others_and_small_bodies_pass() {
        let room = Arc::new(Room::new());
        (0..4).for_each(|_| stall(&room, "one", ALL / 16));
        tokio::task::yield_now().await;
        assert_eq!(room.0.free(), ALL / UNIT * 3 / 4);
        let more = room.whole(&client("one"), sent(1 << 20), MOST).await;
        assert!(matches!(more, Err(Refused::OwnShare)), "{more:?}");
        assert_eq!(room.whole(&client("one"), sent(UNIT - 1), MOST).await.unwrap().len(), UNIT - 1);
        assert_eq!(room.whole(&client("two"), sent(1 << 20), MOST).await.unwrap().len(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_at_a_sane_pace_is_not_waited_for() {
        let drop_by_drop = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![7; 20 << 10]))), ()))
        });
        let body = ClientBody::new(any_body(StreamBody::new(drop_by_drop)), Some(MOST), PATIENCE);
        let begun = tokio::time::Instant::now();
        let read = Room::new().whole(&client("one"), body, MOST).await;
        assert!(matches!(read, Err(Refused::Body(BodyError::Stalled))), "{read:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "after {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn room_is_free_again_with_the_last_clone() {
        let room = Room::new();
        let body = room.whole(&client("one"), sent(1 << 20), 1 << 20).await.unwrap();
        let clone = body.clone();
        drop(body);
        assert_eq!((room.0.free() * UNIT, clone.len()), (ALL - (1 << 20), 1 << 20));
        drop(clone);
        assert_eq!(room.0.free() * UNIT, ALL);
        assert!(room.whole(&client("one"), sent(2), 1).await.is_err());
    }

    #[tokio::test]
    async fn a_body_longer_than_a_share_is_read_all_the_same() {
        let (room, long) = (Room::new(), ALL / 4 + (1 << 20));
        let body = room.whole(&client("one"), sent(long), 1 << 30).await.unwrap();
        assert_eq!(body.len(), long);
        assert_eq!(room.0.free() * UNIT, ALL * 3 / 4);
    }
}
