//! Where entries of the audit record go: to its writer, or to the log without one.
//!
//! Owns that choice and how long an action waits for its line. Must not know who records what.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::timeout;

use super::entry::{Actor, AuditAction, AuditEntry};
use super::file::AuditFile;
use super::writer::{AuditWriter, tell};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// How long an action waits until its line is on the disk. Then it goes on: a disk that hangs must not stop the proxy.
const PATIENCE: Duration = Duration::from_secs(2);

/// A request that is recorded.
#[derive(Debug, Clone)]
pub(crate) struct AuditedRequest<'a> {
    pub(crate) who: Actor,
    pub(crate) from: Option<IpAddr>,
    /// What it asks for.
    pub(crate) about: &'a str,
    pub(crate) request_id: &'a str,
}

impl AuditedRequest<'_> {
    /// An entry that says `what` became of it.
    pub(crate) fn entry(&self, what: AuditAction) -> AuditEntry {
        let entry = AuditEntry::new(what, &self.who, self.from);
        entry.with("about", self.about).with("request_id", self.request_id)
    }
}

/// The audit record of this process.
#[derive(Debug)]
pub(crate) struct AuditRecord {
    writer: ArcSwapOption<AuditWriter>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl AuditRecord {
    /// A record in `file`, or in the log without one.
    ///
    /// # Errors
    /// When the thread that writes it cannot be started.
    pub(crate) fn new(
        file: Option<AuditFile>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let record = Self { writer: ArcSwapOption::empty(), clock, metrics };
        record.follow(file)?;
        Ok(record)
    }

    /// Goes on in `file`, which was just opened: another one, or the one that has the name of the old one now. It writes what
    /// waits first, so it may be called only where blocking is allowed.
    ///
    /// # Errors
    /// When the thread that writes it cannot be started.
    pub(crate) fn follow(&self, file: Option<AuditFile>) -> std::io::Result<()> {
        match (file, &*self.writer.load()) {
            (Some(file), Some(writer)) => writer.follow(file),
            (Some(file), None) => {
                let writer = AuditWriter::start(file, Arc::clone(&self.clock), Arc::clone(&self.metrics))?;
                self.writer.store(Some(Arc::new(writer)));
            }
            (None, _) => self.writer.store(None),
        }
        Ok(())
    }

    /// Writes what waits. What is recorded afterwards goes to the log.
    pub(crate) fn close(&self) {
        self.writer.store(None);
    }

    /// Records something that nobody waits for.
    pub(crate) fn enter(&self, entry: AuditEntry) {
        match &*self.writer.load() {
            Some(writer) => drop(writer.write(self.clock.now(), entry)),
            None => log(&entry),
        }
    }

    /// Records something, and waits until the disk has it, but not for long.
    pub(crate) async fn entered(&self, entry: AuditEntry) {
        let written = match &*self.writer.load() {
            Some(writer) => writer.write(self.clock.now(), entry),
            None => return log(&entry),
        };
        let _late_or_lost = timeout(PATIENCE, written).await;
    }

    /// Records something that has begun, whatever becomes of it.
    pub(crate) fn pending(&self, entry: AuditEntry) -> PendingEntry<'_> {
        PendingEntry { record: self, entry: Some(entry) }
    }

    /// A request was refused by the rule `rule`, whose action is `action`. Nobody waits for the line.
    pub(crate) fn policy_refusal(&self, request: &AuditedRequest<'_>, rule: &str, action: &str) {
        let entry = request.entry(AuditAction::PolicyRefusal);
        self.enter(entry.with("rule", rule).with("action", action));
    }

    /// A request was let through by a waiver of the rule `rule`, which `by` gave. Nobody waits for the line.
    pub(crate) fn waiver_used(&self, request: &AuditedRequest<'_>, rule: &str, by: &str) {
        let entry = request.entry(AuditAction::WaiverUsed);
        self.enter(entry.with("rule", rule).with("by", by));
    }
}

/// Logs an entry that has no other place, unless the log has it already.
fn log(entry: &AuditEntry) {
    if !entry.is_logged {
        tell(entry, "recorded");
    }
}

