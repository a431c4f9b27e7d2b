//! Where CPU work on what is long runs: parsing, encoding and composing documents, comparing what is known of many releases.
//!
//! Such work takes as long as hundreds of hits. So it runs on blocking threads, on fewer of them than there are cores, and on
//! a bounded number of bytes at once. Short work runs in place. Owns these bounds. Must not know what the work is.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::admission::{Admission, Slot};

/// What is shorter is worked on in place.
pub(crate) const SHORT: usize = 256 << 10;

/// At most so many bytes are worked on at once, unless a single document is longer.
const ROOM: usize = 64 << 20;

/// Bytes are counted in these.
const UNIT: usize = 64 << 10;

/// How long a client waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotWorked {
    /// There was no room for too long.
    #[error("more long documents are being worked on than there is room for")]
    Crowded,
    /// It panicked.
    #[error("work on a long document died")]
    Lost,
}

/// The room and the threads for long work.
#[derive(Debug)]
pub(crate) struct LongWork {
    room: Arc<Admission<()>>,
    threads: Arc<Admission<()>>,
}

impl Default for LongWork {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::on((cores / 2).max(1))
    }
}

impl LongWork {
    fn on(threads: usize) -> Self {
        let units = ROOM / UNIT;
        Self { room: Admission::new(units, units), threads: Admission::new(threads, threads) }
    }

    /// Room for `length` bytes, as long as the value lives.
    ///
    /// # Errors
    /// [`NotWorked::Crowded`] when there is no room for too long.
    async fn room(&self, length: usize) -> Result<Slot<()>, NotWorked> {
        let units = length.min(ROOM).div_ceil(UNIT);
        self.room.take(&(), units, PATIENCE).await.map_err(|_| NotWorked::Crowded)
    }

    /// Runs `work` on `length` bytes that are in memory already. It runs to its end even if the caller leaves.
    ///
    /// # Errors
    /// [`NotWorked::Crowded`] when there is no room for too long, [`NotWorked::Lost`] when the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotWorked> {
        if length <= SHORT {
            return Ok(work());
        }
        let room = self.room(length).await?;
        self.apart(room, work).await
    }

    /// The same without waiting for room; `None` when the work panicked.
    pub(crate) async fn patiently<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if length <= SHORT {
            return Some(work());
        }
        self.apart((), work).await.ok()
    }

    /// Waits for room for `length` bytes, then reads them with `read` and runs `work` on them.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) async fn run_on<R: Send + 'static, T: Send + 'static>(
        &self,
        length: usize,
        read: impl Future<Output = R>,
        work: impl FnOnce(R) -> T + Send + 'static,
    ) -> Result<T, NotWorked> {
        let room = self.room(length).await?;
        let read = read.await;
        self.apart(room, move || work(read)).await
    }

    async fn apart<T: Send + 'static>(
        &self,
        room: impl Send + 'static,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotWorked> {
        let thread = self.threads.take(&(), 1, Duration::MAX).await.map_err(|_| NotWorked::Lost)?;
        let work = move || {
            let _held = (room, thread);
            work()
        };
        spawn_blocking(work).await.map_err(|_| NotWorked::Lost)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    /// One thread, no time: what does not come to its end at once waits for somebody.
    #[tokio::test]
    async fn short_documents_are_worked_on_while_long_ones_take_their_time() {
        let work = LongWork::on(1);
        let (go, wait) = mpsc::channel::<()>();
        let mut long = Box::pin(work.run(SHORT + 1, move || wait.recv().is_ok()));
        assert!((&mut long).now_or_never().is_none());
        let next = work.run(SHORT + 1, || ());
        assert!(next.now_or_never().is_none(), "one thread works on long ones");
        assert!(matches!(work.run(SHORT, || 7).now_or_never(), Some(Ok(7))));
        go.send(()).unwrap();
        assert!(long.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_is_told_so_after_a_while() {
        let work = LongWork::on(1);
        let all = work.room(2 * ROOM).await.unwrap();
        assert!(matches!(work.run(SHORT + 1, || ()).await, Err(NotWorked::Crowded)));
        drop(all);
        work.run(SHORT + 1, || ()).await.unwrap();
        let died = work.run(SHORT + 1, || panic!("it dies")).await;
        assert!(matches!(died, Err::<(), _>(NotWorked::Lost)));
        assert_eq!((work.room.free(), work.threads.free()), (ROOM / UNIT, 1));
    }
}
