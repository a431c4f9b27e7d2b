//! Checks that every reader unpacks an archive alike, for archives that were stored before their framing was checked.
//!
//! Owns the check, and packing an archive anew in its place, where the new file atomically replaces the old one under
//! the same tree. Must not know which framing is canonical (`archive`).

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::finding::{Finding, FindingKind, quoted};
use crate::domain::Integrity;
use crate::store::sealed::{self, Seal, SealWriter, SealedContent};
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

    /// The content, each block compared with the seal. Reading it blocks the thread.
    fn content(&self) -> SealedContent<impl FnMut(Range<u64>) -> io::Result<Bytes> + '_> {
        SealedContent::new(self.seal.length, |step| {
            Ok(self.runtime.block_on(self.seal.read(&*self.store, &self.key, step))?)
        })
    }

    fn scratch(&self) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(self.store.stage()?))
    }

    fn examine(&self) -> Result<Examined, archive::ArchiveError> {
        archive::examine(|| Ok(self.content()), || self.scratch(), &ANY)
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
        let packed = archive::pack(|| Ok(self.content()), || self.scratch(), &ANY, sealing);
        let (sealing, written) = packed.map_err(refused)?;
        let examined =
            archive::examine(|| sealing.get_ref().reopen(), || self.scratch(), &ANY).map_err(refused)?;
        if written != tree || examined.integrity != tree || examined.framing != Framing::Canonical {
            return Err(io::Error::other("the archive that was packed anew has another tree").into());
        }
        Ok(sealing.finish(self.seal.known_by, &self.seal.identity)?.0)
    }
}
