//! Groups before a disk whose flushes wait for the test.

use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::store::staging::Staging;

/// A disk whose flushes wait at a gate.
#[derive(Debug)]
struct GatedDisk {
    gate: Mutex<Receiver<io::Result<()>>>,
    begun: AtomicUsize,
}

impl Disk for GatedDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn claim(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync(&self, _file: &File, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.lock().recv().unwrap()
    }
}

struct Desk {
    root: TempDir,
    staging: Staging,
    disk: Arc<GatedDisk>,
    group: Arc<GroupCommit>,
    gate: Sender<io::Result<()>>,
}

impl Desk {
    fn new() -> Self {
        let (root, (gate, waits)) = (TempDir::new().unwrap(), mpsc::channel());
        let disk = Arc::new(GatedDisk { gate: Mutex::new(waits), begun: AtomicUsize::new(0) });
        let staging = Staging::below(root.path().join("staging"));
        Self { staging, group: Arc::new(GroupCommit::on(disk.clone())), root, disk, gate }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.root.path().join("values").join(name)
    }

    /// Begins to write a value.
    fn write(&self, name: &str) -> tokio::task::JoinHandle<io::Result<Committed>> {
        let mut staged = Staged::new(self.staging.draft().unwrap());
        staged.write_all(name.as_bytes()).unwrap();
        let (group, to) = (Arc::clone(&self.group), self.place(name));
        tokio::spawn(async move { group.name(staged, to, Naming::Create).await })
    }

    fn open(&self, flushes: usize) {
        (0..flushes).for_each(|_| self.gate.send(Ok(())).unwrap());
    }

    /// Waits until so many wait for the next group.
    async fn joined(&self, members: usize) {
        while self.group.state.lock().next.len() < members {
            tokio::task::yield_now().await;
        }
    }

    async fn begun(&self, flushes: usize) {
        while self.disk.begun.load(Ordering::SeqCst) < flushes {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn whoever_comes_while_a_group_is_flushed_shares_the_next_two_flushes() {
    let desk = Desk::new();
    let first = desk.write("first");
    desk.begun(1).await;
    let others = (0..100).map(|number| desk.write(&number.to_string())).collect::<Vec<_>>();
    desk.joined(100).await;
    desk.open(4);
    assert_eq!(first.await.unwrap().unwrap(), Committed::Ours);
    for other in join_all(others).await {
        assert_eq!(other.unwrap().unwrap(), Committed::Ours);
    }
    assert_eq!(desk.disk.begun.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_value_has_no_name_before_its_content_is_flushed_and_no_reader_before_its_name_is() {
    let desk = Desk::new();
    let (place, written) = (desk.place("pin"), desk.write("pin"));
    desk.begun(1).await;
    assert!(!place.exists());
    desk.open(1);
    desk.begun(2).await;
    assert_eq!(fs::read(&place).unwrap(), b"pin");
    let mut settled = Box::pin(desk.group.settle(&place));
    assert!((&mut settled).now_or_never().is_none() && !written.is_finished());
    desk.open(2);
    settled.await.unwrap();
    written.await.unwrap().unwrap();
    desk.group.settle(&place).now_or_never().unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_flush_is_told_to_the_whole_group_and_to_no_other() {
    let desk = Desk::new();
    let first = desk.write("first");
    desk.begun(1).await;
    let (one, other) = (desk.write("one"), desk.write("other"));
    desk.joined(2).await;
    desk.open(2);
    first.await.unwrap().unwrap();
    desk.gate.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    for failed in [one, other] {
        assert_eq!(failed.await.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    assert!(!desk.place("one").exists());
    desk.open(2);
    desk.write("later").await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_follows_is_flushed_once_within_a_second() {
    let desk = Desk::new();
    let group = Arc::clone(&desk.group);
    tokio::spawn(async move { group.keep_up().await });
    let began = tokio::time::Instant::now();
    (0..100).for_each(|_| desk.group.follow());
    desk.open(100);
    while desk.disk.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(desk.disk.begun.load(Ordering::SeqCst), 1, "nothing else was written");
}
