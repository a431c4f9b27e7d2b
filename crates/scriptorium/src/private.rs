//! A private folder: only its user can open it, and its files are reached by handle.
//!
//! In a folder where others can write, such as the system's temporary folder, anybody can take a known name, for example
//! with a link to somebody else's files. So a private folder is made or opened without following a link, and is accepted
//! only if it is a folder and belongs to the right user; it is closed to others. Files in it are opened by their names
//! relative to its handle, so no change of the path above can redirect them.
//!
//! Owns that. Must not know what is in such a folder.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fchmod, fstat, mkdirat, open, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Read, write and search permission for group and others.
const OTHERS: u32 = 0o077;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a folder cannot be used as a private one.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    #[error(
        "{} is a link or a file, not a folder; another user may have made it: inspect and remove it, or configure \
         another folder",
        path.display()
    )]
    NoFolder { path: PathBuf },
    #[error(
        "{} belongs to user {owner}, but this process runs as user {us}: remove it, or configure another folder",
        path.display()
    )]
    Foreign { path: PathBuf, owner: u32, us: u32 },
    /// It cannot be made or opened.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl PrivateError {
    /// Whether another user may have put something in the folder's place.
    pub(crate) fn is_planted(&self) -> bool {
        match self {
            Self::NoFolder { .. } | Self::Foreign { .. } => true,
            Self::Io { .. } => false,
        }
    }
}

