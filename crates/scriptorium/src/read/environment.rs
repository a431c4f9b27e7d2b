//! What shelf, asker and judge share: the configuration in force, routing, the time, and the order of this process's
//! questions.
//!
//! Owns these, and which age limits apply to a document. Must not know what is held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::cluster::CURRENT_FOR;
use arc_swap::{ArcSwap, Guard};
use tracing::error;

use super::document::Document;
use super::failure::ReadFailure;
use super::freshness::{AgeLimits, Freshness, measure};
use super::rendition::Coders;
use crate::clock::{Clock, Timestamp};
use crate::cluster::{ClusterNode, News, NewsKind};
use crate::config::{self, OnDivergence};
use crate::domain::{Dist, DocumentKey, Registry, VolumePattern};
use crate::long_work::LongWork;
use crate::policies::PolicyDesk;
use crate::store::Damage;
use crate::telemetry::Metrics;
use crate::upstream::{RegistryClient, RegistryClients};

/// How long a client waits for registries if a stale document could be served instead: once, however many documents are
/// asked for. The fetch goes on in the background, so a slow registry still renews the document.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What a reload replaces.
#[derive(Debug)]
pub(crate) struct LiveSettings {
    /// TTLs and windows.
    pub(crate) policy: config::Cache,
    /// What an index shows of a release that diverges.
    pub(crate) on_divergence: OnDivergence,
    /// Largest document accepted, in bytes.
    pub(crate) max_document: u64,
    pub(crate) upstreams: RegistryClients,
}

/// A key at one registry: two registries never share a flight.
pub(super) type RoutedKey = (Arc<Registry>, DocumentKey);

pub(super) struct Environment {
    live: ArcSwap<LiveSettings>,
    clock: Arc<dyn Clock>,
    questions: AtomicU64,
    pub(super) patience: Duration,
    pub(super) long_work: Arc<LongWork>,
    pub(super) coders: Arc<Coders>,
    pub(super) metrics: Arc<Metrics>,
    /// The operator's policy.
    pub(super) policy: Arc<PolicyDesk>,
    /// The other proxies on the bucket, once this one works with them.
    cluster: OnceLock<Arc<ClusterNode>>,
    /// Until when everything is known that other proxies changed, in milliseconds since 1970.
    current_until: AtomicU64,
}

impl Environment {
    pub(super) fn new(
        live: LiveSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Self {
        Self {
            live: ArcSwap::from_pointee(live),
            clock,
            questions: AtomicU64::new(0),
            patience,
            long_work: Arc::default(),
            coders: Arc::default(),
            metrics,
            policy: Arc::default(),
            cluster: OnceLock::new(),
            current_until: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn live(&self) -> Guard<Arc<LiveSettings>> {
        self.live.load()
    }

    pub(super) fn live_full(&self) -> Arc<LiveSettings> {
        self.live.load_full()
    }

    pub(super) fn replace_live(&self, live: LiveSettings) {
        self.live.store(Arc::new(live));
    }

    pub(super) fn is_offline(&self) -> bool {
        self.live().policy.offline
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether what was refused at `at`, or was not there, is believed without asking again: for `negative_ttl`. A clock that was
    /// set back makes nothing younger.
    pub(super) fn still_refused(&self, at: Timestamp) -> bool {
        self.now().since(at).is_some_and(|age| age < self.live().policy.negative_ttl)
    }

    /// The next number in the order of this process's questions.
    pub(super) fn question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The registry that `key` belongs to now.
    ///
    /// # Errors
    /// [`ReadFailure::NoUpstream`] where there is none.
    pub(super) fn upstream_of(&self, key: &DocumentKey) -> Result<Arc<RegistryClient>, ReadFailure> {
        let upstream = self.live().upstreams.of(key).cloned();
        upstream.ok_or_else(|| key.volume().cloned().map_or(ReadFailure::Malformed, ReadFailure::NoUpstream))
    }

    /// Whether this proxy brings what the release `key` names as its `dist`.
    pub(super) fn brings(&self, key: &DocumentKey, dist: &Dist) -> bool {
        match dist {
            Dist::Cdn { .. } => true,
            Dist::Git { repository, .. } => {
                self.live().upstreams.of(key).is_some_and(|upstream| upstream.reaches_repository(repository))
            }
        }
    }

    /// The registry whose answers to `key` count now, if any.
    pub(super) fn registry_of(&self, key: &DocumentKey) -> Option<Arc<Registry>> {
        self.live().upstreams.of(key).map(|upstream| Arc::clone(upstream.registry()))
    }

    /// Whether `document` is an answer of the registry that `key` belongs to now.
    pub(super) fn counts(&self, key: &DocumentKey, document: &Document) -> bool {
        self.live().upstreams.of(key).is_some_and(|upstream| document.meta.is_of(upstream.registry()))
    }

    pub(super) fn freshness(&self, key: &DocumentKey, document: &Document) -> Freshness {
        let limits = self.limits(key, document);
        measure(document.meta.fetched_at, self.now(), &limits, document.standing.is_outdated())
    }

    pub(super) fn limits(&self, key: &DocumentKey, document: &Document) -> AgeLimits {
        let limits = limits(&self.live().policy, key, document);
        if self.is_current(self.now()) { limits } else { limits.unheard(CURRENT_FOR) }
    }

    /// Works with the other proxies from now on.
    pub(super) fn join(&self, cluster: &Arc<ClusterNode>) {
        drop(self.cluster.set(Arc::clone(cluster)));
    }

    /// The other proxies on the bucket, if there are any.
    pub(super) fn cluster(&self) -> Option<&Arc<ClusterNode>> {
        self.cluster.get()
    }

    /// Has other proxies hear what changed.
    pub(super) fn tell(&self, kind: NewsKind, volumes: impl FnOnce() -> VolumePattern) {
        if let Some(cluster) = self.cluster() {
            cluster.tell(News { kind, volumes: volumes() });
        }
    }

    pub(super) fn be_current_until(&self, until: Timestamp) {
        self.current_until.store(until.0, Ordering::Relaxed);
    }

    /// Whether everything is known that other proxies changed. A proxy without others always is.
    #[inline]
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        now.0 < self.current_until.load(Ordering::Relaxed)
    }

    /// Reports a damaged record to log and metrics.
    pub(super) fn damaged(&self) -> impl Fn(&Damage) {
        |damage| {
            let Damage { path, expected, found } = damage;
            error!(path, expected, found, "a stored record is damaged");
            self.metrics.integrity_failure("stored-record");
        }
    }
}

#[inline]
pub(super) fn limits(cache: &config::Cache, key: &DocumentKey, document: &Document) -> AgeLimits {
    let meta = &document.meta;
    AgeLimits::of(cache, key.resource(), document.is_refusal()).capped(&meta.keeping, meta.upstream_age)
}
