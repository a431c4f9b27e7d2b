//! What a cold document asks of the disk: counts, no clock.

use tempfile::TempDir;

use super::*;
use crate::store::power::PoweredDisk;

const DOCUMENTS: u64 = 50;
const EMPTY: &str = r#"{"items":[]}"#;

fn index(number: u64) -> DocumentKey {
    DocumentKey::Index(format!("cold-{number}").parse().unwrap())
}

/// Pieces of work on the disk, and flushes, for each of many cold indexes that the registry answers like this.
async fn cost(status: u16, body: &'static str) -> (u64, u64) {
    let root = TempDir::new().unwrap();
    let disk = PoweredDisk::below(root.path());
    let store = Arc::new(disk.store());
    let steps = (0..=DOCUMENTS).map(|_| answer(status, &[], body));
    let desk = Desk::over(store.clone(), Registry::of(steps), |_| {});
    // The first one also reads what an earlier process left.
    desk.get(&index(0)).await.unwrap();
    let before = (store.works(), disk.flushes());
    for number in 1..=DOCUMENTS {
        let outcome = desk.get(&index(number)).await.unwrap().outcome.to_string();
        assert_eq!(outcome, format!("scriptorium; fwd=uri-miss; fwd-status={status}; stored"));
    }
    let (works, flushes) = (store.works() - before.0, disk.flushes() - before.1);
    assert!(works.is_multiple_of(DOCUMENTS) && flushes.is_multiple_of(DOCUMENTS), "{works}, {flushes}");
    (works / DOCUMENTS, flushes / DOCUMENTS)
}

#[tokio::test]
async fn a_cold_index_is_looked_for_written_and_compared_and_waits_for_no_flush() {
    assert_eq!(cost(200, EMPTY).await, (3, 0));
}

#[tokio::test]
async fn a_cold_refusal_is_looked_for_and_flushed() {
    assert_eq!(cost(403, BLOCKED).await, (2, 2));
}

#[tokio::test]
async fn what_was_left_empty_by_a_power_cut_is_asked_for_again() {
    let root = TempDir::new().unwrap();
    let store = Arc::new(PoweredDisk::below(root.path()).store());
    let desk = Desk::over(store, Registry::of([capabilities(&[])]), |_| {});
    desk.store.write(&desk.place(), "".into()).await.unwrap();
    assert_eq!(desk.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=200; stored");
    assert!(!root.path().join("quarantine").exists());
    assert!(desk.store.read(&desk.place()).await.unwrap().is_some_and(|stored| !stored.is_empty()));
}
