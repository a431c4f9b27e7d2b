//! The texts of errors of the system and of libraries, for the log.
//!
//! Owns that they reach the log only: a client reads the kind of a failure. Must not know where they come from.

use std::error::Error;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::causes::with_causes;

/// The text of the latest failure of one exchange. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Option<String>>>);

impl Notes {
    /// Notes `error` and its causes.
    pub(super) fn failed(&self, error: &(dyn Error + 'static)) {
        *self.held() = Some(with_causes(error));
    }

    /// Another attempt begins.
    pub(super) fn begin(&self) {
        *self.held() = None;
    }

    pub(super) fn causes(&self) -> Option<String> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock()
    }
}
