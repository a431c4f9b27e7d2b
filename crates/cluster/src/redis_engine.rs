//! The engine that is Redis or Valkey.
//!
//! Every operation that decides something is one script, so that it happens as a whole and by the server's clock. Owns
//! commands, keys and the reading of answers. Must not decide anything: what a script does, the pure files say.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::address::EngineAddress;
use crate::engine::{Beat, Engine, LeaseCall, NODE_SEEN, SharedValue};
use crate::fault::EngineFault;
use crate::flight::LeaseReply;
use crate::follower::{StreamEvent, StreamPage, StreamPlace};
use crate::pool::{PoolCall, PoolGrant, PoolReply};
use crate::redis_connection::RedisConnection;
use crate::refusal::PROBES;
use crate::share::ShareDebt;

/// Events that the stream keeps, at least.
const KEPT_EVENTS: u32 = 10_000;
/// Buckets that one script charges.
const MOST_DEBTS: usize = 500;
/// The oldest version of Redis that will do. Valkey says it is 7.2.
const OLDEST: (u32, u32) = (6, 2);

/// Redis or Valkey.
pub struct RedisEngine {
    connection: RedisConnection,
    prefix: String,
    scripts: Scripts,
    /// The name of the engine's memory, if this process is the first to use it.
    memory: String,
}

impl std::fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisEngine").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

struct Scripts {
    beat: Script,
    settle: Script,
    pool: Script,
    lease: Script,
    release: Script,
    announce: Script,
    read: Script,
    share: Script,
}

impl RedisEngine {
    /// An engine that is connected to with the first operation. Needs a runtime of tokio.
    ///
    /// # Errors
    /// [`EngineFault::Address`] for an address that cannot be one.
    pub fn new(address: &EngineAddress) -> Result<Self, EngineFault> {
        let connection = RedisConnection::new(address)?;
        let memory = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Ok(Self { connection, prefix: address.prefix.clone(), scripts: Scripts::new(), memory })
    }

    /// Looks whether the server will do: its version, the password, and whether it takes writes and scripts. Whoever looks is not
    /// counted as a node.
    ///
    /// # Errors
    /// What is wrong. If [`EngineFault::is_configured`] only an operator can end it.
    pub async fn check(&self) -> Result<(), EngineFault> {
        self.connection.explained(self.examine().await).await
    }

