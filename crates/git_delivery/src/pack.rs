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
use std::path::{Path, PathBuf};

use gix_hash::ObjectId;
use tempfile::TempDir;

use crate::objects::GitObjects;
use crate::{Allowance, CommitId, FetchError, GitLimits};

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
        limits: &GitLimits,
        allowance: &Allowance<'_>,
    ) -> Result<Self, FetchError> {
        let folder = tempfile::tempdir_in(staging).map_err(FetchError::Storage)?;
        let mut staged = Self { folder, checksum: ObjectId::null(gix_hash::Kind::Sha1) };
        let pack = File::create_new(staged.pack()).map_err(FetchError::Storage)?;
        let (mut objects, checksum) = receive::receive(body, &pack, limits, allowance)?;
        staged.checksum = checksum;
        resolve::resolve(&mut objects, &staged.pack(), limits, allowance)?;
        let index = File::create_new(staged.index()).map_err(FetchError::Storage)?;
        index::write(objects, &checksum, BufWriter::new(index))?;
        Ok(staged)
    }

    pub(crate) fn pack(&self) -> PathBuf {
        self.folder.path().join("staged.pack")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.folder.path().join("staged.idx")
    }

    /// The name of the pack in a repository, without its ending.
    pub(crate) fn name(&self) -> String {
        format!("pack-{}", self.checksum)
    }

    /// Checks that the pack has all that the commits hold.
    pub(crate) fn check_complete(
        &self,
        commits: &[CommitId],
        limits: &GitLimits,
        allowance: &Allowance<'_>,
    ) -> Result<(), FetchError> {
        let objects = GitObjects::of(self.folder.path(), &[self.index()], limits)?;
        commits.iter().try_for_each(|commit| complete::check(&objects, *commit, limits, allowance))
    }
}
