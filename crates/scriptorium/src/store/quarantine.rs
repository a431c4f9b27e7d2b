//! Damaged values, kept for a person to look at, up to a bound.
//!
//! Owns their keys, the note beside each, and which are removed first when the bound is exceeded. Must not know how they
//! are moved.

use std::cmp::Reverse;

use bytes::Bytes;

use super::{Damage, StorageKey};
use crate::clock::Timestamp;

/// Most values and notes that are kept; the newest stay.
const MOST: usize = 1000;

/// The key of the value at `path` when it is set aside at `now`.
pub(super) fn key(path: &str, now: Timestamp) -> StorageKey {
    StorageKey::Quarantined(format!("{path}.{}", now.0))
}

/// The key of the note about it, and the note.
pub(super) fn note(damage: &Damage, now: Timestamp) -> (StorageKey, Bytes) {
    let Damage { path, expected, found } = damage;
    let note =
        serde_json::json!({ "path": path, "set_aside_at": now.0, "expected": expected, "found": found });
    let key = StorageKey::Quarantined(format!("{path}.{}.json", now.0));
    (key, (note.to_string() + "\n").into())
}

/// What has to be removed so that no more than `most` bytes stay: the oldest values, and those that are too large.
pub(super) fn excess(mut kept: Vec<(StorageKey, u64)>, most: u64) -> Vec<StorageKey> {
    kept.sort_by_key(|(key, bytes)| (Reverse(set_aside_at(key)), *bytes));
    let (mut bytes, mut count) = (0_u64, 0);
    let excess = kept.into_iter().filter_map(|(key, size)| {
        if count < MOST && bytes.saturating_add(size) <= most {
            bytes += size;
            count += 1;
            return None;
        }
        Some(key)
    });
    excess.collect()
}

/// When a value was set aside, by its name; a value with another name counts as the oldest.
fn set_aside_at(key: &StorageKey) -> u64 {
    let StorageKey::Quarantined(name) = key else { return 0 };
    let name = name.strip_suffix(".json").unwrap_or(name);
    name.rsplit_once('.').and_then(|(_, at)| at.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(excess: Vec<StorageKey>) -> Vec<String> {
        excess.iter().map(StorageKey::path).collect()
    }

    #[test]
    fn the_oldest_go_first_and_a_note_outlives_a_value_that_is_too_big() {
        let damage = Damage { path: "pins/x".into(), expected: "a".into(), found: "b".into() };
        let mut kept = Vec::new();
        for (at, bytes) in [(5, 10), (70, 40), (600, 30)] {
            kept.push((key("pins/x", Timestamp(at)), bytes));
            kept.push((note(&damage, Timestamp(at)).0, 1));
        }
        assert_eq!(names(excess(kept.clone(), 83)), Vec::<String>::new());
        assert_eq!(names(excess(kept.clone(), 82)), ["quarantine/pins/x.5"]);
        assert_eq!(names(excess(kept.clone(), 43)), ["quarantine/pins/x.70"], "smaller ones still fit");
        assert_eq!(names(excess(kept, 3)).len(), 3, "the notes say what was there");
    }

    #[test]
    fn many_small_ones_are_bounded_by_their_number() {
        let kept = (0..1005).map(|at| (key("x", Timestamp(at)), 0)).collect();
        assert_eq!(excess(kept, 1 << 30).len(), 5);
    }
}
