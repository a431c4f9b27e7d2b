//! Bringing a file in: download, stage, verify and seal in one pass, then commit.
//!
//! `intake` stages the bytes as they come while they are verified here. An archive that other readers would unpack
//! otherwise is packed anew before it is sealed. Nothing is visible to readers before the commit, and whatever ends
//! early leaves nothing behind.
//!
//! Owns that flow. Must not know what makes an archive good (`archive`), what a trust artifact
//! must be (`wanted`) or how bytes are staged (`intake`) and kept (`store`).

use std::io::{self, Read};
use std::sync::Arc;

use tracing::{debug, warn};

use super::wanted::{Mismatch, Wanted};
use crate::archive::{self, ArchiveError, Examined, Expected, Framing, Limits, Scratch};
use crate::domain::{Integrity, Purl, Sha256};
use crate::intake::{Arriving, IntakeError, OnDisk, Received, take_in};
use crate::store::sealed::{self, Seal, SealWriter};
use crate::store::{Committed, Staged, Store, StoreError, Uncommitted};
use crate::upstream::{CouldNotAsk, Download};

/// Why a file did not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum IngestError {
    /// The bytes did not arrive whole.
    #[error(transparent)]
    Download(#[from] CouldNotAsk),
    /// More bytes than `limits.max_archive`.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// They arrived and are others than was said.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// They arrived and are no archive that may be served.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no room to verify them in, or they cannot be read again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The verifying thread died.
    #[error("the verification died")]
    Lost,
}

impl IngestError {
    /// Whether another try may go better: the transport, not the file, was at fault.
    pub(super) fn is_transport(&self) -> bool {
        match self {
            Self::Download(reason) => !reason.is_timeout(),
            Self::Archive(error) => matches!(error, ArchiveError::Gzip(_) | ArchiveError::Source(_)),
            Self::TooLarge { .. } | Self::Mismatch(_) | Self::Store(_) | Self::Lost => false,
        }
    }
}

/// Sizes that bound what is brought in.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that are downloaded, of an archive or a trust artifact.
    pub max_archive: u64,
    /// What the verifier of archives bounds.
    pub limits: Limits,
}

/// A file that passed, and where its bytes are now.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    /// What was sealed.
    pub(super) seal: Arc<Seal>,
    /// The bytes, where the store could not keep them.
    pub(super) loose: Option<Received>,
}

/// Brings `download` in as `wanted`.
pub(super) async fn ingest(
    store: &Arc<dyn Store>,
    download: Download,
    wanted: &Wanted,
    bounds: &Bounds,
) -> Result<Brought, IngestError> {
    let limit = bounds.max_archive;
    if download.length.is_some_and(|length| length > limit) {
        return Err(IngestError::TooLarge { limit });
    }
    let (wanted_there, limits) = (wanted.clone(), bounds.limits);
    let inspect = move |arriving: &mut Arriving<'_>| inspect(arriving, &wanted_there, &limits);
    let (sealing, Passed { known_by, packed }) = take_in(store, download.body, limit, inspect).await?;
    // What came goes with its file.
    let sealing = packed.unwrap_or(sealing);
    let received = Received::new(sealing, known_by, &wanted.identity()).await?;
    wanted.compare(&received.seal)?;
    keep(&**store, wanted, received).await
}

/// Commits what passed. What cannot be kept can still be sent to those who wait for it.
pub(super) async fn keep(
    store: &dyn Store,
    wanted: &Wanted,
    received: Received,
) -> Result<Brought, IngestError> {
    let place = wanted.place();
    let (staged, seal) = match received.into_staged() {
        Ok(whole) => whole,
        Err(received) => {
            warn!(file = %wanted, "a verified file is not kept while it is read where it was staged");
            return Ok(Brought { seal: Arc::clone(&received.seal), loose: Some(received) });
        }
    };
    match store.commit(&place, staged).await {
        Ok(Committed::Ours) => Ok(Brought { seal, loose: None }),
        Ok(Committed::Theirs) => {
            let theirs = sealed::open(store, &place).await?.filter(|theirs| wanted.is_under(theirs));
            let theirs = theirs.ok_or_else(|| StoreError::Missing { path: place.path() })?;
            Ok(Brought { seal: Arc::new(theirs), loose: None })
        }
        Err(Uncommitted { error, staged }) => {
            warn!(%error, file = %wanted, "a verified file cannot be kept; it is sent to those who wait for it");
            let loose = Some(Received::sealed(staged, Arc::clone(&seal)));
            Ok(Brought { seal, loose })
        }
    }
}

/// What came and may be what is wanted.
struct Passed {
    /// The digest it is known by.
    known_by: Sha256,
    /// What is kept in its place.
    packed: Option<SealWriter<Staged>>,
}

impl Passed {
    fn as_it_came(known_by: Sha256) -> Self {
        Self { known_by, packed: None }
    }
}

fn inspect(arriving: &mut Arriving<'_>, wanted: &Wanted, limits: &Limits) -> Result<Passed, IngestError> {
    match wanted {
        Wanted::Archive { release: Purl { name, version }, integrity } => {
            let expected = Expected { name, version, integrity: Some(integrity) };
            let Examined { integrity, framing, .. } = verify_arriving(arriving, &expected, limits)?;
            let packed = match framing {
                Framing::Canonical => None,
                Framing::Readable(departure) => {
                    debug!(file = %wanted, %departure, "an archive is packed anew");
                    Some(pack_anew(&arriving.on_disk(), integrity, limits)?)
                }
            };
            Ok(Passed { known_by: *integrity.digest(), packed })
        }
        // One that is too long is not read to its end.
        Wanted::TrustArtifact { digest, size: Some(expected) } => {
            let on_disk = arriving.on_disk();
            let enough = expected.saturating_add(1);
            let read = io::copy(&mut arriving.take(enough), &mut io::sink());
            if read.map_err(|_| CouldNotAsk::BrokenBody)? == enough {
                return Err(Mismatch::Size { expected: *expected, found: on_disk.length() }.into());
            }
            Ok(Passed::as_it_came(*digest))
        }
        Wanted::TrustArtifact { digest, size: None } => Ok(Passed::as_it_came(*digest)),
    }
}

/// Packs an archive that came and passed as `integrity` anew. What was written is looked at like any archive: it goes
/// out only when it is framed canonically and unpacks to the same tree.
fn pack_anew(
    on_disk: &OnDisk<'_>,
    integrity: Integrity,
    limits: &Limits,
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
///
/// # Errors
/// [`ArchiveError`] says what is wrong: with the archive, with its source, or with temporary storage.
pub fn verify_arriving(
    arriving: &mut Arriving<'_>,
    expected: &Expected<'_>,
    limits: &Limits,
) -> Result<Examined, ArchiveError> {
    let on_disk = arriving.on_disk();
    let scratch = || on_disk.scratch().map(|staged| Box::new(staged) as Box<dyn Scratch>);
    archive::verify(arriving, || on_disk.again(), scratch, expected, limits)
}

impl From<IntakeError<CouldNotAsk, IngestError>> for IngestError {
    fn from(error: IntakeError<CouldNotAsk, IngestError>) -> Self {
        match error {
            IntakeError::Source(error) => error.into(),
            IntakeError::TooLarge { limit } => Self::TooLarge { limit },
            IntakeError::Inspected(error) => error,
            IntakeError::Store(error) => error.into(),
            IntakeError::Trickles(_) => CouldNotAsk::TimedOut.into(),
            IntakeError::Lost => Self::Lost,
        }
    }
}

impl Scratch for Staged {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        Self::read_exact_at(self, into, offset)
    }
}
