//! Ingest: what a registry or a repository gives is staged, verified and sealed in one pass, then committed.
//!
//! `intake` stages the bytes as they come while they are verified here. An archive that some tools would unpack
//! differently is packed anew before it is sealed. Readers see nothing before the commit, and a download that ends early
//! leaves nothing behind.
//!
//! Owns that flow, and what its failures mean, in one table ([`IngestError::facets`]). Must not know what makes an archive
//! valid (`archive`), nor what a trust artifact must be (`expected`).

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tracing::field::Empty;
use tracing::{Instrument, debug};

use super::expected::{ExpectedFile, FileMismatch};
use super::sealed_facts::sealed_facts;
use super::sealed_file::BroughtFile;
use super::stored::StoredFiles;
use crate::consistency::refusals::{ArchiveVerdict, OtherTree};
use crate::domain::{Integrity, Purl, Sha256};
use crate::intake::{Arriving, IntakeError, OnDisk, Received, take_in};
use crate::read::ReadFailure;
use crate::repositories::RepositoryError;
use crate::spans::span;
use crate::store::sealed::SealWriter;
use crate::store::{Staged, StoreError};
use crate::upstream::{CouldNotAsk, Download, RequestReach};
use archive::{ArchiveError, ArchiveLimits, Examined, ExpectedRelease, Framing, Scratch, VerifiedArchive};

/// Why a file did not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum IngestError {
    #[error(transparent)]
    Download(#[from] CouldNotAsk),
    /// More bytes than `limits.max_archive`.
    #[error("larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The repository that delivers the archive gives nothing.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The tree of the commit is none that a release may have.
    #[error("the tree of the commit breaks the archive profile: {0}")]
    Tree(String),
    /// The commit has another tree than the release.
    #[error("{error}; {} names commit {} now", tree.reference, tree.commit)]
    OtherTree { tree: Box<OtherTree>, error: ArchiveError },
    /// What is kept of the repository is damaged, or something of it is gone.
    #[error("what is kept of the repository is damaged")]
    KeptRepository,
    #[error(transparent)]
    Mismatch(#[from] FileMismatch),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The storage has no room for the verification, or the staged bytes cannot be read again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The verifying thread died.
    #[error("the verification died")]
    Lost,
}

/// What a failure means, for everything that is decided about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IngestFacets {
    /// Whether the transfer was at fault, not the file, so that another transfer may succeed.
    pub(super) is_transfer: bool,
    /// What the file failed at: the metric's label.
    pub(super) stage: &'static str,
    /// What the archive is refused for whenever it is fetched.
    pub(super) verdict: Option<ArchiveVerdict>,
    /// Whether another delivery would only end the same, though there is no verdict.
    pub(super) is_hopeless: bool,
}

impl IngestError {
    /// Whether other proxies needed the permit of the request back.
    pub(super) fn is_recalled(&self) -> bool {
        matches!(
            self,
            Self::Download(CouldNotAsk::Recalled)
                | Self::Repository(
                    RepositoryError::Ask(CouldNotAsk::Recalled) | RepositoryError::Cut(CouldNotAsk::Recalled)
                )
        )
    }

    /// What Git delivered, if that was another tree.
    pub(super) fn other_tree(&self) -> Option<&OtherTree> {
        match self {
            Self::OtherTree { tree, .. } => Some(tree),
            _ => None,
        }
    }

