//! An engine in memory, for tests: it does what the scripts do, on a clock that tests turn.
//!
//! Owns that memory and its faults: emptied, restarted, replaced by a replica that is behind, read-only, another time.
//! What the network does is the tests' own. Must not decide anything that a pure file decides.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::{Beat, Engine, LeaseCall, NODE_SEEN, SharedValue};
use crate::fault::EngineFault;
use crate::flight::LeaseReply;
use crate::follower::{StreamEvent, StreamPage, StreamPlace};
use crate::pool::{Pool, PoolCall, PoolReply, decide};
use crate::share::{ShareDebt, charge};

/// Events that the stream keeps.
const KEPT_EVENTS: usize = 1_000;

/// What an engine remembers. All times are its own.
#[derive(Debug, Clone, Default)]
pub struct EngineMemory {
    buckets: BTreeMap<String, Duration>,
    pools: BTreeMap<String, Pool>,
    leases: BTreeMap<String, (String, u64, Duration)>,
    fences: BTreeMap<String, u64>,
    nodes: BTreeMap<String, Duration>,
    shared: BTreeMap<String, (String, Duration)>,
    events: Vec<(u64, StreamEvent)>,
    last_event: u64,
}

/// An engine in memory.
#[derive(Debug)]
pub struct EngineDouble {
    memory: EngineMemory,
    /// The process of the server; another after each restart.
    process: u64,
    /// How often it was emptied.
    emptied: u64,
    now: Duration,
    refuses_writes: bool,
}

impl EngineDouble {
    /// An empty one, at this time.
    pub fn new(now: Duration) -> Self {
        Self { memory: EngineMemory::default(), process: 0, emptied: 0, now, refuses_writes: false }
    }

    /// Sets its clock.
    pub fn set_time(&mut self, now: Duration) {
        self.now = now;
    }

    /// The time by its clock.
    pub fn time(&self) -> Duration {
        self.now
    }

    /// Whether it refuses writes.
    pub fn refuse_writes(&mut self, refuses: bool) {
        self.refuses_writes = refuses;
    }

    /// `FLUSHALL`.
    pub fn flush(&mut self) {
        self.memory = EngineMemory::default();
        self.emptied += 1;
    }

    /// Another process takes its place, with what it has of the memory.
    pub fn replace(&mut self, memory: EngineMemory) {
        self.memory = memory;
        self.process += 1;
    }

    /// A copy of what it remembers.
    pub fn snapshot(&self) -> EngineMemory {
        self.memory.clone()
    }

    fn writes(&self) -> Result<(), EngineFault> {
        if self.refuses_writes { Err(EngineFault::ReadOnly) } else { Ok(()) }
    }

    /// As [`Engine::beat`].
    pub fn beat(&mut self, node: &str) -> Result<Beat, EngineFault> {
        self.writes()?;
        let now = self.now;
        self.memory.nodes.insert(node.to_owned(), now);
        self.memory.nodes.retain(|_, seen| *seen + NODE_SEEN > now && *seen <= now + NODE_SEEN);
        Ok(Beat { nodes: u32::try_from(self.memory.nodes.len()).unwrap_or(u32::MAX) })
    }

    /// As [`Engine::settle`], of one bucket.
    pub fn settle(&mut self, bucket: &str, debt: &ShareDebt) -> Result<Duration, EngineFault> {
        self.writes()?;
        let before = self.memory.buckets.get(bucket).copied().filter(|full_at| *full_at > self.now);
        let full_at = charge(before, debt, self.now);
        self.memory.buckets.insert(bucket.to_owned(), full_at);
        Ok(full_at - self.now)
    }

    /// As [`Engine::adjust`], of one pool.
    pub fn adjust(&mut self, call: &PoolCall) -> Result<PoolReply, EngineFault> {
        self.writes()?;
        let now_ms = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        let before = self.memory.pools.remove(&call.pool);
        let (pool, reply) = decide(before, &self.process.to_string(), call, now_ms);
        if let Some(pool) = pool {
            self.memory.pools.insert(call.pool.clone(), pool);
        }
        Ok(reply)
    }

    /// As [`Engine::lease`].
    pub fn lease(&mut self, call: &LeaseCall) -> Result<LeaseReply, EngineFault> {
        self.writes()?;
        let now = self.now;
        let held = self.memory.leases.get(&call.key).filter(|(_, _, until)| *until > now).cloned();
        let left = held.as_ref().map_or(Duration::ZERO, |(_, _, until)| *until - now);
        let other = held.as_ref().map_or(0, |(_, fence, _)| *fence);
        let fence = match (held, call.fence) {
            (Some((node, fence, _)), Some(mine)) if node == call.node && fence == mine => mine,
            (None, None) => {
                let last = self.memory.fences.get(&call.key).copied().unwrap_or(0);
                u64::try_from(now.as_micros()).unwrap_or(u64::MAX).max(last + 1)
            }
            _ => return Ok(LeaseReply::Busy { left, fence: other }),
        };
        self.memory.fences.insert(call.key.clone(), fence);
        self.memory.leases.insert(call.key.clone(), (call.node.clone(), fence, now + call.lease));
        Ok(LeaseReply::Held { fence })
    }

