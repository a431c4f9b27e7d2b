//! The one form of a part: a tar of blobs that every tar reads, and of which no byte is free.
//!
//! Owns the header of an entry and the end of the file. A header follows from digest and size, so that a reader compares it
//! instead of interpreting it: nothing in it can be read in two ways. Must not know files.

use archive::Sha256;
use tar::{EntryType, Header};

use super::layout::{BLOBS, blob_path};

/// Tar's unit.
pub(crate) const BLOCK: usize = 512;
/// The largest size that eleven octal digits hold.
const LARGEST_OCTAL: u64 = 0o777_7777_7777;
/// What stands after the last entry.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The header of a blob's entry: a regular file, mode 0644, owner 0, time 0.
pub(crate) fn header(digest: &Sha256, size: u64) -> [u8; BLOCK] {
    // The older form has no room for a larger number.
    let mut header = if size <= LARGEST_OCTAL { Header::new_ustar() } else { Header::new_gnu() };
    let path = blob_path(digest);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// The digest that a header names; whether it is the right header, only [`header`] can tell.
pub(crate) fn named(block: &[u8; BLOCK]) -> Option<Sha256> {
    let name = block.split(|byte| *byte == 0).next()?;
    let rest = std::str::from_utf8(name).ok()?.strip_prefix(BLOBS[0])?.strip_prefix('/')?;
    Sha256::from_hex(rest.strip_prefix(BLOBS[1])?.strip_prefix('/')?).ok()
}

/// What pads a content of this size.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// What an entry takes in a part.
pub(crate) fn entry_size(size: u64) -> u64 {
    BLOCK as u64 + size.next_multiple_of(BLOCK as u64)
}