    /// What the failure means.
    pub(super) fn facets(&self) -> IngestFacets {
        let refused = |stage, verdict| (false, stage, Some(verdict));
        let (is_transfer, stage, verdict) = match self {
            // A wait that was already too long is not doubled.
            Self::Download(reason) => (reason.facets().reach != RequestReach::TimedOut, "download", None),
            // What failed before the body came was tried again already.
            Self::Repository(RepositoryError::Cut(reason)) => {
                (reason.facets().reach == RequestReach::BrokenOff, "download", None)
            }
            Self::Archive(ArchiveError::Gzip(_) | ArchiveError::Source(_)) => (true, "download", None),
            Self::Repository(RepositoryError::Store(_)) | Self::KeptRepository => (false, "store", None),
            Self::Repository(RepositoryError::TooLarge { .. }) => (false, "size", None),
            Self::Lost | Self::Repository(_) => (false, "download", None),
            Self::Store(_) | Self::Archive(ArchiveError::Scratch(_)) => (false, "store", None),
            Self::TooLarge { .. } | Self::Archive(ArchiveError::TooLarge(_)) => (false, "size", None),
            Self::Mismatch(FileMismatch::Digest { .. } | FileMismatch::Size { .. }) => {
                (false, "trust-artifact", None)
            }
            Self::Mismatch(FileMismatch::Release { .. }) => (false, "identity", None),
            Self::Archive(ArchiveError::Profile(_) | ArchiveError::Framing(_)) | Self::Tree(_) => {
                refused("profile", ArchiveVerdict::Profile)
            }
            Self::Archive(ArchiveError::Digest { .. }) | Self::OtherTree { .. } => {
                refused("digest", ArchiveVerdict::Digest)
            }
            Self::Archive(ArchiveError::Manifest(_)) => refused("manifest", ArchiveVerdict::Manifest),
            Self::Archive(ArchiveError::Identity { .. }) => refused("identity", ArchiveVerdict::Identity),
            Self::Archive(ArchiveError::Escalation { .. }) => {
                refused("escalation", ArchiveVerdict::Escalation)
            }
        };
        // The limits are this proxy's, so they give no verdict.
        let is_hopeless = match self {
            Self::TooLarge { .. } | Self::Archive(ArchiveError::TooLarge(_)) => true,
            Self::Repository(error) => error.is_lasting(),
            _ => false,
        };
        IngestFacets { is_transfer, stage, verdict, is_hopeless }
    }
}

impl From<IngestError> for ReadFailure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Download(error) => Self::CouldNotAsk(error),
            IngestError::TooLarge { limit } => Self::TooLarge { limit },
            IngestError::Repository(error) => error.into(),
            IngestError::Tree(_) | IngestError::OtherTree { .. } => Self::Inconsistent(error.to_string()),
            IngestError::KeptRepository => Self::Repository { why: error.to_string(), is_gone: false },
            IngestError::Mismatch(mismatch) => mismatch.into(),
            // This proxy's own storage failed, which says nothing of the archive.
            IngestError::Archive(ArchiveError::Scratch(error)) => StoreError::from(error).into(),
            IngestError::Archive(error) => Self::Archive(Arc::new(error)),
            IngestError::Store(error) => error.into(),
            IngestError::Lost => Self::Lost,
        }
    }
}

/// Bounds on the size of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes that are downloaded, of an archive or a trust artifact.
    pub(crate) max_archive: u64,
    /// The limits of the verifier of archives.
    pub(crate) limits: ArchiveLimits,
}

/// The bytes of a file as they arrive.
pub(super) struct ArrivingFile<S> {
    /// Their announced number.
    pub(super) length: Option<u64>,
    pub(super) bytes: BoxStream<'static, Result<Bytes, S>>,
    /// The recipe by which an archive is packed here; 0 for one that comes as it is.
    pub(super) recipe: u16,
}

impl From<Download> for ArrivingFile<CouldNotAsk> {
    fn from(download: Download) -> Self {
        Self { length: download.length, bytes: download.body, recipe: 0 }
    }
}

/// Stages and verifies `file` as `expected`, and stores it.
pub(super) async fn ingest<S: Into<IngestError> + Send + 'static>(
    stored: &StoredFiles,
    file: ArrivingFile<S>,
    expected: &ExpectedFile,
    bounds: &Bounds,
) -> Result<BroughtFile, IngestError> {
    let received = receive(stored, file, expected, bounds).await?;
    Ok(stored.keep(expected, received).await?)
}

/// Stages and verifies `file` as `expected`.
pub(super) async fn receive<S: Into<IngestError> + Send + 'static>(
    stored: &StoredFiles,
    file: ArrivingFile<S>,
    expected: &ExpectedFile,
    bounds: &Bounds,
) -> Result<Received, IngestError> {
    let ArrivingFile { length, bytes, recipe } = file;
    let limit = bounds.max_archive;
    if length.is_some_and(|length| length > limit) {
        return Err(IngestError::TooLarge { limit });
    }
    let (inspected_as, limits) = (expected.clone(), bounds.limits);
    let inspect = move |arriving: &mut Arriving<'_>| inspect(arriving, &inspected_as, &limits);
    let span = span!("verification", file = %expected, failed_at = Empty, otel.status_code = Empty);
    let taken_in = take_in(&stored.store, bytes, limit, inspect).instrument(span.clone()).await;
    let (sealing, Passed { known_by, packed, facts }) =
        taken_in.map_err(IngestError::from).inspect_err(|error| {
            span.record("failed_at", error.facets().stage).record("otel.status_code", "error");
        })?;
    drop(span);
    // An archive that was packed anew replaces what came.
    let sealing = packed.unwrap_or_else(|| sealing.with_recipe(recipe)).with_facts(facts);
    let received = Received::new(sealing, known_by, &expected.identity()).await?;
    expected.compare(&received.seal)?;
    Ok(received)
}

