//! A file that is being written and belongs to no key yet.
//!
//! Where its disk takes no more, it goes on elsewhere: what was written is copied, and whoever writes notices
//! nothing. It can then be read but not committed. Owns that, how much it may take, and the promise that what is
//! not committed is gone when it is dropped. Must not know where a commit takes it.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::staging::{Draft, Staging};

/// Bytes asked of a quota at a time.
const TAKEN_AT_ONCE: u64 = 64 * 1024;

/// What a file takes of a disk is whole pages.
const PAGE: u64 = 4096;

/// What a file of `bytes` bytes takes of a disk.
pub(super) fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE).saturating_mul(PAGE)
}

/// How much may lie somewhere. Asked by threads that may block.
pub trait Quota: Debug + Send + Sync {
    /// Takes `bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there are not as many left, or why staging fails for another reason.
    fn take(&self, bytes: u64) -> io::Result<()>;

    /// Gives back what was taken.
    fn give(&self, bytes: u64);
}

/// Where else files may be staged, and how much of them.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    /// The places, each for when those before it take nothing.
    pub(super) places: Vec<Arc<Staging>>,
    /// Bytes that may lie there in all.
    pub(super) quota: Arc<dyn Quota>,
}

/// A staged file; dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    draft: Draft,
    length: u64,
    taken: Taken,
    /// Where to go on when this place takes no more.
    retreat: Option<Ground>,
    /// Why the place from which it could be committed was left.
    away: Option<io::Error>,
    /// Whether a commit takes the place of what is there.
    over: bool,
}

/// What a file holds of a quota, given back with it.
#[derive(Debug)]
struct Taken {
    quota: Arc<dyn Quota>,
    bytes: u64,
}

impl Staged {
    /// One that may take as much as the disk.
    pub(super) fn new(draft: Draft) -> Self {
        let taken = Taken { quota: Arc::new(Unlimited), bytes: 0 };
        Self { draft, length: 0, taken, retreat: None, away: None, over: false }
    }

