//! The audit in a running proxy: slow, repeated, and without changes.
//!
//! Owns when a pass begins and what is logged of it. Ends with the task that runs it.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::pace::Pause;
use super::{AuditOptions, AuditReport, ReadRate, walk};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Between the end of a pass and the next.
const BETWEEN: Duration = Duration::from_secs(60 * 60);

/// Findings of one pass that are logged. The audit command shows all.
const MOST_LOGGED: usize = 100;

/// Audits `store` again and again, reading at most `rate` bytes a second.
pub(crate) async fn for_ever(
    store: Arc<dyn Store>,
    rate: NonZeroU64,
    metrics: Arc<Metrics>,
    rest: Arc<dyn Pause>,
) {
    loop {
        let pace = ReadRate::limited(rate, Arc::clone(&rest));
        let report =
            walk(&store, AuditOptions { repair: false, compare: true, pace, progress: &|_| {} }).await;
        tell(&report);
        (0..report.wrong).for_each(|_| metrics.integrity_failure("audit"));
        rest.rest(BETWEEN).await;
    }
}

fn tell(report: &AuditReport) {
    for finding in report.findings.iter().take(MOST_LOGGED) {
        let (kind, path, release) = (finding.kind.as_str(), &finding.path, finding.release.as_deref());
        let (expected, found, advice) = (&finding.expected, &finding.found, finding.advice);
        error!(kind, path, release, expected, found, advice, "the audit found an error");
    }
    let walked = &report.walked;
    info!(
        documents = walked.documents.count,
        archives = walked.archives.count,
        pins = walked.pins.count,
        bytes = walked.documents.bytes + walked.archives.bytes + walked.pins.bytes,
        wrong = report.wrong,
        "an audit pass has ended"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::BoxFuture;
    use tokio::sync::Notify;

    use super::*;
    use crate::domain::{Integrity, Sha256};
    use crate::store::{ObjectStorage, StorageKey};

    /// Every rest is over at once, but the third between two passes never is.
    #[derive(Default)]
    struct Hurried {
        rests: Mutex<Vec<Duration>>,
        done: Arc<Notify>,
    }

    impl Pause for Hurried {
        fn rest(&self, time: Duration) -> BoxFuture<'static, ()> {
            let mut rests = self.rests.lock().unwrap();
            rests.push(time);
            if rests.iter().filter(|rest| **rest == BETWEEN).count() < 3 {
                return Box::pin(std::future::ready(()));
            }
            self.done.notify_one();
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn pass_after_pass_at_the_rate_and_with_a_pause() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let key = StorageKey::Archive(Integrity::new(Sha256::of(b"a")));
        store.write(&key, vec![0; 10].into()).await.unwrap();
        let pin = StorageKey::Pin { volume: Sha256::of(b"v"), release: Sha256::of(b"r") };
        store.write(&pin, vec![0; 8192].into()).await.unwrap();
        let (metrics, rest) = (Arc::new(Metrics::new().unwrap()), Arc::new(Hurried::default()));
        let rate = NonZeroU64::new(4096).unwrap();
        let passes = for_ever(store.clone(), rate, metrics.clone(), rest.clone());
        tokio::select! {
            () = passes => panic!("ended"),
            () = rest.done.notified() => {}
        }
        let pass = [Duration::from_secs(2), BETWEEN];
        assert_eq!(*rest.rests.lock().unwrap(), [pass, pass, pass].concat());
        let counted = r#"scriptorium_integrity_failures_total{stage="audit"} 6"#;
        assert!(metrics.render().contains(counted), "{}", metrics.render());
        assert!(store.read(&key).await.unwrap().is_some(), "a pass changes nothing");
    }
}
