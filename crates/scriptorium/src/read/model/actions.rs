//! The random steps: what may happen to the registry, to the proxy and to time, and how often.
//!
//! Owns the weights. A sequence is a list of plain steps, so that a part of it can be run again. Must not know
//! what any step leads to.

use fastrand::Rng;

use super::ledger::{Fault, Id, Lie, Outage, RELEASES, STANDINGS, Scope, Standing, volume_of};
use super::rules::{MATCHINGS, Rule};
use super::world::Route;
use crate::domain::LifecycleState;

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Wait {
        millis: u64,
    },
    /// Published, when it is not yet; otherwise another standing.
    Change(Id, Standing),
    Tell(Id, Option<Lie>),
    Weather(Option<Outage>),
    /// The CDNs of indexes and of exact metadata fall behind by so many milliseconds.
    Lag([u64; 2]),
    /// An edge begins to confirm whatever it is asked about.
    Confirm,
    /// Another rule of the operator, or none.
    Rule(Option<Rule>),
    /// One more advisory, or all are withdrawn.
    Advise(Option<Id>),
    /// The day ends in so many milliseconds.
    Midnight {
        before: u64,
    },
    Restart {
        offline: bool,
    },
    /// Every name is routed to one of the strangers, some routes are asked there, perhaps after a restart as well, and
    /// the old route comes back.
    Detour {
        stranger: usize,
        order: u64,
        restart: bool,
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

/// Edges of the windows, in milliseconds: index 60 s and 30 s, release 300 s and 30 s, refusals 30 s. A wait and
/// the question after it take 3 ms themselves.
const WAITS: [u64; 16] = [
    1_000, 5_000, 29_000, 29_997, 31_000, 59_000, 59_997, 61_000, 89_000, 89_997, 299_000, 299_997, 301_000,
    329_997, 331_000, 1_200_000,
];
/// All past the index's TTL and its revalidation, the last two past everything's.
const SETTLING: [u64; 5] = [90, 91, 120, 331, 700];

const LIES: [Lie; 16] = [
    Lie::RowIntegrity,
    Lie::RowState(LifecycleState::Available),
    Lie::RowState(LifecycleState::Yanked),
    Lie::RowState(LifecycleState::Tombstoned),
    Lie::RowState(LifecycleState::Blocked),
    Lie::RowState(LifecycleState::Unavailable),
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

const FAULTS: [Fault; 9] = [
    Fault::Unreachable,
    Fault::Broken,
    Fault::ServerError,
    Fault::Throttled,
    Fault::Garbage,
    Fault::Page(400),
    Fault::Page(403),
    Fault::Page(404),
    Fault::Page(410),
];

/// How far behind a CDN may be, in milliseconds.
const LAGS: [u64; 5] = [0, 0, 1_000, 20_000, 60_000];

fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// A route, often one of the release that was disturbed last.
fn route(rng: &mut Rng, last: Id) -> Route {
    let id = if rng.bool() { last } else { rng.usize(..RELEASES) };
    match rng.u8(..10) {
        0..=2 => Route::Index(volume_of(id)),
        3..=5 => Route::Exact(id),
        6..=8 => Route::Archive(id),
        _ if rng.bool() => Route::Summary(id),
        _ => Route::Detail(id),
    }
}

fn ask(rng: &mut Rng, last: Id) -> Action {
    Action::Ask(route(rng, last), if rng.u8(..4) == 0 { 5 } else { 1 })
}

fn disturb(rng: &mut Rng, id: Id) -> Action {
    match rng.u8(..112) {
        100..=107 => Action::Rule((rng.u8(..3) > 0).then(|| rule(rng, id))),
        108..=110 => Action::Advise((rng.u8(..3) > 0).then_some(id)),
        111 => Action::Midnight { before: 0 },
        0..=35 => Action::Change(id, one(rng, &STANDINGS)),
        36 | 37 => Action::Confirm,
        38 | 39 => Action::Detour { stranger: rng.usize(..2), order: rng.u64(..), restart: rng.bool() },
        // What may be served is what can be lied about.
        40..=46 => Action::Change(id, STANDINGS[0]),
        47..=76 => Action::Tell(id, Some(one(rng, &LIES))),
        77..=82 => Action::Tell(id, None),
        83..=88 => {
            let scope = match rng.u8(..6) {
                0 => Scope::Indexes,
                1 => Scope::Releases,
                2 => Scope::Archives,
                _ => Scope::Everything,
            };
            Action::Weather(Some(Outage(one(rng, &FAULTS), scope)))
        }
        89..=91 => Action::Lag([one(rng, &LAGS), one(rng, &LAGS)]),
        _ => Action::Restart { offline: rng.u8(..3) == 0 },
    }
}

/// A rule on the volume of a release, which may be waived.
fn rule(rng: &mut Rng, id: Id) -> Rule {
    Rule {
        matching: one(rng, &MATCHINGS),
        action: one(rng, &["deny", "hold", "discourage"]),
        volume: volume_of(id),
        is_audit: rng.u8(..4) == 0,
        waived: (rng.u8(..3) == 0).then_some(id),
    }
}

/// A release that is held is asked for again under a rule, whose facts come late.
fn ruled_while_held(rng: &mut Rng, id: Id) -> [Action; 7] {
    let (held, asked) = (route(rng, id), [Route::Exact(id), Route::Archive(id), Route::Index(volume_of(id))]);
    [
        Action::Change(id, one(rng, &STANDINGS[..2])),
        Action::SettleOne(held, one(rng, &SETTLING)),
        Action::Rule(Some(rule(rng, id))),
        Action::Ask(one(rng, &asked), 1),
        Action::Advise(rng.bool().then_some(id)),
        Action::Ask(one(rng, &asked), 1),
        Action::Rule(None),
    ]
}

/// A release is let in by a waiver, which ends.
fn waived_for_a_day(rng: &mut Rng, id: Id) -> [Action; 7] {
    let asked = [Route::Exact(id), Route::Archive(id), Route::Index(volume_of(id))];
    let waived = Rule { waived: Some(id), ..rule(rng, id) };
    [
        Action::Change(id, STANDINGS[0]),
        Action::Rule(Some(waived)),
        Action::SettleOne(one(rng, &asked), one(rng, &SETTLING)),
        Action::Midnight { before: 3 },
        Action::Ask(one(rng, &asked), 1),
        Action::Midnight { before: 0 },
        Action::Ask(one(rng, &asked), 1),
    ]
}

/// A release changes while the proxy may believe it, and only one of its routes is asked.
fn changed_while_held(rng: &mut Rng, id: Id) -> [Action; 4] {
    let route = if rng.bool() { Route::Archive(id) } else { Route::Exact(id) };
    [
        Action::Change(id, one(rng, &STANDINGS[..2])),
        Action::SettleOne(route, one(rng, &SETTLING)),
        Action::Change(id, one(rng, &STANDINGS)),
        Action::SettleOne(route, one(rng, &SETTLING)),
    ]
}

/// A release that clients have seen is lied about until nothing else is believed, and then no longer.
fn lied_about_for_long(rng: &mut Rng, id: Id) -> [Action; 6] {
    let settle = |rng: &mut Rng| Action::Settle { seconds: one(rng, &SETTLING), order: rng.u64(..) };
    [
        Action::Change(id, one(rng, &STANDINGS[..2])),
        Action::SettleOne(Route::Archive(id), one(rng, &SETTLING)),
        Action::Tell(id, Some(one(rng, &LIES))),
        settle(rng),
        Action::Tell(id, None),
        settle(rng),
    ]
}

/// One route, asked twice with a wait between.
fn asked_at_an_edge(rng: &mut Rng, last: Id) -> [Action; 3] {
    let route = route(rng, last);
    [Action::Ask(route, 1), Action::Wait { millis: one(rng, &WAITS) }, Action::Ask(route, 1)]
}

/// `steps` steps, the same for one `seed`: some disturbances, some clients and waits, and often a settlement.
pub(super) fn sequence(seed: u64, steps: usize) -> Vec<Action> {
    let rng = &mut Rng::with_seed(seed);
    let mut actions: Vec<Action> = (0..RELEASES).map(|id| Action::Change(id, STANDINGS[0])).collect();
    rng.shuffle(&mut actions);
    actions.truncate(RELEASES - 1);
    let mut last = 0;
    while actions.len() < steps {
        for _ in 0..rng.usize(1..4) {
            last = rng.usize(..RELEASES);
            actions.push(disturb(rng, last));
            for _ in 0..rng.usize(..4) {
                actions.push(match rng.u8(..4) {
                    0 => Action::Wait { millis: one(rng, &WAITS) },
                    _ => ask(rng, last),
                });
            }
        }
        match rng.u8(..12) {
            0..=2 => actions.push(Action::Settle { seconds: one(rng, &SETTLING), order: rng.u64(..) }),
            3 => actions.push(Action::SettleOne(route(rng, last), one(rng, &SETTLING))),
            4..=5 => actions.extend(changed_while_held(rng, last)),
            6 => actions.extend(asked_at_an_edge(rng, last)),
            7 => actions.extend(lied_about_for_long(rng, last)),
            10 => actions.extend(ruled_while_held(rng, last)),
            11 => actions.extend(waived_for_a_day(rng, last)),
            8 => actions.push(Action::Weather(None)),
            _ => {}
        }
    }
    actions.truncate(steps);
    actions
}

#[test]
fn every_lie_and_every_state_is_told_often() {
    let actions: Vec<_> = (0..40).flat_map(|seed| sequence(seed, 250)).collect();
    let often = |is_it: &dyn Fn(&Action) -> bool| actions.iter().filter(|action| is_it(action)).count() >= 40;
    for told in LIES {
        assert!(often(&|action| matches!(action, Action::Tell(_, Some(lie)) if *lie == told)), "{told:?}");
    }
    for standing in STANDINGS {
        assert!(often(&|action| matches!(action, Action::Change(_, to) if *to == standing)), "{standing:?}");
    }
    assert!(often(&|action| matches!(action, Action::Weather(Some(_)))));
    assert!(often(&|action| matches!(action, Action::Lag(_))));
    assert!(often(&|action| matches!(action, Action::Confirm)));
    for matching in MATCHINGS {
        let is_it = |action: &Action| matches!(action, Action::Rule(Some(rule)) if rule.matching == matching);
        assert!(often(&is_it), "{matching:?}");
    }
    assert!(often(&|action| matches!(action, Action::Rule(Some(Rule { waived: Some(_), .. })))));
    assert!(often(&|action| matches!(action, Action::Midnight { .. })));
    assert!(often(&|action| matches!(action, Action::Advise(None))));
    assert!(often(&|action| matches!(action, Action::Detour { .. })));
    assert!(often(&|action| matches!(action, Action::Restart { offline: true })));
}
