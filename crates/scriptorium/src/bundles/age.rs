//! How old what was imported is.
//!
//! Owns the comparison with `bundles.max_age`, and the sentence about it. Must not know who is told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

use super::journal::BundleJournal;
use crate::clock::Timestamp;
use crate::store::Store;

/// When a registry last confirmed a document that was imported.
#[derive(Debug)]
pub(crate) struct ImportAge {
    store: Arc<dyn Store>,
    max: Duration,
    /// None where nothing was imported.
    confirmed: Mutex<Option<Timestamp>>,
}

impl ImportAge {
    /// The age of what `store` holds of bundles, which is told from `max` on. Nothing is known before it is [read](Self::read).
    pub(crate) fn new(store: Arc<dyn Store>, max: Duration) -> Self {
        Self { store, max, confirmed: Mutex::new(None) }
    }

    /// Reads the journal, when the process starts and after an import.
    pub(crate) async fn read(&self) {
        match BundleJournal::read(&*self.store).await {
            Ok(journal) => {
                *self.confirmed.lock() = journal.imports().map(|import| import.confirmed).max();
            }
            Err(error) => warn!(%error, "the age of what was imported is not known"),
        }
    }

    /// When a registry last confirmed what was imported, and the age from which that is too old.
    pub(crate) fn bounds(&self) -> Option<(Timestamp, Duration)> {
        Some(((*self.confirmed.lock())?, self.max))
    }

    /// What is to be said at `now`, if it is too old.
    pub(crate) fn overdue(&self, now: Timestamp) -> Option<String> {
        let confirmed = (*self.confirmed.lock())?;
        now.since(confirmed).filter(|age| *age > self.max)?;
        Some(format!(
            "what was imported is older than bundles.max_age: a registry last confirmed it at {confirmed}; import a newer bundle"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectStorage;

    #[test]
    fn only_what_was_imported_gets_old() {
        let age = ImportAge::new(Arc::new(ObjectStorage::memory().unwrap()), Duration::from_secs(10));
        assert_eq!(age.overdue(Timestamp(1_000_000)), None);
        *age.confirmed.lock() = Some(Timestamp(1_000_000));
        assert_eq!(age.overdue(Timestamp(1_010_000)), None);
        assert!(age.overdue(Timestamp(1_010_001)).unwrap().contains("1970-01-01T00:16:40Z"));
        assert_eq!(age.overdue(Timestamp(0)), None, "a clock that was set back is no age");
    }
}
