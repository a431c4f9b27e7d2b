//! Whether the storage works: noticed when something fails, remembered, and forgotten when it works again.
//!
//! While something is wrong the storage is probed every few seconds, so trouble ends when the medium works again and
//! not when the next write happens. Owns that. Must not know what is done about trouble, nor how a store is probed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info};

use super::StoreError;
use crate::clock::{Clock, Timestamp};

/// Between two probes while nothing is wrong.
const WHILE_WELL: Duration = Duration::from_secs(30);
/// Between two probes while something is.
const WHILE_ILL: Duration = Duration::from_secs(2);
/// What is written to find out whether a full storage has space again.
const SPACE: usize = 1 << 20;

/// How a storage fails, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// No space is left.
    Full,
    /// It is read-only, or this process has no access.
    Denied,
    /// Any other error of the medium.
    Failing,
}

impl TroubleKind {
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::Denied, Self::Failing];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Failing => "failing",
        }
    }

    /// What an error says of the medium; `None` for an error about one value.
    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Full => Some(Self::Full),
            StoreError::Denied => Some(Self::Denied),
            StoreError::Io { .. } => Some(Self::Failing),
            StoreError::TooLarge | StoreError::Corrupt(_) | StoreError::Missing { .. } => None,
        }
    }
}

/// What is wrong with a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreTrouble {
    pub(crate) kind: TroubleKind,
    /// What an operator can do about it.
    pub(crate) detail: String,
    pub(crate) since: Timestamp,
}

#[derive(Debug)]
pub(super) struct StoreHealth {
    clock: Arc<dyn Clock>,
    trouble: Mutex<Option<StoreTrouble>>,
    noticed: Notify,
}

impl StoreHealth {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, trouble: Mutex::default(), noticed: Notify::new() }
    }

    pub(super) fn trouble(&self) -> Option<StoreTrouble> {
        self.trouble.lock().clone()
    }

    /// Probes the storage again and again. Never ends.
    pub(super) async fn watch<F>(&self, probe: impl Fn(usize) -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        loop {
            self.examine(&probe).await;
            let wait = if self.trouble().is_some() { WHILE_ILL } else { WHILE_WELL };
            // Trouble that is noticed meanwhile is looked at soon, not after a long wait.
            if tokio::time::timeout(wait, self.noticed.notified()).await.is_ok() {
                tokio::time::sleep(WHILE_ILL).await;
            }
        }
    }

    /// Probes the storage once.
    pub(super) async fn examine<F>(&self, probe: impl Fn(usize) -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let full = self.trouble().is_some_and(|trouble| trouble.kind == TroubleKind::Full);
        match probe(if full { SPACE } else { 1 }).await {
            Ok(()) => {
                if let Some(over) = self.trouble.lock().take() {
                    info!(state = over.kind.as_str(), "the storage works again");
                }
            }
            Err(error) => self.note(&error),
        }
    }

    /// Notes the failure of a result, and returns the result.
    pub(super) fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.note(error))
    }

    pub(super) fn note(&self, error: &StoreError) {
        let Some(kind) = TroubleKind::of(error) else { return };
        let mut trouble = self.trouble.lock();
        if trouble.as_ref().is_some_and(|before| before.kind == kind) {
            return;
        }
        let since = trouble.as_ref().map_or_else(|| self.clock.now(), |before| before.since);
        error!(state = kind.as_str(), %error, source = error.source_text(), "the storage is in trouble");
        *trouble = Some(StoreTrouble { kind, detail: error.to_string(), since });
        self.noticed.notify_one();
    }
}