/// A download that passed the inspection.
struct Passed {
    /// The digest that it is known by.
    known_by: Sha256,
    /// The archive packed anew, which is stored in its place.
    packed: Option<SealWriter<Staged>>,
    /// What its manifest says, as its seal keeps it.
    facts: Vec<u8>,
}

impl Passed {
    /// A trust artifact, which says nothing about itself.
    fn artifact(digest: Sha256) -> Self {
        Self { known_by: digest, packed: None, facts: Vec::new() }
    }
}

fn inspect(
    arriving: &mut Arriving<'_>,
    expected: &ExpectedFile,
    limits: &ArchiveLimits,
) -> Result<Passed, IngestError> {
    match expected {
        ExpectedFile::Archive { release: Purl { name, version }, integrity } => {
            let release = ExpectedRelease { name, version, integrity: Some(integrity) };
            let VerifiedArchive { examined, manifest } = verify_arriving(arriving, &release, limits)?;
            let Examined { integrity, framing, .. } = examined;
            let packed = match framing {
                Framing::Canonical => None,
                Framing::Readable(departure) => {
                    debug!(file = %expected, %departure, "an archive is packed anew");
                    Some(pack_anew(&arriving.on_disk(), integrity, limits)?)
                }
            };
            Ok(Passed { known_by: *integrity.digest(), packed, facts: sealed_facts(&manifest) })
        }
        // An artifact that is too long is not read to its end.
        ExpectedFile::TrustArtifact { digest, size: Some(expected) } => {
            let on_disk = arriving.on_disk();
            let enough = expected.saturating_add(1);
            let read = io::copy(&mut arriving.take(enough), &mut io::sink());
            if read.map_err(|_| CouldNotAsk::BrokenBody)? == enough {
                return Err(FileMismatch::Size { expected: *expected, found: on_disk.length() }.into());
            }
            Ok(Passed::artifact(*digest))
        }
        ExpectedFile::TrustArtifact { digest, size: None } => Ok(Passed::artifact(*digest)),
    }
}

/// Packs a verified archive anew, whose tree is `integrity`. The result is used only if its framing is canonical and its tree
/// is the same.
fn pack_anew(
    on_disk: &OnDisk<'_>,
    integrity: Integrity,
    limits: &ArchiveLimits,
) -> Result<SealWriter<Staged>, ArchiveError> {
    let scratch = || on_disk.scratch().map(|staged| Box::new(staged) as Box<dyn Scratch>);
    let staged = on_disk.scratch().map_err(ArchiveError::Scratch)?;
    let sealing = SealWriter::made_by(staged, archive::RECIPE);
    let (sealing, written) = archive::pack(|| on_disk.again(), scratch, limits, sealing)?;
    let examined = archive::examine(|| sealing.get_ref().reopen(), scratch, limits)?;
    for found in [written, examined.integrity] {
        if found != integrity {
            return Err(ArchiveError::Digest { expected: integrity, found });
        }
    }
    match examined.framing {
        Framing::Canonical => Ok(sealing),
        Framing::Readable(departure) => Err(ArchiveError::Framing(departure)),
    }
}

/// Verifies an archive while it is taken in.
pub(crate) fn verify_arriving(
    arriving: &mut Arriving<'_>,
    expected: &ExpectedRelease<'_>,
    limits: &ArchiveLimits,
) -> Result<VerifiedArchive, ArchiveError> {
    let on_disk = arriving.on_disk();
    let scratch = || on_disk.scratch().map(|staged| Box::new(staged) as Box<dyn Scratch>);
    archive::verify(arriving, || on_disk.again(), scratch, expected, limits)
}

impl<S: Into<Self>> From<IntakeError<S, Self>> for IngestError {
    fn from(error: IntakeError<S, Self>) -> Self {
        match error {
            IntakeError::Source(error) => error.into(),
            IntakeError::TooLarge { limit } => Self::TooLarge { limit },
            IntakeError::Inspected(error) => error,
            IntakeError::Store(error) => error.into(),
            IntakeError::Stalled(stalled) => CouldNotAsk::from(stalled).into(),
            IntakeError::Lost => Self::Lost,
        }
    }
}

impl Scratch for Staged {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        Self::read_exact_at(self, into, offset)
    }
}
