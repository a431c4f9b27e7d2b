//! Where each document is stored.
//!
//! Owns what lies beside what, and how many documents that clients can invent there may be. Must not know paths;
//! those are `store::key`'s.

use crate::domain::{DocumentKey, Sha256};
use crate::store::StorageKey;

/// Stored search results share this many places: their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;
/// So do advisories: a registry may answer "none" for any volume that a client invents.
const ADVISORY_SLOTS: u16 = 16 * 1024;

/// Where the answer to `key` is stored: what belongs to a release beside its volume's other releases, what
/// clients can invent in one of a bounded number of places.
#[must_use]
pub fn place(key: &DocumentKey) -> StorageKey {
    let (resource, name) = (key.resource(), Sha256::of(key.to_string().as_bytes()));
    let slot = |slots| {
        let [high, low, ..] = *name.as_bytes();
        StorageKey::Slot { resource, slot: u16::from_be_bytes([high, low]) % slots }
    };
    match key {
        DocumentKey::Search(_) => slot(SEARCH_SLOTS),
        DocumentKey::Advisories(_) | DocumentKey::Advisory(_) => slot(ADVISORY_SLOTS),
        DocumentKey::Release(volume, _)
        | DocumentKey::TrustSummary(volume, _)
        | DocumentKey::TrustDetail(volume, _) => {
            StorageKey::OfRelease { resource, volume: Sha256::of(volume.as_str().as_bytes()), name }
        }
        DocumentKey::Index(_) | DocumentKey::Capabilities => StorageKey::Document { resource, name },
    }
}
