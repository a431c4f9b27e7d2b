//! One blob that is being read, and compared with its digest on the way.
//!
//! Owns that nobody gets all bytes of a blob whose digest is wrong: the comparison comes before the last bytes are given out.
//! Must not know which file they lie in.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use archive::Sha256;

use crate::hashing::Hasher;

/// A blob changed after it was inspected, or was not inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the blob {0} has other bytes than the manifest says")]
pub struct BlobMismatch(pub Sha256);

/// Reads a blob. What was read is right only once the end was reached without an error.
pub struct BlobReader {
    file: File,
    at: u64,
    left: u64,
    /// Taken when the digest was compared.
    hasher: Option<Hasher>,
    digest: Sha256,
    size: u64,
}

impl BlobReader {
    pub(super) fn new(file: File, at: u64, size: u64, digest: Sha256) -> Self {
        Self { file, at, left: size, hasher: Some(Hasher::default()), digest, size }
    }

    /// The blob's length.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn mismatch(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, BlobMismatch(self.digest))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && self.left > 0 {
            return Ok(0);
        }
        let read = if most == 0 { 0 } else { self.file.read_at(&mut buffer[..most], self.at)? };
        if read == 0 && self.left > 0 {
            return Err(self.mismatch());
        }
        // Past a mismatch there is no hasher, and no more bytes.
        let Some(mut hasher) = self.hasher.take() else {
            return if self.left == 0 { Ok(0) } else { Err(self.mismatch()) };
        };
        hasher.update(&buffer[..read]);
        (self.at, self.left) = (self.at + read as u64, self.left - read as u64);
        if self.left > 0 {
            self.hasher = Some(hasher);
        } else if hasher.finish() != self.digest {
            self.left = u64::MAX;
            return Err(self.mismatch());
        }
        Ok(read)
    }
}
