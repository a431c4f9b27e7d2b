//! The promise that a value stays while somebody reads it.
//!
//! Owns that the promise ends with its last holder. Must not know what keeps it.

use std::fmt;

/// Ends something when it is dropped. Where nothing is ever evicted there is nothing to end.
#[derive(Default)]
pub struct Hold(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Hold {
    /// A hold that `end`s with its drop.
    #[must_use]
    pub fn until(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}
