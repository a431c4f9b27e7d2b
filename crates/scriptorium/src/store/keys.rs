//! Sets of many keys in a few bytes a key.
//!
//! A set remembers eight bytes of a digest of each key. Two keys with the same eight are expected once in thousands of millions of
//! sets, and a registry cannot make one on purpose. Then a value that could be evicted stays: nothing is lost by it. So these sets
//! say what must stay, and never what may go. Owns that. Must not know whose keys they are.

use std::collections::HashSet;

use ahash::RandomState;

use super::StorageKey;
use crate::domain::Sha256;

/// A set of keys, none of which can be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StorageKeys(HashSet<u64, RandomState>);

impl StorageKeys {
    /// Room for so many keys, so that a large set is made in one piece.
    pub(crate) fn with_room_for(keys: usize) -> Self {
        Self(HashSet::with_capacity_and_hasher(keys, RandomState::default()))
    }

    pub(crate) fn insert(&mut self, key: &StorageKey) {
        self.0.insert(fingerprint(key));
    }

    /// Adds the keys of another set.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(crate) fn contains(&self, key: &StorageKey) -> bool {
        self.0.contains(&fingerprint(key))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys it has.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<const N: usize> From<[StorageKey; N]> for StorageKeys {
    fn from(keys: [StorageKey; N]) -> Self {
        keys.iter().collect()
    }
}

impl<'a> FromIterator<&'a StorageKey> for StorageKeys {
    fn from_iter<I: IntoIterator<Item = &'a StorageKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(fingerprint).collect())
    }
}

fn fingerprint(key: &StorageKey) -> u64 {
    let digest = Sha256::of(key.path().as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Integrity;

    fn archive(number: u32) -> StorageKey {
        StorageKey::Archive(Integrity::new(Sha256::of(&number.to_le_bytes())))
    }

    #[test]
    fn a_set_has_its_keys_and_no_others() {
        let keys: Vec<_> = (0..10_000).map(archive).collect();
        let (even, mut all): (StorageKeys, _) =
            (keys.iter().step_by(2).collect(), StorageKeys::with_room_for(7));
        keys.iter().skip(1).step_by(2).for_each(|key| all.insert(key));
        assert!(all.len() == 5_000 && even.len() == 5_000 && !all.is_empty());
        for (number, key) in keys.iter().enumerate() {
            assert_eq!((even.contains(key), all.contains(key)), (number % 2 == 0, number % 2 == 1));
        }
        all.add(&even);
        assert!(keys.iter().all(|key| all.contains(key)) && !all.contains(&archive(10_000)));
    }

    #[test]
    fn keys_of_several_kinds_with_one_digest_are_different() {
        let digest = Sha256::of(b"one");
        let kinds = [
            StorageKey::Archive(Integrity::new(digest)),
            StorageKey::TrustArtifact(digest),
            StorageKey::History(digest),
            StorageKey::Mirror(digest),
        ];
        assert_eq!(StorageKeys::from(kinds).len(), 4);
    }
}
