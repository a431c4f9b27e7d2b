//! Copying a blob while its digest is computed.
//!
//! A large blob is hashed by a thread of its own, each piece after it was written, so that reading and writing do not wait for the
//! hash. Owns the loop and its buffers, and tells a source that fails from a sink that fails. Must not know where the bytes go.

use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;

use archive::Sha256;

use super::ExportError;
use crate::hashing::Hasher;

const BUFFER: usize = 256 * 1024;
/// Blobs of so many bytes are hashed by a thread of their own.
const LARGE: u64 = 4 * BUFFER as u64;
/// Buffers that wait for that thread.
const WAITING: usize = 2;

/// Which side failed.
pub(super) enum CopyFailure {
    Source(io::Error),
    Sink(io::Error),
    /// The bytes are not those that were expected.
    Differs,
}

impl CopyFailure {
    pub(super) fn told(self, digest: &Sha256, at: impl Fn(io::Error) -> ExportError) -> ExportError {
        match self {
            Self::Source(source) => ExportError::Source { digest: *digest, source },
            Self::Differs => ExportError::Differs { digest: *digest },
            Self::Sink(error) => at(error),
        }
    }
}

/// Buffers for one blob after another.
#[derive(Default)]
pub(super) struct Copying(Vec<Vec<u8>>);

impl Copying {
    /// Copies a source that must have this digest and size, and never more bytes than that.
    pub(super) fn copy(
        &mut self,
        source: &mut impl Read,
        (digest, size): (&Sha256, u64),
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CopyFailure> {
        let hasher = if size < LARGE {
            self.hash_here(source, size, sink)
        } else {
            self.hash_beside(source, size, sink)
        };
        if hasher?.finish() == *digest { Ok(()) } else { Err(CopyFailure::Differs) }
    }

    fn hash_here(
        &mut self,
        source: &mut impl Read,
        size: u64,
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Hasher, CopyFailure> {
        let mut hasher = Hasher::default();
        let buffer = self.0.pop();
        let last = pass(source, size, sink, buffer, |buffer, filled| {
            hasher.update(&buffer[..filled]);
            Some(buffer)
        })?;
        self.0.extend(last);
        Ok(hasher)
    }

    fn hash_beside(
        &mut self,
        source: &mut impl Read,
        size: u64,
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Hasher, CopyFailure> {
        let (to_hash, written) = mpsc::sync_channel::<(Vec<u8>, usize)>(WAITING);
        let (give_back, spare) = mpsc::channel();
        // Each buffer that is there is used before another one is made.
        self.0.drain(..).try_for_each(|buffer| give_back.send(buffer)).map_err(lost)?;
        let hasher = thread::scope(|scope| {
            let hashing = thread::Builder::new().name("hash".to_owned()).spawn_scoped(scope, move || {
                let mut hasher = Hasher::default();
                for (buffer, filled) in written {
                    hasher.update(&buffer[..filled]);
                    // Nobody takes it back once the copy has failed.
                    let _ = give_back.send(buffer);
                }
                hasher
            });
            let hashing = hashing.map_err(CopyFailure::Source)?;
            let passed = pass(source, size, sink, spare.try_recv().ok(), |buffer, filled| {
                // The thread ends after this sender, and not before.
                let _ = to_hash.send((buffer, filled));
                spare.try_recv().ok()
            });
            drop(to_hash);
            let hasher = hashing.join().map_err(|_| lost("the hashing died"))?;
            passed.map(|last| {
                self.0.extend(last);
                hasher
            })
        })?;
        self.0.extend(spare.try_iter());
        Ok(hasher)
    }
}

fn lost(why: impl ToString) -> CopyFailure {
    CopyFailure::Source(io::Error::other(why.to_string()))
}

/// Passes exactly `size` bytes of a source to `sink`, and each filled buffer to `done`, which gives another one or none.
fn pass(
    source: &mut impl Read,
    size: u64,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    mut spare: Option<Vec<u8>>,
    mut done: impl FnMut(Vec<u8>, usize) -> Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>, CopyFailure> {
    let mut left = size;
    loop {
        let mut buffer = spare.take().unwrap_or_else(|| vec![0; BUFFER]);
        let filled = fill(source, &mut buffer).map_err(CopyFailure::Source)?;
        if filled == 0 {
            return if left == 0 { Ok(Some(buffer)) } else { Err(CopyFailure::Differs) };
        }
        left = left.checked_sub(filled as u64).ok_or(CopyFailure::Differs)?;
        sink(&buffer[..filled]).map_err(CopyFailure::Sink)?;
        spare = done(buffer, filled);
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
