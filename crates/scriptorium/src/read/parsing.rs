//! Where CPU work on long documents runs: parsing, encoding, composing.
//!
//! Such work takes as long as hundreds of hits. So it runs on blocking threads, on fewer of them than there are cores, and on
//! a bounded number of bytes at once. Work on short documents runs in place. Owns these bounds. Must not know what the work
//! is.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::failure::ReadFailure;
use crate::admission::{Admission, Slot};

/// Shorter documents are worked on in place.
pub(super) const SHORT: usize = 256 << 10;

/// At most so many bytes are worked on at once, unless a single document is longer.
const ROOM: usize = 64 << 20;

/// Bytes are counted in these.
const UNIT: usize = 64 << 10;

/// How long a client waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Parsing {
    room: Arc<Admission<()>>,
    threads: Arc<Admission<()>>,
}

impl Default for Parsing {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::on((cores / 2).max(1))
    }
}

impl Parsing {
    fn on(threads: usize) -> Self {
        let units = ROOM / UNIT;
        Self { room: Admission::new(units, units), threads: Admission::new(threads, threads) }
    }

    /// Room for `length` bytes, as long as the value lives.
    ///
    /// # Errors
    /// [`ReadFailure::Crowded`] when there is no room for too long.
    async fn room(&self, length: usize) -> Result<Slot<()>, ReadFailure> {
        let units = length.min(ROOM).div_ceil(UNIT);
        self.room.take(&(), units, PATIENCE).await.map_err(|_| ReadFailure::Crowded)
    }

    /// Runs `work` on `length` bytes that are in memory already. It runs to its end even if the caller leaves.
    ///
    /// # Errors
    /// [`ReadFailure::Crowded`] when there is no room for too long, [`ReadFailure::Lost`] when the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadFailure> {
        if length <= SHORT {
            return Ok(work());
        }
        let room = self.room(length).await?;
        self.apart(room, work).await
    }

    /// The same without waiting for room; `None` when the work panicked.
    pub(super) async fn patiently<T: Send + 'static>(
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
    pub(super) async fn run_on<R: Send + 'static, T: Send + 'static>(
        &self,
        length: usize,
        read: impl Future<Output = R>,
        work: impl FnOnce(R) -> T + Send + 'static,
    ) -> Result<T, ReadFailure> {
        let room = self.room(length).await?;
        let read = read.await;
        self.apart(room, move || work(read)).await
    }

    async fn apart<T: Send + 'static>(
        &self,
        room: impl Send + 'static,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadFailure> {
        let thread = self.threads.take(&(), 1, Duration::MAX).await.map_err(|_| ReadFailure::Lost)?;
        let work = move || {
            let _held = (room, thread);
            work()
        };
        spawn_blocking(work).await.map_err(|_| ReadFailure::Lost)
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
        let parsing = Parsing::on(1);
        let (go, wait) = mpsc::channel::<()>();
        let mut long = Box::pin(parsing.run(SHORT + 1, move || wait.recv().is_ok()));
        assert!((&mut long).now_or_never().is_none());
        let next = parsing.run(SHORT + 1, || ());
        assert!(next.now_or_never().is_none(), "one thread works on long ones");
        assert!(matches!(parsing.run(SHORT, || 7).now_or_never(), Some(Ok(7))));
        go.send(()).unwrap();
        assert!(long.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_is_told_so_after_a_while() {
        let parsing = Parsing::on(1);
        let all = parsing.room(2 * ROOM).await.unwrap();
        assert!(matches!(parsing.run(SHORT + 1, || ()).await, Err(ReadFailure::Crowded)));
        drop(all);
        parsing.run(SHORT + 1, || ()).await.unwrap();
        let died = parsing.run(SHORT + 1, || panic!("it dies")).await;
        assert!(matches!(died, Err::<(), _>(ReadFailure::Lost)));
        assert_eq!((parsing.room.free(), parsing.threads.free()), (ROOM / UNIT, 1));
    }
}
