//! The promises between nodes, attacked: the pure machines of several nodes over the double of the engine, in virtual time.
//!
//! Each seed is one history: messages are late, lost before or after their effect, and overtake each other; nodes are cut
//! off, are killed, end in order and start again; the engine stalls, forgets, refuses writes, is replaced by a replica that is behind, and
//! has its clock set. `SCRIPTORIUM_SEED` runs one of them. A machine that is broken on purpose has to be found.
//!
//! Owns these histories and what must hold in them. Must not know Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod network;
mod permits;
mod processes;
mod resizing;
mod restarts;
mod shares;
mod stream;
mod takeover;

/// Seeds of each promise.
const SEEDS: u64 = 10_000;
/// Seeds within which a broken machine has to be found.
const SEEDS_OF_A_FAULT: u64 = 10_000;

/// Runs every seed, and gives the sum of what was seen.
fn hold(run: impl Fn(u64) -> Result<u64, String>) -> u64 {
    let chosen = std::env::var("SCRIPTORIUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..SEEDS, |seed| seed..seed + 1);
    seeds.map(|seed| run(seed).unwrap_or_else(|broken| panic!("SCRIPTORIUM_SEED={seed}: {broken}"))).sum()
}

/// Panics unless a seed shows that the machine is broken.
fn find(run: impl Fn(u64) -> Result<u64, String>) {
    let found = (0..SEEDS_OF_A_FAULT).find_map(|seed| run(seed).err().map(|broken| (seed, broken)));
    let (seed, broken) = found.expect("no seed found the broken machine");
    println!("found with seed {seed}: {broken}");
}
