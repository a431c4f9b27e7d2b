//! Every row of the freshness table, with a clock turned by hand and a registry that follows a script.

use super::*;
use crate::config::CacheControl;
use crate::config::{self, OnDivergence};
use crate::consistency::DifferenceKind;
use crate::domain::LifecycleState;
use crate::domain::VolumePattern;
use crate::read::place::place;
use crate::store::{ObjectStorage, StorageKey};
use crate::upstream::RegistryClients;
use crate::upstream::testing::{REFUSED, Registry, Step, answer};

mod budget;
mod cold;
mod keeping;
mod patience;

const CAPABILITIES: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{}}"#;
const BLOCKED: &str =
    r#"{"type":"https://agentvolumes.org/problems/authorization-failed","status":403,"title":"No"}"#;
const NOT_FOUND: &str = r#"{"type":"https://agentvolumes.org/problems/not-found","status":404,"title":"No"}"#;

struct Desk {
    registry: Registry,
    documents: Arc<Documents>,
    store: Arc<dyn Store>,
}

impl Desk {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::over(Arc::new(ObjectStorage::memory().unwrap()), Registry::of(steps), |_| {})
    }

    fn over(store: Arc<dyn Store>, registry: Registry, adjust: impl FnOnce(&mut config::Cache)) -> Self {
        Self::within(0, store, registry, adjust)
    }

    /// With so many requests a minute.
    fn within(
        budget: u32,
        store: Arc<dyn Store>,
        registry: Registry,
        adjust: impl FnOnce(&mut config::Cache),
    ) -> Self {
        Self::waiting(Duration::from_millis(20), budget, store, registry, adjust)
    }

    /// With clients of such a patience.
    fn waiting(
        patience: Duration,
        budget: u32,
        store: Arc<dyn Store>,
        registry: Registry,
        adjust: impl FnOnce(&mut config::Cache),
    ) -> Self {
        let mut policy = config::Cache::default();
        adjust(&mut policy);
        let upstream = registry.upstream_with(|config| {
            config.retries = 0;
            config.requests_per_minute = budget;
        });
        let upstreams = RegistryClients::new(vec![(upstream, Vec::new())]);
        let live = LiveSettings {
            policy,
            on_divergence: OnDivergence::Quarantine,
            max_document: 1 << 20,
            upstreams,
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = registry.clock.clone();
        let documents = Documents::with_patience(Arc::clone(&store), live, clock, metrics, patience);
        Self { registry, documents: Arc::new(documents), store }
    }

    async fn get(&self, key: &DocumentKey) -> Result<CachedAnswer, ReadFailure> {
        self.documents.get(key, FetchContext::foreground("id-1")).await
    }

    /// Where the registry's capabilities lie.
    fn place(&self) -> StorageKey {
        let registry = self.documents.env.registry_of(&DocumentKey::Capabilities).unwrap();
        place(&registry, &DocumentKey::Capabilities)
    }

    async fn outcome(&self) -> String {
        self.get(&DocumentKey::Capabilities).await.unwrap().outcome.to_string()
    }

    fn wait(&self, seconds: u64) {
        self.registry.clock.advance(Duration::from_secs(seconds));
    }

    /// Waits for a background refresh to ask.
    async fn asked(&self) -> usize {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        self.registry.asked().len()
    }
}

fn capabilities(etag: &'static [(&'static str, &'static str)]) -> Step {
    answer(200, etag, CAPABILITIES)
}

#[tokio::test]
async fn fresh_is_served_without_asking() {
    let desk = Desk::of([capabilities(&[])]);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=200; stored");
    desk.wait(299);
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=1");
    assert_eq!(desk.asked().await, 1);
}

#[tokio::test]
async fn stale_is_served_while_one_refresh_runs() {
    let desk = Desk::of([capabilities(&[]), capabilities(&[])]);
    desk.outcome().await;
    desk.wait(312);
    for _ in 0..3 {
        assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-12; detail=\"stale-while-revalidate\"");
    }
    assert_eq!(desk.asked().await, 2);
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=300");
}

#[tokio::test]
async fn older_is_confirmed_by_one_conditional_request() {
    let desk = Desk::of([capabilities(&[("etag", "\"a\"")]), answer(304, &[], "")]);
    desk.outcome().await;
    desk.wait(330);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=304");
    let asked = desk.registry.asked();
    assert_eq!(asked[1].headers["if-none-match"], "\"a\"");
    desk.wait(299);
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=1");
}

#[tokio::test]
async fn who_cannot_be_asked_lets_stale_live_for_its_window() {
    let steps = || [Step::Fail(REFUSED), answer(500, &[], ""), answer(200, &[], "garbage")];
    let desk = Desk::of([capabilities(&[])]);
    desk.outcome().await;
    desk.registry.then(steps());
    desk.wait(900);
    for _ in 0..3 {
        assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-600; detail=\"stale-if-error\"");
    }
    desk.wait(7 * 24 * 3600);
    desk.registry.then(steps());
    for _ in 0..3 {
        let failure = desk.get(&DocumentKey::Capabilities).await.unwrap_err();
        assert!(failure.lets_stale_live(), "{failure}");
    }
}

