//! The promise that a value stays while somebody reads it.
//!
//! Owns that the promise ends with its last holder. Must not know what keeps it.

use std::fmt;

/// Ends something when it is dropped. Where nothing is ever evicted there is nothing to end.
#[derive(Default)]
pub struct Hold {
    end: Option<Box<dyn FnOnce() + Send + Sync>>,
    vacant: bool,
}

impl Hold {
    /// A hold that `end`s with its drop.
    #[must_use]
    pub fn until(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { end: Some(Box::new(end)), vacant: false }
    }

    /// The same hold, of a place where nothing is.
    #[must_use]
    pub fn of_nothing(mut self, vacant: bool) -> Self {
        self.vacant = vacant;
        self
    }

    /// Whether nothing was there when this was taken; not every store can tell.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.vacant
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}
