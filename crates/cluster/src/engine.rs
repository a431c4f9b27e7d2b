//! What a node asks of the engine: named operations, each of which ends within a deadline.
//!
//! The engine only makes nodes quicker and fairer. It may be away, slow, full, read-only, emptied or replaced at any
//! moment; every operation then fails with its kind, and the caller goes on alone. Owns the operations and the kinds of
//! failure. Must not know Redis, and decides nothing.

use std::time::Duration;

use async_trait::async_trait;

use crate::flight::LeaseReply;
use crate::follower::{StreamEvent, StreamPage, StreamPlace};
use crate::pool::{PoolCall, PoolReply};
use crate::share::ShareDebt;

/// The longest that any operation takes.
pub const DEADLINE: Duration = Duration::from_millis(500);
/// Nodes that were not heard of for so long are not counted.
pub const NODE_SEEN: Duration = Duration::from_secs(3);

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EngineFault {
    /// No connection, or it broke.
    #[error("the engine cannot be reached; check cluster.url, and that Redis or Valkey runs")]
    Unreachable,
    /// No answer within the deadline. What was asked may happen yet.
    #[error("the engine did not answer within {} ms", DEADLINE.as_millis())]
    Slow,
    /// It takes no writes: a replica, or a server whose disk is full.
    #[error("the engine refuses writes; point cluster.url at the primary, and look at its disk")]
    ReadOnly,
    /// It has no memory left.
    #[error("the engine is full; raise its maxmemory, or set maxmemory-policy to volatile-ttl")]
    Full,
    /// It is starting or failing over.
    #[error("the engine is loading or changing its primary")]
    Starting,
    /// It does not know the password.
    #[error("the engine refuses the password; check the variable that cluster.password_env names")]
    Password,
    /// Nobody who is trusted here vouches for its certificate.
    #[error(
        "the engine's certificate is not accepted; give the certificate of its authority (SSL_CERT_FILE names a file with all \
         that are trusted), and check that cluster.url has the name in the certificate"
    )]
    Certificate,
    /// The user may not use this.
    #[error(
        "the engine's user may not use {0}; allow it the commands that docs/cluster.md lists, and the keys of cluster.prefix"
    )]
    Forbidden(&'static str),
    /// Somebody else uses the keys.
    #[error(
        "a key that begins with cluster.prefix has another type than this program gives it; choose another prefix, or \
         delete the keys of this one"
    )]
    OtherType,
    /// It is one of several servers, each of which has some of the keys.
    #[error(
        "the engine is a node of a Redis Cluster; point cluster.url at a single primary, with or without replicas"
    )]
    Sharded,
    /// It is older than this needs.
    #[error("the engine is too old; Redis 6.2, or any Valkey, is needed")]
    TooOld,
    /// It answered something else.
    #[error("the engine's answer cannot be read; is it Redis or Valkey?")]
    Unreadable,
    /// The address is no address of an engine.
    #[error("cluster.url is not of the form redis://host:port/number or rediss://…")]
    Address,
}

impl EngineFault {
    /// Whether only an operator ends it, so that a start-up should fail.
    pub fn is_configured(self) -> bool {
        match self {
            Self::Password
            | Self::Certificate
            | Self::Forbidden(_)
            | Self::OtherType
            | Self::Sharded
            | Self::TooOld
            | Self::Unreadable
            | Self::Address => true,
            Self::Unreachable | Self::Slow | Self::ReadOnly | Self::Full | Self::Starting => false,
        }
    }
}

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
