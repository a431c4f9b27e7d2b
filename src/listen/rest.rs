//! Connections that rest between their requests.
//!
//! Owns what is left of an HTTP/1.1 connection while it needs none of what hyper keeps for it, 18 KiB: before the head of
//! a request has come, and in a crowd after its answer. Must not know what is answered, nor what a crowd is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::replay::Replay;
use super::standing::{Open, Standing};

/// Most that is put together to be written: a small answer and its head. Copying it costs less than a list does.
const TOGETHER: usize = 4096;

/// The body of an answer that is open until all of it is taken.
#[derive(Debug)]
pub(super) struct Opened<B> {
    pub(super) body: B,
    pub(super) _open: Open,
}

impl<B: Body + Unpin> Body for Opened<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that says whether all that was written to it is on its way.
#[derive(Debug)]
pub(super) struct Rested<S> {
    stream: Replay<S>,
    standing: Arc<Standing>,
}

impl<S> Rested<S> {
    pub(super) fn new(stream: Replay<S>, standing: Arc<Standing>) -> Self {
        Self { stream, standing }
    }

    /// A turn of hyper begins, with what was read already.
    pub(super) fn begin(&mut self, read: Vec<u8>) {
        self.stream.replay(read);
    }
}

impl<S: AsyncRead + Unpin> Rested<S> {
    /// Waits for the whole head of the next request, or for what hyper refuses at once; false when the client hangs up.
    pub(super) async fn head(&mut self, read: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        self.stream.gather(read, |read, judged| is_head(read, judged, most)).await
    }
}

/// Whether `read` holds all lines of a head, is as long as one may be, or begins like none. `judged` of it do not.
fn is_head(read: &[u8], judged: usize, most: usize) -> bool {
    let Some(first) = read.first() else { return false };
    let begins = first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n');
    let mut new = read[judged.saturating_sub(2)..].split(|byte| *byte == b'\n');
    // What follows the last line's end is no line yet.
    let _ = new.next_back();
    !begins || read.len() >= most || new.skip(1).any(|line| matches!(line, b"" | b"\r"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Rested<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// `slices` as one piece in `room`, which is as long as they are together.
fn joined<'a>(slices: &[io::IoSlice<'_>], room: &'a mut [u8]) -> &'a [u8] {
    let mut rest = &mut *room;
    for slice in slices {
        rest.put_slice(slice);
    }
    room
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rested<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.standing.unsent(true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The system takes one piece with less ado than a list of them.
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        let length = slices.iter().map(|slice| slice.len()).sum();
        if let Some(room) = [0; TOGETHER].get_mut(..length) {
            return self.poll_write(context, joined(slices, room));
        }
        self.standing.unsent(true);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.standing.unsent(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_seen_whole_wherever_it_was_cut() {
        for head in
            ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.0\n\n", "GET / HTTP/1.1\r\nhost: a\n\r\n"]
        {
            let head = head.as_bytes();
            for judged in 0..head.len() {
                assert!(is_head(head, judged, 1 << 15), "cut at {judged}");
                assert!(
                    !is_head(&head[..head.len() - 1], judged.min(head.len() - 1), 1 << 15),
                    "cut at {judged}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_head_or_too_long_is_not_waited_for() {
        assert!(is_head(b"\x16\x03\x01", 0, 1 << 15) && is_head(b"\0", 0, 1 << 15));
        assert!(is_head(b"GET /", 0, 5) && !is_head(b"GET /", 0, 6) && !is_head(b"", 0, 6));
    }
}
