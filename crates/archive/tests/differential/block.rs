//! The blocks of a tar: header fields, pax records, and the pieces of a tar.
//!
//! Owns the layout of headers. Fields take any bytes, valid or not. Must not know the readers.

/// The block size of tar.
pub(crate) const BLOCK: usize = 512;

/// A field of a header: where it begins and how long it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

const fn field(at: usize, len: usize) -> Field {
    Field { at, len }
}

pub(crate) const NAME: Field = field(0, 100);
pub(crate) const MODE: Field = field(100, 8);
pub(crate) const UID: Field = field(108, 8);
pub(crate) const GID: Field = field(116, 8);
pub(crate) const SIZE: Field = field(124, 12);
pub(crate) const MTIME: Field = field(136, 12);
pub(crate) const CHECKSUM: Field = field(148, 8);
pub(crate) const KIND: Field = field(156, 1);
pub(crate) const LINK: Field = field(157, 100);
/// Magic and version.
pub(crate) const MAGIC: Field = field(257, 8);
pub(crate) const PREFIX: Field = field(345, 155);
/// The fields with octal numbers, of all dialects.
pub(crate) const NUMBERS: &[Field] = &[
    MODE,
    UID,
    GID,
    SIZE,
    MTIME,
    CHECKSUM,
    DEVICE_MAJOR,
    DEVICE_MINOR,
    ACCESSED,
    CHANGED,
    STAR_ACCESSED,
    STAR_CHANGED,
    REAL_SIZE,
];
/// The fields with text.
pub(crate) const TEXTS: &[Field] =
    &[NAME, LINK, MAGIC, OWNER, GROUP, PREFIX, STAR_MAGIC, EXTENDED, LONG_NAMES];

pub(crate) const OWNER: Field = field(265, 32);
pub(crate) const GROUP: Field = field(297, 32);
const DEVICE_MAJOR: Field = field(329, 8);
const DEVICE_MINOR: Field = field(337, 8);
/// GNU's times, in the place of the prefix.
const ACCESSED: Field = field(345, 12);
const CHANGED: Field = field(357, 12);
const LONG_NAMES: Field = field(381, 4);
const EXTENDED: Field = field(482, 1);
const REAL_SIZE: Field = field(483, 12);
/// star's times, which node-tar writes too.
const STAR_ACCESSED: Field = field(476, 12);
const STAR_CHANGED: Field = field(488, 12);
const STAR_MAGIC: Field = field(508, 4);

/// Magic and version of POSIX.
pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";
/// Magic and version of GNU.
pub(crate) const GNU: &[u8; 8] = b"ustar  \0";

/// Writes `bytes` into a field, with NULs after them. Bytes beyond the field are dropped.
pub(crate) fn put(block: &mut [u8], field: Field, bytes: &[u8]) {
    let into = &mut block[field.at..field.at + field.len];
    let count = bytes.len().min(field.len);
    into.fill(0);
    into[..count].copy_from_slice(&bytes[..count]);
}

/// The bytes of a field.
pub(crate) fn get(block: &[u8], field: Field) -> &[u8] {
    &block[field.at..field.at + field.len]
}

/// Corrects the checksum.
pub(crate) fn seal(block: &mut [u8]) {
    put(block, CHECKSUM, b"        ");
    let sum: u32 = block[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    put(block, CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
}

/// A header without a checksum.
pub(crate) fn header(magic: &[u8; 8], kind: u8, name: &[u8], size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, NAME, name);
    put(&mut block, MODE, b"0000644\0");
    put(&mut block, UID, b"0000000\0");
    put(&mut block, GID, b"0000000\0");
    put(&mut block, SIZE, format!("{size:011o}\0").as_bytes());
    put(&mut block, MTIME, b"00000000000\0");
    put(&mut block, KIND, &[kind]);
    put(&mut block, MAGIC, magic);
    block
}

/// A header with its checksum, and its payload with zeros up to the next block.
pub(crate) fn piece(mut header: [u8; BLOCK], payload: &[u8]) -> Vec<u8> {
    seal(&mut header);
    let mut piece = [&header[..], payload].concat();
    piece.resize(piece.len().next_multiple_of(BLOCK), 0);
    piece
}

/// One pax record, its length counted right.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut len = rest.len();
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

/// An extension header of pax: `x` or `g`.
pub(crate) fn pax(kind: u8, records: &[(&[u8], &[u8])]) -> Vec<u8> {
    let payload: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    piece(header(USTAR, kind, b"PaxHeaders/x", payload.len()), &payload)
}

/// An extension header of GNU: `L` or `K`.
pub(crate) fn long(kind: u8, payload: &[u8]) -> Vec<u8> {
    piece(header(GNU, kind, b"././@LongLink", payload.len()), payload)
}

/// Whether all of it is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The pieces of a tar: each header with its payload, each block of zeros by itself.
pub(crate) fn pieces(mut tar: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while tar.len() >= BLOCK {
        let size = if is_zero(&tar[..BLOCK]) { 0 } else { octal(get(tar, SIZE)) };
        let len = (BLOCK + size.next_multiple_of(BLOCK)).min(tar.len());
        pieces.push(tar[..len].to_vec());
        tar = &tar[len..];
    }
    if !tar.is_empty() {
        pieces.push(tar.to_vec());
    }
    pieces
}

/// The value of a numeric field, read leniently. 0 if there is none, or if it is too large for a test.
pub(crate) fn octal(field: &[u8]) -> usize {
    let digits = field.iter().skip_while(|byte| !byte.is_ascii_digit());
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    let value =
        digits.fold(0_usize, |value, digit| value.wrapping_mul(8).wrapping_add(usize::from(digit & 7)));
    if value > 1 << 20 { 0 } else { value }
}
