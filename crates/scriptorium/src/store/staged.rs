//! A file that is being written and has no key yet.
//!
//! When its disk takes no more, the file moves to a scratch folder: what was written is copied, and the writer notices
//! nothing. A file that moved can be read but not committed. Owns that, and that a file which is not committed is removed
//! when it is dropped. Must not know where a commit puts it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::space::{HeldSpace, SpaceQuota};
use super::staging::{Draft, Staging};

/// Folders in which files are staged when the storage takes none.
#[derive(Debug, Clone)]
pub(super) struct ScratchFolders {
    /// Each is tried after those before it failed.
    pub(super) folders: Vec<Arc<Staging>>,
    /// The bytes that may be staged there in all.
    pub(super) quota: Arc<dyn SpaceQuota>,
}

/// A staged file; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    draft: Draft,
    length: u64,
    space: HeldSpace,
    /// Where the file moves when its folder takes no more.
    scratch: Option<ScratchFolders>,
    /// Why the file left the folder from which it could be committed.
    moved_because: Option<io::Error>,
    replaces: bool,
}

impl Staged {
    /// A file that may take all of the disk.
    pub(super) fn new(draft: Draft) -> Self {
        let space = HeldSpace::default();
        Self { draft, length: 0, space, scratch: None, moved_because: None, replaces: false }
    }

    /// A file that begins in `scratch`, because of the error `why` in the storage.
    pub(super) fn in_scratch(mut scratch: ScratchFolders, why: io::Error) -> io::Result<Self> {
        let mut refused = io::Error::from(why.kind());
        while !scratch.folders.is_empty() {
            match scratch.folders.remove(0).draft() {
                Ok(draft) => {
                    let staged = Self::new(draft).within(Arc::clone(&scratch.quota)).or_in(scratch);
                    return Ok(Self { moved_because: Some(why), ..staged });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Bounds the file, which is still empty, by `quota`.
    pub(super) fn within(self, quota: Arc<dyn SpaceQuota>) -> Self {
        Self { space: HeldSpace::of(quota), ..self }
    }

    /// Lets the file move to `scratch` when its own folder takes no more.
    pub(super) fn or_in(self, scratch: ScratchFolders) -> Self {
        Self { scratch: Some(scratch).filter(|scratch| !scratch.folders.is_empty()), ..self }
    }

    /// Lets its commit replace a file that is stored, also in a storage where the first commit otherwise stays.
    pub(crate) fn replacing(self) -> Self {
        Self { replaces: true, ..self }
    }

    pub(super) fn replaces(&self) -> bool {
        self.replaces
    }

    /// Opens the file a second time, to read it from the start.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        self.draft.reopen()
    }

    /// Fills `into` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.draft.file.read_exact_at(into, offset)
    }

    /// The bytes written so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn path(&self) -> &Path {
        self.draft.path()
    }

    /// The file was renamed to its key: it is not removed on drop.
    pub(super) fn committed(&mut self) {
        self.draft.moved();
    }

    /// Why the file cannot be committed, if it moved to scratch.
    pub(super) fn uncommittable(&self) -> Option<StoreError> {
        self.moved_because.as_ref().map(|why| io::Error::from(why.kind()).into())
    }

    /// Leaves the space that it holds to the caller, and returns how much that is.
    pub(super) fn hand_over_space(&mut self) -> u64 {
        std::mem::take(&mut self.space.bytes)
    }

    /// Takes `bytes` of space back from the caller.
    pub(super) fn take_back_space(&mut self, bytes: u64) {
        self.space.bytes += bytes;
    }

    fn write_here(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.space.cover(self.length + bytes.len() as u64)?;
        let written = self.draft.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    /// Moves to the next scratch folder that takes all of the file, because of `why`. Fails with `why` if there is none.
    fn move_to_scratch(&mut self, why: io::Error) -> io::Result<()> {
        let mut scratch = self.scratch.take();
        let mut refused = why;
        while let Some(next) = scratch {
            let first = self.moved_because.as_ref().unwrap_or(&refused).kind();
            let mut elsewhere = Self::in_scratch(next, first.into())?;
            match elsewhere.copy(self) {
                Ok(()) => {
                    *self = elsewhere;
                    return Ok(());
                }
                Err(error) => (refused, scratch) = (error, elsewhere.scratch.take()),
            }
        }
        Err(refused)
    }

    fn copy(&mut self, from: &Self) -> io::Result<()> {
        self.space.cover(from.length)?;
        self.length = io::copy(&mut from.reopen()?, &mut self.draft.file)?;
        if self.length == from.length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.write_here(bytes) {
                // The next folder may lie on the same full disk.
                Err(error) if error.kind() != io::ErrorKind::Interrupted => self.move_to_scratch(error)?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::store::space::{FixedSpace, PAGE};

    fn quota(bytes: u64) -> Arc<FixedSpace> {
        Arc::new(FixedSpace::of(bytes))
    }

    fn below(directory: &TempDir) -> Arc<Staging> {
        Arc::new(Staging::below(directory.path().to_owned()))
    }

    fn staged_in(directory: &TempDir) -> Staged {
        Staged::new(below(directory).draft().unwrap())
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
            let (small, large) = (quota(room), quota(1 << 20));
            let scratch = ScratchFolders { folders: vec![below(&other)], quota: large.clone() };
            let mut staged = staged_in(&home).within(small.clone()).or_in(scratch);
            for piece in content.chunks(1000) {
                staged.write_all(piece).unwrap();
            }
            let mut read = Vec::new();
            staged.reopen().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content, "{room}");
            assert!(matches!(staged.uncommittable(), Some(StoreError::Full)));
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
        let scratch = ScratchFolders { folders: vec![below(&other)], quota: quota(2 * PAGE) };
        let mut staged = staged_in(&home).within(quota(PAGE + 1)).or_in(scratch);
        staged.write_all(&[1; 3000]).unwrap();
        assert!(staged.uncommittable().is_none(), "a page is taken whole");
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
        let folders = || vec![Arc::new(Staging::below(unusable.clone())), below(&home)];
        let scratch = |folders| ScratchFolders { folders, quota: quota(1 << 20) };
        let mut begun =
            Staged::in_scratch(scratch(folders()), io::ErrorKind::ReadOnlyFilesystem.into()).unwrap();
        begun.write_all(b"begun").unwrap();
        assert!(matches!(begun.uncommittable(), Some(StoreError::Denied)));
        let mut moved = staged_in(&home).within(quota(0)).or_in(scratch(folders()));
        moved.write_all(b"moved").unwrap();
        assert!(
            moved.path().starts_with(home.path()) && matches!(moved.uncommittable(), Some(StoreError::Full))
        );
        let nowhere = scratch(vec![Arc::new(Staging::below(unusable))]);
        let refused = Staged::in_scratch(nowhere, io::ErrorKind::StorageFull.into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
    }
}