    async fn examine(&self) -> Result<(), EngineFault> {
        let info: String = self.query(redis::cmd("INFO").arg("server")).await?;
        // "redis_mode" at Redis, "server_mode" at Valkey.
        if info.lines().any(|line| line.ends_with("_mode:cluster")) {
            return Err(EngineFault::Sharded);
        }
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) if (major, minor) >= OLDEST => {}
            (Some(_), Some(_)) => return Err(EngineFault::TooOld),
            _ => return Err(EngineFault::Unreadable),
        }
        // Each command as it is, because a server does not always say which of a script's is forbidden.
        let key = format!("{}probe", self.prefix);
        let probes = PROBES.iter().map(|(command, words)| {
            let mut probe = redis::cmd(command);
            probe.arg(&key).arg(*words);
            probe
        });
        let nodes = redis::cmd("ZCARD").arg(self.nodes()).clone();
        let probes: Vec<redis::Cmd> = probes.chain([redis::cmd("TIME"), nodes]).collect();
        try_join_all(probes.iter().map(|probe| self.query::<redis::Value>(probe))).await?;
        // A value that is gone at once. It has a name of its own, since one that lasts longer would stay unwritten.
        self.share(&format!("check:{}", self.memory), "", Duration::ZERO).await
    }

    /// The key of the nodes that were seen.
    fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, EngineFault> {
        self.connection.with(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, EngineFault> {
        self.connection.with(|mut connection| async move { script.invoke_async(&mut connection).await }).await
    }

    async fn adjust_one(&self, call: &PoolCall) -> Result<PoolReply, EngineFault> {
        let mut script = self.scripts.pool.key(self.key("pool", &call.pool));
        let rules = call.rules;
        script.arg(rules.limit).arg(rules.nodes.max(1)).arg(rules.term_ms).arg(&call.node).arg(call.turn);
        script.arg(call.expected_ms.map_or(String::new(), |expected| expected.to_string()));
        script.arg(call.claim).arg(call.want);
        script.arg(u8::from(call.young)).arg(u8::from(call.void));
        script.arg(call.frees_ms.map_or(String::new(), |frees| frees.to_string()));
        let answer: Vec<redis::Value> = self.invoke(&script).await?;
        pool_reply(answer).ok_or(EngineFault::Unreadable)
    }
}

impl Scripts {
    fn new() -> Self {
        Self {
            beat: Script::new(include_str!("scripts/beat.lua")),
            settle: Script::new(include_str!("scripts/settle.lua")),
            pool: Script::new(include_str!("scripts/pool.lua")),
            lease: Script::new(include_str!("scripts/lease.lua")),
            release: Script::new(include_str!("scripts/release.lua")),
            announce: Script::new(include_str!("scripts/announce.lua")),
            read: Script::new(include_str!("scripts/read.lua")),
            share: Script::new(include_str!("scripts/share.lua")),
        }
    }
}

#[async_trait]
impl Engine for RedisEngine {
    async fn beat(&self, node: &str) -> Result<Beat, EngineFault> {
        let mut script = self.scripts.beat.key(self.nodes());
        let nodes = self.invoke(script.arg(node).arg(millis(NODE_SEEN))).await;
        // What a proxy says of the engine is from here.
        Ok(Beat { nodes: self.connection.explained(nodes).await? })
    }

    async fn settle(&self, debts: &[(String, ShareDebt)]) -> Result<Vec<Duration>, EngineFault> {
        let chunks = debts.chunks(MOST_DEBTS).map(|chunk| async move {
            let mut script = self.scripts.settle.prepare_invoke();
            for (bucket, debt) in chunk {
                script.key(self.key("bucket", bucket));
                script.arg(micros(debt.full)).arg(micros(debt.spent)).arg(micros(debt.believed));
            }
            let missing: Vec<u64> = self.invoke(&script).await?;
            let is_whole = missing.len() == chunk.len();
            is_whole.then_some(missing).ok_or(EngineFault::Unreadable)
        });
        Ok(try_join_all(chunks).await?.into_iter().flatten().map(Duration::from_micros).collect())
    }

    async fn adjust(&self, calls: &[PoolCall]) -> Result<Vec<PoolReply>, EngineFault> {
        try_join_all(calls.iter().map(|call| self.adjust_one(call))).await
    }

    async fn lease(&self, call: &LeaseCall) -> Result<LeaseReply, EngineFault> {
        let mut script = self.scripts.lease.key(self.key("lease", &call.key));
        script.key(self.key("fence", &call.key)).arg(&call.node);
        script.arg(call.fence.unwrap_or_default()).arg(millis(call.lease));
        let (held, fence, left): (bool, String, i64) = self.invoke(&script).await?;
        let fence = fence.parse().map_err(|_| EngineFault::Unreadable)?;
        let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        Ok(if held { LeaseReply::Held { fence } } else { LeaseReply::Busy { left, fence } })
    }

    async fn release(&self, key: &str, fence: u64) -> Result<(), EngineFault> {
        self.invoke(self.scripts.release.key(self.key("lease", key)).arg(fence)).await
    }

    async fn announce(&self, events: &[StreamEvent]) -> Result<(), EngineFault> {
        let mut script = self.scripts.announce.key(format!("{}events", self.prefix));
        script.key(format!("{}events:last", self.prefix)).arg(KEPT_EVENTS);
        for event in events {
            script.arg(&event.kind).arg(&event.subject).arg(&event.detail);
        }
        self.invoke(&script).await
    }

    async fn read(&self, after: Option<&StreamPlace>, most: u32) -> Result<StreamPage, EngineFault> {
        let mut script = self.scripts.read.key(format!("{}events", self.prefix));
        script.key(format!("{}events:last", self.prefix)).key(format!("{}events:memory", self.prefix));
        let number = after.map_or(-1, |place| i64::try_from(place.number).unwrap_or(-1));
        let (memory, last, entries): (String, u64, Vec<(String, Vec<String>)>) =
            self.invoke(script.arg(number).arg(most).arg(&self.memory)).await?;
        stream_page(memory, last, entries).ok_or(EngineFault::Unreadable)
    }

    async fn share(&self, key: &str, value: &str, lasting: Duration) -> Result<(), EngineFault> {
        let mut script = self.scripts.share.key(self.key("shared", key));
        self.invoke(script.arg(value).arg(millis(lasting).max(1))).await
    }

    async fn unshare(&self, key: &str) -> Result<(), EngineFault> {
        self.query(redis::cmd("DEL").arg(self.key("shared", key))).await
    }

    async fn shared(&self, keys: &[String]) -> Result<Vec<Option<SharedValue>>, EngineFault> {
        let mut pipeline = redis::pipe();
        for key in keys {
            let key = self.key("shared", key);
            pipeline.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        }
        let pipeline = &pipeline;
        let answers: Vec<redis::Value> = self
            .connection
            .with(|mut connection| async move { pipeline.query_async(&mut connection).await })
            .await?;
        answers.chunks(2).map(|answer| shared_value(answer).ok_or(EngineFault::Unreadable)).collect()
    }
}

fn pool_reply(answer: Vec<redis::Value>) -> Option<PoolReply> {
    let mut numbers = answer.iter().map(|value| i64::from_redis_value_ref(value).ok());
    let now_ms = u64::try_from(numbers.next()??).ok()?;
    if answer.len() == 1 {
        return Some(PoolReply { now_ms, grant: None });
    }
    let (held, room, expires, wanted, wait) =
        (numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??);
    let memory = String::from_redis_value_ref(answer.get(6)?).ok()?;
    let grant = PoolGrant {
        held: u32::try_from(held).ok()?,
        room: u32::try_from(room).ok(),
        expires_ms: u64::try_from(expires).ok(),
        wanted: wanted == 1,
        wait_ms: u64::try_from(wait).ok(),
        memory,
    };
    Some(PoolReply { now_ms, grant: Some(grant) })
}

fn stream_page(memory: String, last: u64, entries: Vec<(String, Vec<String>)>) -> Option<StreamPage> {
    let (mut first, mut number, mut events) = (None, last, Vec::with_capacity(entries.len()));
    for (id, fields) in entries {
        number = id.split('-').next()?.parse().ok()?;
        first = first.or(Some(number));
        let [_, kind, _, subject, _, detail] = <[String; 6]>::try_from(fields).ok()?;
        events.push(StreamEvent { kind, subject, detail });
    }
    Some(StreamPage { place: StreamPlace { memory, number }, first, events, more: number < last })
}

fn shared_value(answer: &[redis::Value]) -> Option<Option<SharedValue>> {
    let [value, left] = answer else { return None };
    let value = Option::<String>::from_redis_value_ref(value).ok()?;
    let left = u64::try_from(i64::from_redis_value_ref(left).ok()?).unwrap_or_default();
    Some(value.map(|value| SharedValue { value, left: Duration::from_millis(left) }))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
