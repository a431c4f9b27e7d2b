//! The memory that the connections of a port use together.
//!
//! Owns its bound and its accounts. Each worker thread leases memory from the port in chunks and counts its own
//! connections, so that the counter that all workers share is written seldom, and by no hit. Must not know which
//! connection is evicted when there is no memory left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a worker leases at once. It returns chunks once three are unused.
const CHUNK: usize = 64 << 10;

/// Idle connections keep what makes their next request cheap until all connections use this part of the memory.
const CROWDED: usize = 6;

/// The part of the memory that may be used twice while evicted connections have not released theirs.
const OVERDRAFT: usize = 16;

/// What every connection needs: its task, its socket, the addresses of both ends.
pub(super) const CONNECTION: usize = 4 << 10;
/// What TLS needs besides.
pub(super) const TLS: usize = 14 << 10;
/// What a TLS handshake needs until it is over.
pub(super) const HANDSHAKE: usize = 8 << 10;
/// What TLS buffers of an answer that the client does not take.
pub(super) const TLS_UNSENT: usize = 32 << 10;
/// What hyper needs for an HTTP/1.1 connection and one request.
pub(super) const HTTP1: usize = 24 << 10;
/// What hyper needs for an HTTP/2 connection and a few requests.
pub(super) const HTTP2: usize = 40 << 10;
/// Requests of an HTTP/2 connection beyond which each is counted, and what it needs.
pub(super) const FEW_STREAMS: u32 = 4;
pub(super) const STREAM: usize = 3 << 10;

/// Received bytes may take this many times their size: as they came, decoded, and spare capacity.
const READ_FACTOR: usize = 3;
/// Fewer received bytes than this are not counted; most heads are shorter.
const READ_FREE: usize = 1 << 10;
/// Most that is counted for received bytes: the window of HTTP/2, beyond which a client has to wait.
pub(super) const READ_MOST: usize = 256 << 10;

/// The memory of one port.
#[derive(Debug)]
pub(super) struct PortMemory {
    most: usize,
    leased: AtomicUsize,
    /// Of that, what evicted connections have not released.
    leaving: AtomicUsize,
}

impl PortMemory {
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, leased: AtomicUsize::new(0), leaving: AtomicUsize::new(0) })
    }

    /// What all connections use, and what workers have leased beyond that.
    pub(super) fn leased(&self) -> usize {
        self.leased.load(Relaxed)
    }

    /// Whether there are so many connections that most must be idle: the memory of an idle one then matters more than
    /// the time of its next request.
    pub(super) fn is_crowded(&self) -> bool {
        self.leased.load(Relaxed) > self.most / CROWDED
    }

    /// Whether so many evicted connections are still open that nothing more should be read before they have ended.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.leaving.load(Relaxed) > self.most / OVERDRAFT
    }

    /// What one eviction frees, so that not every new connection has to evict.
    pub(super) fn batch(&self) -> usize {
        (self.most / 64).max(CHUNK)
    }

    fn leaves(&self, bytes: usize) {
        self.leaving.fetch_add(bytes, Relaxed);
    }

    fn left(&self, bytes: usize) {
        self.leaving.fetch_sub(bytes, Relaxed);
    }

    fn lease(&self) -> bool {
        let before = self.leased.fetch_add(CHUNK, Relaxed);
        let fits = before.saturating_sub(self.leaving.load(Relaxed)) + CHUNK <= self.most;
        if !fits {
            self.leased.fetch_sub(CHUNK, Relaxed);
        }
        fits
    }
}

/// The part of it that one worker thread counts. It has a cache line of its own, since a crowd writes it with every
/// request.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct WorkerMemory {
    port: Arc<PortMemory>,
    used: AtomicUsize,
    leased: AtomicUsize,
}

impl WorkerMemory {
    pub(super) fn of(port: Arc<PortMemory>) -> Arc<Self> {
        Arc::new(Self { port, used: AtomicUsize::new(0), leased: AtomicUsize::new(0) })
    }

    fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        while used > self.leased.load(Relaxed) {
            if !self.port.lease() {
                self.used.fetch_sub(bytes, Relaxed);
                return false;
            }
            self.leased.fetch_add(CHUNK, Relaxed);
        }
        true
    }

    /// Takes bytes for which other connections were evicted: what workers have leased in reserve must not prevent that.
    fn take_over(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        while used > self.leased.load(Relaxed) {
            self.port.leased.fetch_add(CHUNK, Relaxed);
            self.leased.fetch_add(CHUNK, Relaxed);
        }
    }

    fn give(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Relaxed) - bytes;
        let spare = self.leased.load(Relaxed).saturating_sub(used);
        if spare >= 3 * CHUNK {
            let back = (spare / CHUNK - 1) * CHUNK;
            self.leased.fetch_sub(back, Relaxed);
            self.port.leased.fetch_sub(back, Relaxed);
        }
    }
}

