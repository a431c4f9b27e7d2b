//! Room for bodies that are read whole into memory, whoever sends them.
//!
//! Owns the bound. Small bodies need none, since there are no more of them than requests. Must not know what is in one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ClientBody, Refused};

/// Bytes of all that need room.
const ALL: u64 = 256 << 20;

/// What room is counted in.
const UNIT: u64 = 1 << 10;

/// Longest body that needs none.
const SMALL: u64 = 64 << 10;

/// How long a body waits for room.
const QUEUE: Duration = Duration::from_secs(10);

/// The room there is.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A body and its room, until the last of its clones is dropped.
struct Held {
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Room {
    /// All of it free.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(ALL / UNIT).unwrap_or(Semaphore::MAX_PERMITS))))
    }

    /// All of `body`, at most `limit` bytes. Nothing of a long one is read before there is room for all of it.
    ///
    /// # Errors
    /// [`Refused::Busy`] without room, [`Refused::Body`] when it does not come as it should.
    pub(super) async fn whole(&self, body: ClientBody, limit: u64) -> Result<Bytes, Refused> {
        body.fits(limit)?;
        let most = body.announced().unwrap_or(limit).min(limit);
        if most <= SMALL || body.is_empty() {
            return Ok(body.whole(limit).await?);
        }
        let units = u32::try_from(most.min(ALL).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = tokio::time::timeout(QUEUE, Arc::clone(&self.0).acquire_many_owned(units)).await;
        let room = room.map_err(|_| Refused::Busy)?.map_err(|_| Refused::Lost)?;
        let body = body.whole(limit).await?;
        Ok(Bytes::from_owner(Held { body, _room: room }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::super::any_body;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3600);

    fn sent(bytes: usize) -> ClientBody {
        ClientBody::new(any_body(Full::new(Bytes::from(vec![7; bytes]))), Some(bytes as u64), PATIENCE)
    }

    /// A client that announces what it never sends.
    fn stalled(announced: u64) -> ClientBody {
        let body = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>();
        ClientBody::new(any_body(StreamBody::new(body)), Some(announced), PATIENCE)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_and_small_bodies_pass() {
        let room = Arc::new(Room::new());
        let most = 32 << 20;
        for _ in 0..ALL / most {
            let room = Arc::clone(&room);
            tokio::spawn(async move { room.whole(stalled(most), most).await });
        }
        tokio::task::yield_now().await;
        assert!(matches!(room.whole(sent(1 << 20), most).await, Err(Refused::Busy)));
        assert_eq!(room.whole(sent(SMALL as usize), most).await.unwrap().len(), SMALL as usize);
    }

    #[tokio::test]
    async fn room_is_free_again_with_the_last_clone() {
        let room = Room::new();
        let body = room.whole(sent(1 << 20), 1 << 20).await.unwrap();
        let clone = body.clone();
        let free = || room.0.available_permits() as u64 * UNIT;
        drop(body);
        assert_eq!((free(), clone.len()), (ALL - (1 << 20), 1 << 20));
        drop(clone);
        assert_eq!(free(), ALL);
        assert!(room.whole(sent(2), 1).await.is_err());
    }
}
