//! Bytes that the connections of a port keep together.
//!
//! Owns how many those may be, and that a worker counts its own: it leases them in chunks, so that what all workers
//! share is written seldom and by no hit. Must not know what a connection keeps, nor who goes when there is no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a worker leases at once. It gives back what it has not used for three of them.
const CHUNK: usize = 64 << 10;

/// Connections keep what makes the next request cheap until they take this part of the room.
const CROWDED: usize = 6;

/// The part of the room that may be taken while those still have it who go for it.
const OVERDRAFT: usize = 16;

/// The bytes of one port.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    leased: AtomicUsize,
    /// Of those, what connections keep that were told to go.
    leaving: AtomicUsize,
}

impl Room {
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, leased: AtomicUsize::new(0), leaving: AtomicUsize::new(0) })
    }

    /// What all connections keep, and what workers hold in reserve.
    pub(super) fn taken(&self) -> usize {
        self.leased.load(Relaxed)
    }

    /// Whether there are so many connections that most must be idle, and what an idle one keeps matters more than how
    /// soon it asks.
    pub(super) fn is_crowded(&self) -> bool {
        self.leased.load(Relaxed) > self.most / CROWDED
    }

    /// Whether so many were told to go and have not gone yet that nothing more should be read before they have.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.leaving.load(Relaxed) > self.most / OVERDRAFT
    }

    /// What one eviction makes free, so that not each newcomer has to look for who goes.
    pub(super) fn batch(&self) -> usize {
        (self.most / 64).max(CHUNK)
    }

    /// Some of it will be given back soon.
    pub(super) fn leaves(&self, bytes: usize) {
        self.leaving.fetch_add(bytes, Relaxed);
    }

    /// What was to be given back is.
    pub(super) fn left(&self, bytes: usize) {
        self.leaving.fetch_sub(bytes, Relaxed);
    }

    fn lease(&self) -> bool {
        let before = self.leased.fetch_add(CHUNK, Relaxed);
        let has_room = before.saturating_sub(self.leaving.load(Relaxed)) + CHUNK <= self.most;
        if !has_room {
            self.leased.fetch_sub(CHUNK, Relaxed);
        }
        has_room
    }
}

/// The part of it that one worker counts. On a line of its own, for it is written with every request in a crowd.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Part {
    room: Arc<Room>,
    used: AtomicUsize,
    leased: AtomicUsize,
}

impl Part {
    pub(super) fn of(room: Arc<Room>) -> Arc<Self> {
        Arc::new(Self { room, used: AtomicUsize::new(0), leased: AtomicUsize::new(0) })
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Takes so many bytes, or none.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        while used > self.leased.load(Relaxed) {
            if !self.room.lease() {
                self.used.fetch_sub(bytes, Relaxed);
                return false;
            }
            self.leased.fetch_add(CHUNK, Relaxed);
        }
        true
    }

    /// Takes so many bytes for which others were told to go: what workers hold in reserve must not stand in the way.
    pub(super) fn take_over(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        while used > self.leased.load(Relaxed) {
            self.room.leased.fetch_add(CHUNK, Relaxed);
            self.leased.fetch_add(CHUNK, Relaxed);
        }
    }

    pub(super) fn give(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Relaxed) - bytes;
        let spare = self.leased.load(Relaxed).saturating_sub(used);
        if spare >= 3 * CHUNK {
            let back = (spare / CHUNK - 1) * CHUNK;
            self.leased.fetch_sub(back, Relaxed);
            self.room.leased.fetch_sub(back, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_bound_and_what_one_gives_back_another_takes() {
        let room = Room::of(8 * CHUNK);
        let [one, other] = [Part::of(room.clone()), Part::of(room.clone())];
        assert!(one.take(6 * CHUNK) && other.take(2 * CHUNK));
        assert!(!other.take(1) && !one.take(1));
        assert_eq!(room.taken(), 8 * CHUNK);
        one.give(6 * CHUNK);
        assert!(other.take(5 * CHUNK), "{room:?}");
        other.give(7 * CHUNK);
        assert!(room.taken() <= 3 * CHUNK, "{room:?}");
    }

    #[test]
    fn what_one_worker_holds_in_reserve_keeps_nobody_out_who_may_take_over() {
        let room = Room::of(4 * CHUNK);
        let [one, other] = [Part::of(room.clone()), Part::of(room.clone())];
        assert!(one.take(4 * CHUNK));
        one.give(2 * CHUNK);
        assert!(!other.take(1), "{room:?}");
        other.take_over(1);
        other.give(1);
        one.give(2 * CHUNK);
        assert!(room.taken() <= 4 * CHUNK, "{room:?}");
    }

    #[test]
    fn what_is_taken_and_given_back_again_and_again_is_not_leased_again() {
        let room = Room::of(8 * CHUNK);
        let part = Part::of(room.clone());
        assert!(part.take(CHUNK));
        assert!(part.take(CHUNK));
        let leased = room.taken();
        for _ in 0..10 {
            part.give(CHUNK);
            assert!(part.take(CHUNK));
            assert_eq!(room.taken(), leased);
        }
    }

    #[test]
    fn who_was_told_to_go_makes_room_at_once() {
        let room = Room::of(2 * CHUNK);
        let part = Part::of(room.clone());
        assert!(part.take(2 * CHUNK) && !part.take(CHUNK));
        room.leaves(CHUNK);
        assert!(part.take(CHUNK));
        part.give(CHUNK);
        room.left(CHUNK);
        assert!(!part.take(2 * CHUNK), "{room:?}");
    }
}
