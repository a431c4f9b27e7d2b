//! Every engine keeps one contract: the double, and a real redis-server.
//!
//! A test with a server is skipped where Debian's package redis-server is not installed, unless
//! `SCRIPTORIUM_REQUIRE_REDIS=1`. Owns which engine is held to what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod contract;
mod pool_script;
mod refusing;
mod server;

use std::time::{Duration, Instant};

use cluster::{Engine, EngineAddress, EngineDouble, EngineFault, RedisEngine, SharedDouble};
use connect_failure::ConnectFailure;
use contract::Turn;
use server::Server;

impl Turn for SharedDouble {
    fn turn(&self, time: Duration) {
        let mut double = self.lock();
        let now = double.time() + time;
        double.set_time(now);
    }
}

impl Turn for RedisEngine {
    fn turn(&self, _: Duration) {}
}

/// What the page says that a user needs.
const NEEDED: &str =
    "EVALSHA SCRIPT|LOAD INFO TIME GET SET DEL INCR PEXPIRE PTTL ZADD ZCARD ZREMRANGEBYSCORE XADD XRANGE";

fn engine(server: &Server, password: Option<&str>) -> RedisEngine {
    let address = EngineAddress {
        url: format!("redis://127.0.0.1:{}/0", server.port),
        password: password.map(Into::into),
        prefix: "scriptorium:".into(),
    };
    RedisEngine::new(&address).unwrap()
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn double() {
                let double = SharedDouble::new(EngineDouble::new(Duration::from_secs(1_796_000_000)));
                contract::$name(&double, &double).await;
            }

            #[tokio::test]
            async fn redis() {
                let Some(server) = Server::start(&[]) else { return };
                let engine = engine(&server, None);
                contract::$name(&engine, &engine).await;
            }
        }
    )+};
}

contract!(
    buckets_are_charged,
    a_pool_lends,
    a_late_call_has_no_effect,
    a_lease_is_one_nodes,
    a_lease_runs_out,
    events_are_read_in_order,
    what_is_shared_ends,
    nodes_are_counted,
);

#[tokio::test]
async fn says_what_is_wrong_with_the_server() {
    let Some(server) = Server::start(&["--requirepass", "right"]) else { return };
    assert_eq!(engine(&server, Some("right")).check().await, Ok(()));
    assert_eq!(engine(&server, None).check().await, Err(EngineFault::Password));
    assert_eq!(engine(&server, Some("wrong")).check().await, Err(EngineFault::Password));
    let Some(full) = Server::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]) else { return };
    assert_eq!(engine(&full, None).check().await, Err(EngineFault::Full));
    let Some(replica) = Server::start(&["--replicaof", "127.0.0.1", "1"]) else { return };
    assert_eq!(engine(&replica, None).check().await, Err(EngineFault::ReadOnly));
    assert!(EngineFault::Password.is_configured() && !EngineFault::ReadOnly.is_configured());
}

#[tokio::test]
async fn names_what_the_user_may_not_use() {
    let Some(server) = Server::start(&[]) else { return };
    let address = EngineAddress {
        url: format!("redis://proxy@127.0.0.1:{}/0", server.port),
        password: Some("secret".into()),
        prefix: "scriptorium:".into(),
    };
    let needed: Vec<&str> = NEEDED.split(' ').collect();
    for missing in ["", "TIME", "XADD", "INFO", "EVALSHA", "SCRIPT|LOAD", "the keys of cluster.prefix"] {
        let keys = if missing.starts_with("the keys") { "~other:*" } else { "~scriptorium:*" };
        let commands: Vec<String> = needed.iter().map(|command| format!("+{command}")).collect();
        let allowed = commands.iter().map(String::as_str).filter(|command| command[1..] != *missing);
        let mut words = vec!["ACL", "SETUSER", "proxy", "reset", "on", ">secret", keys];
        words.extend(allowed);
        server.command(&words).await;
        server.command(&["SCRIPT", "FLUSH"]).await;
        let checked = RedisEngine::new(&address).unwrap().check().await;
        let named = checked.map_err(|fault| fault.to_string());
        match missing {
            "" => assert_eq!(named, Ok(())),
            _ => assert!(named.as_ref().is_err_and(|told| told.contains(missing)), "{missing}: {named:?}"),
        }
    }
    assert!(include_str!("../../../../docs/cluster.md").contains(NEEDED));
}

