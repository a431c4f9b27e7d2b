//! Short work on the disk, on few threads.
//!
//! A thread for each piece of work would have to be woken for each. Here work waits in a line that one thread works
//! off. Another one helps when the line is long, so that a disk that is slow to answer gets several questions at
//! once. Owns how many threads there are. Must not know what the work is.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// The work that waits for one thread before another helps.
const LONG: usize = 8;
const MOST_THREADS: usize = 32;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct DiskQueue(Mutex<Line>);

#[derive(Default)]
struct Line {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Pieces of work so far.
    taken: u64,
}

impl DiskQueue {
    /// Runs `work` on a thread that may block. It runs to its end even if the caller leaves.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        let needs_thread = self.push(Box::new(move || drop(tell.send(work()))));
        if needs_thread {
            let thread = QueueThread { queue: Arc::clone(self), counts: true };
            spawn_blocking(move || thread.work_off());
        }
        told.await.unwrap_or_else(|_| Err(io::Error::other("the work on the disk died")))
    }

    /// Whether another thread has to be started, which is counted already.
    fn push(&self, work: Work) -> bool {
        let mut line = self.0.lock();
        line.waiting.push_back(work);
        line.taken += 1;
        let helps = line.threads < MOST_THREADS && line.waiting.len() > line.threads * LONG;
        line.threads += usize::from(helps);
        helps
    }

    /// Pieces of work so far.
    pub(super) fn taken(&self) -> u64 {
        self.0.lock().taken
    }
}

impl fmt::Debug for DiskQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskQueue({} pieces of work)", self.taken())
    }
}

struct QueueThread {
    queue: Arc<DiskQueue>,
    /// Whether the queue counts it.
    counts: bool,
}

impl QueueThread {
    fn work_off(mut self) {
        while let Some(work) = self.next() {
            // A panic costs its own work alone: the caller is told, and the thread goes on with the line.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    /// The next piece of work. The thread is counted until there is none, in one step, so that no work is left over.
    fn next(&mut self) -> Option<Work> {
        let mut line = self.queue.0.lock();
        let next = line.waiting.pop_front();
        if next.is_none() {
            self.counts = false;
            line.threads -= 1;
        }
        next
    }
}

/// A runtime that ends drops its thread unstarted. If no other thread is left to do the work, its callers are told.
impl Drop for QueueThread {
    fn drop(&mut self) {
        if self.counts {
            let mut line = self.queue.0.lock();
            line.threads -= 1;
            let abandoned = if line.threads == 0 { mem::take(&mut line.waiting) } else { VecDeque::new() };
            drop(line);
            drop(abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn all_work_is_done_whoever_leaves_and_whatever_panics() {
        let queue = Arc::new(DiskQueue::default());
        assert!(queue.run(|| -> io::Result<()> { panic!("by plan") }).await.is_err());
        let (done, all) = mpsc::channel();
        let works = (0..100).map(|number| {
            let done = done.clone();
            queue.run(move || done.send(number).map_err(io::Error::other))
        });
        futures_util::future::try_join_all(works).await.unwrap();
        assert_eq!(all.try_iter().count(), 100);
        let left = queue.run(move || done.send(100).map_err(io::Error::other));
        drop(futures_util::FutureExt::now_or_never(left));
        assert_eq!(all.recv().unwrap(), 100, "it is done although nobody waits");
    }

    #[tokio::test]
    async fn work_that_no_thread_will_do_is_told_so() {
        let queue = Arc::new(DiskQueue::default());
        let (tell, told) = oneshot::channel::<()>();
        let work = move || {
            let _ = tell.send(());
        };
        assert!(queue.push(Box::new(work)), "it needs a thread");
        // As a runtime that ends drops it.
        drop(QueueThread { queue: Arc::clone(&queue), counts: true });
        assert!(told.await.is_err());
        assert!(queue.run(|| Ok(())).await.is_ok(), "the next work gets a thread");
    }

    #[tokio::test]
    async fn work_that_blocks_holds_up_no_long_line() {
        let queue = Arc::new(DiskQueue::default());
        let ((open, gate), (begin, begun)) = (mpsc::channel::<()>(), oneshot::channel());
        let blocks = tokio::spawn({
            let queue = Arc::clone(&queue);
            let work = move || {
                begin.send(()).unwrap();
                gate.recv().map_err(io::Error::other)
            };
            async move { queue.run(work).await }
        });
        begun.await.unwrap();
        // The last of a long line opens the gate for the first.
        let others = (0..=LONG).map(|number| {
            let open = open.clone();
            queue.run(move || if number == LONG { open.send(()).map_err(io::Error::other) } else { Ok(()) })
        });
        futures_util::future::try_join_all(others).await.unwrap();
        blocks.await.unwrap().unwrap();
    }
}
