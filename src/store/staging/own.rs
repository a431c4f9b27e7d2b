//! One process's directory among those that processes stage in, and the files in it.
//!
//! Both are made, opened and removed by handle, so that nobody who may write somewhere above can lead this process to
//! another file. Owns that, and that a file is gone with its value. Must not know what is staged.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::private::{Private, PrivateError, is_same};

/// How the directories of processes are called.
const RUN: &str = "run-";
const STAGED: &str = "staged-";

/// Whether a process's directory could be called so.
pub(super) fn is_run(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(RUN))
}

/// This process's own directory, made when it is first needed, gone with the value. It is locked; the system unlocks it
/// when the process ends.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) name: OsString,
    folder: Private,
    above: Private,
}

impl Own {
    pub(super) fn below(above: Private) -> io::Result<Self> {
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

    /// Whether it is still where the storage would look for it.
    pub(super) fn is_in_place(&self) -> bool {
        self.folder.is_in_place()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // One that still holds files stays for the next sweep.
        let _ = self.above.remove_folder(&self.name);
    }
}

/// A file in such a directory, gone with its value unless it was moved.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) file: File,
    name: OsString,
    path: PathBuf,
    own: Arc<Own>,
    moved: bool,
}

impl Draft {
    pub(super) fn new(own: Arc<Own>) -> io::Result<Self> {
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

    /// It is another's file now, and stays.
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

/// Unique, not secret: nobody else may look in.
fn named(prefix: &str) -> OsString {
    format!("{prefix}{:016x}", fastrand::u64(..)).into()
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}