/// Something that has begun. If nobody says how it ended, because the client hung up, it is recorded all the same.
#[must_use = "it is recorded without its end as soon as this is dropped"]
pub(crate) struct PendingEntry<'a> {
    record: &'a AuditRecord,
    entry: Option<AuditEntry>,
}

impl PendingEntry<'_> {
    /// The same, about this.
    pub(crate) fn about(mut self, about: String) -> Self {
        self.entry = self.entry.take().map(|entry| entry.with("about", about));
        self
    }

    /// It ended so. Waits until the disk has it, but not for long.
    pub(crate) async fn ended(mut self, status: u16) {
        if let Some(entry) = self.entry.take() {
            self.record.entered(entry.with("status", status)).await;
        }
    }
}

impl Drop for PendingEntry<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.record.enter(entry.with("outcome", "the client did not wait for it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit_record::ChainVerifier;
    use crate::clock::SystemClock;

    fn asked(who: Actor) -> AuditedRequest<'static> {
        let from = Some([192, 0, 2, 1].into());
        AuditedRequest { who, from, about: "@acme/x@1.0.0", request_id: "id-1" }
    }

    fn record(file: Option<AuditFile>) -> (AuditRecord, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        (AuditRecord::new(file, clock, Arc::clone(&metrics)).unwrap(), metrics)
    }

    #[test]
    fn what_waits_is_written_before_the_record_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (record, _) = record(Some(AuditFile::open(&path).unwrap()));
        let anonymous = asked(Actor::Anonymous);
        for _ in 0..100 {
            record.policy_refusal(&anonymous, "too-new", "hold");
        }
        record.waiver_used(&asked(Actor::Holder("ci".into())), "too-new", "platform");
        record.close();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 101);
        let last = text.lines().last().unwrap();
        for part in [
            r#""who":"token:ci""#,
            r#""from":"192.0.2.1""#,
            r#""what":"waiver-used""#,
            r#""rule":"too-new""#,
            r#""request_id":"id-1""#,
        ] {
            assert!(last.contains(part), "{last}");
        }
        assert!(ChainVerifier::default().read(text.as_bytes()).unwrap().is_ok());
        // Without a file it goes to the log.
        record.policy_refusal(&anonymous, "r", "deny");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn what_nobody_waited_for_is_recorded_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (record, _) = record(Some(AuditFile::open(&path).unwrap()));
        let entry = || AuditEntry::new(AuditAction::Named("finalize"), &Actor::Anonymous, None);
        drop(record.pending(entry()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(record.pending(entry()).ended(201));
        record.close();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("did not wait") && lines[1].contains(r#""status":201"#), "{text}");
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted_and_told_by_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (record, metrics) = record(Some(AuditFile::open(&path).unwrap().failing()));
        for _ in 0..3 {
            record.policy_refusal(&asked(Actor::Anonymous), "r", "deny");
        }
        record.follow(Some(AuditFile::open(&path).unwrap())).unwrap();
        record.policy_refusal(&asked(Actor::Anonymous), "r", "deny");
        record.close();
        let text = fs::read_to_string(&path).unwrap();
        let mut read = ChainVerifier::default();
        assert!(read.read(text.as_bytes()).unwrap().is_ok());
        assert_eq!((read.lines, read.lost), (2, 3), "{text}");
        assert!(metrics.render().contains("scriptorium_audit_record_lost_total 3"));
    }

    #[test]
    fn more_than_may_wait_is_lost_and_counted() {
        const TOTAL: u64 = 6000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (record, _) = record(Some(AuditFile::open(&path).unwrap()));
        let other = fs::File::open(&path).unwrap();
        other.lock().unwrap();
        for _ in 0..TOTAL {
            record.policy_refusal(&asked(Actor::Anonymous), "r", "deny");
        }
        other.unlock().unwrap();
        // Whatever was lost is told by a line that can be written.
        record.close();
        let text = fs::read_to_string(&path).unwrap();
        let mut read = ChainVerifier::default();
        assert!(read.read(text.as_bytes()).unwrap().is_ok());
        let written = text.lines().filter(|line| line.contains("policy-refusal")).count() as u64;
        assert!(read.lost > 0 && written + read.lost == TOTAL, "{written} written, {} lost", read.lost);
    }
}
