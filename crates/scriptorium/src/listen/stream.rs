//! The connection of one client, as a stream.
//!
//! Owns what is noted of every read and write, how small pieces are joined, and how long the socket may be full without
//! moving. Must not know what is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::connections::{Connection, MemoryReservation};
use crate::progress::Progress;

/// Most that is copied into one piece before it is written: a small answer and its head. That is cheaper than writing a
/// list of pieces.
const TOGETHER: usize = 4096;

/// How often within `patience` a full socket is looked at. The system calls it writable only once a good part of its
/// buffer, perhaps megabytes, is free; a slow client takes something long before that.
const LOOKS: u32 = 4;

/// A stream whose writes fail once the client has taken nothing for `patience`, and at most a quarter longer.
pub(super) struct ClientStream<S, F> {
    stream: S,
    /// How many bytes the client has ever taken; always the same number where that is not known.
    taken: F,
    patience: Duration,
    /// What TLS buffers of an answer while the socket is full.
    unsent: usize,
    connection: Arc<Connection>,
    full: Option<FullSocket>,
}

/// A socket that takes no more for now.
struct FullSocket {
    look: Pin<Box<Sleep>>,
    progress: Progress,
    _reserved: MemoryReservation,
}

impl<S, F: Fn(&S) -> u64> ClientStream<S, F> {
    pub(super) fn new(
        stream: S,
        taken: F,
        patience: Duration,
        unsent: usize,
        connection: Arc<Connection>,
    ) -> Self {
        Self { stream, taken, patience, unsent, connection, full: None }
    }

    /// Notes a write before it is made: whatever the client does next comes after it.
    fn note_write(&self) {
        self.connection.activity.set_unsent(true);
        if self.full.is_none() {
            self.connection.activity.touch();
        }
    }

    /// The outcome of a write; the time passes for one that has to wait.
    fn judged<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.full.take().is_some() {
                self.connection.activity.set_full(false);
                self.connection.activity.moves();
            }
            return outcome;
        }
        let interval = self.patience / LOOKS;
        let full = match &mut self.full {
            Some(full) => full,
            none => {
                let _reserved = self.connection.reserve(self.unsent).map_err(io::Error::other)?;
                self.connection.activity.set_full(true);
                let progress = Progress::new(self.patience, Instant::now()).at((self.taken)(&self.stream));
                none.insert(FullSocket { look: Box::pin(sleep(interval)), progress, _reserved })
            }
        };
        while full.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            match full.progress.reached((self.taken)(&self.stream), now) {
                Ok(true) => self.connection.activity.moves(),
                Ok(false) => {}
                Err(_) => {
                    let stalled = io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing");
                    return Poll::Ready(Err(stalled));
                }
            }
            full.look.as_mut().reset(now + interval);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for ClientStream<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_overdrawn() {
            // The tasks of evicted connections are before this one in the worker's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.connection.receive(buffer.filled().len() - before).map_err(io::Error::other)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(&S) -> u64 + Unpin> AsyncWrite for ClientStream<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judged(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        let length = slices.iter().map(|slice| slice.len()).sum();
        if length <= TOGETHER {
            let mut piece = [0; TOGETHER];
            let mut rest = &mut piece[..];
            slices.iter().for_each(|slice| rest.put_slice(slice));
            return self.poll_write(context, &piece[..length]);
        }
        self.note_write();
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judged(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper and rustls flush once they have written everything. Not judged: nothing is buffered above the socket, and
    /// an empty flush would hide that it is full.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.connection.activity.set_unsent(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::connections::tests::slot;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails_after_the_patience() {
        let slot = slot();
        let (near, _far) = duplex(8);
        let mut near = ClientStream::new(near, |_| 0, PATIENCE, 0, slot.connection().clone());
        let began = Instant::now();
        let error = near.write_all(&[1; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_moves_is_waited_for() {
        let slot = slot();
        let (near, mut far) = duplex(1);
        let mut near = ClientStream::new(near, |_| 0, PATIENCE, 0, slot.connection().clone());
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
        let slot = slot();
        let (near, _far) = duplex(8);
        let taken = Arc::new(AtomicU64::new(0));
        let seen = taken.clone();
        let taking = move |_: &_| seen.load(Ordering::Relaxed);
        let mut near = ClientStream::new(near, taking, PATIENCE, 0, slot.connection().clone());
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
