//! What a node asks of the engine: named operations, each of which ends within a deadline.
//!
//! The engine only makes nodes quicker and fairer. It may be away, slow, full, read-only, emptied or replaced at any
//! moment; every operation then fails with its kind, and the caller goes on alone. Owns the operations. Must not know Redis,
//! and decides nothing.

use std::time::Duration;

use async_trait::async_trait;

use crate::fault::EngineFault;
use crate::flight::LeaseReply;
use crate::follower::{StreamEvent, StreamPage, StreamPlace};
use crate::pool::{PoolCall, PoolReply};
use crate::share::ShareDebt;

/// Nodes that were not heard of for so long are not counted.
pub const NODE_SEEN: Duration = Duration::from_secs(3);

/// What a beat brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Nodes that beat within the last seconds, this one included.
    pub nodes: u32,
}

/// A question for the lease of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseCall {
    /// The key.
    pub key: String,
    /// Who asks.
    pub node: String,
    /// The fencing number that the asker has, if it renews.
    pub fence: Option<u64>,
    /// For how long.
    pub lease: Duration,
}

/// Something that nodes know of a registry for a while: its breaker, or a pause that it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedValue {
    /// What it says.
    pub value: String,
    /// For how long yet.
    pub left: Duration,
}

/// What proxies agree through.
#[async_trait]
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// Says that this node lives. A write, so that it also tells whether the engine takes writes.
    async fn beat(&self, node: &str) -> Result<Beat, EngineFault>;

    /// Charges debts to their buckets, and answers how much of each is missing, in the same order.
    async fn settle(&self, debts: &[(String, ShareDebt)]) -> Result<Vec<Duration>, EngineFault>;

    /// Takes calls to pools.
    async fn adjust(&self, calls: &[PoolCall]) -> Result<Vec<PoolReply>, EngineFault>;

    /// Gives or renews the lease of a key.
    async fn lease(&self, call: &LeaseCall) -> Result<LeaseReply, EngineFault>;

    /// Gives a lease back, if it is still the one with this number.
    async fn release(&self, key: &str, fence: u64) -> Result<(), EngineFault>;

    /// Tells all nodes.
    async fn announce(&self, events: &[StreamEvent]) -> Result<(), EngineFault>;

    /// What was told after a place; without one only where the stream ends.
    async fn read(&self, after: Option<&StreamPlace>, most: u32) -> Result<StreamPage, EngineFault>;

    /// Shares a value for a while. A value that lasts longer stays.
    async fn share(&self, key: &str, value: &str, lasting: Duration) -> Result<(), EngineFault>;

    /// Takes a shared value back.
    async fn unshare(&self, key: &str) -> Result<(), EngineFault>;

    /// Shared values, in the order of their keys.
    async fn shared(&self, keys: &[String]) -> Result<Vec<Option<SharedValue>>, EngineFault>;
}