    /// As [`Engine::release`].
    pub fn release(&mut self, key: &str, fence: u64) -> Result<(), EngineFault> {
        self.writes()?;
        if self.memory.leases.get(key).is_some_and(|(_, held, _)| *held == fence) {
            self.memory.leases.remove(key);
        }
        Ok(())
    }

    /// As [`Engine::announce`].
    pub fn announce(&mut self, events: &[StreamEvent]) -> Result<(), EngineFault> {
        self.writes()?;
        for event in events {
            self.memory.last_event += 1;
            self.memory.events.push((self.memory.last_event, event.clone()));
        }
        let over = self.memory.events.len().saturating_sub(KEPT_EVENTS);
        self.memory.events.drain(..over);
        Ok(())
    }

    /// As [`Engine::read`].
    pub fn read(&mut self, after: Option<&StreamPlace>, most: u32) -> Result<StreamPage, EngineFault> {
        self.writes()?;
        let last = self.memory.last_event;
        let after = after.map_or(last, |place| place.number);
        let new = self.memory.events.iter().filter(|(number, _)| *number > after).take(most as usize);
        let new: Vec<(u64, StreamEvent)> = new.cloned().collect();
        let number = new.last().map_or(last, |(number, _)| *number);
        let memory = format!("{}.{}", self.emptied, self.process);
        Ok(StreamPage {
            place: StreamPlace { memory, number },
            first: new.first().map(|(number, _)| *number),
            events: new.into_iter().map(|(_, event)| event).collect(),
            more: number < last,
        })
    }

    /// As [`Engine::share`].
    pub fn share(&mut self, key: &str, value: &str, lasting: Duration) -> Result<(), EngineFault> {
        self.writes()?;
        let until = self.now + lasting;
        if self.memory.shared.get(key).is_none_or(|(_, lasts)| *lasts < until) {
            self.memory.shared.insert(key.to_owned(), (value.to_owned(), until));
        }
        Ok(())
    }

    /// As [`Engine::unshare`].
    pub fn unshare(&mut self, key: &str) -> Result<(), EngineFault> {
        self.writes()?;
        self.memory.shared.remove(key);
        Ok(())
    }

    /// As [`Engine::shared`], of one key.
    pub fn shared(&self, key: &str) -> Option<SharedValue> {
        let (value, until) = self.memory.shared.get(key)?;
        let left = until.checked_sub(self.now).filter(|left| !left.is_zero())?;
        Some(SharedValue { value: value.clone(), left })
    }
}

/// The double behind the trait.
#[derive(Debug)]
pub struct SharedDouble(Mutex<EngineDouble>);

impl SharedDouble {
    /// Around this one.
    pub fn new(double: EngineDouble) -> Self {
        Self(Mutex::new(double))
    }

    /// The double, to turn its clock or to break it.
    pub fn lock(&self) -> MutexGuard<'_, EngineDouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Engine for SharedDouble {
    async fn beat(&self, node: &str) -> Result<Beat, EngineFault> {
        self.lock().beat(node)
    }

    async fn settle(&self, debts: &[(String, ShareDebt)]) -> Result<Vec<Duration>, EngineFault> {
        debts.iter().map(|(bucket, debt)| self.lock().settle(bucket, debt)).collect()
    }

    async fn adjust(&self, calls: &[PoolCall]) -> Result<Vec<PoolReply>, EngineFault> {
        calls.iter().map(|call| self.lock().adjust(call)).collect()
    }

    async fn lease(&self, call: &LeaseCall) -> Result<LeaseReply, EngineFault> {
        self.lock().lease(call)
    }

    async fn release(&self, key: &str, fence: u64) -> Result<(), EngineFault> {
        self.lock().release(key, fence)
    }

    async fn announce(&self, events: &[StreamEvent]) -> Result<(), EngineFault> {
        self.lock().announce(events)
    }

    async fn read(&self, after: Option<&StreamPlace>, most: u32) -> Result<StreamPage, EngineFault> {
        self.lock().read(after, most)
    }

    async fn share(&self, key: &str, value: &str, lasting: Duration) -> Result<(), EngineFault> {
        self.lock().share(key, value, lasting)
    }

    async fn unshare(&self, key: &str) -> Result<(), EngineFault> {
        self.lock().unshare(key)
    }

    async fn shared(&self, keys: &[String]) -> Result<Vec<Option<SharedValue>>, EngineFault> {
        Ok(keys.iter().map(|key| self.lock().shared(key)).collect())
    }
}
