//! What an index shows of each release: the registry's own row, lowered by what is known against the release.
//!
//! Down: what the registry's row says. Across: what is known against the release. `-`: the row stays as it came.
//!
//! | row         | block   | escalation | divergence  | refused     | not held    |
//! |-------------|---------|------------|-------------|-------------|-------------|
//! | available   | blocked | blocked    | unavailable | unavailable | unavailable |
//! | yanked      | blocked | blocked    | unavailable | unavailable | unavailable |
//! | unavailable | blocked | -          | unavailable | -           | -           |
//! | tombstoned  | -       | -          | unavailable | -           | -           |
//! | blocked     | -       | -          | blocked     | -           | -           |
//!
//! A state is lowered, never raised, and a block is never softened: a blocked row in a divergence stays blocked and says
//! why. "Not held" is said only while this proxy is offline, and only where `cache.offline_rows` is "held". Of several
//! things known the lowest state counts, of equal ones the first in the table's order.
//!
//! Owns this table, and when indexes are shown anew. Must not know how any of it came to be known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::document::{Content, Document};
use super::documents::Documents;
use super::freshness::Freshness;
use crate::config::OnDivergence;
use crate::consistency::Refusal;
use crate::consistency::refusals::Verdict;
use crate::domain::lifecycle::{State, Status};
use crate::domain::{DocumentKey, Version, VolumeName};
use crate::upstream::Errand;

mod blocks;
mod stock;

use blocks::Block;
pub(super) use blocks::Blocks;
pub(super) use stock::Stocks;

/// What a row says of a release that cannot be installed from here while nobody is asked.
const NOT_HELD: &str =
    "not-held: this proxy is offline and does not hold this release; ask it when it is online again";

/// Blocks that one index has asked for again; the others wait for the next.
const MOST: usize = 64;

/// What can be known against a release, in the table's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Against {
    /// The registry refuses exact metadata with 403.
    Block,
    /// Its archive was refused, for it claims more than its volume may.
    Escalation,
    /// The registry contradicts itself about it.
    Divergence,
    /// Its archive was refused for what it is.
    Refused,
    /// Nobody is asked and it cannot be installed from here.
    NotHeld,
}

impl Against {
    /// The table: what a row in the state `row` is shown as.
    fn lowers(self, row: State) -> Option<State> {
        use State::{Available, Blocked, Tombstoned, Unavailable, Yanked};
        match (self, row) {
            (Self::Block, Available | Yanked | Unavailable)
            | (Self::Escalation, Available | Yanked)
            | (Self::Divergence, Blocked) => Some(Blocked),
            (Self::Divergence, Available | Yanked | Tombstoned | Unavailable)
            | (Self::Refused | Self::NotHeld, Available | Yanked) => Some(Unavailable),
            (Self::Block, Tombstoned | Blocked)
            | (Self::Escalation | Self::Refused | Self::NotHeld, Tombstoned | Blocked | Unavailable) => None,
        }
    }
}

/// What a row that says `row` is shown as, given everything `known` against its release with the reason for each;
/// `None` where it stays as it came.
fn shown(row: State, known: &[(Against, String)]) -> Option<Status> {
    let lowered = known.iter().filter_map(|(against, reason)| Some((against.lowers(row)?, against, reason)));
    let lowest = lowered.min_by_key(|(state, against, _)| (*state != State::Blocked, **against));
    lowest.map(|(state, _, reason)| Status { state, reason: Some(reason.clone()) })
}

impl Documents {
    /// Shows the rows of a volume as the table says. Where an index fails for its divergences, it leaves the hit path.
    pub(super) fn show(&self, name: &VolumeName) -> Option<Arc<Document>> {
        let fails = self.live().on_divergence == OnDivergence::Fail;
        self.replace(&DocumentKey::Index(name.clone()), |held| {
            let held = held?;
            let diverges = fails && !self.divergences_of(name).is_empty();
            let content = held.content.showing(&self.lowered(name, &held.content)).map(Arc::new);
            let settled = held.settled && !diverges;
            if content.is_none() && settled == held.settled {
                return None;
            }
            let content = content.unwrap_or_else(|| Arc::clone(&held.content));
            Some(Arc::new(Document { content, settled, ..Document::clone(held) }))
        })
    }

    /// Shows every index in memory anew, after a change of what is configured.
    pub(super) fn show_all(&self) {
        for open in self.open_divergences() {
            self.unsettle(&DocumentKey::Index(open.volume.clone()));
        }
        self.forget_stocks();
        for (key, _) in &self.memory {
            if let DocumentKey::Index(name) = &*key {
                self.show(name);
            }
        }
    }

    /// Notes what the answer to `key` says of a block.
    pub(super) fn note_block(&self, key: &DocumentKey, document: &Document) -> bool {
        let DocumentKey::Release(name, version) = key else { return false };
        self.blocks.note(name, version, document)
    }

