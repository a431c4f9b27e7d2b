//! The engine, with every call counted by what came of it.
//!
//! Every call runs on the threads of the cluster, whoever makes it: the engine's connection belongs to the runtime on which it
//! was made, and a busy worker would keep all others from the engine. Owns that. Must not know what a call is for.

use std::sync::Arc;
use std::time::Duration;

use ::cluster::{
    Beat, Engine, EngineFault, LeaseCall, LeaseReply, PoolCall, PoolReply, ShareDebt, SharedValue,
    StreamEvent, StreamPage, StreamPlace,
};
use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::telemetry::Metrics;

#[derive(Debug)]
pub(super) struct CountedEngine {
    engine: Arc<dyn Engine>,
    threads: Handle,
    metrics: Arc<Metrics>,
}

impl CountedEngine {
    pub(super) fn new(engine: Arc<dyn Engine>, threads: Handle, metrics: Arc<Metrics>) -> Self {
        Self { engine, threads, metrics }
    }

    async fn call<T, F>(
        &self,
        name: &'static str,
        call: impl FnOnce(Arc<dyn Engine>) -> F,
    ) -> Result<T, EngineFault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, EngineFault>> + Send + 'static,
    {
        let called = self.threads.spawn(call(Arc::clone(&self.engine))).await;
        let outcome = called.unwrap_or(Err(EngineFault::Broken));
        self.metrics.cluster.called(name, outcome.as_ref().err().map_or("ok", |fault| label(*fault)));
        outcome
    }
}

fn label(fault: EngineFault) -> &'static str {
    match fault {
        EngineFault::Unconnected(why) => why.as_str(),
        EngineFault::WebServer => "web-server",
        EngineFault::Protected => "protected",
        EngineFault::Crowded => "crowded",
        EngineFault::Broken => "broken",
        EngineFault::Slow => "slow",
        EngineFault::ReadOnly => "read-only",
        EngineFault::Full => "full",
        EngineFault::Starting => "starting",
        EngineFault::Password => "password",
        EngineFault::Database(_) => "database",
        EngineFault::Forbidden(_) => "forbidden",
        EngineFault::OtherType => "other-type",
        EngineFault::Sharded => "sharded",
        EngineFault::TooOld => "too-old",
        EngineFault::Unreadable => "unreadable",
        EngineFault::Address => "address",
    }
}

#[async_trait]
impl Engine for CountedEngine {
    async fn beat(&self, node: &str) -> Result<Beat, EngineFault> {
        let node = node.to_owned();
        self.call("beat", |engine| async move { engine.beat(&node).await }).await
    }

    async fn settle(&self, debts: &[(String, ShareDebt)]) -> Result<Vec<Duration>, EngineFault> {
        let debts = debts.to_vec();
        self.call("settle", |engine| async move { engine.settle(&debts).await }).await
    }

    async fn adjust(&self, calls: &[PoolCall]) -> Result<Vec<PoolReply>, EngineFault> {
        let calls = calls.to_vec();
        self.call("adjust", |engine| async move { engine.adjust(&calls).await }).await
    }

    async fn lease(&self, call: &LeaseCall) -> Result<LeaseReply, EngineFault> {
        let call = call.clone();
        self.call("lease", |engine| async move { engine.lease(&call).await }).await
    }

    async fn release(&self, key: &str, fence: u64) -> Result<(), EngineFault> {
        let key = key.to_owned();
        self.call("release", move |engine| async move { engine.release(&key, fence).await }).await
    }

    async fn announce(&self, events: &[StreamEvent]) -> Result<(), EngineFault> {
        let events = events.to_vec();
        self.call("announce", |engine| async move { engine.announce(&events).await }).await
    }

    async fn read(&self, after: Option<&StreamPlace>, most: u32) -> Result<StreamPage, EngineFault> {
        let after = after.cloned();
        self.call("read", move |engine| async move { engine.read(after.as_ref(), most).await }).await
    }

    async fn share(&self, key: &str, value: &str, lasting: Duration) -> Result<(), EngineFault> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.call("share", move |engine| async move { engine.share(&key, &value, lasting).await }).await
    }

    async fn unshare(&self, key: &str) -> Result<(), EngineFault> {
        let key = key.to_owned();
        self.call("unshare", |engine| async move { engine.unshare(&key).await }).await
    }

    async fn shared(&self, keys: &[String]) -> Result<Vec<Option<SharedValue>>, EngineFault> {
        let keys = keys.to_vec();
        self.call("shared", |engine| async move { engine.shared(&keys).await }).await
    }
}
