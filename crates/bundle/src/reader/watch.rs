//! How far an inspection is, for whoever waits for it.
//!
//! Owns the count. Must not know who is told.

/// Who wants to know how far an inspection is.
pub(super) struct InspectionWatch<'a> {
    done: u64,
    of: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl<'a> InspectionWatch<'a> {
    pub(super) fn new(of: u64, tell: &'a mut dyn FnMut(u64, u64)) -> Self {
        Self { done: 0, of, tell }
    }

    /// So many bytes more of blobs were read.
    pub(super) fn read(&mut self, bytes: u64) {
        // A blob that comes twice in parts is read twice.
        self.done = self.done.saturating_add(bytes).min(self.of);
        (self.tell)(self.done, self.of);
    }
}
