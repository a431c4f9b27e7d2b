//! How a connection stands, as others see it.
//!
//! Owns whether it is its client's turn, when something stirred last, and what is kept for it. Must not know what is asked,
//! nor who decides that it must go.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;

use super::connections::{Full, Port};
use super::room::Part;

/// What every connection needs: its task, its socket, the names of both ends.
pub(super) const CONNECTION: usize = 4 << 10;
/// What TLS needs besides.
pub(super) const TLS: usize = 14 << 10;
/// And what it needs until hands are shaken.
pub(super) const HANDSHAKE: usize = 8 << 10;
/// What TLS holds of an answer that its client does not take.
pub(super) const TLS_UNSENT: usize = 32 << 10;
/// What hyper keeps of an HTTP/1.1 connection, and a request in the making.
pub(super) const HTTP1: usize = 24 << 10;
/// What hyper keeps of an HTTP/2 connection, and a few requests in the making.
pub(super) const HTTP2: usize = 40 << 10;
/// Requests of an HTTP/2 connection beyond which each counts for itself.
pub(super) const FEW_STREAMS: u32 = 4;
/// What each of those needs.
pub(super) const STREAM: usize = 3 << 10;

/// What came of a request may become so many times as much in memory: as it came, decoded, and room for more.
const READ_FACTOR: usize = 3;
/// So much is never counted; most heads are shorter.
const READ_FREE: usize = 1 << 10;
/// Most that is kept of what came: the window of HTTP/2. Whoever sends more waits until it is read.
pub(super) const READ_MOST: usize = 256 << 10;

/// How one connection stands.
#[derive(Debug)]
pub(super) struct Standing {
    port: Arc<Port>,
    part: Arc<Part>,
    id: u64,
    task: OnceLock<AbortHandle>,
    /// Requests that ever came.
    asked: AtomicU32,
    /// Answers in the making, or not handed over.
    open: AtomicU32,
    /// Of those, the ones that wait for room at their client.
    waiting: AtomicU32,
    /// Whether the socket takes no more.
    full: AtomicBool,
    /// Whether not all that HTTP/1.1 had to say is on its way.
    unsent: AtomicBool,
    /// How often a full socket moved.
    moves: AtomicU32,
    /// The newest connection of the port when something stirred here last.
    stirred: AtomicU64,
    /// Bytes that came since the last request.
    read: AtomicUsize,
    /// What is kept because of them.
    read_kept: AtomicUsize,
    /// All that is kept.
    kept: AtomicUsize,
    /// What was kept when it was told to go.
    leaving: AtomicUsize,
}

impl Standing {
    pub(super) fn new(port: Arc<Port>, part: Arc<Part>, id: u64) -> Self {
        Self {
            port,
            part,
            id,
            task: OnceLock::new(),
            asked: AtomicU32::new(0),
            open: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            full: AtomicBool::new(false),
            unsent: AtomicBool::new(false),
            moves: AtomicU32::new(0),
            // Whatever stirs from now on does so after this one came.
            stirred: AtomicU64::new(id.saturating_sub(1)),
            read: AtomicUsize::new(0),
            read_kept: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    pub(super) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// What ends it.
    pub(super) fn runs(&self, task: AbortHandle) {
        // Set once, by who spawned it.
        let _ = self.task.set(task);
    }

    pub(super) fn task(&self) -> Option<&AbortHandle> {
        self.task.get()
    }

    /// Something stirred. Who stirred before the newest connection came has done so longer ago than who did after.
    pub(super) fn stirs(&self) {
        self.stirred.store(self.port.newest(), Relaxed);
    }

    /// A full socket moved.
    pub(super) fn moves(&self) {
        self.moves.fetch_add(1, Relaxed);
        self.stirs();
    }

    pub(super) fn moved(&self) -> u32 {
        self.moves.load(Relaxed)
    }

    pub(super) fn stirred(&self) -> u64 {
        self.stirred.load(Relaxed)
    }

    /// A request has come; its answer is open until the value is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.asked.store(self.asked().wrapping_add(1), Relaxed);
        self.open.fetch_add(1, Relaxed);
        self.stirs();
        self.read.store(0, Relaxed);
        if self.read_kept.load(Relaxed) > 0 {
            self.give(self.read_kept.swap(0, Relaxed));
        }
        Open(self.clone())
    }

    /// Requests that ever came.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Relaxed)
    }

    /// Answers in the making, or not handed over.
    pub(super) fn answers(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Of those, the ones that wait for room at their client.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// Whether not all of an answer is on its way.
    pub(super) fn unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Relaxed);
    }

    /// Whether all of every answer is sent.
    pub(super) fn is_quiet(&self) -> bool {
        !self.unsent.load(Relaxed) && self.answers() == 0
    }

    /// Whether it is its client's turn: to ask, to finish asking, or to take what is there for it.
    pub(super) fn waits(&self) -> bool {
        self.full.load(Relaxed) || self.answers() == 0 || self.waiting() > 0
    }

    /// The socket takes no more, or does again.
    pub(super) fn full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    /// So many bytes came, which are kept until they have become a request.
    pub(super) fn reads(self: &Arc<Self>, count: usize) -> Result<(), Full> {
        let read = self.read.load(Relaxed) + count;
        self.read.store(read, Relaxed);
        if read > READ_FREE { self.keep_read(read) } else { Ok(()) }
    }

    fn keep_read(self: &Arc<Self>, read: usize) -> Result<(), Full> {
        let most = read.saturating_mul(READ_FACTOR).min(READ_MOST);
        let more = most.saturating_sub(self.read_kept.load(Relaxed));
        self.take(more)?;
        self.read_kept.fetch_add(more, Relaxed);
        Ok(())
    }

    /// Keeps so many bytes until the value is dropped; others who waited longer may have to go for it.
    pub(super) fn keep(self: &Arc<Self>, bytes: usize) -> Result<Kept, Full> {
        self.take(bytes)?;
        Ok(Kept { standing: self.clone(), bytes })
    }

    /// All that is kept for it.
    pub(super) fn kept(&self) -> usize {
        self.kept.load(Relaxed)
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Result<(), Full> {
        if !self.part.take(bytes) {
            Port::make_room(self, bytes)?;
        }
        self.kept.fetch_add(bytes, Relaxed);
        Ok(())
    }

    fn give(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Relaxed);
        self.part.give(bytes);
    }

    /// It is told to go, and what is kept for it will soon be free.
    pub(super) fn goes(&self) {
        let kept = self.kept();
        self.leaving.store(kept, Relaxed);
        self.part.room().leaves(kept);
    }

    /// It is gone.
    pub(super) fn ends(&self) {
        self.give(self.read_kept.swap(0, Relaxed));
        self.part.room().left(self.leaving.swap(0, Relaxed));
    }
}

/// Bytes that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    standing: Arc<Standing>,
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.standing.give(self.bytes);
    }
}

/// An answer that is open, or still being made.
#[derive(Debug)]
pub(super) struct Open(Arc<Standing>);

impl Open {
    /// It waits for room at its client, or does no more.
    pub(super) fn waits(&self, waits: bool) {
        if waits {
            self.0.waiting.fetch_add(1, Relaxed);
        } else {
            self.0.waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
