//! The index of a pack, in the form that Git calls version 2.
//!
//! Owns that form. Must not know how objects got their names.

use std::io::{self, Write};

use gix_hash::ObjectId;

use super::PackedObject;
use crate::FetchError;

/// How an index begins: its magic, and its version.
const HEADER: [u8; 8] = *b"\xfftOc\0\0\0\x02";
/// From here on an offset does not fit its field, and stands in a table at the end.
const LARGE: u64 = 1 << 31;

/// Writes the index of the pack that has these objects and this checksum.
pub(super) fn write(
    objects: Vec<PackedObject>,
    checksum: &ObjectId,
    out: impl Write,
) -> Result<(), FetchError> {
    let mut named: Vec<_> =
        objects.into_iter().filter_map(|object| Some((object.id?, object.crc, object.offset))).collect();
    named.sort_unstable();
    let mut out = gix_hash::io::Write::new(out, gix_hash::Kind::Sha1);
    write_tables(&named, checksum, &mut out).map_err(FetchError::Storage)?;
    let own = out.hash.try_finalize().map_err(|error| FetchError::Storage(io::Error::other(error)))?;
    out.inner.write_all(own.as_slice()).and_then(|()| out.inner.flush()).map_err(FetchError::Storage)
}

fn write_tables(named: &[(ObjectId, u32, u64)], checksum: &ObjectId, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&HEADER)?;
    for first in 0..=u8::MAX {
        let up_to = named.partition_point(|(id, ..)| id.first_byte() <= first);
        out.write_all(&(up_to as u32).to_be_bytes())?;
    }
    for (id, ..) in named {
        out.write_all(id.as_slice())?;
    }
    for (_, crc, _) in named {
        out.write_all(&crc.to_be_bytes())?;
    }
    let mut large = Vec::new();
    for (.., offset) in named {
        let field = if *offset < LARGE { *offset } else { LARGE + large.len() as u64 };
        if *offset >= LARGE {
            large.push(*offset);
        }
        out.write_all(&(field as u32).to_be_bytes())?;
    }
    for offset in large {
        out.write_all(&offset.to_be_bytes())?;
    }
    out.write_all(checksum.as_slice())
}

#[cfg(test)]
mod tests {
    use super::super::StoredForm;
    use super::*;

    #[test]
    fn every_object_is_found_at_its_offset() {
        let id = |at: u64| {
            let mut id = [0; 20];
            id[..8].copy_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            ObjectId::from_bytes_or_panic(&id)
        };
        // The last ones lie beyond what fits a field.
        let offset = |at: u64| 12 + at * (1 << 24);
        let object = |at| PackedObject {
            offset: offset(at),
            crc: at as u32,
            form: StoredForm::Whole,
            id: Some(id(at)),
        };
        let mut written = Vec::new();
        write((0..300).map(object).collect(), &id(7), &mut written).unwrap();
        let index = gix_pack::index::File::from_data(written, "x".into(), gix_hash::Kind::Sha1).unwrap();
        for at in 0..300 {
            let place = index.lookup(id(at)).unwrap();
            assert_eq!(index.pack_offset_at_index(place), offset(at));
            assert_eq!(index.crc32_at_index(place), Some(at as u32));
        }
        assert_eq!((index.num_objects(), index.pack_checksum()), (300, id(7)));
        assert!(index.lookup(id(300)).is_none());
    }
}
