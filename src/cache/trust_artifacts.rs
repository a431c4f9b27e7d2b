//! The gate of a trust artifact: its release's trust detail.
//!
//! Only an attachment that the detail lists at a URL has bytes here; they are known by the digest it gives them.
//! Owns that decision. Must not know how a file is fetched, kept or read.

use std::sync::Arc;

use super::document::Content;
use super::documents::Answer;
use super::failure::Failure;
use super::sealed_files::{Held, Media, Permit, SealedFiles};
use super::wanted::Wanted;
use crate::domain::check::{Attachment, Locator};
use crate::domain::{DocumentKey, Sha256, Version, VolumeName};
use crate::upstream::Errand;

impl SealedFiles {
    /// The trust artifact of a release whose bytes hash to `digest`, if the trust detail lists it now.
    ///
    /// # Errors
    /// [`Failure`] when it does not, or the bytes cannot be had or are others.
    pub async fn trust_artifact(
        self: &Arc<Self>,
        name: &VolumeName,
        version: &Version,
        digest: &Sha256,
        errand: Errand<'_>,
    ) -> Result<Held, Failure> {
        let from = DocumentKey::TrustDetail(name.clone(), version.clone());
        let gate = self.documents.get(&from, errand).await?;
        let (attachment, locator) = open_gate(&gate, digest)?;
        let wanted = Wanted::TrustArtifact { digest: *digest, size: attachment.size };
        let (media, locator) = (Media::Declared(attachment.media_type.clone()), locator.to_owned());
        self.hold(Permit { wanted, media, locator, from, gate }, errand).await
    }
}

/// The first attachment with these bytes, and where they would come from. All that have them are as good.
pub(super) fn open_gate<'a>(gate: &'a Answer, digest: &Sha256) -> Result<(&'a Attachment, &'a str), Failure> {
    if let Content::Refused { problem, .. } = &*gate.document.content {
        return Err(Failure::Gated { problem: Box::new(problem.clone()), gate: Box::new(gate.clone()) });
    }
    let trust = gate.document.content.trust().ok_or(Failure::Malformed)?;
    let located = |attachment: &'a Attachment| match &attachment.locator {
        Locator::Url(url) if attachment.digest == *digest => Some((attachment, url.as_str())),
        Locator::Url(_) | Locator::Embedded => None,
    };
    trust.attachments.iter().find_map(located).ok_or(Failure::NotAttached(*digest))
}
