//! SHA-256 over bytes that come piece by piece.
//!
//! Owns the step from the hash function to [`Sha256`], and a reader and a writer that hash what passes. Must not know what
//! is hashed.

use std::io::{self, Read, Write};

use archive::Sha256;

/// SHA-256 over bytes that come piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    pub(crate) fn finish(self) -> Sha256 {
        Sha256::new(sha2::Digest::finalize(self.0).into())
    }
}

/// Hashes and counts what is read or written through it.
pub(crate) struct Hashing<T> {
    pub(crate) inner: T,
    pub(crate) hasher: Hasher,
    pub(crate) bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hasher: Hasher::default(), bytes: 0 }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.pass(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.pass(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
