//! The content codings of documents: compressed piece by piece, then decoded and compared.
//!
//! Owns their levels and when compression pays. Must not know when a body is compressed, nor which client accepts it.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tracing::error;

use super::Rendition;

/// The levels at which both compress tens of megabytes a second. zstd's window is 2 MiB there, of the 8 MiB
/// that any client must grant (RFC 9659).
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: Compression = Compression::new(6);

/// A content coding that documents may be sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyCoding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl BodyCoding {
    /// Every coding, the better one first.
    pub(crate) const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    #[must_use]
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The body of `rendition` in this coding, when that is at most half as long as the document and decodes to the
    /// body again.
    pub(super) fn apply(self, rendition: &Rendition) -> Option<Bytes> {
        let most = rendition.length.min(rendition.template.original().len()) / 2;
        let mut coded = Half { bytes: Vec::new(), most, is_over: false };
        let made = self.write(rendition, &mut coded);
        if coded.is_over {
            return None;
        }
        if made.is_err() || !self.gives_back(&coded.bytes, rendition.pieces()) {
            error!(coding = self.token(), "a document could not be compressed and is sent plain");
            return None;
        }
        Some(coded.bytes.into_boxed_slice().into())
    }

    fn write(self, rendition: &Rendition, into: &mut Half) -> io::Result<()> {
        match self {
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(into, ZSTD_LEVEL)?;
                encoder.set_pledged_src_size(Some(rendition.length as u64))?;
                rendition.pieces().try_for_each(|piece| encoder.write_all(&piece))?;
                encoder.finish()?;
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(into, GZIP_LEVEL);
                rendition.pieces().try_for_each(|piece| encoder.write_all(&piece))?;
                encoder.finish()?;
            }
        }
        Ok(())
    }

    /// Whether `coded` decodes to `body`.
    pub(super) fn gives_back(self, coded: &[u8], body: impl Iterator<Item = Bytes>) -> bool {
        match self {
            Self::Zstd => zstd::Decoder::with_buffer(coded).is_ok_and(|decoder| reads_as(decoder, body)),
            Self::Gzip => reads_as(GzDecoder::new(coded), body),
        }
    }
}

/// Room for half of a body.
struct Half {
    bytes: Vec<u8>,
    most: usize,
    is_over: bool,
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            self.is_over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `reader` gives just these pieces; holds one of them at a time.
fn reads_as(mut reader: impl Read, body: impl Iterator<Item = Bytes>) -> bool {
    let mut read = Vec::new();
    for piece in body {
        read.resize(piece.len(), 0);
        if reader.read_exact(&mut read).is_err() || read != piece {
            return false;
        }
    }
    matches!(reader.read(&mut [0]), Ok(0))
}
