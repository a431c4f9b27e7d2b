//! Telling those who wait for a fetch that it ended.
//!
//! Owns the form of that event, and who of this proxy waits for which key. Must not know who fetches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::cluster::StreamEvent;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The kinds of the events by which those who wait are told.
const LANDED: &str = "landed";
const FAILED: &str = "failed";

/// The event that says that the fetch of `key` ended, and whether its result is in the bucket.
pub(super) fn landing(key: &str, landed: bool) -> StreamEvent {
    let kind = if landed { LANDED } else { FAILED };
    StreamEvent { kind: kind.to_owned(), subject: key.to_owned(), detail: String::new() }
}

/// Whether an event says that a fetch ended, and if so, whether its result is in the bucket.
pub(super) fn landed(event: &StreamEvent) -> Option<bool> {
    match event.kind.as_str() {
        LANDED => Some(true),
        FAILED => Some(false),
        _ => None,
    }
}

/// Those of this proxy who wait for the fetches of others.
#[derive(Debug, Default)]
pub(super) struct Landings(Mutex<HashMap<String, Arc<Landing>>>);

#[derive(Debug, Default)]
struct Landing {
    told: Notify,
    failed: AtomicBool,
}

impl Landings {
    /// The fetch of a key by another proxy ended.
    pub(super) fn tell(&self, key: &str, landed: bool) {
        if let Some(landing) = self.0.lock().get(key) {
            landing.failed.store(!landed, Ordering::Relaxed);
            landing.told.notify_one();
        }
    }

    /// Waits for the fetch of a key by another proxy, as long as the value lives.
    pub(super) fn wait(&self, key: &str) -> Wait<'_> {
        let landing = Arc::clone(self.0.lock().entry(key.to_owned()).or_default());
        Wait { landings: self, key: key.to_owned(), landing }
    }
}

/// One who waits.
pub(super) struct Wait<'a> {
    landings: &'a Landings,
    key: String,
    landing: Arc<Landing>,
}

impl Wait<'_> {
    /// Returns when the fetch ended.
    pub(super) async fn told(&self) {
        self.landing.told.notified().await;
    }

    /// Whether it ended without a result that could be found.
    pub(super) fn has_failed(&self) -> bool {
        self.landing.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut open = self.landings.0.lock();
        // The list's and ours: nobody else waits.
        if Arc::strong_count(&self.landing) == 2 {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_and_nobody_else_is_remembered() {
        let landings = Landings::default();
        let event = landing("a", false);
        assert_eq!((landed(&event), landed(&landing("a", true))), (Some(false), Some(true)));
        assert_eq!(landed(&StreamEvent { kind: "document".into(), ..event }), None);
        landings.tell("a", false);
        let (one, other) = (landings.wait("a"), landings.wait("b"));
        assert!(!one.has_failed(), "what was told before is about another fetch");
        landings.tell("a", false);
        one.told().await;
        assert!(one.has_failed() && !other.has_failed());
        drop((one, other));
        assert!(landings.0.lock().is_empty());
    }
}
