//! Disks as a proxy may find them, and what it takes of them: small ones that a test mounts, and a watch that
//! measures a directory again and again.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use super::{Proxy, eventually};

/// Tells a file from another that took its number when it was gone.
type Identity = (u64, Option<SystemTime>);

/// The files below `directory` and the bytes that each takes of the disk; directories take some of their own, which
/// do not count.
fn files(directory: &Path) -> HashMap<Identity, u64> {
    let (mut found, mut folders) = (HashMap::new(), vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert((meta.ino(), meta.created().ok()), meta.blocks() * 512);
            }
        }
    }
    found
}

/// How many files lie below `directory`, and the bytes they take of the disk.
pub(crate) fn taken(directory: &Path) -> (usize, u64) {
    let files = files(directory);
    (files.len(), files.values().sum())
}

/// Bytes that lay below `directory` at one moment, or fewer: those of the files that two looks in a row saw.
/// One look alone may see a file that goes before another comes, and count both.
fn at_one_moment(directory: &Path) -> u64 {
    let (first, second) = (files(directory), files(directory));
    first.iter().filter_map(|(file, bytes)| second.get(file).map(|later| bytes.min(later))).sum()
}

/// Measures a directory as fast as it can until it is told to stop.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<u64>>,
}

impl Watch {
    pub(crate) fn over(directory: &Path) -> Self {
        let (over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (directory, ended, count) = (directory.to_owned(), Arc::clone(&over), Arc::clone(&looks));
        let thread = thread::spawn(move || {
            let mut most = 0;
            while !ended.load(Ordering::SeqCst) {
                most = at_one_moment(&directory).max(most);
                count.fetch_add(1, Ordering::SeqCst);
            }
            most
        });
        Self { over, looks, thread: Some(thread) }
    }

    /// The most bytes that were ever seen at once, and in how many looks.
    pub(crate) fn most(mut self) -> (u64, u64) {
        self.over.store(true, Ordering::SeqCst);
        let most = self.thread.take().unwrap().join().unwrap();
        (most, self.looks.load(Ordering::SeqCst))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// A file system in memory, mounted for one test and gone with the value.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// One of so many bytes; `None`, and a word about it, where nothing may be mounted.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        let disk = Self(TempDir::new().unwrap());
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"], disk.path());
        if !mounted {
            eprintln!("skipped: no file system may be mounted here");
        }
        mounted.then_some(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes no writes from now on.
    pub(crate) fn read_only(&self) {
        // Not while something is being written.
        eventually("a read-only disk", || mount(&["-o", "remount,ro"], self.path()).then_some(()));
    }

    /// Takes writes again.
    pub(crate) fn writable(&self) {
        assert!(mount(&["-o", "remount,rw"], self.path()), "remounting writable");
    }

    /// Another's file takes all the room that is left.
    pub(crate) fn fill(&self) {
        let (zeros, mut room) = (vec![0; 64 << 10], true);
        let mut filler = fs::File::create(self.filler()).unwrap();
        while room {
            room = std::io::Write::write_all(&mut filler, &zeros).is_ok();
        }
    }

    /// That file leaves so much room.
    pub(crate) fn shrink_filler(&self, room: u64) {
        let filler = fs::File::options().write(true).open(self.filler()).unwrap();
        filler.set_len(filler.metadata().unwrap().len() - room).unwrap();
    }

    /// That file goes.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.path()).output().ok();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).output().is_ok_and(|mount| mount.status.success())
}

impl Proxy {
    /// What the admin port says of the storage.
    #[track_caller]
    pub(crate) fn storage(&self) -> Value {
        self.admin().get("/admin/v1/status").ok().json()["storage"].clone()
    }

    /// A number of it.
    #[track_caller]
    pub(crate) fn stored(&self, member: &str) -> u64 {
        let storage = self.storage();
        storage.pointer(member).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {member} in {storage}"))
    }

    /// The sample of this name and labels among the metrics.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.admin().get("/metrics").ok().text();
        let mut samples = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        samples.next().unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    }
}
