//! Work on long documents: reading one, writing one down, putting one together of others.
//!
//! It takes as long as hundreds of hits, so it is done on threads that serve nobody, on fewer of them than there are cores,
//! and on a bounded number of bytes at once. Short documents are worked on where they are. Owns that. Must not know what is
//! done with a document.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::failure::Failure;

/// Work on shorter documents is quicker than handing it to another thread is worth.
pub(super) const SHORT: usize = 256 << 10;

/// Bytes that are worked on at once, unless one document alone is longer.
const ROOM: usize = 64 << 20;

/// Bytes are counted in these.
const UNIT: usize = 64 << 10;

/// How long a client waits for the work on others' documents.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where long documents are worked on.
#[derive(Debug)]
pub(super) struct Parsing {
    room: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

impl Default for Parsing {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::on((cores / 2).max(1))
    }
}

impl Parsing {
    fn on(threads: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM / UNIT)), threads: Arc::new(Semaphore::new(threads)) }
    }

    /// Room for `length` bytes, as long as the value lives.
    ///
    /// # Errors
    /// [`Failure::Crowded`] when there is none for too long.
    async fn room(&self, length: usize) -> Result<impl Send + 'static, Failure> {
        let units = u32::try_from(length.min(ROOM).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = timeout(PATIENCE, Arc::clone(&self.room).acquire_many_owned(units)).await;
        room.map_err(|_| Failure::Crowded)?.map_err(|_| Failure::Lost)
    }

    /// Does `work` on `length` bytes of documents that are held already. It is done also when nobody waits any more.
    ///
    /// # Errors
    /// [`Failure::Crowded`] when there is no room for too long, [`Failure::Lost`] when it died.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if length <= SHORT {
            return Ok(work());
        }
        let room = self.room(length).await?;
        self.apart(room, work).await
    }

    /// The same for what goes on whoever waits; nothing when it died.
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

    /// Has `read` fetch what is `length` bytes long once there is room for it, and then does `work` on it.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(super) async fn run_on<R: Send + 'static, T: Send + 'static>(
        &self,
        length: usize,
        read: impl Future<Output = R>,
        work: impl FnOnce(R) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let room = self.room(length).await?;
        let read = read.await;
        self.apart(room, move || work(read)).await
    }

    async fn apart<T: Send + 'static>(
        &self,
        room: impl Send + 'static,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| Failure::Lost)?;
        let work = move || {
            let _held = (room, thread);
            work()
        };
        spawn_blocking(work).await.map_err(|_| Failure::Lost)
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
        assert!(matches!(parsing.run(SHORT + 1, || ()).await, Err(Failure::Crowded)));
        drop(all);
        parsing.run(SHORT + 1, || ()).await.unwrap();
        let died = parsing.run(SHORT + 1, || panic!("it dies")).await;
        assert!(matches!(died, Err::<(), _>(Failure::Lost)));
        assert_eq!((parsing.room.available_permits(), parsing.threads.available_permits()), (ROOM / UNIT, 1));
    }
}
