//! Where each document is stored.
//!
//! Answers of several registries to one question lie side by side, so that none is taken for another's and each is there
//! when its route comes back. What an earlier version stored, in places without a registry, is a miss and is evicted in
//! time. Owns what lies beside what, and how many documents that clients can invent there may be. Must not know paths;
//! those are `store::key`'s.

use crate::domain::{DocumentKey, Registry, Resource, Sha256, VolumeName};
use crate::store::{Shelf, StorageKey};

/// Stored search results share this many places: their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;
/// So do advisories: a registry may answer "none" for any volume that a client invents.
const ADVISORY_SLOTS: u16 = 16 * 1024;

/// Where the answer of `registry` to `key` is stored: what belongs to a release beside its volume's other releases, what
/// clients can invent in one of a bounded number of places.
#[must_use]
pub fn place(registry: &Registry, key: &DocumentKey) -> StorageKey {
    place_by(key, |what| registry.digest_of(what))
}

/// Where an earlier version stored the answer to `key`, whoever gave it. Nobody reads it there.
#[must_use]
pub fn earlier_place(key: &DocumentKey) -> StorageKey {
    place_by(key, |what| Sha256::of(what.as_bytes()))
}

fn place_by(key: &DocumentKey, digest_of: impl Fn(&str) -> Sha256) -> StorageKey {
    let (resource, name) = (key.resource(), digest_of(&key.to_string()));
    let slot = |slots| {
        let [high, low, ..] = *name.as_bytes();
        StorageKey::Slot { resource, slot: u16::from_be_bytes([high, low]) % slots }
    };
    let question = match key {
        DocumentKey::To(posed) => posed.question(),
        key => key,
    };
    match question {
        DocumentKey::Search(_) => slot(SEARCH_SLOTS),
        DocumentKey::Advisories(_) | DocumentKey::Advisory(_) => slot(ADVISORY_SLOTS),
        DocumentKey::Release(volume, _)
        | DocumentKey::TrustSummary(volume, _)
        | DocumentKey::TrustDetail(volume, _) => {
            StorageKey::OfRelease { resource, volume: digest_of(volume.as_str()), name }
        }
        DocumentKey::Index(_) | DocumentKey::Capabilities | DocumentKey::To(_) => {
            StorageKey::Document { resource, name }
        }
    }
}

/// Where the exact metadata that `registry` gave of a volume's releases lies.
#[must_use]
pub fn releases(registry: &Registry, volume: &VolumeName) -> Shelf {
    Shelf::OfReleases(Resource::Release, registry.digest_of(volume.as_str()))
}
