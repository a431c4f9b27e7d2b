//! Trust views of a bundle: one goes in only if it is about its release, and takes back nothing that was seen here.
//!
//! Owns that check, which is that of a registry's answer without anybody to ask again. Must not know how a document is kept.

use std::sync::Arc;

use super::taking::{NotIn, Taking, left_out, unpinned};
use crate::consistency::history::TrustView;
use crate::consistency::{ClaimSource, History, reconcile_trust};
use crate::domain::{DocumentKey, Purl, Registry, Trust};

impl Taking<'_> {
    /// Whether the view that `key` names may take the place of the one that is here.
    pub(super) async fn fits(
        &self,
        registry: &Registry,
        key: &DocumentKey,
        release: &Purl,
        trust: &Trust,
    ) -> Result<(), NotIn> {
        let pin = self.pins.of(registry, release).await.map_err(|error| unpinned(release, error))?;
        let pinned = pin.as_ref().map(|pin| (ClaimSource::Pin, pin.integrity));
        if reconcile_trust(trust, pinned).is_some() {
            return Err(left_out(release, "its trust view is about something else"));
        }
        let inherits = pin.is_some_and(|pin| pin.origin.is_none());
        let history = History::new(Arc::clone(&self.to.store));
        match history.of(registry, release, TrustView::of(key), inherits).await {
            Ok(seen) if seen.difference(trust).is_some() => {
                Err(left_out(release, "its trust view takes back what was seen here"))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                Err(left_out(release, format!("what was seen of its trust cannot be read: {error}")))
            }
        }
    }
}
