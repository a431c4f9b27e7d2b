//! How much each value is used, kept across restarts.
//!
//! A line for each value that was used more than once: its uses, a space, its path. Losing them costs a few wrong
//! evictions and nothing else. Owns that form.

use std::collections::HashMap;
use std::fmt::Write;

use super::bounded::BoundedObjects;
use crate::store::{StorageKey, ValueStore};

/// Values with fewer uses are not saved.
const WORTH_SAVING: f32 = 1.5;

pub(super) fn lines(bounded: &BoundedObjects) -> String {
    let mut lines = String::new();
    for (key, _, uses) in bounded.account().ledger.snapshot() {
        if uses >= WORTH_SAVING {
            let _ = writeln!(lines, "{uses:.1} {}", key.path());
        }
    }
    lines
}

/// What was saved; nothing if it cannot be read.
pub(super) async fn saved(bounded: &BoundedObjects) -> HashMap<StorageKey, f32> {
    let saved = bounded.objects.read(&StorageKey::Uses).await.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&saved).lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<(StorageKey, f32)> {
    let (uses, path) = line.split_once(' ')?;
    let uses = uses.parse().ok().filter(|uses: &f32| uses.is_finite() && *uses > 0.0)?;
    Some((StorageKey::at(path)?, uses))
}
