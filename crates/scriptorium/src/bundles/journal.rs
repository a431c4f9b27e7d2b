//! The journal of bundles: which was taken in last of each key, which was made last with each key, and the last imports.
//!
//! Owns the record and its bounds. It is written *first*, when an import begins and when it ends, so that one that was
//! killed goes on. Must not know what order means (`bundle::OrderVerdict`).

use std::collections::BTreeMap;
use std::fmt;

use bundle::{KeyId, SequencePoint};
use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};
use crate::domain::Sha256;
use crate::store::{StorageKey, StoreError, ValueStore, record};

/// Imports that are remembered; the oldest goes first.
const MOST_IMPORTS: usize = 100;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("the journal of bundles cannot be read or written")]
    Store(#[from] StoreError),
    /// It is not as it was written, so the order of bundles is not known.
    #[error(
        "the journal of bundles is damaged ({0}), so the order of bundles is not known; `--any-sequence` begins it anew"
    )]
    Damaged(String),
}

/// The last bundle of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TakenBundle {
    sequence: u64,
    manifest: String,
    /// Whether all of it went in.
    is_whole: bool,
}

/// One import, as `mirror status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportLine {
    #[serde(with = "rfc3339")]
    pub(crate) at: Timestamp,
    pub(crate) origin: String,
    pub(crate) key_id: KeyId,
    /// `trusted`, or why it was not and was taken in all the same.
    pub(crate) signature: String,
    pub(crate) sequence: u64,
    pub(crate) kind: String,
    pub(crate) outcome: String,
    pub(crate) releases: u64,
    pub(crate) left_out: u64,
    /// When a registry last confirmed a document of it.
    #[serde(with = "rfc3339")]
    pub(crate) confirmed: Timestamp,
}

impl fmt::Display for ImportLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, origin, key_id, signature, sequence, kind, outcome, releases, left_out, .. } = self;
        write!(
            f,
            "{at}  {kind} bundle {sequence} of {origin} with the key {key_id} ({signature}): {outcome}, {releases} releases, {left_out} left out"
        )
    }
}

/// What was taken in and made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct BundleJournal {
    #[serde(default)]
    taken: BTreeMap<KeyId, TakenBundle>,
    /// The last sequence that was signed with each key.
    #[serde(default)]
    signed: BTreeMap<KeyId, u64>,
    /// The oldest first.
    #[serde(default)]
    imports: Vec<ImportLine>,
}

impl BundleJournal {
    /// The journal of `store`; an empty one where nothing was taken in or made.
    ///
    /// # Errors
    /// [`JournalError`]
    pub(crate) async fn read(store: &(impl ValueStore + ?Sized)) -> Result<Self, JournalError> {
        let Some(stored) = store.read(&StorageKey::Bundles).await? else { return Ok(Self::default()) };
        record::decode(&stored).map_err(|error| JournalError::Damaged(error.to_string()))
    }

    pub(crate) async fn write(&self, store: &(impl ValueStore + ?Sized)) -> Result<(), StoreError> {
        store.write(&StorageKey::Bundles, record::encode(self)).await
    }

    /// The last imports, the newest first.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &ImportLine> {
        self.imports.iter().rev()
    }

    /// The last bundle that was taken in of `key`.
    pub(super) fn last_taken(&self, key: KeyId) -> Option<SequencePoint> {
        let taken = self.taken.get(&key)?;
        let manifest = Sha256::from_hex(&taken.manifest).ok()?;
        Some(SequencePoint { sequence: taken.sequence, manifest })
    }

    /// Whether all of the last bundle of `key` went in.
    pub(super) fn is_whole(&self, key: KeyId) -> bool {
        self.taken.get(&key).is_some_and(|taken| taken.is_whole)
    }

    /// From now on this is the last bundle of `key`.
    pub(super) fn take(&mut self, key: KeyId, point: SequencePoint, is_whole: bool) {
        let SequencePoint { sequence, manifest } = point;
        self.taken.insert(key, TakenBundle { sequence, manifest: manifest.hex(), is_whole });
    }

    pub(super) fn note(&mut self, line: ImportLine) {
        self.imports.push(line);
        let surplus = self.imports.len().saturating_sub(MOST_IMPORTS);
        self.imports.drain(..surplus);
    }

    /// The last sequence that was signed with `key` here.
    pub(super) fn last_signed(&self, key: KeyId) -> Option<u64> {
        self.signed.get(&key).copied()
    }

    pub(super) fn sign(&mut self, key: KeyId, sequence: u64) {
        self.signed.insert(key, sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectStorage;

    #[tokio::test]
    async fn the_last_hundred_imports_are_remembered_the_newest_first() {
        let line = |sequence| ImportLine {
            at: Timestamp(sequence * 1000),
            origin: "https://up".to_owned(),
            key_id: "00000000000000A7".parse().unwrap(),
            signature: "trusted".to_owned(),
            sequence,
            kind: "full".to_owned(),
            outcome: "imported".to_owned(),
            releases: 1,
            left_out: 0,
            confirmed: Timestamp(sequence * 1000),
        };
        let store = ObjectStorage::memory().unwrap();
        let mut journal = BundleJournal::default();
        (1..=103).for_each(|sequence| journal.note(line(sequence)));
        journal.write(&store).await.unwrap();
        let read = BundleJournal::read(&store).await.unwrap();
        let sequences: Vec<u64> = read.imports().map(|import| import.sequence).collect();
        assert_eq!(sequences, (4..=103).rev().collect::<Vec<_>>());
    }
}
