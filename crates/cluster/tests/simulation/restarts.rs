//! What it costs when processes are replaced: nobody starves, though every process of a cluster is replaced within a term.
//!
//! Owns how long a node waits for a permit while the registry's budget is not used up. The network is calm. Must not know the
//! bounds that hold in any history.

use std::time::Duration;

use super::network::{Network, STEP};
use super::permits::{Broken, History};
use super::processes::Deploy;

/// The longest that a process waits for a permit, from when it is up: it learns the engine's time and asks, and another hears
/// with its next call that a permit is wanted which it keeps ahead.
const SOON: Duration = Duration::from_secs(3);
/// What the three nodes ask for in a minute.
const ASKED: u32 = 180;
const SEEDS: u64 = 300;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What happens to the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    InTurn,
    /// The same, and the engine forgets everything meanwhile.
    InTurnWithFlush,
    AtOnce,
    One,
    OneKilled,
}

/// The longest that a node waited.
fn longest_wait(seed: u64, replaced: Replaced, broken: Broken) -> Duration {
    // What a killed process used and lent is nobody's for a while.
    let limit = if replaced == Replaced::OneKilled { ASKED * 5 / 3 } else { ASKED * 10 / 9 };
    let mut history = History::over(Network::calm(seed, 3), limit, at(60), broken);
    let pause = Duration::from_millis(history.network.rng.u64(0..15_000));
    history.deploy = match replaced {
        Replaced::InTurn | Replaced::InTurnWithFlush => Deploy::Rolling(0, at(90), pause),
        Replaced::AtOnce => Deploy::All(at(90)),
        Replaced::One | Replaced::OneKilled => Deploy::None,
    };
    let flush = at(90) + Duration::from_millis(history.network.rng.u64(0..40_000));
    let (mut longest, mut since, mut next) = (Duration::ZERO, [None; 3], [Duration::ZERO; 3]);
    while history.now < at(260) {
        history.now += STEP;
        let now = history.now;
        history.network.step(now);
        match replaced {
            Replaced::One if now == at(90) => history.end_in_order(0),
            Replaced::OneKilled if now == at(90) => history.kill(0),
            Replaced::InTurnWithFlush if now >= flush && now < flush + STEP => history.network.engine.flush(),
            _ => {}
        }
        for message in history.mail.arrived(now, &mut history.network.rng) {
            history.deliver(message);
        }
        history.follow_deploy();
        let all_up = history.nodes.iter().all(|node| node.process.is_up(now));
        for index in 0..3 {
            history.live(index);
            history.end_uses(index);
            let counts = all_up || !matches!(replaced, Replaced::AtOnce | Replaced::InTurnWithFlush);
            if history.nodes[index].process.is_up(now) && next[index] <= now {
                let waits = ask(&mut history, index, &mut since[index]);
                next[index] = if waits { now } else { now + at(1) };
            } else if !history.nodes[index].process.is_up(now) {
                since[index] = None;
            }
            since[index] = since[index].filter(|_| counts);
            longest = since[index].map_or(longest, |since| longest.max(now - since));
            if history.nodes[index].process.is_up(now) {
                history.call(index);
            }
        }
        history.registry.check(now, at(60), limit).unwrap();
    }
    longest
}

/// Asks for one permit. Whether the node still waits, and since when.
fn ask(history: &mut History, index: usize, since: &mut Option<Duration>) -> bool {
    let (now, node) = (history.now, &mut history.nodes[index]);
    if let Some(permit) = node.permits.take(0, now + node.ahead) {
        node.uses.insert(permit, now + STEP);
        history.registry.under_way += 1;
        (node.waiting, *since) = (0, None);
        return false;
    }
    node.waiting = 1;
    *since = since.or(Some(now));
    true
}

fn longest(replaced: Replaced) -> Duration {
    let longest = (0..SEEDS).map(|seed| longest_wait(seed, replaced, Broken::Nothing)).max().unwrap();
    println!("{replaced:?}: {longest:?}");
    longest
}

#[test]
fn processes_that_are_replaced_in_turn_wait_for_no_share() {
    assert!(longest(Replaced::InTurn) <= SOON);
    assert!(longest(Replaced::One) <= SOON);
}

#[test]
fn once_all_are_up_again_neither_a_flush_nor_a_stop_of_all_costs_more() {
    assert!(longest(Replaced::InTurnWithFlush) <= SOON);
    assert!(longest(Replaced::AtOnce) <= SOON);
}

#[test]
fn a_process_that_follows_a_killed_one_lives_on_what_the_others_lend() {
    assert!(longest(Replaced::OneKilled) <= SOON);
}

#[test]
fn finds_processes_that_leave_no_place() {
    let starves = |seed| longest_wait(seed, Replaced::InTurn, Broken::Placeless) > at(30);
    assert!((0..SEEDS).any(starves));
}
