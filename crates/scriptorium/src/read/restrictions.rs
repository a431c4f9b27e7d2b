//! Whether some clients may not read all registries, told to every hit for two loads of one word.
//!
//! A hit of a proxy without restrictions looks nothing up for access. It reads the mark before and after: only if both are the
//! same and unrestricted, all that it saw in between was unrestricted. So a reload marks the word before it puts a restricted
//! configuration in force, and unmarks it after the last document of one has left memory. Owns that order. Must not know who
//! may read what.

use std::sync::atomic::{AtomicU64, Ordering};

/// One for each period; even ones are unrestricted.
pub(super) struct Restrictions(AtomicU64);

/// A moment's mark. Equal marks are of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessMark(u64);

impl AccessMark {
    /// Whether some clients may not read all registries.
    pub(crate) fn is_restricted(self) -> bool {
        self.0 % 2 == 1
    }
}

impl Restrictions {
    pub(super) fn new(are_restricted: bool) -> Self {
        Self(AtomicU64::new(are_restricted.into()))
    }

    pub(super) fn mark(&self) -> AccessMark {
        AccessMark(self.0.load(Ordering::Acquire))
    }

    /// Makes a change of the configuration, which was and will be restricted or not. One change is made at a time.
    pub(super) fn change<T>(&self, before: bool, after: bool, change: impl FnOnce() -> T) -> T {
        if !before && !after {
            return change();
        }
        let period = self.0.load(Ordering::Acquire) | 1;
        self.0.store(period, Ordering::SeqCst);
        let changed = change();
        self.0.store(period + if after { 2 } else { 1 }, Ordering::SeqCst);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restricted_moment_is_never_between_two_equal_unrestricted_marks() {
        let restrictions = Restrictions::new(false);
        let first = restrictions.mark();
        restrictions.change(false, false, || assert_eq!(restrictions.mark(), first));
        assert!(!first.is_restricted() && restrictions.mark() == first);
        restrictions.change(false, true, || assert!(restrictions.mark().is_restricted()));
        let restricted = restrictions.mark();
        assert!(restricted.is_restricted());
        restrictions.change(true, true, || assert!(restrictions.mark().is_restricted()));
        assert!(restrictions.mark().is_restricted() && restrictions.mark() != restricted);
        restrictions.change(true, false, || assert!(restrictions.mark().is_restricted()));
        assert!(!restrictions.mark().is_restricted() && restrictions.mark() != first);
    }
}
