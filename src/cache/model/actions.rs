//! The random steps: what may happen to the registry, to the proxy and to time, and how often.
//!
//! Owns the weights. A sequence is a list of plain steps, so that a part of it can be run again. Must not know
//! what any step leads to.

use fastrand::Rng;

use super::ledger::{Fault, Id, Lie, Outage, RELEASES, STANDINGS, Scope, Standing, VOLUMES};
use super::world::Route;
use crate::domain::lifecycle::State;

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Wait {
        seconds: u64,
    },
    /// Published, when it is not yet; otherwise another standing.
    Change(Id, Standing),
    Tell(Id, Option<Lie>),
    Weather(Option<Outage>),
    Restart {
        offline: bool,
    },
    Ask(Route, usize),
    /// The registry can be asked, time passes, and every route is asked twice: the second answers are the truth.
    Settle {
        seconds: u64,
        order: u64,
    },
    /// The same for one route alone.
    SettleOne(Route, u64),
}

/// Edges of the windows: index 60 s and 30 s, release 300 s and 30 s, refusals 30 s, breaker.
const WAITS: [u64; 14] = [1, 5, 29, 30, 31, 59, 60, 61, 89, 91, 299, 301, 331, 1200];
/// All past the index's TTL and its revalidation, the last two past everything's.
const SETTLING: [u64; 5] = [90, 91, 120, 331, 700];

const LIES: [Lie; 16] = [
    Lie::RowIntegrity,
    Lie::RowState(State::Available),
    Lie::RowState(State::Yanked),
    Lie::RowState(State::Tombstoned),
    Lie::RowState(State::Blocked),
    Lie::RowState(State::Unavailable),
    Lie::RowLink,
    Lie::MissingRow,
    Lie::DuplicateRow,
    Lie::ExactName,
    Lie::ExactPurl,
    Lie::ExactIntegrity,
    Lie::MissingRelease,
    Lie::BlockedRelease,
    Lie::Replaced,
    Lie::Archive,
];

const FAULTS: [Fault; 5] =
    [Fault::Unreachable, Fault::Broken, Fault::ServerError, Fault::Throttled, Fault::Garbage];

fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

fn route(rng: &mut Rng) -> Route {
    let id = rng.usize(..RELEASES);
    match rng.u8(..10) {
        0..=2 => Route::Index(rng.usize(..VOLUMES.len())),
        3..=5 => Route::Exact(id),
        6..=8 => Route::Archive(id),
        _ if rng.bool() => Route::Summary(id),
        _ => Route::Detail(id),
    }
}

fn ask(rng: &mut Rng) -> Action {
    Action::Ask(route(rng), if rng.u8(..4) == 0 { 5 } else { 1 })
}

fn disturb(rng: &mut Rng) -> Action {
    let id = rng.usize(..RELEASES);
    match rng.u8(..100) {
        0..=39 => Action::Change(id, one(rng, &STANDINGS)),
        // What may be served is what can be lied about.
        40..=49 => Action::Change(id, STANDINGS[0]),
        50..=74 => Action::Tell(id, Some(one(rng, &LIES))),
        75..=82 => Action::Tell(id, None),
        83..=92 => {
            let scope = match rng.u8(..6) {
                0 => Scope::Indexes,
                1 => Scope::Releases,
                2 => Scope::Archives,
                _ => Scope::Everything,
            };
            Action::Weather(Some(Outage(one(rng, &FAULTS), scope)))
        }
        _ => Action::Restart { offline: rng.u8(..3) == 0 },
    }
}

/// `steps` steps, the same for one `seed`: some disturbances, some clients and waits, and often a settlement.
pub(super) fn sequence(seed: u64, steps: usize) -> Vec<Action> {
    let rng = &mut Rng::with_seed(seed);
    let mut actions: Vec<Action> = (0..RELEASES).map(|id| Action::Change(id, STANDINGS[0])).collect();
    rng.shuffle(&mut actions);
    actions.truncate(RELEASES - 1);
    while actions.len() < steps {
        for _ in 0..rng.usize(1..4) {
            actions.push(disturb(rng));
            for _ in 0..rng.usize(..4) {
                actions.push(match rng.u8(..4) {
                    0 => Action::Wait { seconds: one(rng, &WAITS) },
                    _ => ask(rng),
                });
            }
        }
        match rng.u8(..10) {
            0..=2 => actions.push(Action::Settle { seconds: one(rng, &SETTLING), order: rng.u64(..) }),
            3..=4 => actions.push(Action::SettleOne(route(rng), one(rng, &SETTLING))),
            5 => actions.push(Action::Weather(None)),
            _ => {}
        }
    }
    actions.truncate(steps);
    actions
}
