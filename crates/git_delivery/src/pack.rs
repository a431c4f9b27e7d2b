//! A pack that a server sends: received, indexed, found complete, and only then seen by anybody.
//!
//! Owns the order of these steps, and the staged files, which vanish with the value. Must not know the protocol around a pack, nor
//! where it is kept afterwards.

mod complete;
mod index;
mod receive;
mod resolve;

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;

use gix_hash::ObjectId;
use tempfile::TempDir;

use crate::objects::GitObjects;
use crate::{CommitId, FetchError, GitAllowance};

/// The name of a pack in a folder of its own.
pub(crate) const PACK: &str = "objects.pack";
/// The name of its index.
pub(crate) const INDEX: &str = "objects.idx";

/// One object of a pack.
struct PackedObject {
    /// Where its entry begins.
    offset: u64,
    /// The checksum of its entry.
    crc: u32,
    form: StoredForm,
    /// Its name, once it is known.
    id: Option<ObjectId>,
}

/// How a pack stores an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoredForm {
    Whole,
    /// As a difference from the object with this place in the pack.
    DeltaOf(u32),
    /// As a difference from the object with this name.
    DeltaOfId(ObjectId),
}

/// A pack and its index in a folder of their own, which is removed with this value.
pub(crate) struct StagedPack {
    folder: TempDir,
    /// Of all its bytes. Packs are named by it.
    checksum: ObjectId,
}

impl StagedPack {
    /// Receives and indexes a pack below the folder `staging`.
    pub(crate) fn receive(
        body: &mut dyn Read,
        staging: &Path,
        allowance: &GitAllowance<'_>,
    ) -> Result<Self, FetchError> {
        let folder = tempfile::tempdir_in(staging).map_err(FetchError::Storage)?;
        let mut staged = Self { folder, checksum: ObjectId::null(gix_hash::Kind::Sha1) };
        let pack = File::create_new(staged.folder().join(PACK)).map_err(FetchError::Storage)?;
        let (mut objects, checksum) = receive::receive(body, &pack, allowance)?;
        staged.checksum = checksum;
        resolve::resolve(&mut objects, &staged.folder().join(PACK), allowance)?;
        let index = File::create_new(staged.folder().join(INDEX)).map_err(FetchError::Storage)?;
        index::write(objects, &checksum, BufWriter::new(index))?;
        Ok(staged)
    }

    /// The folder in which pack and index lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A name that only the same bytes have.
    pub(crate) fn name(&self) -> String {
        self.checksum.to_string()
    }

    /// The objects, once the pack is found to have all that the commits hold. They can be read after the files are gone.
    pub(crate) fn complete(
        &self,
        commits: &[CommitId],
        allowance: &GitAllowance<'_>,
    ) -> Result<GitObjects, FetchError> {
        let objects = GitObjects::of(self.folder(), &[self.folder().join(INDEX)], allowance.limits())?;
        commits.iter().try_for_each(|commit| complete::check(&objects, *commit, allowance))?;
        Ok(objects)
    }
}
