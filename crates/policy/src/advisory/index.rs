//! All advisories that are known, by the volumes that they are about.
//!
//! Owns the bound on their number. Must not know where they came from.

use std::sync::Arc;

use ahash::HashMap;
use archive::VolumeName;

use super::{Advisory, UnreadAdvisory};

/// The most advisories that are held, counted once for each volume that they name.
const MOST_ADVISORIES: usize = 200_000;

/// Advisories by volume. Withdrawn ones are left out.
#[derive(Debug, Clone, Default)]
pub struct Advisories {
    by_volume: HashMap<VolumeName, Vec<Arc<Advisory>>>,
    unread: HashMap<VolumeName, Vec<Arc<UnreadAdvisory>>>,
    unread_about_any: usize,
    count: usize,
    /// Counted once for each volume.
    entries: usize,
}

/// There are more advisories than are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {MOST_ADVISORIES} advisories about volumes: leave out those that are about nothing you use"
)]
pub struct TooManyAdvisories;

impl Advisories {
    /// The index of `advisories`.
    ///
    /// # Errors
    /// [`TooManyAdvisories`] beyond the bound: an index of some would say that the others do not exist.
    pub fn of<A: Into<Arc<Advisory>>>(
        advisories: impl IntoIterator<Item = A>,
    ) -> Result<Self, TooManyAdvisories> {
        let mut index = Self::default();
        for advisory in advisories.into_iter().map(Into::into).filter(|advisory| !advisory.is_withdrawn()) {
            let mut volumes: Vec<VolumeName> = advisory.volumes().cloned().collect();
            index.has_room_for(volumes.len())?;
            volumes.sort_unstable();
            volumes.dedup();
            for volume in volumes {
                index.by_volume.entry(volume).or_default().push(Arc::clone(&advisory));
            }
            index.count += 1;
        }
        Ok(index)
    }

    /// The same, and those that cannot be read.
    ///
    /// # Errors
    /// [`TooManyAdvisories`] beyond the bound, in which they count too.
    pub fn with_unread(
        mut self,
        unread: impl IntoIterator<Item = Arc<UnreadAdvisory>>,
    ) -> Result<Self, TooManyAdvisories> {
        for advisory in unread {
            self.has_room_for(advisory.volumes().len().max(1))?;
            self.unread_about_any += usize::from(advisory.volumes().is_empty());
            for volume in advisory.volumes() {
                self.unread.entry(volume.clone()).or_default().push(Arc::clone(&advisory));
            }
        }
        Ok(self)
    }

    fn has_room_for(&mut self, entries: usize) -> Result<(), TooManyAdvisories> {
        self.entries = self.entries.saturating_add(entries);
        if self.entries > MOST_ADVISORIES { Err(TooManyAdvisories) } else { Ok(()) }
    }

    /// The advisories that cannot be read and name `name`.
    #[must_use]
    pub fn unread_about(&self, name: &VolumeName) -> &[Arc<UnreadAdvisory>] {
        self.unread.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many advisories cannot be read and name no volume, so that they may be about any.
    #[must_use]
    pub fn unread_about_any(&self) -> usize {
        self.unread_about_any
    }

    /// The advisories about `name`, whichever versions they affect.
    #[must_use]
    pub fn about(&self, name: &VolumeName) -> &[Arc<Advisory>] {
        self.by_volume.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
