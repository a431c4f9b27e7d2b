//! A client waits once for registries that do not answer, however many documents are asked for on its way.

use tokio::time::Instant;

use super::*;

const INTEGRITY: &str = "sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1";

fn release() -> DocumentKey {
    DocumentKey::Release("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap())
}

fn summary() -> DocumentKey {
    DocumentKey::TrustSummary("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap())
}

fn said(document: &serde_json::Value) -> Step {
    answer(200, &[], document.to_string().leak())
}

fn index_says() -> Step {
    said(&serde_json::json!({"items": [{
        "version": "1.0.0", "status": {"state": "available"}, "integrity": INTEGRITY,
        "release": {"url": "https://registry.example/base/api/v1/volumes/@acme/x/1.0.0"},
    }]}))
}

fn release_says() -> Step {
    said(&serde_json::json!({
        "name": "@acme/x", "version": "1.0.0", "purl": "pkg:volume/%40acme/x@1.0.0", "integrity": INTEGRITY,
        "status": {"state": "available"},
        "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "/x"},
    }))
}

fn summary_says() -> Step {
    said(&serde_json::json!({
        "subject": {"purl": "pkg:volume/%40acme/x@1.0.0", "integrity": INTEGRITY},
        "artifacts": [], "detailAvailable": true, "revision": {"revision": "1"},
    }))
}

/// A proxy that holds a release, its index and its summary, all out of date and read by nobody since it started, before
/// a registry that never answers again.
async fn before_a_black_hole() -> Desk {
    let desk = Desk::of([summary_says(), release_says(), index_says()]);
    desk.get(&summary()).await.unwrap();
    let registry = Registry::of((0..20).map(|_| Step::Hang));
    registry.clock.advance(Duration::from_secs(3600));
    Desk::waiting(PATIENCE, 0, desk.store, registry, |_| {})
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_costs_one_wait_on_every_chain() {
    for key in [summary(), release()] {
        let desk = before_a_black_hole().await;
        for _ in 0..2 {
            let began = Instant::now();
            let answer = desk.get(&key).await.unwrap();
            assert!(answer.outcome.to_string().contains("stale-if-error"), "{}", answer.outcome);
            let waited = began.elapsed();
            assert!(
                waited >= Duration::from_secs(2) && waited < Duration::from_millis(2100),
                "{key}: {waited:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_answers_is_waited_for_anew() {
    let context = FetchContext::foreground("id-1").waiting(Duration::from_secs(2));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(context.until(PATIENCE) < Instant::now());
    assert!(context.waiting_anew(PATIENCE).until(Duration::ZERO) > Instant::now());
}
