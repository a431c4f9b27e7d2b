//! How a lifecycle change reaches a release that is still fresh.
//!
//! Exact metadata is believed for `release_ttl`, but a block must be visible within `index_ttl` and the
//! revalidation window, archives included. So whoever serves a release looks at its row: an index past its
//! TTL is refreshed behind the answer, and a release whose row has moved on since is asked for again before
//! it is served. One index request serves all releases of a volume. Owns that; must not decide which of two
//! answers is right.

use std::sync::Arc;

use super::document::{Content, Document};
use super::documents::Documents;
use super::freshness::Freshness;
use crate::domain::lifecycle::State;
use crate::domain::{DocumentKey, Version};

impl Documents {
    /// Brings the index of a release's volume to memory, if it is stored.
    pub(super) async fn recall_index(&self, key: &DocumentKey) {
        if let DocumentKey::Release(name, _) = key {
            self.held(&DocumentKey::Index(name.clone())).await;
        }
    }

    /// Whether the volume's index, fetched later than this release, shows it in another state.
    pub(super) fn is_overtaken(&self, key: &DocumentKey, release: &Document) -> bool {
        let DocumentKey::Release(name, version) = key else { return false };
        let index = self.remembered(&DocumentKey::Index(name.clone()));
        index.is_some_and(|index| {
            index.meta.fetched_at > release.meta.fetched_at && differs(row(&index, version), release)
        })
    }

    /// Refreshes the index behind a release that has not been confirmed for as long as an index is fresh.
    pub(super) fn watch_index(self: &Arc<Self>, key: &DocumentKey, release: &Document, request_id: &str) {
        let DocumentKey::Release(name, _) = key else { return };
        let is_fresh = |key, document: &Document| self.freshness(key, document) == Freshness::Fresh;
        let index = DocumentKey::Index(name.clone());
        if is_fresh(&index, release) {
            return;
        }
        let held = self.remembered(&index);
        if !held.as_ref().is_some_and(|held| is_fresh(&index, held)) {
            self.refresh(&index, held.as_ref(), request_id);
        }
    }

    /// Asks again for the remembered releases whose rows in a new index differ.
    pub(super) fn tell_releases(self: &Arc<Self>, key: &DocumentKey, index: &Document, request_id: &str) {
        let (DocumentKey::Index(name), Some(rows)) = (key, index.content.rows()) else { return };
        for (version, rows) in rows.by_version() {
            let release = DocumentKey::Release(name.clone(), version.clone());
            if let Some(held) = self
                .remembered(&release)
                .filter(|held| differs(rows.first().map(|row| row.status.state), held))
            {
                self.refresh(&release, Some(&held), request_id);
            }
        }
    }
}

fn row(index: &Document, version: &Version) -> Option<State> {
    Some(index.content.rows()?.of(version).first()?.status.state)
}

/// A refusal differs from a row that may be served, and from no other: several states answer alike.
fn differs(row: Option<State>, release: &Document) -> bool {
    let Some(row) = row else { return false };
    match &*release.content {
        content @ Content::Found(_) => content.release().is_some_and(|release| release.state() != row),
        Content::Refused { .. } => row.serves_bytes(),
    }
}
