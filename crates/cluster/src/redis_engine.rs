//! The engine that is Redis or Valkey.
//!
//! Every operation that decides something is one script, so that it happens as a whole and by the server's clock. An
//! operation ends with its deadline, whatever the connection does; the connection heals itself in the background. Owns
//! commands, keys and the reading of answers. Must not decide anything: what a script does, the pure files say.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, Script, ScriptInvocation, ServerErrorKind,
};
use secrecy::{ExposeSecret, SecretString};

use crate::engine::{Beat, DEADLINE, Engine, EngineFault, LeaseCall, NODE_SEEN, SharedValue};
use crate::flight::LeaseReply;
use crate::follower::{StreamEvent, StreamPage, StreamPlace};
use crate::pool::{PoolCall, PoolGrant, PoolReply};
use crate::share::ShareDebt;

/// Events that the stream keeps, at least.
const KEPT_EVENTS: u32 = 10_000;
/// Buckets that one script charges.
const MOST_DEBTS: usize = 500;
/// The oldest version of Redis that will do. Valkey says it is 7.2.
const OLDEST: (u32, u32) = (6, 2);

/// Every command that scripts use, with what follows its key, so that the key is as it was or soon gone.
const PROBES: [(&str, &[&str]); 11] = [
    ("GET", &[]),
    ("SET", &["0", "XX"]),
    ("INCR", &[]),
    ("PEXPIRE", &["1000"]),
    ("PTTL", &[]),
    ("DEL", &[]),
    ("ZADD", &["XX", "0", "0"]),
    ("ZREMRANGEBYSCORE", &["0", "0"]),
    ("ZCARD", &[]),
    ("XADD", &["NOMKSTREAM", "*", "0", "0"]),
    ("XRANGE", &["-", "+"]),
];
/// The others that are used.
const OTHER_COMMANDS: [&str; 5] = ["TIME", "INFO", "EVALSHA", "SCRIPT|LOAD", "SCRIPT"];

/// Where the engine is.
#[derive(Debug, Clone)]
pub struct EngineAddress {
    /// `redis://host:port/number` or `rediss://…`, without a password.
    pub url: String,
    /// The password.
    pub password: Option<SecretString>,
    /// What every key begins with.
    pub prefix: String,
}

/// Redis or Valkey.
pub struct RedisEngine {
    connection: ConnectionManager,
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
        let info = address.url.as_str().into_connection_info().map_err(|_| EngineFault::Address)?;
        let mut settings = info.redis_settings().clone();
        if let Some(password) = &address.password {
            settings = settings.set_password(password.expose_secret());
        }
        let client =
            redis::Client::open(info.set_redis_settings(settings)).map_err(|_| EngineFault::Address)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            // Sooner than the deadline, so that a connection that is stuck is given up and made anew.
            .set_response_timeout(Some(DEADLINE * 9 / 10))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_secs(1))
            // Every operation tries again, so this need not last.
            .set_number_of_retries(1);
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(|error| fault(&error))?;
        let memory = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        Ok(Self { connection, prefix: address.prefix.clone(), scripts: Scripts::new(), memory })
    }

    /// Looks whether the server will do: its version, the password, and whether it takes writes and scripts. Whoever looks is not
    /// counted as a node.
    ///
    /// # Errors
    /// What is wrong. If [`EngineFault::is_configured`] only an operator can end it.
    pub async fn check(&self) -> Result<(), EngineFault> {
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
        let mut connection = self.connection.clone();
        within_deadline(command.query_async(&mut connection)).await
    }

    async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, EngineFault> {
        let mut connection = self.connection.clone();
        within_deadline(script.invoke_async(&mut connection)).await
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
        let nodes = self.invoke(script.arg(node).arg(millis(NODE_SEEN))).await?;
        Ok(Beat { nodes })
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
        let mut connection = self.connection.clone();
        let answers: Vec<redis::Value> = within_deadline(pipeline.query_async(&mut connection)).await?;
        answers.chunks(2).map(|answer| shared_value(answer).ok_or(EngineFault::Unreadable)).collect()
    }
}

async fn within_deadline<T>(work: impl Future<Output = Result<T, RedisError>>) -> Result<T, EngineFault> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(answer) => answer.map_err(|error| fault(&error)),
        Err(_elapsed) => Err(EngineFault::Slow),
    }
}

fn fault(error: &RedisError) -> EngineFault {
    // A script that was refused something says so in the middle of its text.
    let text = error.to_string();
    match error.code() {
        Some("OOM") => return EngineFault::Full,
        Some("MISCONF" | "READONLY" | "NOREPLICAS") => return EngineFault::ReadOnly,
        Some("LOADING" | "MASTERDOWN" | "BUSY") => return EngineFault::Starting,
        Some("MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN") => return EngineFault::Sharded,
        Some("NOAUTH" | "WRONGPASS") => return EngineFault::Password,
        Some("NOPERM") => return EngineFault::Forbidden(forbidden(&text)),
        Some("WRONGTYPE") => return EngineFault::OtherType,
        Some(_) | None => {}
    }
    if text.contains("WRONGTYPE") {
        return EngineFault::OtherType;
    }
    if text.contains("NOPERM")
        || text.contains("ACL failure")
        || text.contains("The user executing the script")
    {
        return EngineFault::Forbidden(forbidden(&text));
    }
    if text.contains("-OOM") || text.contains("OOM command not allowed") {
        return EngineFault::Full;
    }
    if text.contains("READONLY") || text.contains("MISCONF") {
        return EngineFault::ReadOnly;
    }
    if text.contains("invalid peer certificate") {
        return EngineFault::Certificate;
    }
    if error.is_timeout() {
        return EngineFault::Slow;
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => EngineFault::Password,
        ErrorKind::Server(ServerErrorKind::ReadOnly) => EngineFault::ReadOnly,
        ErrorKind::Server(ServerErrorKind::NoPerm) => EngineFault::Forbidden(forbidden(&text)),
        ErrorKind::InvalidClientConfig => EngineFault::Address,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Server(_) => EngineFault::Unreadable,
        // Whoever answers is reached.
        _ if error.code().is_some() => EngineFault::Unreadable,
        _ => EngineFault::Unreachable,
    }
}

/// What a server's refusal names.
fn forbidden(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    let named = |command: &&str| text.contains(&format!("'{}'", command.to_ascii_lowercase()));
    let commands = PROBES.iter().map(|(command, _)| *command).chain(OTHER_COMMANDS);
    match commands.into_iter().find(named) {
        Some(command) => command,
        None if text.contains("key") => "the keys of cluster.prefix",
        None => "a needed command",
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
