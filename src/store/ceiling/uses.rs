//! How much each value was used, kept across restarts.
//!
//! A line for each that was used more than once: uses, a space, its path. Losing it costs a few wrong evictions, so
//! nothing else depends on it. Owns that form.

use std::collections::HashMap;
use std::fmt::Write;

use tracing::warn;

use super::Ceiling;
use crate::store::{StorageKey, Store};

/// Uses that are worth a line.
const WORTH_SAVING: f32 = 1.5;

impl Ceiling {
    /// Writes down how much each value was used.
    pub async fn save_uses(&self) {
        let mut lines = String::new();
        for (key, _, uses) in self.books.account().ledger.snapshot() {
            if uses >= WORTH_SAVING {
                let _ = writeln!(lines, "{uses:.1} {}", key.path());
            }
        }
        if let Err(error) = self.write(&StorageKey::Uses, lines.into()).await {
            warn!(%error, "how much is used could not be written down");
        }
    }

    /// What was written down; nothing where there is nothing to read.
    pub(super) async fn saved_uses(&self) -> HashMap<StorageKey, f32> {
        let saved = self.books.store.read(&StorageKey::Uses).await.ok().flatten().unwrap_or_default();
        let saved = String::from_utf8_lossy(&saved);
        saved.lines().filter_map(parse).collect()
    }
}

fn parse(line: &str) -> Option<(StorageKey, f32)> {
    let (uses, path) = line.split_once(' ')?;
    let uses = uses.parse().ok().filter(|uses: &f32| uses.is_finite() && *uses > 0.0)?;
    Some((StorageKey::at(path)?, uses))
}
