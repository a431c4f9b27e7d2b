//! What a transport tells of a failure beside its kind: the words of system and libraries, for the log.
//!
//! Owns that they reach the log and nobody else: a client is told a kind. Must not know who words them.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of one exchange; the latest failure is what remains. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Option<String>>>);

impl Notes {
    /// Notes `error` and what led to it, each once, the outermost first.
    pub(super) fn failed(&self, error: &(dyn Error + 'static)) {
        let mut chain: Vec<String> = Vec::new();
        for cause in std::iter::successors(Some(error), |&error| error.source()) {
            let text = cause.to_string();
            if !chain.last().is_some_and(|last| last.contains(&text)) {
                chain.push(text);
            }
        }
        *self.held() = Some(chain.join(": "));
    }

    /// Another try begins.
    pub(super) fn begin(&self) {
        *self.held() = None;
    }

    /// What was noted last.
    pub(super) fn causes(&self) -> Option<String> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
