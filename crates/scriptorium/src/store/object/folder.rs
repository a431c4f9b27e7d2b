//! The values of a store in a folder.
//!
//! Owns when a value that is written is on the disk: before the writer is told (*first*), or within a second
//! (*follows*). See the table in `store`. Without durability nothing waits for the disk. Must not know what is stored.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::disk::{self, Disk};
use super::group::{GroupCommit, Naming, give_name, name};
use super::queue::DiskQueue;
use super::span;
use crate::store::staging::Staging;
use crate::store::{Committed, Staged};

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    queue: Arc<DiskQueue>,
    /// `None` if nothing has to outlive a power cut.
    group: Option<Arc<GroupCommit>>,
}

impl Folder {
    pub(super) fn on(disk: Arc<dyn Disk>, root: &Path, durable: bool) -> Self {
        let group = durable.then(|| Arc::new(GroupCommit::on(Arc::clone(&disk))));
        Self { root: root.to_owned(), disk, queue: Arc::default(), group }
    }

    /// Runs short `work` on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.queue.run(work).await
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Writes a value *first*.
    pub(super) async fn write(
        &self,
        staging: &Arc<Staging>,
        path: &str,
        bytes: Bytes,
        naming: Naming,
    ) -> io::Result<Committed> {
        let (to, staging, disk) = (self.path(path), Arc::clone(staging), Arc::clone(&self.disk));
        if let Some(group) = &self.group {
            let staged = self.run(move || stage(&staging, &bytes)).await?;
            return group.name(staged, to, naming).await;
        }
        self.run(move || {
            let mut staged = stage(&staging, &bytes)?;
            name(&*disk, &mut staged, &to, naming)
        })
        .await
    }

    /// Writes a value that *follows*. A value that has the name already must not be lost with it, so it is replaced
    /// as by one that is written first.
    pub(super) async fn write_behind(
        &self,
        staging: &Arc<Staging>,
        path: &str,
        bytes: Bytes,
    ) -> io::Result<()> {
        let Some(group) = &self.group else {
            return self.write(staging, path, bytes, Naming::Replace).await.map(drop);
        };
        let (to, staging, disk, follows) =
            (self.path(path), Arc::clone(staging), Arc::clone(&self.disk), Arc::clone(group));
        let is_taken = self.run(move || {
            let mut staged = stage(&staging, &bytes)?;
            match name(&*disk, &mut staged, &to, Naming::Create)? {
                Committed::Ours => follows.follow(),
                Committed::Theirs => return Ok(Some((staged, to))),
            }
            Ok(None)
        });
        match is_taken.await? {
            Some((staged, to)) => group.name(staged, to, Naming::Replace).await.map(drop),
            None => Ok(()),
        }
    }

    /// Gives a large file its name. The disk has its content before, so the file is whole or absent; its name
    /// *follows*.
    pub(super) async fn commit(&self, staged: &mut Staged, path: &str) -> io::Result<()> {
        let (from, to, disk) = (staged.path().to_owned(), self.path(path), Arc::clone(&self.disk));
        if self.group.is_some() {
            let (file, disk, from) = (staged.reopen()?, Arc::clone(&self.disk), from.clone());
            // Not in the queue: this may take long.
            spawn_blocking(move || disk.sync(&file, &from)).await??;
        }
        self.run(move || give_name(&*disk, &from, &to, Naming::Replace)).await?;
        staged.committed();
        if let Some(group) = &self.group {
            group.follow();
        }
        Ok(())
    }

    /// Removes a value. If `first`, it does not come back after a power cut; a missing one is fine.
    pub(super) async fn remove(&self, path: &str, first: bool) -> io::Result<()> {
        let (path, disk) = (self.path(path), Arc::clone(&self.disk));
        let removed = self.run(move || match disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        });
        match (removed.await?, &self.group) {
            (true, Some(group)) if first => group.flush().await,
            _ => Ok(()),
        }
    }

    /// Moves a value to another name; `false` if there is none.
    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let (from, to, disk) = (self.path(from), self.path(to), Arc::clone(&self.disk));
        self.run(move || {
            if let Some(folder) = to.parent() {
                disk.make_folder(folder)?;
            }
            match disk.replace(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                renamed => renamed.map(|()| true),
            }
        })
        .await
    }

    /// The last `most` bytes of a value and its length. The disk has a value that was written *first* before anybody
    /// reads it.
    pub(super) async fn read_tail(&self, path: &str, most: u64) -> io::Result<Option<(Bytes, u64)>> {
        let path = self.path(path);
        let file = path.clone();
        let read = self.run(move || span::tail(&file, most)).await?;
        if let (Some(_), Some(group)) = (&read, &self.group) {
            group.settle(&path).await?;
        }
        Ok(read)
    }

    /// Whether there is anything in one of `folders`.
    pub(super) async fn is_any_filled(&self, folders: Vec<String>) -> io::Result<bool> {
        let folders: Vec<_> = folders.iter().map(|folder| self.path(folder)).collect();
        self.run(move || disk::is_any_filled(&folders)).await
    }

    /// Flushes what follows. Never returns.
    pub(super) async fn keep_up(&self) {
        match &self.group {
            Some(group) => group.keep_up().await,
            None => std::future::pending().await,
        }
    }

    /// Pieces of work on the disk so far.
    #[cfg(test)]
    pub(super) fn works(&self) -> u64 {
        self.queue.taken()
    }
}

fn stage(staging: &Staging, bytes: &[u8]) -> io::Result<Staged> {
    let mut staged = Staged::new(staging.draft()?);
    staged.write_all(bytes)?;
    Ok(staged)
}
