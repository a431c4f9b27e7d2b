//! The gate of an archive: its release's record.
//!
//! The record decides first, however warm the archive is; the sealed file is found by the integrity that it
//! names, so an archive of another content can never be served in its place. Owns that decision. Must not
//! know how a file is fetched, kept or read.

use std::sync::Arc;

use super::document::Content;
use super::documents::Answer;
use super::failure::Failure;
use super::sealed_files::{Held, Media, Permit, SealedFiles};
use super::wanted::Wanted;
use crate::domain::{Dist, DocumentKey, Integrity, Purl, Version, VolumeName};
use crate::upstream::Errand;

impl SealedFiles {
    /// The archive of a release, if the release may be served now.
    ///
    /// # Errors
    /// [`Failure`] when it may not, cannot be had, or did not pass.
    pub async fn archive(
        self: &Arc<Self>,
        name: &VolumeName,
        version: &Version,
        errand: Errand<'_>,
    ) -> Result<Held, Failure> {
        let from = DocumentKey::Release(name.clone(), version.clone());
        let gate = self.documents.get(&from, errand).await?;
        let (integrity, locator) = open_gate(&gate)?;
        let wanted = Wanted::Archive { release: Purl::new(name, version), integrity };
        self.hold(Permit { wanted, media: Media::Gzip, locator, from, gate }, errand).await
    }
}

/// Whether the release may be served now, and where its bytes would come from.
pub(super) fn open_gate(gate: &Answer) -> Result<(Integrity, String), Failure> {
    let release = match &*gate.document.content {
        Content::Refused { problem, .. } => {
            return Err(Failure::Gated { problem: Box::new(problem.clone()), gate: Box::new(gate.clone()) });
        }
        content @ Content::Found(_) => content.release().ok_or(Failure::Malformed)?,
    };
    if !release.serves_bytes() {
        return Err(Failure::Withdrawn(release.status.clone()));
    }
    match (&release.dist, release.integrity) {
        (Some(Dist::Cdn { url }), Some(integrity)) => Ok((integrity, url.clone())),
        (Some(Dist::Git), _) => Err(Failure::DeliveredByGit),
        _ => Err(Failure::Malformed),
    }
}
