//! The file of the audit record: opened, locked, appended to.
//!
//! Several processes may write to one file: two proxies while one hands over to the other, and commands beside a proxy. So each
//! append locks the file and looks whether somebody else wrote meanwhile. A link or a pipe in its place is not opened. Only the
//! end of the file is read, whatever its length.
//!
//! | the file | what follows |
//! |---|---|
//! | renamed, and no other has its name yet | it is being rotated: lines go on to it |
//! | removed, or another has its name | the record goes on in the file of that name, and the first line says why |
//! | cut | the first line after the cut says so |
//!
//! Owns that, and that a line which could be written in part only is taken back.
//! Must not know why something is recorded.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tracing::error;

use super::chain::{ChainEnd, ChainedText, ZEROS};
use super::entry::{Actor, AuditAction, AuditEntry};
use crate::clock::Timestamp;

/// How much of the end is read at first, and at most.
const TAIL: u64 = 64 << 10;
const LONGEST_TAIL: u64 = 4 << 20;

/// How often, and after which pause, a lock is tried: two seconds in all. An append takes milliseconds.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(10);

/// Why a file cannot be the audit record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditFileError {
    #[error("log.audit: {} cannot be written: {source}; make its folder, and let this user write there", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("log.audit: {} is no regular file; name one that only this proxy writes", .0.display())]
    NotAFile(PathBuf),
    #[error("log.audit: {} is something else than an audit record; name another file", .0.display())]
    Foreign(PathBuf),
}

/// An open file.
#[derive(Debug)]
pub(crate) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Its length when `end` was read.
    length: u64,
    end: ChainEnd,
    /// What the next line says of the file before it.
    continues: Option<Continuation>,
}

/// The end of the file that another one continues.
#[derive(Debug, Clone)]
struct Continuation {
    /// The digest of its last line.
    after: String,
    /// What happened to it, unless an operator rotated it.
    because: Option<&'static str>,
}

impl AuditFile {
    /// Opens the file at `path`, or makes it, readable by its owner alone.
    ///
    /// # Errors
    /// [`AuditFileError`] where it cannot be the audit record.
    pub(crate) fn open(path: &Path) -> Result<Self, AuditFileError> {
        Self::open_with(path, OFlags::CREATE)
    }

