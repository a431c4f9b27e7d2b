//! What happens on one connection, as the rest of its port sees it.
//!
//! Owns whose turn it is, the client's or this proxy's, and when something happened last. Must not know what is asked,
//! nor which connection is evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// How many connections ever came to the port.
    arrivals: Arc<AtomicU64>,
    /// When something happened here last, in half arrivals: an event is later than the arrival before it.
    last: AtomicU64,
    requests: AtomicU32,
    /// Answers in the making, or not handed over.
    answers: AtomicU32,
    /// Of those, the ones that wait for the client to take more.
    waiting: AtomicU32,
    /// Whether the socket takes no more.
    full: AtomicBool,
    /// Whether HTTP/1.1 has more to send than the socket has taken.
    unsent: AtomicBool,
    /// How often a full socket took something.
    moves: AtomicU32,
}

impl Activity {
    /// That of a connection that has just come. Whatever happens from now on happens after that.
    pub(super) fn new(arrivals: Arc<AtomicU64>, id: u64) -> Self {
        Self {
            arrivals,
            last: AtomicU64::new(2 * id.saturating_sub(1)),
            requests: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            full: AtomicBool::new(false),
            unsent: AtomicBool::new(false),
            moves: AtomicU32::new(0),
        }
    }

    /// Something happened.
    pub(super) fn touch(&self) {
        self.last.store(2 * self.arrivals.load(Relaxed) + 1, Relaxed);
    }

    /// When something happened last; only comparable between connections of one port.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// A full socket took something.
    pub(super) fn moves(&self) {
        self.moves.fetch_add(1, Relaxed);
        self.touch();
    }

    /// How often a full socket took something.
    pub(super) fn moved(&self) -> u32 {
        self.moves.load(Relaxed)
    }

    /// A request has come, and its answer is in the making.
    pub(super) fn request(&self) {
        self.requests.store(self.requests().wrapping_add(1), Relaxed);
        self.answers.fetch_add(1, Relaxed);
        self.touch();
    }

    /// An answer was handed over, or given up.
    pub(super) fn answered(&self) {
        self.answers.fetch_sub(1, Relaxed);
    }

    /// How many requests ever came.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Relaxed)
    }

    /// One more answer waits for the client to take more, or one less does.
    pub(super) fn answer_waits(&self, waits: bool) {
        if waits {
            self.waiting.fetch_add(1, Relaxed);
        } else {
            self.waiting.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn waiting_answers(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    pub(super) fn set_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Relaxed);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    /// Whether every answer was made and sent.
    pub(super) fn is_idle(&self) -> bool {
        !self.unsent.load(Relaxed) && self.answers() == 0
    }

    /// Whether it is the client's turn: to send a request, or to take more of an answer.
    pub(super) fn waits_for_client(&self) -> bool {
        self.full.load(Relaxed) || self.answers() == 0 || self.waiting_answers() > 0
    }
}