    /// One that begins on `ground`, because of `why` it could not begin where it could be committed.
    pub(super) fn away(mut ground: Ground, why: io::Error) -> io::Result<Self> {
        let mut refused = io::Error::from(why.kind());
        while !ground.places.is_empty() {
            match ground.places.remove(0).file() {
                Ok(staged) => {
                    let staged = staged.within(Arc::clone(&ground.quota)).or_on(ground);
                    return Ok(Self { away: Some(why), ..staged });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The same file, which is still empty, within `quota`.
    pub(super) fn within(self, quota: Arc<dyn Quota>) -> Self {
        Self { taken: Taken { quota, bytes: 0 }, ..self }
    }

    /// The same file, which goes on at `ground` when its own place takes no more.
    pub(super) fn or_on(self, ground: Ground) -> Self {
        Self { retreat: Some(ground).filter(|ground| !ground.places.is_empty()), ..self }
    }

    /// The same file, whose commit takes the place of a value that is there, also where the first would stay.
    #[must_use]
    pub fn over(self) -> Self {
        Self { over: true, ..self }
    }

    /// Whether its commit does.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// A second handle that reads from the start.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn reopen(&self) -> io::Result<File> {
        self.draft.reopen()
    }

    /// Fills `into` with the bytes at `offset`.
    ///
    /// # Errors
    /// When they cannot be read, or there are not as many.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.draft.file.read_exact_at(into, offset)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        self.draft.path()
    }

    /// Waits until the medium has the content.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.draft.file.sync_all()
    }

    /// It is another's file now, and stays.
    pub(super) fn moved(&mut self) {
        self.draft.moved();
    }

    /// Why it can only be read, if so.
    pub(super) fn is_away(&self) -> Option<StoreError> {
        self.away.as_ref().map(|why| io::Error::from(why.kind()).into())
    }

    /// Leaves what it holds of its quota to somebody else; so many bytes.
    pub(super) fn hand_over(&mut self) -> u64 {
        std::mem::take(&mut self.taken.bytes)
    }

    /// Holds `bytes` of its quota again.
    pub(super) fn take_back(&mut self, bytes: u64) {
        self.taken.bytes += bytes;
    }

    fn write_here(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken.cover(self.length + bytes.len() as u64)?;
        let written = self.draft.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    /// Leaves this place for the next that takes all of it, because of `why`, which is the error when there is none.
    fn retreat(&mut self, why: io::Error) -> io::Result<()> {
        let mut ground = self.retreat.take();
        let mut refused = why;
        while let Some(next) = ground {
            let first = self.away.as_ref().unwrap_or(&refused).kind();
            let mut elsewhere = Self::away(next, first.into())?;
            match elsewhere.copy(self) {
                Ok(()) => {
                    *self = elsewhere;
                    return Ok(());
                }
                Err(error) => (refused, ground) = (error, elsewhere.retreat.take()),
            }
        }
        Err(refused)
    }

    /// Takes what `from` holds.
    fn copy(&mut self, from: &Self) -> io::Result<()> {
        self.taken.cover(from.length)?;
        self.length = io::copy(&mut from.reopen()?, &mut self.draft.file)?;
        if self.length == from.length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.write_here(bytes) {
                // The next place may lie on the same full disk.
                Err(error) if error.kind() != io::ErrorKind::Interrupted => self.retreat(error)?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.file.flush()
    }
}

impl Taken {
    /// Takes what is missing to `bytes`, in whole pages, since that is what a file takes.
    fn cover(&mut self, bytes: u64) -> io::Result<()> {
        let missing = pages(bytes).saturating_sub(self.bytes);
        if missing == 0 {
            return Ok(());
        }
        let more = match self.quota.take(missing.max(TAKEN_AT_ONCE)) {
            Ok(()) => missing.max(TAKEN_AT_ONCE),
            Err(_) => self.quota.take(missing).map(|()| missing)?,
        };
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.quota.give(self.bytes);
    }
}

/// As much as the disk.
#[derive(Debug)]
struct Unlimited;

impl Quota for Unlimited {
    fn take(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn give(&self, _bytes: u64) {}
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::store::allowance::Allowance;

    fn purse(bytes: u64) -> Arc<Allowance> {
        Arc::new(Allowance::of(bytes))
    }

    fn below(directory: &TempDir) -> Arc<Staging> {
        Arc::new(Staging::below(directory.path().to_owned()))
    }

    fn count(directory: &TempDir) -> usize {
        let below = |path: PathBuf| if path.is_dir() { path.read_dir().unwrap().count() } else { 1 };
        directory.path().read_dir().unwrap().map(|entry| below(entry.unwrap().path())).sum()
    }

    #[test]
    fn a_file_goes_on_elsewhere_and_loses_nothing() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for room in [0, 1, 65_536, 300_000] {
            let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            let (small, large) = (purse(room), purse(1 << 20));
            let ground = Ground { places: vec![below(&other)], quota: large.clone() };
            let mut staged = below(&home).file().unwrap().within(small.clone()).or_on(ground);
            for piece in content.chunks(1000) {
                staged.write_all(piece).unwrap();
            }
            let mut read = Vec::new();
            staged.reopen().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content, "{room}");
            assert!(matches!(staged.is_away(), Some(StoreError::Full)));
            assert_eq!((count(&home), count(&other)), (0, 1));
            assert_eq!(small.left(), room, "what was taken at home is given back");
            drop(staged);
            assert_eq!(large.left(), 1 << 20);
            assert_eq!(count(&other), 0);
        }
    }

    #[test]
    fn a_file_that_fits_nowhere_fails_as_full() {
        let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let ground = Ground { places: vec![below(&other)], quota: purse(2 * PAGE) };
        let mut staged = below(&home).file().unwrap().within(purse(PAGE + 1)).or_on(ground);
        staged.write_all(&[1; 3000]).unwrap();
        assert!(staged.is_away().is_none(), "a page is taken whole");
        staged.write_all(&[1; 2000]).unwrap();
        staged.write_all(&[1; 2 * PAGE as usize - 5000]).unwrap();
        let error = staged.write_all(&[1; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(staged.length(), 2 * PAGE);
    }

    #[test]
    fn a_place_that_takes_nothing_is_passed_over() {
        let (home, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let unusable = other.path().join("file");
        std::fs::write(&unusable, "no directory").unwrap();
        let places = || vec![Arc::new(Staging::below(unusable.clone())), below(&home)];
        let ground = |places| Ground { places, quota: purse(1 << 20) };
        let mut begun = Staged::away(ground(places()), io::ErrorKind::ReadOnlyFilesystem.into()).unwrap();
        begun.write_all(b"begun").unwrap();
        assert!(matches!(begun.is_away(), Some(StoreError::Denied)));
        let mut moved = below(&home).file().unwrap().within(purse(0)).or_on(ground(places()));
        moved.write_all(b"moved").unwrap();
        assert!(moved.path().starts_with(home.path()) && matches!(moved.is_away(), Some(StoreError::Full)));
        let nowhere = ground(vec![Arc::new(Staging::below(unusable))]);
        let refused = Staged::away(nowhere, io::ErrorKind::StorageFull.into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
    }
}
