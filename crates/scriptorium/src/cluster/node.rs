//! This proxy among the others: its name, its engine, and its threads.
//!
//! Owns the start: an engine that is away is no error, one that can never be used is. Must not know what others agree on.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use ::cluster::{DEADLINE, Engine, EngineAddress, EngineFault, RedisEngine};
use tokio::runtime::{Builder, Runtime};
use tracing::warn;

use super::counted::CountedEngine;
use super::hearing::Hearing;
use super::landings::Landings;
use super::notes::FlightNotes;
use super::outbox::NewsOutbox;
use super::pauses::Pauses;
use super::permits::PermitPools;
use super::place::ProcessPlace;
use super::quotas::QuotaDebts;
use super::standing::NodeStanding;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::store::Store;
use crate::telemetry::Metrics;

/// The longest that a start waits for the engine. A check is two calls, and a call may begin with a connection.
const START: Duration = DEADLINE.saturating_mul(4);

/// Why this proxy cannot work with the others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// Only an operator can end it.
    #[error("cluster: {}", .0.advised())]
    Engine(#[from] EngineFault),
    /// The threads cannot be started.
    #[error("cluster: no threads can be started for it")]
    Threads(#[source] std::io::Error),
}

/// One of several proxies that share a bucket.
#[derive(Debug)]
pub(crate) struct ClusterNode {
    /// Another one for each process.
    name: String,
    /// How many proxies there are meant to be.
    meant: u32,
    engine: Arc<dyn Engine>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) standing: NodeStanding,
    pub(super) outbox: NewsOutbox,
    pub(super) landings: Landings,
    pub(super) notes: FlightNotes,
    pub(crate) pools: PermitPools,
    pub(super) place: ProcessPlace,
    pub(crate) pauses: Pauses,
    pub(super) debts: QuotaDebts,
    pub(super) threads: ClusterThreads,
}

/// The threads on which the engine is spoken to. They end with their value, and wait for nothing.
#[derive(Debug)]
pub(super) struct ClusterThreads(Option<Runtime>);

impl ClusterThreads {
    fn start() -> Result<Self, ClusterError> {
        let threads =
            Builder::new_multi_thread().worker_threads(2).thread_name("cluster").enable_all().build();
        Ok(Self(Some(threads.map_err(ClusterError::Threads)?)))
    }

    /// Starts a task. After the end of the threads nothing is started.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(threads) = &self.0 {
            threads.spawn(task);
        }
    }
}

impl Drop for ClusterThreads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

impl ClusterNode {
    /// Looks whether the engine of `config` will do. One that is away is waited for later.
    ///
    /// # Errors
    /// [`ClusterError`] when only an operator can end it.
    pub(crate) fn start(
        config: &config::Cluster,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, ClusterError> {
        let name = format!("{:016x}", fastrand::u64(..));
        let threads = ClusterThreads::start()?;
        let Some(runtime) = &threads.0 else { return Err(EngineFault::Broken.into()) };
        let redis = {
            let _inside = runtime.enter();
            Arc::new(RedisEngine::new(&address(config))?)
        };
        let (checked, outcome) = mpsc::channel();
        let checking = Arc::clone(&redis);
        runtime.spawn(async move { checked.send(checking.check().await) });
        match outcome.recv_timeout(START).unwrap_or(Err(EngineFault::Slow)) {
            Err(fault) if fault.is_configured() => return Err(fault.into()),
            Err(fault) => {
                warn!(fault = fault.advised(), "serving alone until the engine of the cluster can be used");
            }
            Ok(()) => {}
        }
        let engine = CountedEngine::new(redis, runtime.handle().clone(), Arc::clone(&metrics));
        Ok(Arc::new(Self {
            meant: config.nodes,
            engine: Arc::new(engine),
            store,
            metrics,
            standing: NodeStanding::default(),
            outbox: NewsOutbox::default(),
            landings: Landings::default(),
            notes: FlightNotes::default(),
            pools: PermitPools::new(&name, config.nodes, Arc::clone(&clock)),
            pauses: Pauses::new(&name, Arc::clone(&clock)),
            place: ProcessPlace::default(),
            debts: QuotaDebts::new(config.nodes),
            name,
            clock,
            threads,
        }))
    }

    /// Proves that the engine of `config` will do. Needs a runtime.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn prove(config: &config::Cluster) -> Result<(), EngineFault> {
        RedisEngine::new(&address(config))?.check().await
    }

    /// Beats, listens and tells from now on, and waits a moment for a place. Blocks; not to be called on a runtime.
    pub(crate) fn join(self: &Arc<Self>, hearing: Arc<dyn Hearing>) {
        // Until it has heard what changed.
        hearing.is_current_until(Timestamp(0));
        let (entered, waits) = mpsc::channel();
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_place(|| _ = entered.send(())).await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_membership().await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_following(&*hearing).await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_telling().await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_permits().await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_pauses().await });
        let node = Arc::clone(self);
        self.threads.spawn(async move { node.keep_debts().await });
        let _ = waits.recv_timeout(START);
    }

    /// Says to the others that this process ends, and waits for that a moment. Blocks; not to be called on a runtime.
    pub(crate) fn leave(self: &Arc<Self>) {
        let (left, waits) = mpsc::channel();
        let node = Arc::clone(self);
        self.threads.spawn(async move {
            node.leave_place().await;
            let _ = left.send(());
        });
        let _ = waits.recv_timeout(START);
    }

    /// What this process is called among the others; another name after a restart.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The engine, whether or not it can be used now.
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// How many proxies there are meant to be.
    pub(crate) fn meant(&self) -> u32 {
        self.meant
    }

    /// Whether this proxy works together with the others now.
    pub(crate) fn is_together(&self) -> bool {
        self.standing.is_together()
    }

    /// Proxies seen alive, this one included.
    pub(crate) fn nodes(&self) -> u32 {
        self.standing.nodes()
    }

    /// Whether this proxy works together with as many as there are meant to be.
    pub(super) fn are_all_together(&self) -> bool {
        self.is_together() && self.nodes() >= self.meant()
    }

    /// How this proxy works, in one word.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_together() { "together" } else { "alone" }
    }

    /// Why this proxy works alone, as far as that is known.
    pub(crate) fn fault(&self) -> Option<EngineFault> {
        self.standing.fault()
    }

    /// Starts work for the cluster that nobody waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.threads.spawn(work);
    }
}

fn address(config: &config::Cluster) -> EngineAddress {
    EngineAddress {
        url: config.url.to_string(),
        password: config.password_env.as_ref().map(|password| password.token.clone()),
        prefix: config.prefix.clone(),
    }
}