    /// Has the blocks that change a row of `name` asked for again behind the answer, once they are as old as a refusal
    /// may be: nobody else would, for what reads as blocked is not asked for.
    pub(super) fn recheck_blocks(self: &Arc<Self>, name: &VolumeName, index: &Document, errand: Errand<'_>) {
        let Some(rows) = index.content.rows() else { return };
        let negative_ttl = self.live().policy.negative_ttl;
        let blocks = self.blocks_of(name);
        let due = blocks.iter().filter(|block| {
            let mut rows = rows.shown(&block.version);
            let key = DocumentKey::Release(name.clone(), block.version.clone());
            let outdated = || self.invalidations.covers(&key, &block.meta, block.asked);
            let old = || self.now().since(block.meta.fetched_at).is_none_or(|age| age >= negative_ttl);
            rows.any(|row| Against::Block.lowers(row.status.state).is_some()) && (old() || outdated())
        });
        let due = due.map(|block| block.version.clone());
        // Nor for what reads as unavailable; a row that names its integrity says when that is another.
        let refusals = self.refusals_of(name, &index.content);
        let silent = refusals.iter().map(|refusal| &refusal.version).filter(|version| {
            rows.of(version).iter().any(|row| row.integrity.is_none() && row.status.state.serves_bytes())
        });
        for version in due.chain(silent.cloned()).take(MOST) {
            let key = DocumentKey::Release(name.clone(), version);
            let held = self.remembered(&key);
            if held.as_ref().is_none_or(|held| self.freshness(&key, held) != Freshness::Fresh) {
                self.refresh(&key, held.as_deref(), errand);
            }
        }
    }

    /// The places of the statuses that are shown as something else, in the order of the body, with their new text.
    pub(super) fn lowered(&self, name: &VolumeName, index: &Content) -> Vec<(Range<usize>, String)> {
        let Some(rows) = index.rows() else { return Vec::new() };
        let mut lowered = Vec::new();
        for (version, known) in self.known_against(name, index) {
            for row in rows.shown(&version) {
                let status = shown(row.status.state, &known);
                lowered.extend(status.map(|status| (row.status_at(), serde_json::json!(status).to_string())));
            }
        }
        lowered.sort_by_key(|(at, _)| at.start);
        lowered
    }

    /// The blocks of a volume that the registry gives which its name is routed to now.
    fn blocks_of(&self, name: &VolumeName) -> Vec<Block> {
        let registry = self.registry_of(&DocumentKey::Index(name.clone()));
        let counts = |block: &Block| registry.as_ref().is_some_and(|registry| block.meta.is_of(registry));
        self.blocks.of(name).into_iter().filter(counts).collect()
    }

    /// The refusals of archives of a volume that its index still offers: a row with another integrity is about another.
    fn refusals_of(&self, name: &VolumeName, index: &Content) -> Vec<Arc<Refusal>> {
        let registry = self.registry_of(&DocumentKey::Index(name.clone()));
        let Some((rows, registry)) = index.rows().zip(registry) else { return Vec::new() };
        let mut refusals = self.refusals.of_volume(&registry, name);
        refusals.retain(|refusal| {
            let mut said = rows.of(&refusal.version).iter().filter_map(|row| row.integrity);
            said.all(|integrity| integrity == refusal.integrity)
        });
        refusals
    }

    /// Everything known against the releases of a volume, with the reason that a row gives.
    fn known_against(&self, name: &VolumeName, index: &Content) -> BTreeMap<Version, Vec<(Against, String)>> {
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for open in self.divergences_of(name) {
            let reason = format!("inconsistent-registry-state: {open}");
            known.entry(open.version.clone()).or_default().push((Against::Divergence, reason));
        }
        for block in self.blocks_of(name) {
            let reason = format!("authorization-failed: {}", block.reason);
            known.entry(block.version).or_default().push((Against::Block, reason));
        }
        for refusal in self.refusals_of(name, index) {
            let against = match refusal.verdict {
                Verdict::Escalation => Against::Escalation,
                Verdict::Digest | Verdict::Profile | Verdict::Manifest | Verdict::Identity => {
                    Against::Refused
                }
            };
            let reason = format!("refused: {}", refusal.why);
            known.entry(refusal.version.clone()).or_default().push((against, reason));
        }
        for version in self.not_in_stock(name, index) {
            known.entry(version).or_default().push((Against::NotHeld, NOT_HELD.to_owned()));
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [State; 5] =
        [State::Available, State::Yanked, State::Unavailable, State::Tombstoned, State::Blocked];

    fn table() -> Vec<(Against, [Option<State>; 5])> {
        use State::{Blocked, Unavailable};
        let (no, blocked, unavailable) = (None, Some(Blocked), Some(Unavailable));
        vec![
            (Against::Block, [blocked, blocked, blocked, no, no]),
            (Against::Divergence, [unavailable, unavailable, unavailable, unavailable, blocked]),
            (Against::Escalation, [blocked, blocked, no, no, no]),
            (Against::Refused, [unavailable, unavailable, no, no, no]),
            (Against::NotHeld, [unavailable, unavailable, no, no, no]),
        ]
    }

    fn state(row: State, known: &[Against]) -> Option<State> {
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
                    let expected = both.into_iter().flatten().min_by_key(|state| *state != State::Blocked);
                    assert_eq!(state(row, &[one, other]), expected, "{row}: {one:?}, {other:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_gives_bytes_back_and_no_block_is_softened() {
        for (against, shown) in table() {
            assert!(shown.iter().flatten().all(|state| !state.serves_bytes()), "{against:?}");
            assert_eq!(shown[4].unwrap_or(State::Blocked), State::Blocked, "{against:?}");
        }
    }

    #[test]
    fn the_reason_is_that_of_what_counts() {
        let known = [(Against::Divergence, "d".to_owned()), (Against::Block, "b".to_owned())];
        let reason = |row| shown(row, &known).unwrap().reason.unwrap();
        assert_eq!((reason(State::Available), reason(State::Blocked)), ("b".to_owned(), "d".to_owned()));
    }
}
