//! The gate of a file: the document that permits it, and the document's claims about it.
//!
//! | file | its gate | permitted if | known by |
//! |---|---|---|---|
//! | archive | the release's exact metadata | the release's state serves bytes | its integrity |
//! | trust artifact | the release's trust detail | an attachment at a URL has the digest | its digest |
//!
//! The gate is asked for each request, however warm the file is, and once more for a file that was awaited. The file is then looked up by the digest that the
//! gate names, so that other content can never be served in its place. Owns that decision; pure. Must not know how a
//! file is fetched, stored or read.

use super::expected::{ExpectedFile, FileAddress, FileFetch, FileOrigin};
use crate::domain::check::{Attachment, Locator};
use crate::domain::{DocumentKey, FileKey, Integrity, Purl, Sha256};
use crate::read::content::DocumentContent;
use crate::read::decision::archive::{ArchiveOffer, offer};
use crate::read::{CachedAnswer, ReadFailure};

/// The media type of a sent file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Media {
    /// An archive; it was verified to be gzip.
    Gzip,
    /// The registry's claim, which is not trusted.
    Declared(String),
}

/// A file that its gate permits.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) origin: FileOrigin,
    pub(super) media: Media,
}

/// Whether `gate`, which is the document `from`, permits the file `key`.
pub(super) fn permit(key: &FileKey, from: DocumentKey, gate: &CachedAnswer) -> Result<Permit, ReadFailure> {
    let (expected, media, address) = match key {
        FileKey::Archive(name, version) => {
            let (integrity, address) = archive(gate)?;
            (ExpectedFile::Archive { release: Purl::new(name, version), integrity }, Media::Gzip, address)
        }
        FileKey::TrustArtifact(_, _, digest) => {
            let (Attachment { size, media_type, .. }, address) = trust_artifact(gate, digest)?;
            let expected = ExpectedFile::TrustArtifact { digest: *digest, size: *size };
            (expected, Media::Declared(media_type.clone()), address)
        }
    };
    let fetch = FileFetch { registry: gate.document.meta.registry(), expected };
    Ok(Permit { origin: FileOrigin { fetch, address, from }, media })
}

/// The address that `gate` gives for a file that it permitted before, if it still permits it.
pub(super) fn address(expected: &ExpectedFile, gate: &CachedAnswer) -> Result<FileAddress, ReadFailure> {
    match expected {
        ExpectedFile::Archive { integrity, .. } => {
            let (now, address) = archive(gate)?;
            // The release has other content by now. The next request gets that.
            if now == *integrity { Ok(address) } else { Err(ReadFailure::Lost) }
        }
        ExpectedFile::TrustArtifact { digest, .. } => {
            trust_artifact(gate, digest).map(|(_, address)| address)
        }
    }
}

fn archive(gate: &CachedAnswer) -> Result<(Integrity, FileAddress), ReadFailure> {
    let release = found(gate)?.release().ok_or(ReadFailure::Malformed)?;
    match offer(release) {
        ArchiveOffer::Archive { integrity, dist } => Ok((integrity, FileAddress::of(dist))),
        ArchiveOffer::Withdrawn => Err(ReadFailure::Withdrawn(release.status.clone())),
        ArchiveOffer::Malformed => Err(ReadFailure::Malformed),
    }
}

/// The first attachment with these bytes. Any other one has the same bytes.
fn trust_artifact<'a>(
    gate: &'a CachedAnswer,
    digest: &Sha256,
) -> Result<(&'a Attachment, FileAddress), ReadFailure> {
    let trust = found(gate)?.trust().ok_or(ReadFailure::Malformed)?;
    let located = |attachment: &'a Attachment| match &attachment.locator {
        Locator::Url(url) if attachment.digest == *digest => {
            Some((attachment, FileAddress::Url(url.clone())))
        }
        Locator::Url(_) | Locator::Embedded => None,
    };
    trust.attachments.iter().find_map(located).ok_or(ReadFailure::NotAttached(*digest))
}

/// The gate's content, unless the registry refused it.
fn found(gate: &CachedAnswer) -> Result<&DocumentContent, ReadFailure> {
    match &*gate.document.content {
        DocumentContent::Refused { problem, .. } => {
            Err(ReadFailure::Gated { problem: Box::new(problem.clone()), gate: Box::new(gate.clone()) })
        }
        content @ DocumentContent::Found(_) => Ok(content),
    }
}