#[tokio::test]
async fn a_registry_that_hangs_is_waited_for_only_where_nothing_is_held() {
    let desk = Desk::of([capabilities(&[])]);
    desk.outcome().await;
    desk.wait(330);
    desk.registry.then([Step::Hang]);
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-30; detail=\"stale-if-error\"");
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=-30; detail=\"stale-if-error\"");
    assert_eq!(desk.asked().await, 2, "the second client joined the first one's fetch");
}

#[tokio::test]
async fn a_definite_answer_beats_stale_data() {
    let desk = Desk::of([capabilities(&[]), answer(404, &[], NOT_FOUND), Step::Fail(REFUSED)]);
    desk.outcome().await;
    desk.wait(330);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=404; stored");
    assert_eq!(desk.outcome().await, "scriptorium; hit; detail=\"negative\"");
    desk.wait(31);
    let failure = desk.get(&DocumentKey::Capabilities).await.unwrap_err();
    assert!(matches!(failure, ReadFailure::CouldNotAsk(_)), "an old absence is no answer: {failure}");
}

#[tokio::test]
async fn what_was_stored_is_served_after_a_restart_and_offline() {
    let desk = Desk::of([capabilities(&[])]);
    desk.outcome().await;
    let restarted = Desk::over(desk.store.clone(), Registry::default(), |policy| policy.offline = true);
    restarted.wait(10_000);
    assert_eq!(restarted.outcome().await, "scriptorium; hit; ttl=-9700; detail=\"offline\"");
    let index = DocumentKey::Index("x".parse().unwrap());
    assert!(matches!(restarted.get(&index).await, Err(ReadFailure::Offline)));
    assert_eq!(restarted.asked().await, 0);
}

#[tokio::test]
async fn a_damaged_stored_document_is_a_miss() {
    let desk = Desk::of([capabilities(&[])]);
    desk.outcome().await;
    let key = desk.place();
    let mut stored = desk.store.read(&key).await.unwrap().unwrap().to_vec();
    *stored.last_mut().unwrap() ^= 1;
    desk.store.write(&key, stored.into()).await.unwrap();
    let restarted = Desk::over(desk.store.clone(), Registry::of([capabilities(&[])]), |_| {});
    assert_eq!(restarted.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn many_clients_of_a_cold_document_are_one_request() {
    let desk = Desk::of([capabilities(&[])]);
    let all = (0..200).map(|_| desk.get(&DocumentKey::Capabilities));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(desk.asked().await, 1);
}

#[tokio::test]
async fn a_failed_fill_is_shared_and_not_kept() {
    let desk = Desk::of([Step::Fail(REFUSED), capabilities(&[])]);
    let all = (0..50).map(|_| desk.get(&DocumentKey::Capabilities));
    let outcomes = futures_util::future::join_all(all).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(ReadFailure::CouldNotAsk(_)))));
    assert_eq!(desk.asked().await, 1);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=uri-miss; fwd-status=200; stored");
}

const AVAILABLE: &str = r#"{"name":"x","version":"1.0.0","purl":"pkg:volume/x@1.0.0",
    "integrity":"sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1","status":{"state":"available"},
    "dist":{"source":"cdn","mediaType":"application/gzip","url":"/x.tar.gz"}}"#;
const REPLACED: &str = r#"{"name":"x","version":"1.0.0","purl":"pkg:volume/x@1.0.0",
    "integrity":"sha256:ae0d7f0da8f1ac127af0abd7ff409db01f7eef202c09f7b7d8ce051b81dea55f","status":{"state":"available"},
    "dist":{"source":"cdn","mediaType":"application/gzip","url":"/x.tar.gz"}}"#;
const ROW: &str = r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"release":{"url":"/api/v1/volumes/x/1.0.0"}}]}"#;
const BLOCKED_ROW: &str = r#"{"items":[{"version":"1.0.0","status":{"state":"blocked"},"release":{"url":"/api/v1/volumes/x/1.0.0"}}]}"#;

fn release() -> DocumentKey {
    DocumentKey::Release("x".parse().unwrap(), "1.0.0".parse().unwrap())
}

fn index() -> DocumentKey {
    DocumentKey::Index("x".parse().unwrap())
}

fn found(body: &'static str) -> Step {
    answer(200, &[], body)
}

fn gone() -> Step {
    Step::Fail(REFUSED)
}

fn is_blocked(failure: &ReadFailure) -> bool {
    matches!(failure, ReadFailure::Withdrawn(status) if status.state == LifecycleState::Blocked)
}

