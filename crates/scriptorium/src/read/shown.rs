//! What an index shows of each release: the registry's own row, lowered by what is known against the release.
//!
//! Down: what the registry's row says. Across: what is known against the release. `-`: the row stays as it came.
//!
//! | row         | block   | policy  | escalation | divergence  | refused     | not held    | discouraged |
//! |-------------|---------|---------|------------|-------------|-------------|-------------|-------------|
//! | available   | blocked | blocked | blocked    | unavailable | unavailable | unavailable | yanked      |
//! | yanked      | blocked | blocked | blocked    | unavailable | unavailable | unavailable | -           |
//! | unavailable | blocked | -       | -          | unavailable | -           | -           | -           |
//! | tombstoned  | -       | -       | -          | unavailable | -           | -           | -           |
//! | blocked     | -       | -       | -          | blocked     | -           | -           | -           |
//!
//! A state is only lowered, and a block is never softened: a blocked row in a divergence stays blocked and says why. "Not
//! held" applies only offline, and only if `cache.offline_rows` is "held". If several columns apply, the lowest state counts
//! (blocked, unavailable, yanked); of equal ones the first column.
//!
//! Owns this table. Must not know how a column is looked up, nor when an index is updated (`shelf::rows`).

use std::cmp::Reverse;

use crate::domain::LifecycleState;
use crate::domain::lifecycle::Status;

/// The columns, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Against {
    /// The registry refuses exact metadata with 403.
    Block,
    /// The operator's policy denies or holds it.
    Policy,
    /// Its archive was refused because it claims more than its volume may.
    Escalation,
    /// The registry contradicts itself about it.
    Divergence,
    /// Its archive was refused for what it is.
    Refused,
    /// This proxy is offline and does not hold it.
    NotHeld,
    /// The operator's policy discourages it.
    Discouraged,
}

impl Against {
    /// The table: the lowered state of a row.
    pub(super) fn lowers(self, row: LifecycleState) -> Option<LifecycleState> {
        use LifecycleState::{Available, Blocked, Tombstoned, Unavailable, Yanked};
        match (self, row) {
            (Self::Block, Available | Yanked | Unavailable)
            | (Self::Policy | Self::Escalation, Available | Yanked)
            | (Self::Divergence, Blocked) => Some(Blocked),
            (Self::Divergence, Available | Yanked | Tombstoned | Unavailable)
            | (Self::Refused | Self::NotHeld, Available | Yanked) => Some(Unavailable),
            (Self::Discouraged, Available) => Some(Yanked),
            (Self::Block, Tombstoned | Blocked)
            | (
                Self::Policy | Self::Escalation | Self::Refused | Self::NotHeld,
                Tombstoned | Blocked | Unavailable,
            )
            | (Self::Discouraged, Yanked | Unavailable | Tombstoned | Blocked) => None,
        }
    }
}

/// The lowered status of a row, given everything `known` against its release with the reasons; `None` if it stays as it
/// came.
pub(super) fn shown(row: LifecycleState, known: &[(Against, String)]) -> Option<Status> {
    let lowered = known.iter().filter_map(|(against, reason)| Some((against.lowers(row)?, against, reason)));
    let lowest = lowered.min_by_key(|(state, against, _)| (Reverse(*state), **against));
    lowest.map(|(state, _, reason)| Status { state, reason: Some(reason.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [LifecycleState; 5] = [
        LifecycleState::Available,
        LifecycleState::Yanked,
        LifecycleState::Unavailable,
        LifecycleState::Tombstoned,
        LifecycleState::Blocked,
    ];

    fn table() -> Vec<(Against, [Option<LifecycleState>; 5])> {
        use LifecycleState::{Blocked, Unavailable, Yanked};
        let (no, blocked, unavailable) = (None, Some(Blocked), Some(Unavailable));
        vec![
            (Against::Block, [blocked, blocked, blocked, no, no]),
            (Against::Policy, [blocked, blocked, no, no, no]),
            (Against::Discouraged, [Some(Yanked), no, no, no, no]),
            (Against::Divergence, [unavailable, unavailable, unavailable, unavailable, blocked]),
            (Against::Escalation, [blocked, blocked, no, no, no]),
            (Against::Refused, [unavailable, unavailable, no, no, no]),
            (Against::NotHeld, [unavailable, unavailable, no, no, no]),
        ]
    }

    fn state(row: LifecycleState, known: &[Against]) -> Option<LifecycleState> {
        let known: Vec<_> = known.iter().map(|against| (*against, format!("{against:?}"))).collect();
        shown(row, &known).map(|status| status.state)
    }

    #[test]
    fn every_field_of_the_table() {
        for (against, expected) in table() {
            assert_eq!(ROWS.map(|row| state(row, &[against])), expected, "{against:?}");
        }
        assert!(ROWS.iter().all(|row| shown(*row, &[]).is_none()));
    }

    #[test]
    fn of_two_things_known_the_lower_state_counts_whatever_their_order() {
        for (one, of_one) in table() {
            for (other, of_other) in table() {
                for (at, row) in ROWS.into_iter().enumerate() {
                    let both = [of_one[at], of_other[at]];
                    let expected = both.into_iter().flatten().max();
                    assert_eq!(state(row, &[one, other]), expected, "{row}: {one:?}, {other:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_raised_and_no_block_is_softened() {
        for (against, shown) in table() {
            let lowers = |(row, state): (LifecycleState, &Option<LifecycleState>)| {
                state.is_none_or(|state| state > row || row == LifecycleState::Tombstoned || state == row)
            };
            assert!(ROWS.into_iter().zip(&shown).all(lowers), "{against:?}");
            assert_eq!(shown[4].unwrap_or(LifecycleState::Blocked), LifecycleState::Blocked, "{against:?}");
        }
    }

    #[test]
    fn the_reason_is_that_of_what_counts() {
        let known = [(Against::Divergence, "d".to_owned()), (Against::Block, "b".to_owned())];
        let reason = |row| shown(row, &known).unwrap().reason.unwrap();
        assert_eq!(
            (reason(LifecycleState::Available), reason(LifecycleState::Blocked)),
            ("b".to_owned(), "d".to_owned())
        );
    }
}