/// Keeps the kind, which tells a full or read-only disk from other failures.
impl From<PrivateError> for io::Error {
    fn from(error: PrivateError) -> Self {
        let kind = match &error {
            PrivateError::NoFolder { .. } => io::ErrorKind::NotADirectory,
            PrivateError::Foreign { .. } => io::ErrorKind::PermissionDenied,
            PrivateError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// A private folder, held open.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    handle: File,
    path: PathBuf,
}

impl PrivateFolder {
    /// Opens the folder at `path`, which is made if it is missing, like those above it.
    ///
    /// # Errors
    /// [`PrivateError`] when it is not private or cannot be made so.
    pub(crate) fn open(path: &Path) -> Result<Self, PrivateError> {
        let failed = |source| PrivateError::Io { path: path.to_owned(), source };
        let (above, name) = parts(path).map_err(failed)?;
        fs::create_dir_all(above).map_err(failed)?;
        let above = parent(above).map_err(failed)?;
        make(above.as_fd(), name).map_err(failed)?;
        Self::at(above.as_fd(), name, path.to_owned())
    }

    /// Opens the folder at `path` if there is one.
    ///
    /// # Errors
    /// [`PrivateError`] when it is not private.
    pub(crate) fn existing(path: &Path) -> Result<Option<Self>, PrivateError> {
        let failed = |source| PrivateError::Io { path: path.to_owned(), source };
        let (above, name) = parts(path).map_err(failed)?;
        let opened = match parent(above) {
            Ok(above) => Self::at(above.as_fd(), name, path.to_owned()),
            Err(source) => Err(failed(source)),
        };
        match opened {
            Err(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Opens the folder `name` in this one.
    ///
    /// # Errors
    /// [`PrivateError`] when it is not private, or missing.
    pub(crate) fn folder(&self, name: &OsStr) -> Result<Self, PrivateError> {
        Self::at(self.handle.as_fd(), name, self.path.join(name))
    }

    /// Makes a folder `name` in this one.
    ///
    /// # Errors
    /// [`PrivateError::Io`] when the name is taken, or nothing can be made.
    pub(crate) fn make_folder(&self, name: &OsStr) -> Result<Self, PrivateError> {
        let path = self.path.join(name);
        match mkdirat(&self.handle, name, Mode::RWXU) {
            Ok(()) => self.folder(name),
            Err(error) => Err(PrivateError::Io { path, source: error.into() }),
        }
    }

    fn at(above: BorrowedFd<'_>, name: &OsStr, path: PathBuf) -> Result<Self, PrivateError> {
        let handle = match openat(above, name, FOLDER, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(PrivateError::NoFolder { path }),
            Err(error) => return Err(PrivateError::Io { path, source: error.into() }),
        };
        let looked = || Ok::<_, Errno>((fstat(&handle)?, fstat(above)?));
        let (found, above) = match looked() {
            Ok(looked) => looked,
            Err(error) => return Err(PrivateError::Io { path, source: error.into() }),
        };
        let (owner, us) = (found.st_uid, user());
        // The owner of the folder above could replace this one anyway; so a command run by root can open the service's.
        if owner != us && owner != above.st_uid {
            return Err(PrivateError::Foreign { path, owner, us });
        }
        if found.st_mode & OTHERS != 0
            && let Err(error) = fchmod(&handle, Mode::RWXU)
        {
            return Err(PrivateError::Io { path, source: error.into() });
        }
        Ok(Self { handle: handle.into(), path })
    }

    /// The path by which it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself, to lock it.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// Whether its path still leads to it.
    pub(crate) fn is_in_place(&self) -> bool {
        let (here, there) = (self.handle.metadata(), fs::symlink_metadata(&self.path));
        here.is_ok_and(|here| there.is_ok_and(|there| is_same(&here, &there)))
    }

    /// The names of all files and folders in it.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let names = Dir::read_from(&self.handle)?.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        });
        let is_entry =
            |name: &io::Result<OsString>| !name.as_ref().is_ok_and(|name| name == "." || name == "..");
        names.filter(is_entry).collect()
    }

    /// Makes a new file for writing and reading.
    pub(crate) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Opens a file for reading.
    pub(crate) fn read(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, Mode::empty())?.into())
    }

    /// The length of a file.
    pub(crate) fn length(&self, name: &OsStr) -> io::Result<u64> {
        Ok(u64::try_from(statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?.st_size).unwrap_or_default())
    }

    /// Removes a file, or a link but not its target.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }
}

/// The user that this process runs as.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// Whether both are the same file.
pub(crate) fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn parts(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let named = path.parent().zip(path.file_name());
    named.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected a folder in another"))
}

/// The folder above, which may be reached by links, since an operator configured it.
fn parent(path: &Path) -> io::Result<File> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn make(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match mkdirat(above, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // On a read-only disk a folder that exists is enough.
        Err(Errno::ROFS | Errno::ACCESS) if statat(above, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_made_closed_and_one_that_is_open_is_closed() {
        let home = TempDir::new().unwrap();
        let (fresh, open) = (home.path().join("a/b/fresh"), home.path().join("open"));
        assert!(PrivateFolder::existing(&fresh).unwrap().is_none());
        assert!(PrivateFolder::open(&fresh).unwrap().names().unwrap().is_empty());
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        PrivateFolder::existing(&open).unwrap().unwrap();
        assert_eq!((mode(&fresh), mode(&open)), (0o700, 0o700));
    }

    #[test]
    fn neither_a_link_nor_a_file_nor_anothers_folder_is_taken() {
        let home = TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("target")).unwrap();
        fs::set_permissions(at("target"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::write(at("file"), "x").unwrap();
        for name in ["link", "dangling", "file"] {
            for opened in
                [PrivateFolder::open(&at(name)), PrivateFolder::existing(&at(name)).map(Option::unwrap)]
            {
                let refused = opened.unwrap_err();
                assert!(matches!(refused, PrivateError::NoFolder { .. }), "{name}: {refused}");
                assert!(refused.is_planted() && refused.to_string().contains(name), "{refused}");
            }
        }
        assert_eq!(mode(&at("target")), 0o755, "a link was followed");
        // Only root can give a folder away.
        if geteuid().is_root() {
            fs::create_dir(at("foreign")).unwrap();
            chown(at("foreign"), Some(65_534), Some(65_534)).unwrap();
            let refused = PrivateFolder::open(&at("foreign")).unwrap_err();
            assert!(matches!(refused, PrivateError::Foreign { owner: 65_534, .. }), "{refused}");
            assert_eq!(io::Error::from(refused).kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn what_is_done_in_it_stays_in_it_wherever_its_path_leads() {
        let home = TempDir::new().unwrap();
        let (path, victim) = (home.path().join("own"), home.path().join("victim"));
        let own = PrivateFolder::open(&path).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("a"), "theirs").unwrap();
        assert!(own.is_in_place());
        fs::rename(&path, home.path().join("moved")).unwrap();
        symlink(&victim, &path).unwrap();
        assert!(!own.is_in_place());
        drop(own.create(OsStr::new("a")).unwrap());
        assert_eq!(own.length(OsStr::new("a")).unwrap(), 0);
        assert!(own.create(OsStr::new("a")).is_err(), "a name is taken once");
        own.remove(OsStr::new("a")).unwrap();
        symlink(victim.join("a"), home.path().join("moved/link")).unwrap();
        assert!(own.read(OsStr::new("link")).is_err());
        own.remove(OsStr::new("link")).unwrap();
        assert!(own.names().unwrap().is_empty());
        assert_eq!(fs::read_to_string(victim.join("a")).unwrap(), "theirs");
    }
}
