//! The thread that writes the audit record.
//!
//! Entries come over a bounded queue; those that wait are written together and flushed to the disk once. If the disk does not
//! take them, they go to the log of the process, are counted, and the next line that can be written says how many are
//! missing: the proxy goes on, since who can fill a disk must not be able to stop it. Owns that. Must not know the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::entry::{Actor, AuditAction, AuditEntry};
use super::file::AuditFile;
use crate::clock::{Clock, Timestamp};
use crate::telemetry::Metrics;

/// Entries that may wait.
const QUEUE: usize = 4096;
/// Entries that are written together.
const TOGETHER: usize = 256;
/// How often a failing disk is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// What the thread is asked to do.
enum AuditOrder {
    /// Write this, and say when the disk has it.
    Write(Timestamp, AuditEntry, Option<oneshot::Sender<()>>),
    /// Go on in this file.
    Follow(Box<AuditFile>),
}

/// How long the end of the thread is waited for. A disk that hangs must not keep the process from ending.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// The queue to the thread. The thread ends, after it wrote what waits, when this is dropped.
#[derive(Debug)]
pub(super) struct AuditWriter {
    queue: Option<SyncSender<AuditOrder>>,
    /// Disconnected once the thread has ended.
    ended: Mutex<Receiver<()>>,
    lost: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl AuditWriter {
    pub(super) fn start(
        file: AuditFile,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (queue, orders) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let (ending, ended) = mpsc::sync_channel(1);
        let writing = Writing { file, clock, lost: Arc::clone(&lost), metrics: Arc::clone(&metrics) };
        let thread = std::thread::Builder::new().name("audit-record".to_owned());
        thread.spawn(move || {
            let _ending: SyncSender<()> = ending;
            writing.run(&orders);
        })?;
        Ok(Self { queue: Some(queue), ended: Mutex::new(ended), lost, metrics })
    }

    /// Hands an entry over. The answer comes when the disk has it, and never comes if it is lost.
    pub(super) fn write(&self, at: Timestamp, entry: AuditEntry) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let Some(queue) = &self.queue else { return written };
        match queue.try_send(AuditOrder::Write(at, entry, Some(done))) {
            Ok(()) => {}
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                if let AuditOrder::Write(_, entry, _) = order {
                    lose(&entry, &self.lost, &self.metrics);
                }
            }
        }
        written
    }

    /// Goes on in `file` after what waits was written. It waits for room in the queue, so it may be called only where blocking
    /// is allowed.
    pub(super) fn follow(&self, file: AuditFile) {
        if let Some(queue) = &self.queue {
            let _ended = queue.send(AuditOrder::Follow(Box::new(file)));
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        drop(self.queue.take());
        if self.ended.lock().recv_timeout(LAST_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            error!("the audit record is not written to its end: its disk hangs");
        }
    }
}

/// Counts an entry that is not in the record, and logs it.
fn lose(entry: &AuditEntry, lost: &AtomicU64, metrics: &Metrics) {
    lost.fetch_add(1, Ordering::Relaxed);
    metrics.audit_record_lost();
    tell(entry, "an entry of the audit record is lost: this line is all that is left of it");
}

/// Logs an entry.
pub(super) fn tell(entry: &AuditEntry, message: &'static str) {
    let AuditEntry { who, from, what, more, .. } = entry;
    let more = serde_json::to_string(more).unwrap_or_default();
    info!(target: "scriptorium::audit_record", what, who, from, more, "{message}");
}

struct Writing {
    file: AuditFile,
    clock: Arc<dyn Clock>,
    lost: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl Writing {
    fn run(mut self, orders: &Receiver<AuditOrder>) {
        loop {
            let first = match orders.recv_timeout(AGAIN) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => {
                    // Nobody may write for long, and nothing else would notice that the file is gone.
                    let looked = self.file.look(self.clock.now());
                    looked.err().into_iter().for_each(|error| self.complain(&error));
                    None
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut entries, mut waiting, mut followed) = (Vec::new(), Vec::new(), None);
            let more = std::iter::from_fn(|| orders.try_recv().ok());
            for order in first.into_iter().chain(more) {
                match order {
                    AuditOrder::Write(at, entry, done) => {
                        entries.push((at, entry));
                        waiting.extend(done);
                    }
                    AuditOrder::Follow(file) => {
                        followed = Some(file);
                        break;
                    }
                }
                if entries.len() >= TOGETHER {
                    break;
                }
            }
            self.write(entries, waiting);
            if let Some(file) = followed {
                // Another process may have written the last line of the file that was renamed.
                self.file.refresh();
                self.file = file.following(&self.file);
            }
        }
    }

    fn complain(&self, error: &std::io::Error) {
        let path = self.file.path().display();
        error!(%path, %error, "the audit record cannot be written; make room, or repair its disk");
    }

    fn write(&mut self, entries: Vec<(Timestamp, AuditEntry)>, waiting: Vec<oneshot::Sender<()>>) {
        let lost = self.lost.load(Ordering::Relaxed);
        let missing = (lost > 0).then(|| {
            let missing = AuditEntry::new(AuditAction::Lost, &Actor::Proxy, None).with("lines", lost);
            (self.clock.now(), missing)
        });
        let lines: Vec<_> = missing.into_iter().chain(entries).collect();
        if lines.is_empty() {
            return;
        }
        match self.file.append(&lines) {
            Ok(()) => {
                self.lost.fetch_sub(lost, Ordering::Relaxed);
                for done in waiting {
                    // Who waited may have gone on.
                    let _gone = done.send(());
                }
            }
            Err(error) => {
                self.complain(&error);
                let own = lines.iter().filter(|(_, entry)| entry.what != AuditAction::Lost.as_str());
                own.for_each(|(_, entry)| lose(entry, &self.lost, &self.metrics));
            }
        }
    }
}
