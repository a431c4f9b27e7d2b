//! Under which key of the store each document is kept.
//!
//! Each registry's answer to a question has a key of its own, so that no answer is taken for another registry's and each is
//! there when its route comes back. Documents of earlier versions, whose keys have no registry, are misses and are evicted in
//! time. Owns the keys, and the bound on documents that clients can invent. Must not know paths; `store::key` does.
//!
//! The pages of a registry's list of advisories have places of their own, of which no other question takes one and no two pages of one
//! list the same: a list counts only as a whole, and a bundle carries it.

use crate::domain::{DocumentKey, Registry, Resource, Sha256, VolumeName};
use crate::store::{KeyPrefix, StorageKey};

/// Stored search results share this many keys, so that their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;
/// The same for advisories: a registry may answer "none" for any volume that a client invents.
const ADVISORY_SLOTS: u16 = 16 * 1024;

/// Places of the pages of one list. It is a prime above the number of pages that are followed: pages of one length begin at multiples of it, which
/// then lie at different places.
const PAGE_PLACES: u64 = 16_381;

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
        DocumentKey::Advisories(query) if let Some(offset) = query.page() => {
            let name = digest_of(&format!("page {} of /api/v1/advisories", offset % PAGE_PLACES));
            StorageKey::Document { resource, name }
        }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::{AdvisoryQuery, MOST_ADVISORY_PAGES};

    fn at(query: &str) -> String {
        let registry = Registry::new("public", "https://up");
        place(&registry, &DocumentKey::Advisories(AdvisoryQuery::parse(query).unwrap())).path()
    }

    #[test]
    fn no_page_of_a_list_takes_the_place_of_another_and_nothing_else_does() {
        for length in [1, 2, 20, 100, 127, 1000] {
            let mut places: HashSet<String> =
                (1..MOST_ADVISORY_PAGES).map(|page| at(&format!("offset={}", page * length))).collect();
            places.insert(at(""));
            assert_eq!(places.len(), MOST_ADVISORY_PAGES, "pages of {length}");
            assert!((0..20_000).all(|volume| !places.contains(&at(&format!("volume=v{volume}")))));
        }
    }

    #[test]
    fn invented_pages_share_a_bounded_number_of_places() {
        let places: HashSet<String> = (0..50_000).map(|offset| at(&format!("offset={offset}"))).collect();
        assert_eq!(places.len() as u64, PAGE_PLACES);
    }
}
