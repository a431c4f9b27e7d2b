//! Keeping what a client published as if it had been downloaded.
//!
//! Owns which uploads may be kept: verified archives that nothing is held for yet. Reading one is gated by its
//! release's record like any other. Must not know who published it, nor what the registry said.

use tracing::{debug, warn};

use super::ingest::keep;
use super::sealed_files::SealedFiles;
use super::wanted::Wanted;
use crate::domain::{Integrity, Purl};
use crate::intake::Received;

impl SealedFiles {
    /// Keeps the archive of `release`, which passed as `integrity` and is sealed as both. One that cannot be kept is
    /// downloaded when it is asked for, so that is logged and no failure.
    pub async fn seed(&self, release: &Purl, integrity: &Integrity, received: Received) {
        let wanted = Wanted::Archive { release: release.clone(), integrity: *integrity };
        if !wanted.is_under(&received.seal) || wanted.compare(&received.seal).is_err() {
            warn!(file = %wanted, "what was taken in is sealed as something else and is not kept");
            return;
        }
        // What is held may be in the middle of being sent, and the same tree may be packed otherwise.
        if let Ok(Some(_)) = self.sealed(&wanted).await {
            return;
        }
        match keep(&*self.store, &wanted, received).await {
            Ok(brought) => {
                self.brought(&wanted, brought);
                debug!(file = %wanted, "a published archive is held");
            }
            Err(error) => warn!(%error, file = %wanted, "a published archive cannot be kept"),
        }
    }
}
