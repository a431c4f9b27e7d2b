//! The script of the pool decides as the pure function does, call by call.
//!
//! Its clock is replaced by an argument, so that both see the same time. Owns that comparison.

use cluster::{Pool, PoolCall, PoolRules, decide};
use fastrand::Rng;
use redis::{Script, Value};

use super::server::Server;

const SCRIPT: &str = include_str!("../../src/scripts/pool.lua");
const CLOCK: &str = "local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)";

#[tokio::test]
async fn the_script_decides_as_the_function_does() {
    let Some(server) = Server::start(&[]) else { return };
    assert!(SCRIPT.contains(CLOCK), "the script reads its clock in another way");
    let script = Script::new(&SCRIPT.replace(CLOCK, "local now = tonumber(ARGV[12])"));
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let engine = engine_name(&server).await;
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let rules = PoolRules { limit: rng.u32(1..40), nodes: 3, term_ms: 10_000 };
        let (mut pool, mut now_ms): (Option<Pool>, u64) = (None, 1_796_000_000_000);
        let mut granted = 0;
        for turn in 1..150 {
            now_ms += [0, 100, 900, 2_900, 3_100][rng.usize(0..5)];
            let call = random(&mut rng, rules, seed, turn, now_ms);
            let (after, reply) = decide(pool, &engine, &call, now_ms);
            pool = after;
            let answer: Vec<Value> = invoke(&script, &call, now_ms, &mut connection).await;
            let expected = reply.grant.map_or(vec![Value::Int(now_ms as i64)], |grant| {
                granted += 1;
                let number = |number: Option<i64>| Value::Int(number.unwrap_or(-1));
                vec![
                    Value::Int(now_ms as i64),
                    Value::Int(grant.held.into()),
                    number(grant.room.map(i64::from)),
                    number(grant.expires_ms.map(|expires| expires as i64)),
                    Value::Int(grant.wanted.into()),
                    number(grant.wait_ms.map(|wait| wait as i64)),
                    Value::BulkString(grant.memory.into_bytes()),
                ]
            });
            assert_eq!(answer, expected, "seed {seed}, {call:?}");
        }
        assert!(granted > 50, "seed {seed}: hardly any call had an effect");
    }
}

fn random(rng: &mut Rng, rules: PoolRules, seed: u64, turn: u64, now_ms: u64) -> PoolCall {
    // Now and then nodes disagree on their number.
    let rules = if rng.u32(0..6) > 0 { rules } else { PoolRules { nodes: rng.u32(1..5), ..rules } };
    let claim = rng.u32(0..=rules.limit);
    PoolCall {
        pool: seed.to_string(),
        rules,
        node: ["a", "b", "c", "d"][rng.usize(0..4)].into(),
        turn: if rng.u32(0..20) == 0 { turn.saturating_sub(5) } else { turn },
        expected_ms: (rng.u32(0..20) > 0).then(|| now_ms + rng.u64(0..1_050)),
        claim,
        want: rng.u32(claim..=rules.limit),
        young: rng.u32(0..8) == 0,
        void: rng.u32(0..60) == 0,
        frees_ms: (rng.u32(0..4) > 0).then(|| rng.u64(0..70_000)),
    }
}

async fn invoke(
    script: &Script,
    call: &PoolCall,
    now_ms: u64,
    connection: &mut redis::aio::MultiplexedConnection,
) -> Vec<Value> {
    let mut script = script.key(format!("pool:{}", call.pool));
    let rules = call.rules;
    script.arg(rules.limit).arg(rules.nodes).arg(rules.term_ms).arg(&call.node).arg(call.turn);
    script.arg(call.expected_ms.map_or(String::new(), |expected| expected.to_string()));
    script.arg(call.claim).arg(call.want);
    script.arg(u8::from(call.young)).arg(u8::from(call.void));
    script.arg(call.frees_ms.map_or(String::new(), |frees| frees.to_string()));
    script.arg(now_ms).invoke_async(connection).await.unwrap()
}

async fn engine_name(server: &Server) -> String {
    let mut parts = Vec::new();
    for (section, field) in [("server", "run_id:"), ("replication", "master_replid:")] {
        let info: String = redis::from_redis_value(server.command(&["INFO", section]).await).unwrap();
        parts.push(info.lines().find_map(|line| line.strip_prefix(field)).unwrap().to_owned());
    }
    parts.join(".")
}
