//! Long documents on their way from one registry: how many bytes of them are in memory at once.
//!
//! A registry has room of its own, so that one which sends slowly keeps nobody but its own long documents waiting. Short
//! ones need none. Owns how much that is and how long is waited for it. Must not know what is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::CouldNotAsk;

/// Shorter documents are not counted: their number is bounded by `max_concurrent`.
pub(super) const SHORT: u64 = 256 << 10;

/// All that is on its way of longer ones, unless one alone is longer.
const ROOM: u64 = 64 << 20;

/// Bytes are counted in these.
const UNIT: u64 = 64 << 10;

/// How long a document waits for others.
const PATIENCE: Duration = Duration::from_secs(10);

/// A registry's room.
#[derive(Debug)]
pub(super) struct Bulk(Arc<Semaphore>);

impl Default for Bulk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new((ROOM / UNIT) as usize)))
    }
}

impl Bulk {
    /// For one document that begins to come.
    pub(super) fn begin(&self) -> Share {
        Share { room: Some(Arc::clone(&self.0)), taken: None }
    }
}

/// What one document takes, until this is dropped.
#[derive(Debug, Clone, Default)]
pub struct Share {
    room: Option<Arc<Semaphore>>,
    taken: Option<Arc<OwnedSemaphorePermit>>,
}

/// Whose bytes are counted where says nothing of what they are.
impl PartialEq for Share {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Share {
    /// Of what nobody else may have much of.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Takes room for a document that has `length` bytes by now and may come to `most`, once and for all of it: who waited
    /// with a half of it for more would wait for others who do.
    pub(super) async fn cover(&mut self, length: u64, most: u64) -> Result<(), CouldNotAsk> {
        if length <= SHORT || self.taken.is_some() {
            return Ok(());
        }
        let Some(room) = &self.room else { return Ok(()) };
        let units = u32::try_from(most.max(length).min(ROOM).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taken = timeout(PATIENCE, Arc::clone(room).acquire_many_owned(units)).await;
        self.taken = Some(Arc::new(taken.map_err(|_| CouldNotAsk::Busy)?.map_err(|_| CouldNotAsk::Busy)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn long_documents_share_the_room_and_short_ones_need_none() {
        let bulk = Bulk::default();
        let mut long = [(); 2].map(|()| bulk.begin());
        for share in &mut long {
            share.cover(SHORT + 1, 32 << 20).await.unwrap();
            share.cover(32 << 20, 32 << 20).await.unwrap();
        }
        let (mut short, mut late) = (bulk.begin(), bulk.begin());
        short.cover(SHORT, 32 << 20).await.unwrap();
        assert_eq!(late.cover(SHORT + 1, 1 << 20).await, Err(CouldNotAsk::Busy));
        let [first, _second] = long;
        drop(first);
        late.cover(SHORT + 1, 1 << 20).await.unwrap();
        drop(late);
        assert_eq!(bulk.0.available_permits() as u64 * UNIT, 32 << 20);
    }

    #[tokio::test]
    async fn one_that_is_longer_than_the_room_has_all_of_it() {
        let (bulk, mut share) = (Bulk::default(), Share::none());
        share.cover(1 << 40, 1 << 40).await.unwrap();
        share = bulk.begin();
        share.cover(SHORT + 1, 1 << 40).await.unwrap();
        assert_eq!(bulk.0.available_permits(), 0);
    }
}
