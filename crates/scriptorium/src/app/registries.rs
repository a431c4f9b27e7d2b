//! The registries of a configuration: how each is made, counted and logged, and which are kept by a reload.
//!
//! Owns that, and the bounds of relayed APIs. Must not know what registries are asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::AppError;
use crate::clock::{Clock, SystemClock};
use crate::cluster::ClusterNode;
use crate::config::address::Listeners;
use crate::config::{self, Config, RelayKind};
use crate::read::Documents;
use crate::read::documents::LiveSettings;
use crate::relay::{Nullspace, RelayServices};
use crate::store::Store;
use crate::telemetry::{Metrics, TelemetryError};
use crate::upstream::{
    ExchangeFailure, GateState, HttpTransport, NoTransport, RegistryClient, RegistryClients, UpstreamObserver,
};

/// The longest silence of a relayed API. Its clients wait as long for a checked upload.
const RELAY_PATIENCE: Duration = Duration::from_secs(300);
/// Most requests to a relayed API in flight at once.
const RELAY_SLOTS: usize = 256;

/// The documents in `store`, for a command that works beside a proxy of `config`.
///
/// # Errors
/// [`AppError`] if a part cannot be made.
pub(crate) fn documents(config: &Config, store: Arc<dyn Store>) -> Result<Documents, AppError> {
    let factory = RegistryFactory::new(config)?;
    let live = factory.live(config, None)?;
    Ok(Documents::new(store, live, factory.clock, factory.metrics))
}

/// The registries of `config`, for a command that works beside the proxy.
///
/// # Errors
/// [`AppError`] if no client can be made.
pub(crate) fn upstreams(config: &Config) -> Result<RegistryClients, AppError> {
    Ok(RegistryFactory::new(config)?.live(config, None)?.upstreams)
}

/// Makes the configured registries.
#[derive(Debug, Clone)]
pub(super) struct RegistryFactory {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    /// The addresses of this proxy, to which no registry may direct a connection.
    pub(super) listeners: Listeners,
    /// The other proxies, with which what registries may be asked is shared.
    pub(super) cluster: Option<Arc<ClusterNode>>,
}

impl RegistryFactory {
    pub(super) fn new(config: &Config) -> Result<Self, TelemetryError> {
        let metrics = Arc::new(Metrics::new()?);
        let (clock, listeners) = (Arc::new(SystemClock::default()), config.server.listeners());
        Ok(Self { clock, metrics, listeners, cluster: None })
    }

    /// The registries of `config`, and how documents are judged. A reload keeps a registry whose
    /// configuration is unchanged, with its connections and its health.
    pub(super) fn live(
        &self,
        config: &Config,
        running: Option<&RegistryClients>,
    ) -> Result<LiveSettings, NoTransport> {
        let kept: HashMap<_, _> = running
            .into_iter()
            .flat_map(RegistryClients::iter)
            .map(|upstream| (upstream.name(), upstream))
            .collect();
        let routes = config.upstreams.iter().map(|configured| {
            let before = kept.get(&*configured.name).copied();
            let upstream = match before.filter(|before| before.is_as(configured)) {
                Some(kept) => Arc::clone(kept),
                None => {
                    let upstream = self.upstream(configured, self.cluster.as_ref())?;
                    Arc::new(upstream.following(before.map(|before| &**before)))
                }
            };
            Ok((upstream, configured.volumes.clone()))
        });
        Ok(LiveSettings {
            policy: config.cache.clone(),
            on_divergence: config.consistency.on_divergence,
            max_document: config.limits.max_document,
            upstreams: RegistryClients::new(routes.collect::<Result<_, NoTransport>>()?),
        })
    }

    /// The API that `relay` mounts. Its name in logs is the path of the mount.
    pub(super) fn relay(
        &self,
        relay: &config::Relay,
        services: &Arc<RelayServices>,
    ) -> Result<Nullspace, NoTransport> {
        let config::Relay { kind: RelayKind::Nullspace, path, url, egress } = relay;
        let configured = config::Upstream {
            read_timeout: RELAY_PATIENCE,
            max_concurrent: RELAY_SLOTS,
            egress: egress.clone(),
            ..config::Upstream::new(path.trim_start_matches('/'), url.clone())
        };
        // Its bounds are this process's own.
        let upstream = self.upstream(&configured, None)?;
        Ok(Nullspace::new(Arc::clone(services), path.clone(), Arc::new(upstream)))
    }

    fn upstream(
        &self,
        configured: &config::Upstream,
        cluster: Option<&Arc<ClusterNode>>,
    ) -> Result<RegistryClient, NoTransport> {
        let transport = Arc::new(HttpTransport::new(configured, self.listeners.clone())?);
        let observer = Arc::new(Exchanges(Arc::clone(&self.metrics)));
        observer.up(&configured.name, true);
        Ok(RegistryClient::new(configured, transport, Arc::clone(&self.clock), observer, cluster))
    }
}

/// Counts and logs every exchange with a registry.
struct Exchanges(Arc<Metrics>);

impl UpstreamObserver for Exchanges {
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        elapsed: Duration,
        request_id: &str,
        error: Option<ExchangeFailure<'_>>,
    ) {
        self.0.upstream_request(upstream, resource, status, elapsed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match error {
            None => info!(target: "scriptorium::upstream", request_id, upstream, resource, status, micros),
            Some(ExchangeFailure { why: error, causes, remedy }) => {
                warn!(target: "scriptorium::upstream", request_id, upstream, resource, status, micros, error, causes, remedy);
            }
        }
    }

    fn up(&self, upstream: &str, up: bool) {
        self.0.upstream_up(upstream, up);
        if !up {
            warn!(target: "scriptorium::upstream", upstream, "this registry is not asked for now, after the failures above");
        }
    }

    fn state(&self, upstream: &str, state: GateState) {
        self.0.upstream_state(upstream, &GateState::ALL.map(GateState::as_str), state.as_str());
    }

    fn budget_left(&self, upstream: &str, left: u32) {
        self.0.upstream_budget_left(upstream, left);
    }
}
