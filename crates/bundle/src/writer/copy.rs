//! Copying a blob while its digest is computed.
//!
//! Owns the loop and its buffer, and tells a source that fails from a sink that fails. Must not know where the bytes go.

use std::io::{self, Read};

use archive::Sha256;

use super::ExportError;
use crate::hashing::Hasher;

const BUFFER: usize = 256 * 1024;

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

/// A buffer for one blob after another.
pub(super) struct Copying(Vec<u8>);

impl Default for Copying {
    fn default() -> Self {
        Self(vec![0; BUFFER])
    }
}

impl Copying {
    /// Copies a source that must have this digest and size, and never more bytes than that.
    pub(super) fn copy(
        &mut self,
        source: &mut impl Read,
        (digest, size): (&Sha256, u64),
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CopyFailure> {
        let (mut hasher, mut left) = (Hasher::default(), size);
        loop {
            let read = match source.read(&mut self.0) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyFailure::Source(error)),
            };
            left = left.checked_sub(read as u64).ok_or(CopyFailure::Differs)?;
            hasher.update(&self.0[..read]);
            sink(&self.0[..read]).map_err(CopyFailure::Sink)?;
        }
        if left == 0 && hasher.finish() == *digest { Ok(()) } else { Err(CopyFailure::Differs) }
    }
}
