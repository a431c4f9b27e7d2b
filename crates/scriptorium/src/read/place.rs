//! Under which key of the store each document is kept.
//!
//! Each registry's answer to a question has a key of its own, so that no answer is taken for another registry's and each is
//! there when its route comes back. Documents of earlier versions, whose keys have no registry, are misses and are evicted in
//! time. Owns the keys, and the bound on documents that clients can invent. Must not know paths; `store::key` does.

use crate::domain::{DocumentKey, Registry, Resource, Sha256, VolumeName};
use crate::store::{KeyPrefix, StorageKey};

/// Stored search results share this many keys, so that their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;
/// The same for advisories: a registry may answer "none" for any volume that a client invents.
const ADVISORY_SLOTS: u16 = 16 * 1024;

/// The key of the answer of `registry` to `key`. Documents of a volume's releases lie together; documents that clients can
/// invent share a bounded number of keys.
#[must_use]
pub(crate) fn place(registry: &Registry, key: &DocumentKey) -> StorageKey {
    place_by(key, |what| registry.digest_of(what))
}

/// The key under which an earlier version stored an answer to `key`. It is not read any more.
#[must_use]
pub(crate) fn earlier_place(key: &DocumentKey) -> StorageKey {
    place_by(key, |what| Sha256::of(what.as_bytes()))
}

fn place_by(key: &DocumentKey, digest_of: impl Fn(&str) -> Sha256) -> StorageKey {
    let (resource, name) = (key.resource(), digest_of(&key.to_string()));
    let slot = |slots| {
        let [high, low, ..] = *name.as_bytes();
        StorageKey::Slot { resource, slot: u16::from_be_bytes([high, low]) % slots }
    };
    let question = match key {
        DocumentKey::AtRegistry(at_registry) => at_registry.question(),
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
        DocumentKey::Index(_) | DocumentKey::Capabilities | DocumentKey::AtRegistry(_) => {
            StorageKey::Document { resource, name }
        }
    }
}

/// The prefix of the exact metadata that `registry` gave of a volume's releases.
#[must_use]
pub(crate) fn releases(registry: &Registry, volume: &VolumeName) -> KeyPrefix {
    KeyPrefix::OfReleases(Resource::Release, registry.digest_of(volume.as_str()))
}