#[tokio::test]
async fn a_block_seen_in_the_index_reaches_a_release_that_is_fresh() {
    let desk = Desk::of([found(AVAILABLE), found(ROW)]);
    desk.get(&release()).await.unwrap();
    desk.wait(61);
    desk.registry.then([found(BLOCKED_ROW), found(BLOCKED_ROW), answer(403, &[], BLOCKED)]);
    assert_eq!(desk.get(&release()).await.unwrap().document.meta.status, 200);
    assert_eq!(desk.asked().await, 5, "release and index, index behind it, both again");
    assert_eq!(desk.get(&release()).await.unwrap().document.meta.status, 403);
    assert_eq!(desk.documents.shelf.divergences.count(), 0, "a change is no divergence");
}

#[tokio::test]
async fn an_index_that_is_merely_old_is_asked_for_conditionally() {
    let desk = Desk::of([found(AVAILABLE), answer(200, &[("etag", "\"i\"")], ROW)]);
    desk.get(&release()).await.unwrap();
    desk.wait(400);
    desk.registry.then([found(format!("{AVAILABLE} ").leak()), answer(304, &[], "")]);
    desk.get(&release()).await.unwrap();
    assert_eq!(desk.registry.asked()[3].headers["if-none-match"], "\"i\"");
}

#[tokio::test]
async fn a_release_is_not_served_from_before_its_row_changed() {
    let desk = Desk::of([found(AVAILABLE), found(ROW)]);
    desk.get(&release()).await.unwrap();
    let steps = [found(BLOCKED_ROW), found(BLOCKED_ROW), answer(403, &[], BLOCKED)];
    let restarted = Desk::over(desk.store.clone(), Registry::of(steps), |_| {});
    restarted.wait(100);
    restarted.get(&index()).await.unwrap();
    assert_eq!(restarted.get(&release()).await.unwrap().document.meta.status, 403);
}

#[tokio::test]
async fn a_block_that_cannot_be_confirmed_stands() {
    let desk = Desk::of([found(AVAILABLE), found(ROW)]);
    desk.get(&release()).await.unwrap();
    desk.wait(100);
    desk.registry.then([found(BLOCKED_ROW), found(BLOCKED_ROW), gone()]);
    desk.get(&index()).await.unwrap();
    assert_eq!(desk.asked().await, 5, "release and index, index, both again");
    let offline = Desk::over(desk.store.clone(), Registry::default(), |policy| policy.offline = true);
    assert!(is_blocked(&offline.get(&release()).await.unwrap_err()));
    desk.registry.then([found(BLOCKED_ROW), gone()]);
    assert!(is_blocked(&desk.get(&release()).await.unwrap_err()));
}

#[tokio::test]
async fn the_first_integrity_stays_the_only_one() {
    let desk = Desk::of([found(AVAILABLE), found(ROW)]);
    desk.get(&release()).await.unwrap();
    desk.wait(331);
    // The release, its old index, and both again.
    desk.registry.then([found(REPLACED), found(ROW), found(ROW), found(REPLACED)]);
    assert!(matches!(desk.get(&release()).await, Err(ReadFailure::Divergent(_))));
    assert!(matches!(desk.get(&release()).await, Err(ReadFailure::Divergent(_))), "and nobody is asked");
    let steps = [found(REPLACED), found(ROW), found(ROW), found(REPLACED)];
    let restarted = Desk::over(desk.store.clone(), Registry::of(steps), |_| {});
    restarted.wait(100_000);
    assert!(matches!(restarted.get(&release()).await, Err(ReadFailure::Divergent(_))));
}

#[tokio::test]
async fn another_releases_metadata_is_refused_until_it_is_right() {
    let other = DocumentKey::Release("y".parse().unwrap(), "1.0.0".parse().unwrap());
    let none = || answer(404, &[], NOT_FOUND);
    let desk = Desk::of([found(AVAILABLE), none(), none(), found(AVAILABLE)]);
    let Err(ReadFailure::Divergent(divergence)) = desk.get(&other).await else { panic!("believed") };
    assert_eq!(divergence.kind, DifferenceKind::Identity);
    assert!(matches!(desk.get(&other).await, Err(ReadFailure::Divergent(_))), "and nobody is asked");
    desk.wait(31);
    desk.registry.then([none(), none(), none()]);
    assert_eq!(desk.get(&other).await.unwrap().document.meta.status, 404);
    assert_eq!(desk.documents.shelf.divergences.count(), 0);
}

#[tokio::test]
async fn what_was_declared_out_of_date_is_asked_for_again_and_lives_through_an_outage() {
    let desk = Desk::of([capabilities(&[])]);
    desk.outcome().await;
    desk.documents.invalidate(&VolumePattern::All, None).await.unwrap();
    let restarted = Desk::over(desk.store.clone(), Registry::of([gone()]), |_| {});
    let stale = "scriptorium; hit; ttl=300; detail=\"stale-if-error\"";
    assert_eq!(restarted.outcome().await, stale);
    desk.registry.then([gone(), capabilities(&[])]);
    assert_eq!(desk.outcome().await, stale);
    assert_eq!(desk.outcome().await, "scriptorium; fwd=stale; fwd-status=200; stored");
    assert_eq!(desk.outcome().await, "scriptorium; hit; ttl=300");
}
