//! Writes that end when nobody takes them.
//!
//! Owns how long a socket may be full without moving, and what is told of what comes and goes on it. Must not know what
//! is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::standing::{Kept, Standing};

/// How often in `patience` a full socket is looked at. The system calls it writable only once a good part of what may
/// be megabytes is gone; a slow client moves long before that.
const LOOKS: u32 = 4;

/// A stream whose writes fail once the other end has taken nothing for as long as `patience`, and at most a quarter more.
pub(super) struct Stalling<S, F> {
    stream: S,
    /// How many bytes the other end has taken of all that was ever written; the same number where that is not known.
    taken: F,
    patience: Duration,
    standing: Arc<Standing>,
    /// What is held above of an answer while the socket is full.
    unsent: usize,
    full: Option<Full>,
}

/// A socket that takes no more for now.
struct Full {
    look: Pin<Box<Sleep>>,
    taken: u64,
    moved: Instant,
    _kept: Kept,
}

impl<S, F: Fn() -> u64> Stalling<S, F> {
    pub(super) fn new(stream: S, taken: F, patience: Duration, standing: Arc<Standing>) -> Self {
        Self { stream, taken, patience, standing, unsent: 0, full: None }
    }

    /// While the socket is full, so much is kept above it of what was written.
    pub(super) fn keeps_unsent(&mut self, bytes: usize) {
        self.unsent = bytes;
    }

    /// What becomes of a write: time passes for one that has to wait.
    fn judged<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.standing.stirs();
            if self.full.take().is_some() {
                self.standing.full(false);
                self.standing.moves();
            }
            return outcome;
        }
        let interval = self.patience / LOOKS;
        let full = match &mut self.full {
            Some(full) => full,
            none => {
                let _kept = self.standing.keep(self.unsent).map_err(io::Error::other)?;
                self.standing.full(true);
                none.insert(Full {
                    look: Box::pin(sleep(interval)),
                    taken: (self.taken)(),
                    moved: Instant::now(),
                    _kept,
                })
            }
        };
        while full.look.as_mut().poll(context).is_ready() {
            let (taken, now) = ((self.taken)(), Instant::now());
            if taken != full.taken {
                (full.taken, full.moved) = (taken, now);
                self.standing.moves();
            } else if now.duration_since(full.moved) >= self.patience {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
            }
            full.look.as_mut().reset(now + interval);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for Stalling<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.standing.part().room().is_overdrawn() {
            // Those who were told to go stand before this one in the worker's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.standing.reads(buffer.filled().len() - before).map_err(io::Error::other)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, F: Fn() -> u64 + Unpin> AsyncWrite for Stalling<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judged(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judged(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Not judged: nothing is kept above the socket, and an empty flush would hide that it is full.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::connections::tests::place;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails_after_the_patience() {
        let place = place();
        let (near, _far) = duplex(8);
        let mut near = Stalling::new(near, || 0, PATIENCE, place.standing().clone());
        let began = Instant::now();
        let error = near.write_all(&[1; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_moves_is_waited_for() {
        let place = place();
        let (near, mut far) = duplex(1);
        let mut near = Stalling::new(near, || 0, PATIENCE, place.standing().clone());
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            for _ in 0..6 {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                far.read_exact(&mut byte).await.unwrap();
            }
        });
        near.write_all(&[1; 6]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_socket_that_drains_is_waited_for() {
        let place = place();
        let (near, _far) = duplex(8);
        let taken = Arc::new(AtomicU64::new(0));
        let seen = taken.clone();
        let mut near =
            Stalling::new(near, move || seen.load(Ordering::Relaxed), PATIENCE, place.standing().clone());
        let began = Instant::now();
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(PATIENCE / 2).await;
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        near.write_all(&[1; 9]).await.unwrap_err();
        assert!((6 * PATIENCE..7 * PATIENCE).contains(&began.elapsed()), "after {:?}", began.elapsed());
    }
}
