//! What a node that dies costs the others: nothing, while the engine answers.
//!
//! Owns that promise, by the pool's pure function and clocks that agree. The simulation owns the bounds.

use std::time::Duration;

use cluster::{PermitSettings, Permits, decide};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn started(node: usize) -> Permits {
    let (pool, node, cool) = ("p".to_owned(), format!("node-{node}"), Duration::from_secs(60));
    let mut permits = Permits::new(PermitSettings { pool, node, limit: 600, nodes: 3, cool }, Duration::ZERO);
    permits.enter(None, Duration::ZERO);
    permits
}

#[test]
fn a_node_that_dies_leaves_the_others_permits_for_all_that_they_need() {
    // Before and after the pool is older than a loan.
    for dies in [20_000, 120_000] {
        let (mut nodes, mut pool) = ([0, 1, 2].map(started), None);
        for now in (0..dies + 150_000).step_by(500) {
            for (node, permits) in nodes.iter_mut().enumerate().filter(|(node, _)| *node != 1 || now < dies) {
                if let Some(call) = permits.call(0, at(now)) {
                    let (remembered, reply) = decide(pool.take(), "engine", &call, 1_000_000 + now);
                    pool = remembered;
                    permits.answered(call.turn, &reply, at(now + 1));
                }
                // Past the first calls, by which a node learns the engine's time.
                if now >= 2_000 && now % 5_000 == 0 {
                    let taken = permits.take(0, at(now + 2));
                    let taken =
                        taken.unwrap_or_else(|| panic!("{now}: node {node}, after a death at {dies}"));
                    permits.ended(taken, at(now + 10));
                }
            }
        }
    }
}
