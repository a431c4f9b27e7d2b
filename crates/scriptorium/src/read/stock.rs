//! The releases of a volume that can be installed while no registry is asked, as they were last found.
//!
//! Owns how many releases are remembered and for how long that is believed. Must not know what makes a release
//! installable (`judge::stocktaking`), nor what a row shows of it (`shown`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::{Version, VolumeName};

/// Releases of all volumes whose stock is remembered, at most.
const MOST: u64 = 1_000_000;

/// How long it is believed.
const BELIEVED: Duration = Duration::from_secs(5);

/// The releases in stock, by volume.
#[derive(Debug)]
pub(super) struct Stocks(moka::sync::Cache<VolumeName, Arc<Stock>>);

/// The versions of one volume that are in stock.
#[derive(Debug)]
struct Stock {
    versions: HashSet<Version>,
    taken_at: Timestamp,
}

impl Default for Stocks {
    fn default() -> Self {
        let weigh =
            |_: &VolumeName, stock: &Arc<Stock>| u32::try_from(stock.versions.len() + 1).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }
}

impl Stocks {
    pub(super) fn note(&self, name: &VolumeName, versions: HashSet<Version>, taken_at: Timestamp) {
        self.0.insert(name.clone(), Arc::new(Stock { versions, taken_at }));
    }

    /// Whether the stock of `name` was taken a moment ago.
    pub(super) fn is_known(&self, name: &VolumeName, now: Timestamp) -> bool {
        let age = self.0.get(name).and_then(|stock| now.since(stock.taken_at));
        age.is_some_and(|age| age < BELIEVED)
    }

    /// Those of the `listed` versions that are not in stock; none where the stock was never taken.
    pub(super) fn missing<'a>(
        &self,
        name: &VolumeName,
        listed: impl Iterator<Item = &'a Version>,
    ) -> Vec<Version> {
        let Some(stock) = self.0.get(name) else { return Vec::new() };
        listed.filter(|version| !stock.versions.contains(version)).cloned().collect()
    }

    pub(super) fn forget(&self) {
        self.0.invalidate_all();
    }
}