    /// Tries what `open` does, and makes nothing.
    ///
    /// # Errors
    /// [`AuditFileError`] where it cannot be the audit record.
    pub(crate) fn prove(path: &Path) -> Result<(), AuditFileError> {
        match Self::open_with(path, OFlags::empty()) {
            Err(AuditFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            proven => return proven.map(|_| ()),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let made = tempfile::tempfile_in(folder.unwrap_or(Path::new(".")));
        made.map(|_| ()).map_err(|source| AuditFileError::Io { path: path.to_owned(), source })
    }

    fn open_with(path: &Path, making: OFlags) -> Result<Self, AuditFileError> {
        let failed = |source: io::Error| AuditFileError::Io { path: path.to_owned(), source };
        // A pipe must not block here.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | making
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::NONBLOCK;
        let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(opened.map_err(|error| failed(error.into()))?);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(AuditFileError::NotAFile(path.to_owned()));
        }
        let mut opened =
            Self { path: path.to_owned(), file, length: 0, end: ChainEnd::empty(), continues: None };
        lock(&opened.file).map_err(failed)?;
        let read = opened.read_end();
        opened.file.unlock().map_err(failed)?;
        if !read.map_err(failed)? || opened.end.is_foreign() {
            return Err(AuditFileError::Foreign(path.to_owned()));
        }
        Ok(opened)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on in this file after `before`, which may be the same file.
    pub(super) fn following(mut self, before: &Self) -> Self {
        let place = |file: &File| file.metadata().ok().map(|about| (about.dev(), about.ino()));
        let is_same = place(&self.file).is_some_and(|own| Some(own) == place(&before.file));
        if !is_same && before.end.last != ZEROS {
            self.continues = Some(Continuation { after: before.end.last.clone(), because: None });
        } else if is_same {
            self.continues.clone_from(&before.continues);
        }
        self
    }

    /// Appends these entries in one write, and waits until the disk has them.
    ///
    /// # Errors
    /// When the disk does not take them; then none of them is in the file.
    pub(crate) fn append(&mut self, entries: &[(Timestamp, AuditEntry)]) -> io::Result<()> {
        if let Some((now, _)) = entries.first() {
            self.follow_its_name()?;
            self.write(*now, entries)
        } else {
            Ok(())
        }
    }

    /// Goes on in the file that has the name now, if this one lost it for good, and says so there.
    ///
    /// # Errors
    /// When that file cannot be written.
    pub(super) fn look(&mut self, now: Timestamp) -> io::Result<()> {
        match self.follow_its_name()? {
            true => self.write(now, &[]),
            false => Ok(()),
        }
    }

    /// Whether this is another file now.
    fn follow_its_name(&mut self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        let because = match std::fs::symlink_metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (own.dev(), own.ino()) => return Ok(false),
            _ if own.nlink() == 0 => "the file before was removed",
            Ok(_) => "another file was put in the place of the file before",
            Err(_) => return Ok(false),
        };
        let path = self.path.display();
        let next = match Self::open(&self.path) {
            Ok(next) => next,
            // What is in its place cannot be written, and this file is still somewhere.
            Err(error) if own.nlink() > 0 => {
                error!(%path, %error, because, "the audit record goes on in a file that has lost its name");
                return Ok(false);
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        error!(%path, because, "the audit record is begun anew; copy its last line elsewhere now and then");
        // Another process may have written the last line.
        self.refresh();
        let mut next = next.following(self);
        if let Some(continues) = &mut next.continues {
            continues.because = Some(because);
        }
        *self = next;
        Ok(true)
    }

    fn write(&mut self, now: Timestamp, entries: &[(Timestamp, AuditEntry)]) -> io::Result<()> {
        lock(&self.file)?;
        let appended = self.append_locked(now, entries);
        self.file.unlock()?;
        appended
    }

    fn append_locked(&mut self, now: Timestamp, entries: &[(Timestamp, AuditEntry)]) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.length {
            const BECAUSE: &str = "the file was cut";
            error!(path = %self.path.display(), because = BECAUSE, "the audit record goes on after what was there");
            let cut = || Continuation { after: self.end.last.clone(), because: Some(BECAUSE) };
            self.continues.get_or_insert_with(cut);
        }
        if length != self.length && !self.read_end()? {
            return Err(io::Error::other("the file ends with something else than an audit record"));
        }
        let (mut text, last) = self.text(now, entries);
        if text.is_empty() {
            return Ok(());
        }
        if self.end.is_open {
            text.insert(0, b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A line in part would have to be sealed. If even this fails, it is.
            let _ = self.file.set_len(length);
            return Err(error);
        }
        self.length = length + text.len() as u64;
        self.end = ChainEnd::after(last);
        self.continues = None;
        Ok(())
    }

    /// The lines of `entries`, after a seal and the mark of another file where they are needed.
    fn text(&self, now: Timestamp, entries: &[(Timestamp, AuditEntry)]) -> (Vec<u8>, String) {
        let is_empty = self.end.last == ZEROS;
        let previous = match &self.continues {
            Some(before) if is_empty => before.after.clone(),
            Some(_) | None => self.end.last.clone(),
        };
        let mut chain = ChainedText::after(previous);
        if let Some(seal) = self.end.seal() {
            chain.add(&seal, now);
        }
        if let Some(Continuation { after, because }) = &self.continues {
            let mark = AuditEntry::new(AuditAction::Continued, &Actor::Proxy, None).with("after", &**after);
            let mark = because.map_or(mark.clone(), |because| mark.with("because", because));
            chain.add(&mark, now);
        }
        for (at, entry) in entries {
            chain.add(entry, *at);
        }
        chain.last()
    }

    /// Looks at what other processes appended. If the file cannot be read, what was known of it counts.
    pub(crate) fn refresh(&mut self) {
        if lock(&self.file).is_ok() {
            let _is_a_record = self.read_end();
            let _unlocked = self.file.unlock();
        }
    }

    /// Reads the end of the file. Answers with whether it is that of an audit record.
    fn read_end(&mut self) -> io::Result<bool> {
        let length = self.file.metadata()?.len();
        let mut wanted = TAIL;
        loop {
            let from = length.saturating_sub(wanted);
            let mut tail = Vec::new();
            self.file.seek(SeekFrom::Start(from))?;
            (&self.file).take(length - from).read_to_end(&mut tail)?;
            if let Some(end) = ChainEnd::read(&tail, from == 0) {
                (self.length, self.end) = (length, end);
                return Ok(true);
            }
            if wanted >= LONGEST_TAIL {
                return Ok(false);
            }
            wanted *= 8;
        }
    }
}

#[cfg(test)]
impl AuditFile {
    /// The same file, on a disk that takes nothing.
    pub(super) fn failing(mut self) -> Self {
        self.file = File::open(&self.path).expect("a readable file");
        self
    }
}

/// Locks the file against other processes that write to it. One that holds the lock without end must not stop this one.
fn lock(file: &File) -> io::Result<()> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("another process keeps it locked"))
}

#[cfg(test)]
mod tests;