/// The memory of one connection.
#[derive(Debug)]
pub(super) struct ConnectionMemory {
    worker: Arc<WorkerMemory>,
    used: AtomicUsize,
    /// Bytes received since the last request.
    received: AtomicUsize,
    /// What is used because of them.
    for_received: AtomicUsize,
    /// What was in use when the connection was evicted.
    leaving: AtomicUsize,
}

impl ConnectionMemory {
    pub(super) fn new(worker: Arc<WorkerMemory>) -> Self {
        let [used, received, for_received, leaving] = [0; 4].map(AtomicUsize::new);
        Self { worker, used, received, for_received, leaving }
    }

    /// Takes all of these bytes, or none.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let fits = self.worker.take(bytes);
        if fits {
            self.used.fetch_add(bytes, Relaxed);
        }
        fits
    }

    /// Takes bytes for which other connections were evicted.
    pub(super) fn take_over(&self, bytes: usize) {
        self.worker.take_over(bytes);
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
        self.worker.give(bytes);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Counts received bytes, and says how many more have to be taken for them.
    pub(super) fn receive(&self, count: usize) -> usize {
        let received = self.received.load(Relaxed) + count;
        self.received.store(received, Relaxed);
        if received <= READ_FREE {
            return 0;
        }
        let most = received.saturating_mul(READ_FACTOR).min(READ_MOST);
        most.saturating_sub(self.for_received.load(Relaxed))
    }

    /// These bytes were taken for what was received.
    pub(super) fn took_for_received(&self, bytes: usize) {
        self.for_received.fetch_add(bytes, Relaxed);
    }

    /// What was received has become a request.
    pub(super) fn forget_received(&self) {
        self.received.store(0, Relaxed);
        if self.for_received.load(Relaxed) > 0 {
            self.give(self.for_received.swap(0, Relaxed));
        }
    }

    pub(super) fn is_overdrawn(&self) -> bool {
        self.worker.port.is_overdrawn()
    }

    /// The connection is evicted: what it uses will soon be free.
    pub(super) fn leaves(&self) -> usize {
        let used = self.used();
        self.leaving.store(used, Relaxed);
        self.worker.port.leaves(used);
        used
    }

    /// The connection has ended.
    pub(super) fn ends(&self) {
        self.give(self.for_received.swap(0, Relaxed));
        self.worker.port.left(self.leaving.swap(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_bound_and_what_one_gives_back_another_takes() {
        let port = PortMemory::of(8 * CHUNK);
        let [one, other] = [WorkerMemory::of(port.clone()), WorkerMemory::of(port.clone())];
        assert!(one.take(6 * CHUNK) && other.take(2 * CHUNK));
        assert!(!other.take(1) && !one.take(1));
        assert_eq!(port.leased(), 8 * CHUNK);
        one.give(6 * CHUNK);
        assert!(other.take(5 * CHUNK), "{port:?}");
        other.give(7 * CHUNK);
        assert!(port.leased() <= 3 * CHUNK, "{port:?}");
    }

    #[test]
    fn what_one_worker_holds_in_reserve_keeps_nobody_out_who_may_take_over() {
        let port = PortMemory::of(4 * CHUNK);
        let [one, other] = [WorkerMemory::of(port.clone()), WorkerMemory::of(port.clone())];
        assert!(one.take(4 * CHUNK));
        one.give(2 * CHUNK);
        assert!(!other.take(1), "{port:?}");
        other.take_over(1);
        other.give(1);
        one.give(2 * CHUNK);
        assert!(port.leased() <= 4 * CHUNK, "{port:?}");
    }

    #[test]
    fn what_is_taken_and_given_back_again_and_again_is_not_leased_again() {
        let port = PortMemory::of(8 * CHUNK);
        let part = WorkerMemory::of(port.clone());
        assert!(part.take(CHUNK));
        assert!(part.take(CHUNK));
        let leased = port.leased();
        for _ in 0..10 {
            part.give(CHUNK);
            assert!(part.take(CHUNK));
            assert_eq!(port.leased(), leased);
        }
    }

    #[test]
    fn who_was_told_to_go_makes_room_at_once() {
        let port = PortMemory::of(2 * CHUNK);
        let part = WorkerMemory::of(port.clone());
        assert!(part.take(2 * CHUNK) && !part.take(CHUNK));
        port.leaves(CHUNK);
        assert!(part.take(CHUNK));
        part.give(CHUNK);
        port.left(CHUNK);
        assert!(!part.take(2 * CHUNK), "{port:?}");
    }
}
