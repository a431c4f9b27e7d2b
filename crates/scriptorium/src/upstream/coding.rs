//! Content codings that a registry applies although none was requested: decoded, or refused by name.
//!
//! | coding              | of a document | of a file |
//! |---------------------|---------------|-----------|
//! | gzip, x-gzip        | decoded       | decoded   |
//! | deflate (both ways) | decoded       | decoded   |
//! | br, zstd            | decoded       | decoded   |
//! | two of them         | decoded       | refused   |
//! | more, or another    | refused       | refused   |
//!
//! The label of an archive may describe the archive's own gzip: some web servers derive it from the file name. So a
//! coding is decoded from an archive only where the result is gzip; otherwise the bytes are passed on as they came.
//! No tar begins like gzip, and the whole archive is verified in any case. Owns this table, and the bound on what
//! decoding produces. Must not know what is decoded.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use ::http::HeaderMap;
use ::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::CouldNotAsk;
use super::document_memory::{DocumentSlot, SHORT};

pub(super) mod stream;

/// The most codings that are decoded from one document.
const MOST: usize = 2;
/// The largest window that HTTP allows zstd (RFC 9659), as a power of two.
const WINDOW: u32 = 23;
const BUFFER: usize = 8 << 10;
/// How much of a registry's name for a coding is repeated to clients.
const LONGEST_NAME: usize = 60;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentCoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl ContentCoding {
    fn named(name: &str) -> Option<Self> {
        let is = |token: &str| name.eq_ignore_ascii_case(token);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }

    /// A reader of the decoded bytes.
    fn off<'a>(self, coded: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(coded)),
            Self::Deflate => {
                let mut coded = BufReader::new(coded);
                // Many servers send raw deflate, without the header of RFC 1950, section 2.2.
                match coded.fill_buf()? {
                    [first, second, ..]
                        if first & 0x0f != 8 || (u16::from(*first) << 8 | u16::from(*second)) % 31 != 0 =>
                    {
                        Box::new(DeflateDecoder::new(coded))
                    }
                    _ => Box::new(ZlibDecoder::new(coded)),
                }
            }
            Self::Brotli => Box::new(brotli_decompressor::Decompressor::new(coded, BUFFER)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(coded)?;
                decoder.window_log_max(WINDOW)?;
                Box::new(decoder)
            }
        })
    }
}

impl fmt::Display for ContentCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }
}

/// The codings of an answer, in the order in which they were applied.
pub(super) fn applied(headers: &HeaderMap) -> Result<Vec<ContentCoding>, CouldNotAsk> {
    let fields = headers.get_all(CONTENT_ENCODING).iter();
    let fields: Vec<_> = fields.map(|field| String::from_utf8_lossy(field.as_bytes())).collect();
    let names = fields.iter().flat_map(|field| field.split(',')).map(str::trim);
    let names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
    let mut codings = Vec::new();
    for name in names {
        let unread = || CouldNotAsk::UnreadCoding(quoted(name));
        codings.push(ContentCoding::named(name).ok_or_else(unread)?);
        if codings.len() > MOST {
            return Err(CouldNotAsk::UnreadCoding(quoted(&fields.join(", "))));
        }
    }
    Ok(codings)
}

/// Decodes `body`, to at most `limit` bytes. A long result is decoded again once there is memory for it.
pub(super) async fn decode(
    body: Bytes,
    codings: Vec<ContentCoding>,
    limit: u64,
    share: &mut DocumentSlot,
) -> Result<Bytes, CouldNotAsk> {
    if codings.is_empty() {
        return Ok(body);
    }
    let mut decoded = decoded(&body, &codings, limit.min(SHORT)).await?;
    if decoded.len() as u64 > SHORT && limit > SHORT {
        share.cover(decoded.len() as u64, limit).await?;
        decoded = self::decoded(&body, &codings, limit).await?;
    }
    if decoded.len() as u64 > limit { Err(CouldNotAsk::TooLarge { limit }) } else { Ok(decoded) }
}

/// The first decoded bytes of `body`: one more than `most` where there are more.
async fn decoded(body: &Bytes, codings: &[ContentCoding], most: u64) -> Result<Bytes, CouldNotAsk> {
    let (body, names, codings) = (body.clone(), list(codings), codings.to_vec());
    let decoded = tokio::task::spawn_blocking(move || {
        let mut reader: Box<dyn Read + '_> = Box::new(&body[..]);
        for coding in codings.iter().rev() {
            reader = coding.off(reader)?;
        }
        let mut decoded = Vec::new();
        reader.take(most.saturating_add(1)).read_to_end(&mut decoded).map(|_| decoded)
    });
    let decoded = decoded.await.map_err(io::Error::other).flatten();
    decoded.map(|decoded| decoded.into_boxed_slice().into()).map_err(|_| CouldNotAsk::Undecodable(names))
}

/// Their names, in the order in which they were applied.
pub(super) fn list(codings: &[ContentCoding]) -> String {
    codings.iter().map(ContentCoding::to_string).collect::<Vec<_>>().join(", ")
}

/// A registry's own word, shortened and without control characters.
fn quoted(name: &str) -> String {
    name.escape_debug().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests;
