//! Memory for long documents on their way from one registry.
//!
//! Each registry has units of its own, so that one which sends slowly keeps only its own long documents waiting. Short
//! documents take none. Owns how many bytes there are and how long a document waits for them. Must not know what is asked.

use std::sync::Arc;
use std::time::Duration;

use super::CouldNotAsk;
use crate::admission::{Admission, Slot};

/// Shorter documents are not counted: their number is bounded by `max_concurrent`.
pub(super) const SHORT: u64 = 256 << 10;

/// Bytes of all longer documents that are on their way, unless one alone is longer.
const ALL: u64 = 64 << 20;

/// Bytes of a unit.
const UNIT: u64 = 64 << 10;

/// How long a document waits for others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory for one registry's documents.
#[derive(Debug)]
pub(super) struct DocumentMemory(Arc<Admission<()>>);

impl Default for DocumentMemory {
    fn default() -> Self {
        let units = (ALL / UNIT) as usize;
        Self(Admission::new(units, units))
    }
}

impl DocumentMemory {
    /// For one document that begins to come.
    pub(super) fn begin(&self) -> DocumentSlot {
        DocumentSlot { memory: Some(Arc::clone(&self.0)), taken: None }
    }
}

/// The memory that one document takes, until this is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct DocumentSlot {
    memory: Option<Arc<Admission<()>>>,
    taken: Option<Arc<Slot<()>>>,
}

/// Answers are compared without the memory that they take.
impl PartialEq for DocumentSlot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl DocumentSlot {
    /// For a document that is bounded in another way.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Takes memory for a document that has `length` bytes by now and may come to `most`: once, for all of it, since
    /// documents that wait with half of what they need would wait for each other.
    pub(super) async fn cover(&mut self, length: u64, most: u64) -> Result<(), CouldNotAsk> {
        if length <= SHORT || self.taken.is_some() {
            return Ok(());
        }
        let Some(memory) = &self.memory else { return Ok(()) };
        let units = usize::try_from(most.max(length).min(ALL).div_ceil(UNIT)).unwrap_or(usize::MAX);
        let taken = memory.take(&(), units, PATIENCE).await.map_err(|_| CouldNotAsk::Busy)?;
        self.taken = Some(Arc::new(taken));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn long_documents_share_the_room_and_short_ones_need_none() {
        let memory = DocumentMemory::default();
        let mut long = [(); 2].map(|()| memory.begin());
        for share in &mut long {
            share.cover(SHORT + 1, 32 << 20).await.unwrap();
            share.cover(32 << 20, 32 << 20).await.unwrap();
        }
        let (mut short, mut late) = (memory.begin(), memory.begin());
        short.cover(SHORT, 32 << 20).await.unwrap();
        assert_eq!(late.cover(SHORT + 1, 1 << 20).await, Err(CouldNotAsk::Busy));
        let [first, _second] = long;
        drop(first);
        late.cover(SHORT + 1, 1 << 20).await.unwrap();
        drop(late);
        assert_eq!(memory.0.free() as u64 * UNIT, 32 << 20);
    }

    #[tokio::test]
    async fn one_that_is_longer_than_the_room_has_all_of_it() {
        let (memory, mut share) = (DocumentMemory::default(), DocumentSlot::none());
        share.cover(1 << 40, 1 << 40).await.unwrap();
        share = memory.begin();
        share.cover(SHORT + 1, 1 << 40).await.unwrap();
        assert_eq!(memory.0.free(), 0);
    }
}
