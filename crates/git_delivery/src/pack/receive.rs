//! The first pass over a pack, while it arrives: its bytes go to a file, and each entry is read.
//!
//! Owns the framing: header, entries, checksum, and nothing after it. An entry is inflated to find its end, and what is stored whole
//! gets its name in the same pass, so nothing is held. The length that an entry claims is held against the limits before anything of it is
//! inflated. Must not know how differences are resolved.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};

use flate2::Crc;
use flate2::bufread::ZlibDecoder;
use gix_hash::{Hasher, ObjectId};
use gix_object::Kind;
use gix_pack::data;
use gix_pack::data::entry::Header;

use super::{PackedObject, StoredForm};
use crate::error::AnswerError;
use crate::{FetchError, GitAllowance, GitExcess, PackFault};

/// The length of a name, and of the checksum at the end.
const HASH_LEN: usize = 20;
/// The most bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// Writes the pack that arrives in `body` into `file`. Returns its objects in their order, and its checksum.
pub(super) fn receive(
    body: &mut dyn Read,
    file: &File,
    allowance: &GitAllowance<'_>,
) -> Result<(Vec<PackedObject>, ObjectId), FetchError> {
    let limits = allowance.limits();
    let mut pack = ArrivingPack::new(body, file, limits.max_pack);
    let mut header = [0; data::header::SIZE];
    pack.read_exact(&mut header).map_err(truncated)?;
    let (_, count) = data::header::decode(&header).map_err(|_| PackFault::Header)?;
    if count == 0 {
        return Err(PackFault::Empty.into());
    }
    if count > limits.max_objects {
        return Err(GitExcess::Objects(limits.max_objects).into());
    }
    let mut objects = Vec::new();
    let mut piece = vec![0; BUFFER];
    for _ in 0..count {
        objects.push(entry(&mut pack, &objects, &mut piece, allowance)?);
    }
    let checksum = pack.hasher.clone().try_finalize().map_err(|_| PackFault::Collision)?;
    let mut claimed = [0; HASH_LEN];
    pack.read_exact(&mut claimed).map_err(truncated)?;
    if checksum.as_slice() != claimed {
        return Err(PackFault::Checksum.into());
    }
    match pack.fill_buf().map_err(truncated)?.is_empty() {
        true => Ok((objects, checksum)),
        false => Err(PackFault::Trailing.into()),
    }
}

fn entry(
    pack: &mut ArrivingPack<'_>,
    before: &[PackedObject],
    piece: &mut [u8],
    allowance: &GitAllowance<'_>,
) -> Result<PackedObject, FetchError> {
    let offset = pack.taken;
    pack.crc.reset();
    let entry = data::Entry::from_read(pack, offset, HASH_LEN);
    let entry =
        entry.map_err(|error| AnswerError::cause(error, |error| malformed(error, PackFault::Entry)))?;
    let (form, hasher) = match entry.header {
        Header::OfsDelta { base_distance } => {
            let base = offset.checked_sub(base_distance);
            let place = base.and_then(|base| before.binary_search_by_key(&base, |object| object.offset).ok());
            let place = place.and_then(|place| u32::try_from(place).ok()).ok_or(PackFault::DeltaBase)?;
            (StoredForm::DeltaOf(place), None)
        }
        Header::RefDelta { base_id } => (StoredForm::DeltaOfId(base_id), None),
        Header::Commit => (StoredForm::Whole, Some(Kind::Commit)),
        Header::Tree => (StoredForm::Whole, Some(Kind::Tree)),
        Header::Blob => (StoredForm::Whole, Some(Kind::Blob)),
        Header::Tag => (StoredForm::Whole, Some(Kind::Tag)),
    };
    let len = entry.decompressed_size;
    if hasher == Some(Kind::Blob) {
        let max_file = allowance.limits().max_file;
        if len > max_file {
            return Err(GitExcess::File(max_file).into());
        }
    } else {
        allowance.hold(len)?;
    }
    let mut hasher = hasher.map(|kind| {
        let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
        hasher.update(&gix_object::encode::loose_header(kind, len));
        hasher
    });
    inflate(pack, len, piece, allowance, |bytes| {
        if let Some(hasher) = &mut hasher {
            hasher.update(bytes);
        }
    })?;
    let id = hasher.map(Hasher::try_finalize).transpose().map_err(|_| PackFault::Collision)?;
    Ok(PackedObject { offset, crc: pack.crc.sum(), form, id })
}

/// Inflates one object, which claims to have `len` bytes.
fn inflate(
    pack: &mut ArrivingPack<'_>,
    len: u64,
    piece: &mut [u8],
    allowance: &GitAllowance<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), FetchError> {
    let mut inflated = ZlibDecoder::new(pack);
    let mut left = len;
    loop {
        let read = inflated.read(piece);
        let read =
            read.map_err(|error| AnswerError::cause(error, |error| malformed(error, PackFault::Zlib)))?;
        allowance.inflate(read as u64)?;
        if read == 0 {
            return if left == 0 { Ok(()) } else { Err(PackFault::Length.into()) };
        }
        left = left.checked_sub(read as u64).ok_or(PackFault::Length)?;
        take(&piece[..read]);
    }
}

fn truncated(error: io::Error) -> FetchError {
    AnswerError::cause(error, |error| malformed(error, PackFault::Truncated))
}

fn malformed(error: &io::Error, fault: PackFault) -> FetchError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => PackFault::Truncated.into(),
        _ => fault.into(),
    }
}

/// A pack on its way to a file. What was taken of it is hashed.
struct ArrivingPack<'a> {
    body: &'a mut dyn Read,
    file: &'a File,
    buffer: Box<[u8]>,
    /// The part of the buffer that was not taken yet.
    left: std::ops::Range<usize>,
    /// The bytes that were taken.
    taken: u64,
    room: u64,
    max_pack: u64,
    hasher: Hasher,
    crc: Crc,
}

impl<'a> ArrivingPack<'a> {
    fn new(body: &'a mut dyn Read, file: &'a File, max_pack: u64) -> Self {
        Self {
            body,
            file,
            buffer: vec![0; BUFFER].into(),
            left: 0..0,
            taken: 0,
            room: max_pack,
            max_pack,
            hasher: gix_hash::hasher(gix_hash::Kind::Sha1),
            crc: Crc::new(),
        }
    }
}

impl BufRead for ArrivingPack<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty() {
            let read = self.body.read(&mut self.buffer)?;
            let room = self.room.checked_sub(read as u64);
            self.room = room.ok_or_else(|| AnswerError::carry(GitExcess::Pack(self.max_pack)))?;
            self.left = 0..read;
            let stored = self.file.write_all(&self.buffer[..read]);
            stored.map_err(|error| AnswerError::carry(FetchError::Storage(error)))?;
        }
        Ok(&self.buffer[self.left.clone()])
    }

    fn consume(&mut self, amount: usize) {
        let taken = &self.buffer[self.left.start..self.left.start + amount];
        self.hasher.update(taken);
        self.crc.update(taken);
        self.taken += amount as u64;
        self.left.start += amount;
    }
}

impl Read for ArrivingPack<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
