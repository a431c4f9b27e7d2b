//! Another number of nodes, one process after the other: never more requests than allowed while they disagree, and after a new one
//! came, or one left and time passed.
//!
//! Owns these histories: every process is replaced by one that knows of one node more, and then that one starts; or one is stopped, and
//! then the others are replaced by ones that know of one node less. Must not know the other promises.

use std::time::Duration;

use super::network::{Network, STEP};
use super::permits::{Broken, History};
use super::processes::Deploy;

/// One more of them.
fn grow(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut network = Network::new(seed, 4);
    let limit = network.rng.u32(4..40);
    let cool = Duration::from_secs([0, 5, 60][network.rng.usize(0..3)]);
    let mut history = History::over(network, limit, cool, broken);
    let begins = Duration::from_millis(history.network.rng.u64(0..60_000));
    let pause = Duration::from_millis(history.network.rng.u64(0..30_000));
    history.deploy = Deploy::Rolling(0, begins, pause);
    let lasting = begins + pause * 2 + Duration::from_secs(90) + cool * 2;
    while history.now < lasting {
        // The first one is replaced in the step that reaches this.
        if history.now + STEP >= begins {
            history.record.meant = 4;
        }
        if matches!(history.deploy, Deploy::None) && history.nodes.len() == 3 {
            let another = history.started();
            history.nodes.push(another);
        }
        history.step()?;
    }
    Ok(history.nodes.len() as u64 - 3)
}

/// One less of them: it is stopped, and at once or later the others learn of it, one after the other.
fn shrink(seed: u64, broken: Broken) -> Result<u64, String> {
    let mut network = Network::new(seed, 3);
    let limit = network.rng.u32(3..40);
    let cool = Duration::from_secs([0, 5, 60][network.rng.usize(0..3)]);
    let mut history = History::over(network, limit, cool, broken);
    let stops = Duration::from_millis(history.network.rng.u64(0..60_000));
    let wait = Duration::from_millis([0, 30_000, 30_000, 400_000][history.network.rng.usize(0..4)]);
    let pause = Duration::from_millis(history.network.rng.u64(0..30_000));
    let lasting = stops + wait + pause * 2 + Duration::from_secs(90) + cool * 2;
    while history.now < lasting {
        if history.nodes.len() == 3 && history.now >= stops {
            history.end_in_order(2);
            history.nodes.pop();
            history.deploy = Deploy::Rolling(0, stops + wait, pause);
        }
        if history.now + STEP >= stops + wait {
            history.record.meant = 2;
        }
        history.step()?;
    }
    Ok(u64::from(matches!(history.deploy, Deploy::None)))
}

#[test]
fn one_node_less_gives_the_others_nothing_that_it_still_uses() {
    let fewer = super::hold(|seed| shrink(seed, Broken::Nothing));
    assert!(fewer > super::SEEDS / 2, "seldom did the others learn of it: {fewer}");
}

#[test]
fn finds_a_larger_share_that_is_taken_at_once() {
    super::find(|seed| shrink(seed, Broken::Uninvited));
}

#[test]
fn one_node_more_takes_nothing_that_the_others_had_before() {
    let more = super::hold(|seed| grow(seed, Broken::Nothing));
    assert!(more > super::SEEDS / 2, "seldom came another: {more}");
}

#[test]
fn finds_a_node_that_is_new_and_takes_its_share_at_once() {
    super::find(|seed| grow(seed, Broken::Uninvited));
}
