//! The rows of an index, as clients see them, in the form that a selection takes.
//!
//! A client that resolves sees rows lowered by what is known against their releases; a mirror selects from the same. Owns
//! that reading. Must not know what is selected.

use std::collections::BTreeMap;
use std::sync::Arc;

use selection::CatalogueRow;
use serde::Deserialize;

use crate::domain::lifecycle::Status;
use crate::domain::{Integrity, Version};
use crate::read::Document;

#[derive(Deserialize)]
struct ShownIndex {
    items: Vec<ShownRow>,
}

#[derive(Deserialize)]
struct ShownRow {
    version: Version,
    status: Status,
    #[serde(default)]
    integrity: Option<Integrity>,
    #[serde(default)]
    dependencies: Option<BTreeMap<String, String>>,
}

/// Shorter indexes are read in place: a thread costs more than they do, and memory of many threads is kept apart by the allocator.
const SHORT: usize = 64 << 10;

/// The rows of `index`, read where that blocks no request; none for a refusal.
pub(super) async fn rows(index: Arc<Document>) -> Option<Vec<CatalogueRow>> {
    let is_short = index.content.body().len() <= SHORT;
    let read = move || {
        let shown: ShownIndex = serde_json::from_slice(&index.content.shown_body()?).ok()?;
        Some(shown.items.into_iter().map(row).collect())
    };
    if is_short {
        return read();
    }
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

fn row(shown: ShownRow) -> CatalogueRow {
    let ShownRow { version, status, integrity, dependencies } = shown;
    CatalogueRow {
        version,
        state: status.state,
        integrity,
        dependencies: dependencies.unwrap_or_default().into_iter().collect(),
    }
}
