//! Reading a part of a file into memory that is not zeroed first, since zeroing costs an eighth of a large hit.
//!
//! Owns that read. Must not know what the bytes are.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

/// The bytes of `range`, fewer if the file ends before; `None` if there is no file.
pub(super) fn read(file: &Path, range: &Range<u64>) -> io::Result<Option<Bytes>> {
    let file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    part(&file, range).map(Some)
}

fn part(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let wanted = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(wanted)?;
    while bytes.len() < wanted {
        let offset = range.start + bytes.len() as u64;
        match pread(file, spare_capacity(&mut bytes), offset) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(wanted);
    Ok(bytes.into())
}

/// The last `most` bytes of a file, or all of a shorter one, and its length; `None` if there is no file.
pub(super) fn tail(file: &Path, most: u64) -> io::Result<Option<(Bytes, u64)>> {
    let file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let bytes = part(&file, &(length.saturating_sub(most)..length))?;
    Ok(Some((bytes, length)))
}
