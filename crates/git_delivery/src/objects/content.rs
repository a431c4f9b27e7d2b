//! The content of one object, in pieces, held against its name and its length.
//!
//! Owns the reading of what is inflated or held. Must not know where an object is stored.

use std::io::{BufRead, Read};

use flate2::bufread::ZlibDecoder;
use gix_hash::{Hasher, ObjectId};
use gix_object::Kind;

use super::ObjectError;
use crate::GitAllowance;

/// The longest piece.
const PIECE: usize = 64 << 10;

/// An object whose content is read in pieces.
pub(crate) struct GitObject<'a> {
    id: ObjectId,
    kind: Kind,
    len: u64,
    bytes: Bytes<'a>,
    hasher: Hasher,
    read: u64,
}

/// Where the bytes come from.
enum Bytes<'a> {
    Inflating { from: ZlibDecoder<Box<dyn BufRead + 'a>>, piece: Vec<u8> },
    Held(Vec<u8>),
}

impl<'a> GitObject<'a> {
    /// An object that is inflated while it is read.
    pub(super) fn inflating(
        id: ObjectId,
        kind: Kind,
        len: u64,
        from: ZlibDecoder<Box<dyn BufRead + 'a>>,
    ) -> Self {
        Self::of(id, kind, len, Bytes::Inflating { from, piece: Vec::new() })
    }

    /// An object that is in memory.
    pub(super) fn held(id: ObjectId, kind: Kind, content: Vec<u8>) -> Self {
        Self::of(id, kind, content.len() as u64, Bytes::Held(content))
    }

    fn of(id: ObjectId, kind: Kind, len: u64, bytes: Bytes<'a>) -> Self {
        let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
        hasher.update(&gix_object::encode::loose_header(kind, len));
        Self { id, kind, len, bytes, hasher, read: 0 }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next bytes, or `None` after all of them were read and found to have the object's name.
    pub(crate) fn next_piece(&mut self, allowance: &GitAllowance<'_>) -> Result<Option<&[u8]>, ObjectError> {
        let damaged = ObjectError::Damaged(self.id);
        let piece = match &mut self.bytes {
            Bytes::Held(content) => {
                &content[usize::try_from(self.read).unwrap_or(usize::MAX).min(content.len())..]
            }
            Bytes::Inflating { from, piece } => {
                piece.resize(PIECE, 0);
                let Ok(len) = from.read(piece) else { return Err(damaged) };
                allowance.inflate(len as u64)?;
                &piece[..len]
            }
        };
        self.read += piece.len() as u64;
        self.hasher.update(piece);
        if self.read > self.len {
            return Err(damaged);
        }
        if !piece.is_empty() {
            return Ok(Some(piece));
        }
        let found = self.hasher.clone().try_finalize();
        if self.read < self.len || !found.is_ok_and(|found| found == self.id) {
            return Err(damaged);
        }
        Ok(None)
    }
}
