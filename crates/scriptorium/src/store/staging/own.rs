//! The folder in which one process stages files, and those files.
//!
//! Both are made, opened and removed by handle, so that nobody who can write to a folder above can redirect this process
//! to another file. Owns that, and that dropping a draft removes its file. Must not know what is staged.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::private::{PrivateError, PrivateFolder, is_same};

/// What the names of the folders of processes begin with.
const RUN: &str = "run-";
const STAGED: &str = "staged-";

/// Whether `name` can be that of a process's folder.
pub(super) fn is_process_folder(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(RUN))
}

/// The folder of this process, removed on drop. It is locked; the system unlocks it when the process ends.
#[derive(Debug)]
pub(super) struct ProcessFolder {
    pub(super) name: OsString,
    folder: PrivateFolder,
    above: PrivateFolder,
}

impl ProcessFolder {
    pub(super) fn below(above: PrivateFolder) -> io::Result<Self> {
        loop {
            let name = named(RUN);
            let folder = match above.make_folder(&name) {
                Err(PrivateError::Io { source, .. }) if is_taken(&source) => continue,
                folder => folder?,
            };
            folder.handle().lock()?;
            // Another process may have swept it before it was locked.
            if folder.is_in_place() {
                return Ok(Self { name, folder, above });
            }
            if !above.is_in_place() {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether its path still leads to it.
    pub(super) fn is_in_place(&self) -> bool {
        self.folder.is_in_place()
    }
}

impl Drop for ProcessFolder {
    fn drop(&mut self) {
        // A folder that still contains files is left for the next sweep.
        let _ = self.above.remove_folder(&self.name);
    }
}

/// A file in such a folder, removed on drop unless it was moved.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) file: File,
    name: OsString,
    path: PathBuf,
    own: Arc<ProcessFolder>,
    moved: bool,
}

impl Draft {
    pub(super) fn new(own: Arc<ProcessFolder>) -> io::Result<Self> {
        loop {
            let name = named(STAGED);
            match own.folder.create(&name) {
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    let path = own.path().join(&name);
                    return Ok(Self { file, name, path, own, moved: false });
                }
            }
        }
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle, which reads from the start.
    pub(in crate::store) fn reopen(&self) -> io::Result<File> {
        let again = self.own.folder.read(&self.name)?;
        if is_same(&again.metadata()?, &self.file.metadata()?) {
            return Ok(again);
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "another file took the place of a staged one"))
    }

    /// The file was renamed and is not removed on drop.
    pub(in crate::store) fn moved(&mut self) {
        self.moved = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.moved {
            let _ = self.own.folder.remove(&self.name);
        }
    }
}

/// A unique name. It need not be secret, since nobody else can open the folder.
fn named(prefix: &str) -> OsString {
    format!("{prefix}{:016x}", fastrand::u64(..)).into()
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}
