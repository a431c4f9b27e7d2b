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

/// The rows of `index`, read on a thread that blocks no request; none for a refusal.
pub(super) async fn rows(index: Arc<Document>) -> Option<Vec<CatalogueRow>> {
    let read = tokio::task::spawn_blocking(move || {
        let shown: ShownIndex = serde_json::from_slice(&index.content.shown_body()?).ok()?;
        Some(shown.items.into_iter().map(row).collect())
    });
    read.await.ok().flatten()
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
