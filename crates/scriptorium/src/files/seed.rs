//! An archive that a client published is stored as if it had been downloaded.
//!
//! Owns which uploads are stored: verified archives of which nothing is stored yet. Reading one is gated by its
//! release's record like any other. Must not know the publisher, nor the registry's answer.

use std::sync::Arc;

use tracing::{debug, warn};

use super::expected::ExpectedFile;
use super::read::SealedFiles;
use crate::domain::{Integrity, Purl};
use crate::intake::Received;

impl SealedFiles {
    /// Stores the archive of `release`, which was verified as `integrity`. If that fails, it is logged and no error:
    /// the archive is downloaded when it is asked for.
    pub(crate) async fn seed(self: &Arc<Self>, release: &Purl, integrity: &Integrity, received: Received) {
        let expected = ExpectedFile::Archive { release: release.clone(), integrity: *integrity };
        if !expected.is_known_by(&received.seal) || expected.compare(&received.seal).is_err() {
            warn!(file = %expected, "an upload is sealed as something else and is not stored");
            return;
        }
        // A stored archive may be being sent, and the same tree may be packed differently in it.
        if let Ok(Some(_)) = self.stored.seal(&expected).await {
            return;
        }
        match self.stored.keep(&expected, received).await {
            Ok(_) => {
                debug!(file = %expected, "a published archive is stored");
                self.note_manifest_of(release, *integrity).await;
            }
            Err(error) => warn!(%error, file = %expected, "a published archive cannot be stored"),
        }
    }

    /// The row of the release obeys what its archive says before anybody asks for the archive.
    async fn note_manifest_of(self: &Arc<Self>, release: &Purl, integrity: Integrity) {
        if self.documents.needs_manifest(release)
            && let Err(why) = self.read_late(integrity).await
        {
            warn!(%release, %why, "the manifest of a published archive cannot be read; it is when the archive is asked for");
        }
    }
}
