//! The objects of a bare repository: loose ones, and those in packs.
//!
//! Owns where an object is found, and in which way its content is read. A content comes in pieces ([`GitObject`]): an object that is
//! stored whole is inflated piece by piece, however long it is, and one that is stored as a difference is held in memory, within
//! a limit. Every content is held against the object's name when it was read. Must not know what an object holds.

mod commit;
mod content;
mod loose;
mod packed;

use std::io;
use std::path::{Path, PathBuf};

use gix_hash::{ObjectId, oid};
use gix_object::Kind;

pub(crate) use content::GitObject;
use packed::OpenPack;

use crate::{CommitId, GitAllowance, GitExcess, GitLimits};

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It is not there.
    #[error("the object {0} is missing; fetch the repository again")]
    Missing(ObjectId),
    /// It is another kind of object than the one that refers to it says.
    #[error("the object {id} is no {expected}")]
    Kind {
        /// Its name.
        id: ObjectId,
        /// The kind that was expected.
        expected: Kind,
    },
    /// It is not in the form that Git gives it.
    #[error("the object {0} is malformed")]
    Malformed(ObjectId),
    /// What should be a commit is none, and no tag of one.
    #[error("the reference names no commit")]
    NoCommit,
    /// Its stored bytes are damaged.
    #[error("the stored bytes of the object {0} are damaged; fetch the repository again")]
    Damaged(ObjectId),
    /// A limit was reached.
    #[error("the repository exceeds a limit: {0}")]
    Exceeded(#[from] GitExcess),
    /// The disk failed.
    #[error("the stored repository cannot be read; look at the disk")]
    Storage(#[source] io::Error),
}

/// The objects below a folder `objects` of a bare repository.
pub struct GitObjects {
    folder: PathBuf,
    packs: Vec<OpenPack>,
}

impl GitObjects {
    /// Opens the folder and its packs. Of `limits` counts here how much memory it takes to resolve a difference.
    ///
    /// # Errors
    /// [`ObjectError::Storage`]: the folder or a pack's index cannot be read.
    pub fn open(folder: &Path, limits: &GitLimits) -> Result<Self, ObjectError> {
        let mut indexes = Vec::new();
        match std::fs::read_dir(folder.join("pack")) {
            Ok(entries) => {
                for entry in entries {
                    indexes.push(entry.map_err(ObjectError::Storage)?.path());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ObjectError::Storage(error)),
        }
        indexes.retain(|path| path.extension().is_some_and(|extension| extension == "idx"));
        indexes.sort_unstable();
        Self::of(folder, &indexes, limits)
    }

    /// The objects of the packs with these indexes alone, and the loose ones of `folder`.
    pub(crate) fn of(folder: &Path, indexes: &[PathBuf], limits: &GitLimits) -> Result<Self, ObjectError> {
        let packs = indexes.iter().filter_map(|index| OpenPack::open(index, limits).transpose());
        let packs = packs.collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.to_owned(), packs })
    }

    /// Whether a commit is there. What it holds is there too, if it was asked for when it came.
    #[must_use]
    pub fn holds(&self, commit: CommitId) -> bool {
        self.contains(&commit.0)
    }

    /// Whether an object is there.
    pub(crate) fn contains(&self, id: &oid) -> bool {
        self.packs.iter().any(|pack| pack.contains(id)) || loose::path_of(&self.folder, id).exists()
    }

    /// Opens an object to read it in pieces.
    pub(crate) fn open_object(
        &self,
        id: &oid,
        expected: Kind,
        allowance: &GitAllowance<'_>,
    ) -> Result<GitObject<'_>, ObjectError> {
        let object = match self.packs.iter().find(|pack| pack.contains(id)) {
            Some(pack) => pack.object(id, allowance)?,
            None => loose::object(&self.folder, id)?,
        };
        if object.kind() != expected {
            return Err(ObjectError::Kind { id: id.to_owned(), expected });
        }
        let max_file = allowance.limits().max_file;
        if object.len() > max_file {
            return Err(GitExcess::File(max_file).into());
        }
        Ok(object)
    }

    /// Reads an object into memory, instead of what is in `bytes`.
    pub(crate) fn read(
        &self,
        id: &oid,
        expected: Kind,
        allowance: &GitAllowance<'_>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ObjectError> {
        let mut object = self.open_object(id, expected, allowance)?;
        allowance.hold(object.len())?;
        bytes.clear();
        while let Some(piece) = object.next_piece(allowance)? {
            bytes.extend_from_slice(piece);
        }
        Ok(())
    }
}
