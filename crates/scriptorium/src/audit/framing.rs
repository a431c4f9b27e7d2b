//! Checks that every reader unpacks an archive alike, for archives that were stored before their framing was checked.
//!
//! Owns the check, and packing an archive anew in its place, where the new file atomically replaces the old one under
//! the same tree. Must not know which framing is canonical (`archive`).

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use super::finding::{Finding, FindingKind, quoted};
use crate::domain::Integrity;
use crate::store::sealed::{self, Seal, SealWriter, steps};
use crate::store::{StorageKey, Store, StoreError};
use archive::{ArchiveLimits, Examined, Framing, Scratch};

/// An archive that is stored was within the limits of its time.
const ANY: ArchiveLimits = ArchiveLimits { max_unpacked: u64::MAX, max_entries: u64::MAX };

/// A sealed archive in the store.
#[derive(Clone)]
pub(super) struct StoredArchive {
    store: Arc<dyn Store>,
    key: StorageKey,
    seal: Arc<Seal>,
    runtime: Handle,
}

impl StoredArchive {
    /// The archive of `tree`; `None` if it was removed.
    pub(super) async fn open(store: &Arc<dyn Store>, tree: Integrity) -> Result<Option<Self>, StoreError> {
        let key = StorageKey::Archive(tree);
        let Some(seal) = sealed::open(&**store, &key).await? else { return Ok(None) };
        Ok(Some(Self { store: Arc::clone(store), key, seal: Arc::new(seal), runtime: Handle::current() }))
    }

    pub(super) fn length(&self) -> u64 {
        self.seal.length
    }

    /// Unpacks it.
    pub(super) async fn judge(&self, tree: Integrity) -> Result<(), Finding> {
        const EXPECTED: &str = "an archive that every reader unpacks alike";
        let (here, path) = (self.clone(), self.key.path());
        let examined = tokio::task::spawn_blocking(move || here.examine()).await;
        let finding = match examined.map_err(|_| io::ErrorKind::Other) {
            Ok(Ok(Examined { framing: Framing::Canonical, integrity, .. })) if integrity == tree => {
                return Ok(());
            }
            Ok(Ok(Examined { framing: Framing::Readable(departure), integrity, .. }))
                if integrity == tree =>
            {
                Finding::new(FindingKind::Framing, path, EXPECTED, departure.to_string())
            }
            Ok(Ok(Examined { integrity, .. })) => Finding::new(
                FindingKind::Archive,
                path,
                format!("the archive of tree {tree}"),
                format!("that of {integrity}"),
            ),
            Ok(Err(archive::ArchiveError::Source(error) | archive::ArchiveError::Scratch(error))) => {
                Finding::unreadable(path, &StoreError::from(error))
            }
            Ok(Err(error)) => Finding::new(FindingKind::Archive, path, EXPECTED, error.to_string()),
            Err(kind) => Finding::unreadable(path, &StoreError::from(io::Error::from(kind))),
        };
        Err(finding.of(quoted(&self.seal.identity)))
    }

    /// Packs it anew and replaces it.
    /// When that fails, the old one stays.
    pub(super) async fn pack_anew(&self, tree: Integrity) -> Result<(), StoreError> {
        let here = self.clone();
        let packed = tokio::task::spawn_blocking(move || here.pack(tree));
        let staged = packed.await.map_err(io::Error::from)??;
        self.store
            .commit(&self.key, staged.replacing())
            .await
            .map(drop)
            .map_err(|uncommitted| uncommitted.error)
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(self.store.stage()?))
    }

    fn examine(&self) -> Result<Examined, archive::ArchiveError> {
        archive::examine(|| Ok(SealedContent::of(self)), || self.scratch(), &ANY)
    }

    fn pack(&self, tree: Integrity) -> Result<crate::store::Staged, StoreError> {
        let refused = |error: archive::ArchiveError| match error {
            archive::ArchiveError::Scratch(error) | archive::ArchiveError::Source(error) => {
                StoreError::from(error)
            }
            error => io::Error::other(error).into(),
        };
        let sealing = SealWriter::made_by(self.store.stage()?, archive::RECIPE);
        let sealing = sealing.with_facts(self.seal.facts.clone());
        let packed = archive::pack(|| Ok(SealedContent::of(self)), || self.scratch(), &ANY, sealing);
        let (sealing, written) = packed.map_err(refused)?;
        let examined =
            archive::examine(|| sealing.get_ref().reopen(), || self.scratch(), &ANY).map_err(refused)?;
        if written != tree || examined.integrity != tree || examined.framing != Framing::Canonical {
            return Err(io::Error::other("the archive that was packed anew has another tree").into());
        }
        Ok(sealing.finish(self.seal.known_by, &self.seal.identity)?.0)
    }
}

/// Reads sealed content, and checks each block against the seal. Blocks the thread.
struct SealedContent<'a> {
    stored: &'a StoredArchive,
    at: u64,
    piece: Bytes,
}

impl<'a> SealedContent<'a> {
    fn of(stored: &'a StoredArchive) -> Self {
        Self { stored, at: 0, piece: Bytes::new() }
    }
}

impl Read for SealedContent<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let StoredArchive { store, key, seal, runtime } = self.stored;
        if self.piece.is_empty()
            && let Some(step) = steps(self.at..seal.length).next()
        {
            self.at = step.end;
            self.piece = runtime.block_on(seal.read(&**store, key, step))?;
        }
        let length = self.piece.len().min(into.len());
        let (into, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}
