//! The stored form of a record: pins, histories, divergences, invalidations.
//!
//! ```text
//! scriptorium-record 1 <CRC32C of the rest, 8 hex digits>\n
//! <JSON on one line>\n
//! ```
//! Earlier versions wrote only the JSON. Such a record is read without a check and gets a checksum when it is next written.
//! Owns that form and its version. Must not know what records say.

use std::io;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &str = "scriptorium-record 1 ";
const HEADER: usize = MAGIC.len() + 8 + 1;

/// Why a stored record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// Bytes changed since it was written.
    #[error("a record whose checksum does not match")]
    Damaged,
    #[error("not a record of this version")]
    Foreign,
    #[error("a record of another kind: {0}")]
    Other(#[from] serde_json::Error),
}

/// The stored form of `record`.
pub(crate) fn encode(record: &impl Serialize) -> Bytes {
    // Measured first: a large record is not in memory twice. What cannot be written leaves a record that is damaged.
    let mut length = Length(HEADER + 1);
    let _ = serde_json::to_writer(&mut length, record);
    let mut stored = Vec::with_capacity(length.0);
    stored.resize(HEADER, 0);
    let _ = serde_json::to_writer(&mut stored, record);
    stored.push(b'\n');
    let header = first_line(&stored[HEADER..]);
    stored[..HEADER].copy_from_slice(header.as_bytes());
    stored.into()
}

/// Counts what is written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the stored form, or that of earlier versions.
///
/// # Errors
/// [`RecordError`] when it is not what was written.
pub(crate) fn decode<T: DeserializeOwned>(stored: &[u8]) -> Result<T, RecordError> {
    if matches!(stored.first(), Some(b'{' | b'[')) {
        return Ok(serde_json::from_slice(stored)?);
    }
    let (header, rest) = stored.split_at_checked(HEADER).ok_or(RecordError::Foreign)?;
    if header == first_line(rest).as_bytes() {
        return Ok(serde_json::from_slice(rest)?);
    }
    Err(if header.starts_with(MAGIC.as_bytes()) { RecordError::Damaged } else { RecordError::Foreign })
}

fn first_line(rest: &[u8]) -> String {
    format!("{MAGIC}{:08x}\n", checksum(CrcAlgorithm::Crc32Iscsi, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bytes {
        encode(&serde_json::json!({"volume": "@acme/x", "version": "1.0.0"}))
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let stored = sample();
        decode::<serde_json::Value>(&stored).unwrap();
        for at in 0..stored.len() {
            for bit in 0..8 {
                let mut damaged = stored.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(decode::<serde_json::Value>(&damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(decode::<serde_json::Value>(&stored[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        assert_eq!(decode::<Vec<u8>>(b"[1,2]").unwrap(), [1, 2]);
        assert_eq!(decode::<serde_json::Value>(b"{\"a\":1}\n").unwrap()["a"], 1);
        assert!(matches!(decode::<Vec<u8>>(b"[1,2"), Err(RecordError::Other(_))));
    }

    #[test]
    fn another_version_is_not_believed() {
        let later = String::from_utf8(sample().to_vec()).unwrap().replace("record 1", "record 2");
        assert!(matches!(decode::<serde_json::Value>(later.as_bytes()), Err(RecordError::Foreign)));
    }
}
