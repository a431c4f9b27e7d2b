//! Values that must be on the disk before a client is told: written in groups.
//!
//! ```text
//!  staged ── flush ── renamed ── flush ── told
//! ```
//! The first flush puts the content of a whole group on the disk, so that no name ever leads to a torn value. The
//! second puts the names there. Values that come meanwhile are the next group. A value has its name before the second
//! flush has ended, so whoever reads it then waits for that flush.
//!
//! What follows has its name already and waits for nothing: it is in the next flush of any group, or in one of its
//! own, [`FOLLOWS`] later at the latest.
//!
//! Owns this order. Must not know what is written.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::disk::Disk;
use crate::store::{Committed, Staged};

/// How long something that follows may be off the disk, before its flush begins.
const FOLLOWS: Duration = Duration::from_millis(800);

/// What happens to a value under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// It is replaced.
    Replace,
    /// It stays.
    Create,
}

/// A step that ends with the next group.
#[derive(Debug)]
enum Step {
    Name {
        staged: Staged,
        to: PathBuf,
        naming: Naming,
    },
    /// Something that was done already.
    Done,
}

type Told = Result<Committed, Arc<io::Error>>;

#[derive(Debug)]
struct Member {
    step: Step,
    tell: oneshot::Sender<Told>,
}

#[derive(Debug)]
pub(super) struct GroupCommit {
    disk: Arc<dyn Disk>,
    state: Mutex<GroupState>,
    /// Something follows.
    follows: Notify,
}

#[derive(Debug, Default)]
struct GroupState {
    next: Vec<Member>,
    is_running: bool,
    /// Something was named since the last flush began.
    is_behind: bool,
    /// Values with names that the disk may not have, and how many of the group under way have each.
    unflushed: HashMap<PathBuf, usize>,
}

impl GroupCommit {
    pub(super) fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk, state: Mutex::default(), follows: Notify::new() }
    }

    /// Gives the staged file its name. The disk has both when this returns.
    pub(super) async fn name(
        self: &Arc<Self>,
        staged: Staged,
        to: PathBuf,
        naming: Naming,
    ) -> io::Result<Committed> {
        self.end(Step::Name { staged, to, naming }).await
    }

    /// Waits until the disk has everything that was done before.
    pub(super) async fn flush(self: &Arc<Self>) -> io::Result<()> {
        self.end(Step::Done).await.map(drop)
    }

    /// Waits until what a reader finds at `path` is on the disk, if it must be there before it is told.
    pub(super) async fn settle(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        let waits = self.state.lock().unflushed.contains_key(path);
        if waits { self.flush().await } else { Ok(()) }
    }

    /// Something was named, and its flush follows.
    pub(super) fn follow(&self) {
        self.state.lock().is_behind = true;
        self.follows.notify_one();
    }

    /// Flushes what follows. Never returns.
    pub(super) async fn keep_up(self: &Arc<Self>) {
        loop {
            self.follows.notified().await;
            tokio::time::sleep(FOLLOWS).await;
            let is_behind = self.state.lock().is_behind;
            if is_behind && let Err(error) = self.flush().await {
                warn!(%error, "the stored documents of the last second could not be flushed");
            }
        }
    }

    async fn end(self: &Arc<Self>, step: Step) -> io::Result<Committed> {
        let (tell, told) = oneshot::channel();
        let starts = {
            let mut state = self.state.lock();
            state.next.push(Member { step, tell });
            !mem::replace(&mut state.is_running, true)
        };
        if starts {
            let thread = GroupThread { commit: Arc::clone(self), runs: true };
            spawn_blocking(move || thread.work_off());
        }
        let died = || Arc::new(io::Error::other("the flush died"));
        let told = told.await.unwrap_or_else(|_| Err(died()));
        told.map_err(|error| io::Error::new(error.kind(), error))
    }

    fn commit(&self, mut group: Vec<Member>) {
        let flushed = || {
            self.state.lock().is_behind = false;
            self.disk.flush().map_err(Arc::new)
        };
        let names: Vec<_> = group.iter().filter_map(|member| member.step.name().cloned()).collect();
        let staged = if names.is_empty() { Ok(()) } else { flushed() };
        self.mark(&names, true);
        let named: Vec<Told> = group
            .iter_mut()
            .map(|member| staged.clone().and_then(|()| member.step.carry_out(&*self.disk).map_err(Arc::new)))
            .collect();
        let ended = staged.and_then(|()| flushed());
        self.mark(&names, false);
        for (member, named) in group.into_iter().zip(named) {
            let told = ended.clone().and(named);
            drop(member.step);
            // Nobody waits for the write of a client that left.
            let _ = member.tell.send(told);
        }
    }

    fn mark(&self, names: &[PathBuf], is_unflushed: bool) {
        let mut state = self.state.lock();
        for name in names {
            let count = state.unflushed.entry(name.clone()).or_default();
            *count = if is_unflushed { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                state.unflushed.remove(name);
            }
        }
    }
}

impl Step {
    fn name(&self) -> Option<&PathBuf> {
        match self {
            Self::Name { to, .. } => Some(to),
            Self::Done => None,
        }
    }

    fn carry_out(&mut self, disk: &dyn Disk) -> io::Result<Committed> {
        let Self::Name { staged, to, naming } = self else { return Ok(Committed::Ours) };
        name(disk, staged, to, *naming)
    }
}

/// Gives a staged file its name.
pub(super) fn name(disk: &dyn Disk, staged: &mut Staged, to: &Path, naming: Naming) -> io::Result<Committed> {
    let named = give_name(disk, staged.path(), to, naming)?;
    if named == Committed::Ours {
        staged.committed();
    }
    Ok(named)
}

/// Renames a file to `to`, in a folder that is made if it is missing.
pub(super) fn give_name(disk: &dyn Disk, from: &Path, to: &Path, naming: Naming) -> io::Result<Committed> {
    let rename = || match naming {
        Naming::Replace => disk.replace(from, to),
        Naming::Create => disk.claim(from, to),
    };
    let renamed = match (rename(), to.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            disk.make_folder(folder)?;
            rename()
        }
        (renamed, _) => renamed,
    };
    match renamed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Committed::Theirs),
        renamed => renamed.map(|()| Committed::Ours),
    }
}

/// The thread that commits groups, as long as there are any.
struct GroupThread {
    commit: Arc<GroupCommit>,
    runs: bool,
}

impl GroupThread {
    fn work_off(mut self) {
        while let Some(group) = self.next() {
            self.commit.commit(group);
        }
    }

    /// The next group. If there is none, the next member starts another thread.
    fn next(&mut self) -> Option<Vec<Member>> {
        let mut state = self.commit.state.lock();
        self.runs = !state.next.is_empty();
        state.is_running = self.runs;
        self.runs.then(|| mem::take(&mut state.next))
    }
}

/// A runtime that ends drops the thread unstarted, which must not stop the groups of another runtime.
impl Drop for GroupThread {
    fn drop(&mut self) {
        if self.runs {
            let mut state = self.commit.state.lock();
            state.is_running = false;
            state.next.clear();
        }
    }
}

#[cfg(test)]
mod tests;
