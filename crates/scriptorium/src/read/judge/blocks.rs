//! Blocks and refused archives are looked at again behind an index.
//!
//! Owns which of them are asked for again and when: no client would, for what reads as blocked or unavailable is not asked
//! for. Must not know what a row shows (`shown`).

use std::sync::Arc;

use super::Judge;
use crate::domain::{DocumentKey, VolumeName};
use crate::read::document::Document;
use crate::read::freshness::Freshness;
use crate::read::shown::Against;
use crate::upstream::FetchContext;

/// Releases that one index has asked for again; the others wait for the next.
const MOST: usize = 64;

impl Judge {
    /// Has the blocks that change a row of `name` asked for again behind the answer, once they are as old as a refusal
    /// may be.
    pub(super) fn recheck_blocks(
        self: &Arc<Self>,
        name: &VolumeName,
        index: &Document,
        context: FetchContext<'_>,
    ) {
        let Some(rows) = index.content.rows() else { return };
        let blocks = self.shelf.blocks_of(name);
        let due = blocks.iter().filter(|block| {
            let mut rows = rows.shown(&block.version);
            let key = DocumentKey::Release(name.clone(), block.version.clone());
            let outdated = || self.shelf.invalidations.covers(&key, &block.meta, block.asked);
            let old = || !self.env.still_refused(block.meta.fetched_at);
            rows.any(|row| Against::Block.lowers(row.status.state).is_some()) && (old() || outdated())
        });
        let due = due.map(|block| block.version.clone());
        // Nor for what reads as unavailable; a row that names its integrity says when that is another.
        let refusals = self.shelf.refusals_of(name, &index.content);
        let silent = refusals.iter().map(|refusal| &refusal.version).filter(|version| {
            rows.of(version).iter().any(|row| row.integrity.is_none() && row.status.state.serves_bytes())
        });
        for version in due.chain(silent.cloned()).take(MOST) {
            let key = DocumentKey::Release(name.clone(), version);
            let held = self.shelf.remembered(&key);
            if held.as_ref().is_none_or(|held| self.env.freshness(&key, held) != Freshness::Fresh) {
                self.refresh(&key, held.as_deref(), context);
            }
        }
    }
}
