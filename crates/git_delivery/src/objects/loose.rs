//! Loose objects: one file each, below a folder named by the first two digits of its name.
//!
//! Owns their path and their header. Must not know packs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;
use gix_hash::oid;
use gix_object::decode::loose_header;

use super::{GitObject, ObjectError};

/// The longest header: `commit`, a space, 20 digits, NUL.
const MAX_HEADER: usize = 28;

pub(super) fn path_of(folder: &Path, id: &oid) -> PathBuf {
    let hex = id.to_hex().to_string();
    folder.join(&hex[..2]).join(&hex[2..])
}

pub(super) fn object(folder: &Path, id: &oid) -> Result<GitObject<'static>, ObjectError> {
    let file = match File::open(path_of(folder, id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ObjectError::Missing(id.to_owned()));
        }
        Err(error) => return Err(ObjectError::Storage(error)),
    };
    let mut from = ZlibDecoder::new(Box::new(BufReader::new(file)) as Box<dyn BufRead>);
    let mut header = Vec::new();
    // The content begins behind the header's NUL, so it is read byte by byte.
    while header.len() < MAX_HEADER && header.last() != Some(&0) {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(|_| ObjectError::Damaged(id.to_owned()))?;
        header.extend(byte);
    }
    let (kind, len, _) = loose_header(&header).map_err(|_| ObjectError::Damaged(id.to_owned()))?;
    Ok(GitObject::inflating(id.to_owned(), kind, len, from))
}