#[tokio::test]
async fn tells_keys_of_another_type_from_an_engine_that_is_away() {
    let Some(server) = Server::start(&[]) else { return };
    server.command(&["SET", "scriptorium:nodes", "a string"]).await;
    assert_eq!(engine(&server, None).check().await, Err(EngineFault::OtherType));
    server.command(&["DEL", "scriptorium:nodes"]).await;
    assert_eq!(engine(&server, None).check().await, Ok(()));
    server.command(&["SET", "scriptorium:pool:registry", "no pool"]).await;
    let engine = engine(&server, None);
    let now_ms = engine.adjust(&[contract::call("a", 1)]).await.unwrap()[0].now_ms;
    let call = cluster::PoolCall { expected_ms: Some(now_ms), ..contract::call("a", 1) };
    assert_eq!(engine.adjust(&[call]).await, Err(EngineFault::Unreadable));
}

#[tokio::test]
async fn every_refusal_has_its_name() {
    for (said, fault) in [
        ("-LOADING Redis is loading the dataset in memory", EngineFault::Starting),
        ("-MASTERDOWN Link with MASTER is down", EngineFault::Starting),
        ("-BUSY Redis is busy running a script", EngineFault::Starting),
        ("-MOVED 3999 127.0.0.1:6381", EngineFault::Sharded),
        ("-ASK 3999 127.0.0.1:6381", EngineFault::Sharded),
        ("-CLUSTERDOWN Hash slot not served", EngineFault::Sharded),
        ("-CROSSSLOT Keys in request don't hash to the same slot", EngineFault::Sharded),
        ("-OOM command not allowed when used memory > 'maxmemory'", EngineFault::Full),
        ("-READONLY You can't write against a read only replica", EngineFault::ReadOnly),
        ("-MISCONF Redis is configured to save RDB snapshots", EngineFault::ReadOnly),
        ("-NOAUTH Authentication required", EngineFault::Password),
        ("-NOPERM this user has no permissions", EngineFault::Forbidden("a needed command")),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value", EngineFault::OtherType),
        ("-ERR something new", EngineFault::Unreadable),
        ("+OK", EngineFault::Unreadable),
        ("*1\r\n:7", EngineFault::Unreadable),
        ("HTTP/1.1 400 Bad Request", EngineFault::WebServer),
        ("<!DOCTYPE HTML>", EngineFault::WebServer),
        ("-DENIED Redis is running in protected mode", EngineFault::Protected),
        ("-ERR max number of clients reached", EngineFault::Crowded),
        ("\u{15}\u{3}\u{1}", EngineFault::Unconnected(ConnectFailure::OnlyTls)),
    ] {
        let port = refusing::start(said).await;
        let url = format!("redis://127.0.0.1:{port}/0");
        let engine = RedisEngine::new(&EngineAddress { url, password: None, prefix: String::new() }).unwrap();
        assert_eq!(engine.beat("a").await, Err(fault), "{said}");
    }
}

#[tokio::test]
async fn a_node_of_a_redis_cluster_is_named_at_the_start() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]) else { return };
    assert_eq!(engine(&server, None).check().await, Err(EngineFault::Sharded));
    assert!(EngineFault::Sharded.is_configured());
}

