//! The rows that clients see: which of them are lowered, and when an index in memory is updated.
//!
//! Owns what is looked up for that. Must not know the table by which a row is lowered (`shown`), nor how a divergence, a
//! block or a refusal came about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use policy::PolicyAction;

use super::DocumentShelf;
use crate::config::{OfflineRows, OnDivergence};
use crate::consistency::ArchiveRefusal;
use crate::consistency::refusals::ArchiveVerdict;
use crate::domain::{DocumentKey, Version, VolumeName};
use crate::policies::ReleaseFinding;
use crate::read::blocks::Block;
use crate::read::content::DocumentContent;
use crate::read::document::Document;
use crate::read::shown::{Against, shown};

/// The reason of a row whose release is not in stock offline.
const NOT_HELD: &str =
    "not-held: this proxy is offline and does not hold this release; ask it when it is online again";

impl DocumentShelf {
    /// Updates the index of a volume in memory. If indexes fail for their divergences, it leaves the hit path.
    pub(in crate::read) fn show(&self, name: &VolumeName) -> Option<Arc<Document>> {
        let fails = self.env.live().on_divergence == OnDivergence::Fail;
        self.replace(&DocumentKey::Index(name.clone()), |held| {
            let held = held?;
            let diverges = fails && !self.divergences_of(name).is_empty();
            let content = held.content.showing(&self.lowered(name, held));
            let is_unsettled = diverges && held.is_settled();
            if content.is_none() && !is_unsettled {
                return None;
            }
            let shown = content.map_or_else(|| Document::clone(held), |content| held.showing(content));
            let standing = if is_unsettled { shown.standing.unsettled() } else { shown.standing.clone() };
            Some(Arc::new(Document { standing, ..shown }))
        })
    }

    /// Updates every index in memory, after a reload.
    pub(in crate::read) fn show_all(&self) {
        for open in self.open_divergences() {
            self.doubt(&DocumentKey::Index(open.volume.clone()));
        }
        self.stocks.forget();
        for (key, _) in &self.memory {
            if let DocumentKey::Index(name) = &*key {
                self.show(name);
            }
        }
    }

    /// Whether rows of releases that are not in stock are lowered.
    pub(in crate::read) fn marks_rows(&self) -> bool {
        let policy = &self.env.live().policy;
        policy.offline && policy.offline_rows == OfflineRows::Held
    }

    /// The statuses in the body that are replaced, in order, with their new text.
    pub(in crate::read) fn lowered(
        &self,
        name: &VolumeName,
        index: &Document,
    ) -> Vec<(Range<usize>, String)> {
        let Some(rows) = index.content.rows() else { return Vec::new() };
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

    /// The blocks of a volume at the registry to which it is routed now.
    pub(in crate::read) fn blocks_of(&self, name: &VolumeName) -> Vec<Block> {
        let registry = self.env.registry_of(&DocumentKey::Index(name.clone()));
        let counts = |block: &Block| registry.as_ref().is_some_and(|registry| block.meta.is_of(registry));
        self.blocks.of(name).into_iter().filter(counts).collect()
    }

    /// The refused archives that an index still offers: a row with another integrity is about another archive.
    pub(in crate::read) fn refusals_of(
        &self,
        name: &VolumeName,
        index: &DocumentContent,
    ) -> Vec<Arc<ArchiveRefusal>> {
        let registry = self.env.registry_of(&DocumentKey::Index(name.clone()));
        let Some((rows, registry)) = index.rows().zip(registry) else { return Vec::new() };
        let mut refusals = self.refusals.of_volume(&registry, name);
        refusals.retain(|refusal| {
            let mut said = rows.of(&refusal.version).iter().filter_map(|row| row.integrity);
            said.all(|integrity| integrity == refusal.integrity)
        });
        refusals
    }

    /// Everything known against the releases of a volume, with the reason for the row.
    fn known_against(
        &self,
        name: &VolumeName,
        index: &Document,
    ) -> BTreeMap<Version, Vec<(Against, String)>> {
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ReleaseFinding { version, finding } in &*index.verdict.rows {
            let against = match finding.action {
                _ if !finding.is_enforced => continue,
                PolicyAction::Deny | PolicyAction::Hold => Against::Policy,
                PolicyAction::Discourage => Against::Discouraged,
            };
            known.entry(version.clone()).or_default().push((against, finding.reason.clone()));
        }
        let index = &*index.content;
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
                ArchiveVerdict::Escalation => Against::Escalation,
                ArchiveVerdict::Digest
                | ArchiveVerdict::Profile
                | ArchiveVerdict::Manifest
                | ArchiveVerdict::Identity => Against::Refused,
            };
            let reason = format!("refused: {}", refusal.why);
            known.entry(refusal.version.clone()).or_default().push((against, reason));
        }
        if let Some(rows) = index.rows().filter(|_| self.marks_rows()) {
            let listed = rows.by_version().map(|(version, _)| version);
            for version in self.stocks.missing(name, listed) {
                known.entry(version).or_default().push((Against::NotHeld, NOT_HELD.to_owned()));
            }
        }
        known
    }
}
