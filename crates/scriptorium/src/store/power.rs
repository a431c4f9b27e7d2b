//! A power cut, simulated: a real file system whose operations are noted, and what a cut may leave of them.
//!
//! A name that was given or taken away is on the disk after a flush, and so is the content of a file; a sync of one
//! file is enough for its content. Before that a cut leaves every name as it was before or after any of the
//! operations on it, each by itself, and of a content that was not flushed any part or garbage. Owns that model. Must
//! not know what is stored.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use super::object::Disk;
use super::{ObjectStorage, STAGING};

/// A disk in the folder `root` whose power can be cut.
#[derive(Debug)]
pub(crate) struct PoweredDisk {
    root: PathBuf,
    /// Does not flush, like a disk that says it did.
    lies: bool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    operations: Vec<Operation>,
    /// The content of staged files that is on the disk.
    synced: BTreeMap<PathBuf, Vec<u8>>,
    flushes: u64,
}

/// Paths are inside the folder.
#[derive(Debug, Clone)]
enum Operation {
    Named { path: PathBuf, content: Content },
    Moved { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf },
    Flushed,
}

#[derive(Debug, Clone)]
struct Content {
    bytes: Arc<[u8]>,
    is_synced: bool,
}

impl PoweredDisk {
    pub(crate) fn below(root: &Path) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), lies: false, log: Mutex::default() })
    }

    /// A disk that flushes nothing and says that it did.
    pub(crate) fn lying(root: &Path) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), lies: true, log: Mutex::default() })
    }

    /// A store on this disk.
    pub(crate) fn store(self: &Arc<Self>) -> ObjectStorage {
        ObjectStorage::local_on(self.clone(), &self.root, true).unwrap()
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.log().operations.len()
    }

    /// Flushes of everything, and of single files, so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.log().flushes
    }

    /// Fills the folder `into` with what a cut after so many operations may leave.
    pub(crate) fn cut(&self, after: usize, chance: &mut Rng, into: &Path) {
        let mut names = Names::default();
        for operation in &self.log().operations[..after] {
            names.apply(operation);
        }
        for (path, versions) in names.0 {
            let Some(left) = &versions[chance.usize(..versions.len())] else { continue };
            let file = into.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, left.torn(chance)).unwrap();
        }
        // What was staged is garbage that nobody locks.
        let run = into.join(STAGING).join("run-before");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&run).unwrap();
        fs::write(run.join("staged-before"), "half").unwrap();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    /// Gives a name by `rename`, and notes it.
    fn name(&self, from: &Path, to: &Path, rename: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut log = self.log();
        let (from, to) = (self.inside(from), self.inside(to));
        let content = fs::read(self.root.join(&from));
        rename()?;
        let operation = match log.synced.remove(&from) {
            _ if !from.starts_with(STAGING) => Operation::Moved { from, to },
            synced => {
                let bytes = content?;
                let is_synced = synced.is_some_and(|synced| synced == bytes);
                Operation::Named { path: to, content: Content { bytes: bytes.into(), is_synced } }
            }
        };
        log.operations.push(operation);
        Ok(())
    }
}

impl Disk for PoweredDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn claim(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(from, to, || fs::hard_link(from, to).and_then(|()| fs::remove_file(from)))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(from, to, || fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        fs::remove_file(path)?;
        log.operations.push(Operation::Removed { path: self.inside(path) });
        Ok(())
    }

    fn sync(&self, _file: &File, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.flushes += 1;
        if !self.lies {
            log.synced.insert(self.inside(path), fs::read(path)?);
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut log = self.log();
        log.flushes += 1;
        if self.lies {
            return Ok(());
        }
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let runs = entries(&self.root.join(STAGING));
        for staged in runs.flat_map(|run| entries(&run.path())) {
            // A draft may have been dropped meanwhile.
            if let Ok(content) = fs::read(staged.path()) {
                log.synced.insert(self.inside(&staged.path()), content);
            }
        }
        log.operations.push(Operation::Flushed);
        Ok(())
    }
}

/// What may be found under each name after a cut; `None`: nothing.
#[derive(Debug, Default)]
struct Names(BTreeMap<PathBuf, Vec<Option<Content>>>);

impl Names {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Named { path, content } => self.may_be(path, Some(content.clone())),
            Operation::Removed { path } => self.may_be(path, None),
            Operation::Moved { from, to } => {
                let moved = self.0.get(from).and_then(|versions| versions.last()).cloned().flatten();
                self.may_be(to, moved);
                self.may_be(from, None);
            }
            Operation::Flushed => {
                for versions in self.0.values_mut() {
                    let last = versions.pop().flatten();
                    *versions = vec![last.map(|content| Content { is_synced: true, ..content })];
                }
            }
        }
    }

    fn may_be(&mut self, path: &Path, version: Option<Content>) {
        self.0.entry(path.to_owned()).or_insert_with(|| vec![None]).push(version);
    }
}

impl Content {
    /// What a cut may leave of it.
    fn torn(&self, chance: &mut Rng) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        if self.is_synced || bytes.is_empty() {
            return bytes;
        }
        match chance.u8(..4) {
            0 => {}
            1 => bytes.clear(),
            2 => bytes.truncate(chance.usize(..bytes.len())),
            _ => {
                let (one, other) = (chance.usize(..bytes.len()), chance.usize(..bytes.len()));
                let garbage = &mut bytes[one.min(other)..=one.max(other)];
                if chance.bool() { garbage.fill(0) } else { chance.fill(garbage) }
            }
        }
        bytes
    }
}
