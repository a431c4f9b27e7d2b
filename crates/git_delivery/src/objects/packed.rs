//! A pack that is read through its index.
//!
//! Owns the choice between inflating an object from the file and resolving it in memory, where it is stored as a difference. Must
//! not know how a pack is received.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::bufread::ZlibDecoder;
use gix_hash::{ObjectId, oid};
use gix_pack::cache::Never;
use gix_pack::data;
use gix_pack::data::decode::entry::ResolvedBase;

use super::{GitObject, ObjectError};
use crate::{GitAllowance, GitExcess, GitLimits};

/// The longest header of an entry: a size of ten bytes, and the name of another object.
const MAX_ENTRY_HEADER: usize = 10 + 20;

/// A pack and its index.
pub(super) struct OpenPack {
    index: gix_pack::index::File,
    /// Where objects are inflated from. Reading a file costs no address space, and a mapped one would count as memory.
    file: File,
    /// Where differences are resolved.
    mapped: data::File,
}

impl OpenPack {
    /// Opens a pack by its index. None if it was removed meanwhile, or is no pack any more: then it is fetched again.
    pub(super) fn open(index: &Path, limits: &GitLimits) -> Result<Option<Self>, ObjectError> {
        let pack = index.with_extension("pack");
        let file = match File::open(&pack) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ObjectError::Storage(error)),
        };
        let index = gix_pack::index::File::at(index, gix_hash::Kind::Sha1);
        let mapped = data::File::at(&pack, gix_hash::Kind::Sha1);
        match index.and_then(|index| Ok((index, mapped?))) {
            Ok((index, mapped)) => {
                let mapped = mapped.with_alloc_limit_bytes(Some(limits.room_to_resolve()));
                Ok(Some(Self { index, file, mapped }))
            }
            Err(error) if error.is_resource_exhausted() => Err(ObjectError::Storage(io::Error::other(error))),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn contains(&self, id: &oid) -> bool {
        self.index.lookup(id).is_some()
    }

    pub(super) fn object(
        &self,
        id: &oid,
        allowance: &GitAllowance<'_>,
    ) -> Result<GitObject<'_>, ObjectError> {
        let place = self.index.lookup(id).ok_or_else(|| ObjectError::Missing(id.to_owned()))?;
        let entry = self.entry(id, self.index.pack_offset_at_index(place))?;
        let Some(kind) = entry.header.as_kind() else { return self.resolved(id, entry, allowance) };
        let from = BufReader::new(Section { file: &self.file, at: entry.data_offset });
        let from = ZlibDecoder::new(Box::new(from) as Box<dyn BufRead>);
        Ok(GitObject::inflating(id.to_owned(), kind, entry.decompressed_size, from))
    }

    fn entry(&self, id: &oid, at: u64) -> Result<data::Entry, ObjectError> {
        let mut header = [0; MAX_ENTRY_HEADER];
        let read = self.file.read_at(&mut header, at).map_err(ObjectError::Storage)?;
        data::Entry::from_bytes(&header[..read], at, gix_hash::Kind::Sha1)
            .map_err(|_| ObjectError::Damaged(id.to_owned()))
    }

    fn resolved(
        &self,
        id: &oid,
        entry: data::Entry,
        allowance: &GitAllowance<'_>,
    ) -> Result<GitObject<'_>, ObjectError> {
        let base = |base: &oid, _: &mut Vec<u8>| {
            let place = self.index.lookup(base).map(|place| self.index.pack_offset_at_index(place));
            Ok(place.map(|at| self.mapped.entry(at)).transpose()?.map(ResolvedBase::InPack))
        };
        let mut content = Vec::new();
        let inflate = &mut gix_zlib::Inflate::default();
        let outcome = self.mapped.decode_entry(entry, &mut content, inflate, &base, &mut Never);
        let outcome = outcome.map_err(|error| match error.is_resource_exhausted() {
            true => ObjectError::Exceeded(GitExcess::Held(allowance.limits().max_held)),
            false => ObjectError::Damaged(id.to_owned()),
        })?;
        allowance.hold(content.len() as u64)?;
        allowance.inflate(outcome.object_size.saturating_mul(u64::from(outcome.num_deltas) + 1))?;
        Ok(GitObject::held(ObjectId::from(id), outcome.kind, content))
    }
}

/// A file that is read from an offset on, without moving anybody's position.
struct Section<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
