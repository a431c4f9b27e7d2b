//! Noting which commit delivered a release whose pin was proved before.
//!
//! Owns when a pin is written again for that. Must not know what of two commits counts (`commit`).

use tracing::warn;

use super::{PinError, PinnedCommit, Pins, form, stored};
use crate::domain::{Integrity, Purl, Registry};

impl Pins {
    /// Notes what delivered a release that was proved before.
    pub(super) async fn note_commit(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: &Integrity,
        now: PinnedCommit,
    ) -> Result<(), PinError> {
        let place = form::of_registry(registry, release);
        let Some(mut pin) = self.at(&place).await?.filter(|pin| pin.integrity == *integrity) else {
            return Ok(());
        };
        let noted = match &pin.commit {
            Some(first) => first.after(now),
            None => now,
        };
        if let Some(moved_to) = &noted.moved_to {
            let first = &noted.commit;
            warn!(%release, first, moved_to, "the Git reference of a release names another commit with the same tree than before");
        }
        if pin.commit.as_deref() != Some(&noted) {
            pin.commit = Some(Box::new(noted));
            self.store.write(&place, stored(&pin)).await?;
        }
        Ok(())
    }
}
