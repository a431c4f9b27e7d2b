//! What a run has asked and fetched so far, and how far it is.
//!
//! Owns the counts. Must not know what they are counts of beyond documents and files.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::read::{CachedAnswer, Outcome};

/// The counts of one run, read while it goes on.
#[derive(Debug, Default)]
pub(crate) struct RunTally {
    requests: AtomicU64,
    documents: AtomicU64,
    archives: AtomicU64,
    bytes: AtomicU64,
    done: AtomicUsize,
    of: AtomicUsize,
}

/// Those counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RunCounts {
    /// Questions to registries that were answered, with a 304 or whole.
    pub(crate) requests: u64,
    /// Documents that came whole.
    pub(crate) documents: u64,
    pub(crate) archives: u64,
    /// Bytes of documents and files that came.
    pub(crate) bytes: u64,
    /// Releases that were dealt with, of how many; none before they are selected.
    pub(crate) done: usize,
    pub(crate) of: usize,
}

impl RunTally {
    pub(super) fn document(&self, answer: &CachedAnswer) {
        let Outcome::Forwarded { status, collapsed: false, .. } = answer.outcome else { return };
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status == 200 {
            self.documents.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(answer.document.content.body().len() as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn file(&self, outcome: Outcome, is_archive: bool, length: u64) {
        let Outcome::Forwarded { collapsed: false, .. } = outcome else { return };
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.archives.fetch_add(u64::from(is_archive), Ordering::Relaxed);
        self.bytes.fetch_add(length, Ordering::Relaxed);
    }

    /// A question that brings neither a document nor a file.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self, releases: usize) {
        self.of.store(releases, Ordering::Relaxed);
    }

    pub(super) fn dealt_with(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> RunCounts {
        RunCounts {
            requests: self.requests.load(Ordering::Relaxed),
            documents: self.documents.load(Ordering::Relaxed),
            archives: self.archives.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            of: self.of.load(Ordering::Relaxed),
        }
    }
}
