//! When an answer was asked for and when it came, in the order of this process's questions.
//!
//! Owns that order's meaning. Must not know the clock: what happened before a question and what after it is decided by
//! numbers that are drawn one after the other.

/// An answer's place in the order of questions; all zero when an earlier process asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// When it was asked for.
    pub(crate) asked: u64,
    /// When it was last asked for and came whole, not merely confirmed.
    pub(crate) read: u64,
    /// When it had come.
    pub(crate) landed: u64,
}

impl Reading {
    /// Of an answer that came whole.
    pub(super) fn whole(asked: u64, landed: u64) -> Self {
        Self { asked, read: asked, landed }
    }

    /// Of the same answer, confirmed later.
    pub(super) fn confirmed(self, asked: u64, landed: u64) -> Self {
        Self { asked, landed, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_no_second_reading() {
        let whole = Reading::whole(3, 5);
        assert_eq!(whole, Reading { asked: 3, read: 3, landed: 5 });
        assert_eq!(whole.confirmed(7, 8), Reading { asked: 7, read: 3, landed: 8 });
    }
}
