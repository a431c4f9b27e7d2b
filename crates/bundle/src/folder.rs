//! A folder that is held by its handle, in which no link is followed.
//!
//! Owns every call that opens, makes, renames or removes something in a bundle's folder. The folder itself may be reached by
//! links, since an operator named it; what is below belongs to whoever filled it. Must not know what the files mean.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Advice, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, fadvise, flock, fstat, fsync, mkdirat,
    open, openat, renameat, statat, syncfs, unlinkat,
};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Why a file cannot be opened.
#[derive(Debug)]
pub(crate) enum EntryFault {
    /// It is not there.
    Missing,
    /// It is a link, a pipe, a device or a folder.
    Special,
    /// The system refuses.
    Io(io::Error),
}

impl From<Errno> for EntryFault {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Missing,
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => Self::Special,
            other => Self::Io(other.into()),
        }
    }
}

impl Drop for BundleFolder {
    /// Gives the lock back, which would otherwise last as long as a child process that was forked meanwhile holds the handle.
    fn drop(&mut self) {
        // One that was never locked has nothing to give back.
        let _ = flock(&self.handle, FlockOperation::Unlock);
    }
}

/// An open folder.
pub(crate) struct BundleFolder {
    handle: File,
    path: PathBuf,
}

impl BundleFolder {
    /// Opens the folder that an operator named.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let named = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self { handle: open(named, FOLDER, Mode::empty())?.into(), path: path.to_owned() })
    }

    /// Opens a folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<Self, EntryFault> {
        let handle = openat(&self.handle, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?.into();
        Ok(Self { handle, path: self.path_of(name) })
    }

    /// Opens a folder in it that is made where it is missing.
    pub(crate) fn made(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.handle, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.folder(name).map_err(|fault| match fault {
            EntryFault::Io(error) => error,
            EntryFault::Missing => Errno::NOENT.into(),
            EntryFault::Special => Errno::NOTDIR.into(),
        })
    }

    /// Opens a regular file for reading.
    pub(crate) fn read(&self, name: &str) -> Result<File, EntryFault> {
        let is_regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
        // To open a device can do something, so it is looked at first; and once more, since it may have been replaced.
        if !is_regular(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) {
            return Err(EntryFault::Special);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&self.handle, name, flags, Mode::empty())?;
        if is_regular(fstat(&file)?.st_mode) { Ok(file.into()) } else { Err(EntryFault::Special) }
    }

    /// Makes a new file, in place of any that was there.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.remove(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Gives a file its name in `target`, in place of any that was there.
    pub(crate) fn rename(&self, name: &str, target: &Self, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, name, &target.handle, to)?)
    }

    /// Removes a file, or a link but not its target, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a folder if it is empty.
    pub(crate) fn remove_empty(&self, name: &str) {
        // One that is not empty, or no folder, is not ours to remove.
        let _ = unlinkat(&self.handle, name, AtFlags::REMOVEDIR);
    }

    /// The name of something in it; none if it is empty.
    pub(crate) fn first_entry(&self) -> io::Result<Option<String>> {
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if !matches!(&*name, "." | "..") {
                return Ok(Some(name.into_owned()));
            }
        }
        Ok(None)
    }

    /// Every name in it for which `is_wanted`; others are not remembered.
    pub(crate) fn names(&self, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            names.extend(name.to_str().filter(|name| is_wanted(name)).map(str::to_owned));
        }
        Ok(names)
    }

    /// Waits until the names in it are on the medium.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match fsync(&self.handle) {
            // Some file systems of removable media have nothing to write for a folder.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until everything on its file system is on the medium: one call for any number of files.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        Ok(syncfs(&self.handle)?)
    }

    /// Has the system begin to write a file to the medium, and waits for nothing: a flush at the end then has less to do.
    pub(crate) fn begin_flush(file: &File) {
        // Advice; without it the flush at the end takes longer.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }

    /// Keeps other writers out for as long as it is open; `false` when there is one.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        match flock(&self.handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            // A file system without locks has no second writer that would honour one.
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Where something in it lies, for messages.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
