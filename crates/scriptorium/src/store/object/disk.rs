//! The operations on a file system whose order decides what a power cut leaves.
//!
//! Owns how the system is asked for each. Must not know why one is done before another (`folder`, `group`).

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;
use tracing::warn;

/// A file system. Every call blocks.
pub(in crate::store) trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it, as far as they are missing.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Renames a file to a name that is free; `AlreadyExists` if it is taken.
    fn claim(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file and replaces what has the name.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; `NotFound` if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Waits until the content of `file`, which is at `path`, outlives a power cut.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Waits until everything that was done before outlives a power cut.
    fn flush(&self) -> io::Result<()>;
}

/// The file system of a folder.
#[derive(Debug)]
pub(super) struct SystemDisk {
    /// Held open, so that the system reports an error of an earlier write to it.
    folder: File,
}

impl SystemDisk {
    /// The file system of `root`, which is made if it is missing. If `durable`, the folder outlives a power cut.
    pub(super) fn below(root: &Path, durable: bool) -> io::Result<Self> {
        let missing: Vec<&Path> = root.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(root)?;
        // A flush reaches the file system of `root` only, and the folders above may be on another.
        for parent in missing.into_iter().filter_map(Path::parent).filter(|_| durable) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            // A process may be allowed to write to a folder that it cannot open; that is no reason not to start.
            if let Err(error) = File::open(parent).and_then(|folder| folder.sync_all()) {
                warn!(directory = %parent.display(), %error, "the new storage folder could not be synced; a power cut now may lose it");
            }
        }
        Ok(Self { folder: File::open(root)? })
    }
}

impl Disk for SystemDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn claim(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some network file systems have no such rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            claimed => Ok(claimed?),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn flush(&self) -> io::Result<()> {
        Ok(syncfs(&self.folder)?)
    }
}

/// The names of those in `folders` that are not empty.
pub(super) fn is_any_filled(folders: &[PathBuf]) -> io::Result<bool> {
    for folder in folders {
        match fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().transpose()?.is_some() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
