//! The manifests of versions that were created through this proxy, until their bundles are uploaded.
//!
//! Owns that memory, which may lose any entry at any time. Must not know what a manifest says.

use std::sync::Arc;

use moka::sync::Cache;
use nullspace::{BundleManifest, decoded, version_id};

use crate::relay::owner::Owner;

/// The most bytes of manifests that are remembered.
const MOST: u64 = 64 << 20;

/// The deployment's name and the version's id.
type VersionKey = (String, String);

/// The manifests, each with the owner of its version.
#[derive(Debug)]
pub(super) struct Manifests(Cache<VersionKey, (Owner, Arc<BundleManifest>)>);

impl Manifests {
    pub(super) fn new() -> Self {
        let weigh = |(deployment, version): &VersionKey, held: &(Owner, Arc<BundleManifest>)| {
            let names = (deployment.len() + version.len()) as u64;
            u32::try_from(held.1.weight() + names).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }

    /// Remembers the manifest that `owner` sent with a creation. The registry's `answer` names the version.
    pub(super) fn remember(
        &self,
        deployment: &str,
        answer: &[u8],
        owner: Owner,
        manifest: Arc<BundleManifest>,
    ) {
        if let Some(id) = version_id(answer) {
            self.0.insert((decoded(deployment).into_owned(), id), (owner, manifest));
        }
    }

    /// The manifest of a version that `owner` created.
    pub(super) fn of(&self, deployment: &str, version: &str, owner: &Owner) -> Option<Arc<BundleManifest>> {
        let held = self.0.get(&(decoded(deployment).into_owned(), decoded(version).into_owned()))?;
        held.0.is(owner).then_some(held.1)
    }
}