#[tokio::test]
async fn a_server_that_is_not_there_or_stands_still_costs_a_deadline() {
    let Some(mut server) = Server::start(&[]) else { return };
    let engine = engine(&server, None);
    engine.beat("a").await.unwrap();
    server.signal("-STOP");
    let begun = Instant::now();
    assert_eq!(engine.beat("a").await, Err(EngineFault::Slow));
    server.signal("-CONT");
    contract::eventually(&engine, async || engine.beat("a").await.is_ok()).await;
    server.kill();
    let fault = engine.beat("a").await.unwrap_err();
    assert!(matches!(fault, EngineFault::Broken | EngineFault::Slow), "{fault:?}");
    let refused = EngineFault::Unconnected(ConnectFailure::Refused);
    contract::eventually(&engine, async || engine.beat("a").await == Err(refused)).await;
    // Far more than two deadlines: a machine under load, not a promise.
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_server_with_as_many_connections_as_it_may_have_refuses_no_password() {
    let Some(server) = Server::start(&["--requirepass", "right", "--maxclients", "1"]) else { return };
    let first = engine(&server, Some("right"));
    contract::eventually(&first, async || first.beat("a").await.is_ok()).await;
    assert_eq!(engine(&server, Some("right")).check().await, Err(EngineFault::Crowded));
    assert!(!EngineFault::Crowded.is_configured());
}

#[tokio::test]
async fn a_refusal_of_the_database_says_why() {
    let at = |server: &Server, user: &str, password: Option<&str>, database: u16| {
        let url = format!("redis://{user}127.0.0.1:{}/{database}", server.port);
        let address =
            EngineAddress { url, password: password.map(Into::into), prefix: "scriptorium:".into() };
        RedisEngine::new(&address).unwrap()
    };
    let Some(server) = Server::start(&["--databases", "2"]) else { return };
    assert_eq!(at(&server, "", None, 1).check().await, Ok(()));
    assert_eq!(at(&server, "", None, 2).check().await, Err(EngineFault::Database(2)));
    server.command(&["ACL", "SETUSER", "proxy", "reset", "on", ">secret", "~*", "+@all", "-select"]).await;
    let user = at(&server, "proxy@", Some("secret"), 1);
    assert_eq!(user.check().await, Err(EngineFault::Forbidden("SELECT")));
    let Some(locked) = Server::start(&["--requirepass", "right"]) else { return };
    assert_eq!(at(&locked, "", None, 1).check().await, Err(EngineFault::Password));
    let Some(sharded) = Server::start(&["--cluster-enabled", "yes"]) else { return };
    assert_eq!(at(&sharded, "", None, 1).check().await, Err(EngineFault::Sharded));
}

#[tokio::test]
async fn who_tells_the_cause_waits_for_it_and_the_next_failure_of_others_has_it() {
    let Some(server) = Server::start(&[]) else { return };
    let encrypted = || {
        let url = format!("rediss://127.0.0.1:{}/0", server.port);
        RedisEngine::new(&EngineAddress { url, password: None, prefix: String::new() }).unwrap()
    };
    let fault = EngineFault::Unconnected(ConnectFailure::NotTls);
    assert_eq!(encrypted().beat("a").await, Err(fault));
    assert_eq!(encrypted().check().await, Err(fault));
    let engine = encrypted();
    // Its answer is due before the trial ends.
    assert!(engine.unshare("a").await.is_err());
    assert_eq!(engine.unshare("a").await, Err(fault));
}

#[tokio::test]
async fn a_password_that_is_mended_is_used_without_a_restart() {
    let Some(server) = Server::start(&[]) else { return };
    let engine = engine(&server, Some("right"));
    assert_eq!(engine.beat("a").await, Err(EngineFault::Password));
    server.command(&["CONFIG", "SET", "requirepass", "right"]).await;
    contract::eventually(&engine, async || engine.beat("a").await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_any_longer_is_made_anew() {
    let port = refusing::start_silent_first().await;
    let url = format!("redis://127.0.0.1:{port}/0");
    let engine = RedisEngine::new(&EngineAddress { url, password: None, prefix: String::new() }).unwrap();
    assert_eq!(engine.beat("a").await, Err(EngineFault::Slow));
    contract::eventually(&engine, async || engine.beat("a").await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_took_long_to_make_is_kept_for_the_next_question() {
    // Together longer than the deadline.
    let port = refusing::start_slow(":1", Duration::from_millis(300)).await;
    let url = format!("redis://127.0.0.1:{port}/0");
    let engine = RedisEngine::new(&EngineAddress { url, password: None, prefix: String::new() }).unwrap();
    assert_eq!(engine.beat("a").await, Err(EngineFault::Slow));
    contract::eventually(&engine, async || engine.beat("a").await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_was_emptied_or_restarted_has_another_memory() {
    let Some(mut server) = Server::start(&[]) else { return };
    let engine = engine(&server, None);
    let first = engine.read(None, 10).await.unwrap().place;
    assert_eq!(engine.read(Some(&first), 10).await.unwrap().place, first);
    server.command(&["FLUSHALL"]).await;
    let other = self::engine(&server, None);
    let second = other.read(Some(&first), 10).await.unwrap().place;
    assert_ne!(second.memory, first.memory);
    server.restart();
    contract::eventually(&engine, async || engine.read(None, 10).await.is_ok()).await;
    assert_ne!(engine.read(None, 10).await.unwrap().place.memory, second.memory);
}

#[tokio::test]
async fn an_address_is_an_address() {
    let address = EngineAddress { url: "http://x".into(), password: None, prefix: String::new() };
    assert_eq!(RedisEngine::new(&address).unwrap_err(), EngineFault::Address);
}

#[tokio::test]
async fn keys_carry_the_prefix_and_end_by_themselves() {
    let Some(server) = Server::start(&[]) else { return };
    let engine = engine(&server, None);
    contract::buckets_are_charged(&engine, &engine).await;
    contract::a_pool_lends(&engine, &engine).await;
    contract::a_lease_is_one_nodes(&engine, &engine).await;
    contract::what_is_shared_ends(&engine, &engine).await;
    engine.beat("a").await.unwrap();
    let keys = server.command(&["KEYS", "*"]).await;
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
    assert!(keys.len() >= 5 && keys.iter().all(|key| key.starts_with("scriptorium:")), "{keys:?}");
    for key in keys {
        let left: i64 = redis::from_redis_value(server.command(&["PTTL", &key]).await).unwrap();
        assert!(left > 0, "{key} stays for ever");
    }
}
