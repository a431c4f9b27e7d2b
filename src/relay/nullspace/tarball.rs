//! The tar of a bundle, member by member.
//!
//! Owns the walk: ustar and v7 headers with pax or GNU extensions, as writers of bundles use them. Whatever could be
//! read in two ways, or takes memory that the sender chooses, is refused. Must not know what the tar should hold.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::Refused;
use super::manifest::{Kind, excerpt};

const BLOCK: usize = 512;

/// Longest payload of an extension header.
const MAX_EXTENSION: u64 = 64 * 1024;

/// Bytes that are read at once.
const STEP: usize = 64 * 1024;

/// What a tar says of one member; its content follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path, without a directory's closing slash.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Where a symbolic link leads.
    pub(super) target: Option<String>,
}

/// Why the walk ended early.
#[derive(Debug)]
pub(super) enum Fault {
    /// The tar is at fault.
    Tar(Refused),
    /// No more bytes come; whoever sends them knows why.
    Source,
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Source
    }
}

fn bad(what: impl Into<String>) -> Fault {
    Fault::Tar(Refused::Tar(what.into()))
}

/// The members of a tar, one after another.
pub(super) struct Tarball<R> {
    plain: R,
    /// What of the current content, and of its padding, was not read.
    content: u64,
    padding: u64,
    buffer: Vec<u8>,
}

/// What extension headers say of the member behind them.
#[derive(Default)]
struct Extensions {
    pax: bool,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl<R: Read> Tarball<R> {
    /// The tar that `plain` is.
    pub(super) fn new(plain: R) -> Self {
        Self { plain, content: 0, padding: 0, buffer: vec![0; STEP] }
    }

    /// The next member; `None` once the stream has ended well.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Fault> {
        while self.content()?.is_some() {}
        let mut extensions = Extensions::default();
        while let Some(header) = self.header()? {
            match header.entry_type() {
                EntryType::XHeader => {
                    if std::mem::replace(&mut extensions.pax, true) {
                        return Err(bad("two pax headers before one member"));
                    }
                    let payload = self.payload(&header)?;
                    read_pax(&payload, &mut extensions)?;
                }
                EntryType::GNULongName => set_once(&mut extensions.path, self.long(&header)?)?,
                EntryType::GNULongLink => set_once(&mut extensions.target, self.long(&header)?)?,
                _ => return self.member(&header, extensions).map(Some),
            }
        }
        match extensions {
            Extensions { pax: false, path: None, target: None } => Ok(None),
            _ => Err(bad("it ends behind an extension header")),
        }
    }

    /// The next bytes of the current member's content, or `None` after the last.
    pub(super) fn content(&mut self) -> Result<Option<&[u8]>, Fault> {
        if self.content == 0 {
            let padding = std::mem::take(&mut self.padding);
            self.take(padding)?;
            return Ok(None);
        }
        let most = self.content.min(STEP as u64);
        self.content -= most;
        self.take(most).map(Some)
    }

    /// Exactly `length` bytes, a step at most.
    fn take(&mut self, length: u64) -> Result<&[u8], Fault> {
        let length = usize::try_from(length).unwrap_or(STEP).min(STEP);
        let Some(into) = self.buffer.get_mut(..length) else { return Err(Fault::Source) };
        match self.plain.read_exact(into) {
            Ok(()) => Ok(into),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(bad("it ends in the middle of a member"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next header; `None` at the end, behind which nothing may follow.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let mut block = [0; BLOCK];
        let read = fill(&mut self.plain, &mut block)?;
        if read == 0 || block.iter().all(|byte| *byte == 0) {
            self.expect_only_zeros()?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        if read < BLOCK || header.cksum().ok() != Some(checksum(&block)) {
            return Err(bad("expected a tar header with a valid checksum"));
        }
        Ok(Some(header.clone()))
    }

    fn expect_only_zeros(&mut self) -> Result<(), Fault> {
        loop {
            let read = fill(&mut self.plain, &mut self.buffer)?;
            if self.buffer.iter().take(read).any(|byte| *byte != 0) {
                return Err(bad("expected only zero bytes after the end of the tar"));
            }
            if read < STEP {
                return Ok(());
            }
        }
    }

    fn payload(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let size = size(header)?;
        if size > MAX_EXTENSION {
            return Err(bad(format!(
                "an extension header has {size} bytes, expected at most {MAX_EXTENSION}"
            )));
        }
        self.begin(size);
        let mut payload = Vec::new();
        while let Some(bytes) = self.content()? {
            payload.extend_from_slice(bytes);
        }
        Ok(payload)
    }

    /// What a GNU extension header holds; it may end with a NUL.
    fn long(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let mut payload = self.payload(header)?;
        payload.pop_if(|byte| *byte == 0);
        Ok(payload)
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> Result<Member, Fault> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let mut path = text(path)?;
        let kind = match header.entry_type() {
            EntryType::Regular if !path.ends_with('/') => Kind::File,
            EntryType::Directory => Kind::Dir,
            EntryType::Symlink => Kind::Symlink,
            _ => {
                let what = "is neither a regular file nor a directory nor a symbolic link";
                return Err(bad(format!("`{}` {what}", excerpt(&path))));
            }
        };
        if kind == Kind::Dir {
            path.truncate(path.strip_suffix('/').unwrap_or(&path).len());
        }
        let of_link = |named: Option<Vec<u8>>| {
            text(named.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default())
        };
        let target = match kind {
            Kind::Symlink => Some(of_link(extensions.target)?),
            Kind::File | Kind::Dir | Kind::Special => None,
        };
        let size = size(header)?;
        if size > 0 && kind != Kind::File {
            return Err(bad(format!("`{}` has content and is no file", excerpt(&path))));
        }
        let mode = header.mode().map_err(|_| bad("expected a mode in octal digits"))? & 0o7777;
        self.begin(size);
        Ok(Member { path, kind, mode, size, target })
    }

    fn begin(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }
}

/// Reads pax records, `<length> <key>=<value>\n` each. What would change how the member is read, and is not known
/// here, is refused; times and owners are of no interest.
fn read_pax(mut payload: &[u8], extensions: &mut Extensions) -> Result<(), Fault> {
    let malformed = || bad("expected pax records of the form `<length> <key>=<value>`");
    while !payload.is_empty() {
        let space = payload.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let (digits, _) = payload.split_at(space);
        let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|text| text.parse().ok());
        let length = length.filter(|length| (space + 1..=payload.len()).contains(length));
        let (record, rest) = payload.split_at(length.ok_or_else(malformed)?);
        payload = rest;
        let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(malformed)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (key, value) = record.split_at(equals);
        let value = value.get(1..).unwrap_or_default().to_vec();
        match key {
            b"path" => set_once(&mut extensions.path, value)?,
            b"linkpath" => set_once(&mut extensions.target, value)?,
            b"mtime" | b"atime" | b"ctime" | b"uid" | b"gid" | b"uname" | b"gname" | b"comment" => {}
            _ => {
                let key = excerpt(&String::from_utf8_lossy(key));
                return Err(bad(format!("the pax record `{key}` is not known here")));
            }
        }
    }
    Ok(())
}

fn set_once(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad("two extension headers give one member a name")),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    let text = String::from_utf8(bytes).map_err(|_| bad("a name is not UTF-8"))?;
    if text.contains('\0') { Err(bad("a name has a NUL")) } else { Ok(text) }
}

fn size(header: &Header) -> Result<u64, Fault> {
    let field = &header.as_old().size;
    // A binary number has 95 bits for the size; `entry_size` would silently drop the upper ones.
    let fits = field[0] & 0x80 == 0 || field[..4] == [0x80, 0, 0, 0];
    header.entry_size().ok().filter(|_| fits).ok_or_else(|| bad("expected a size in octal digits"))
}

/// The sum of the header's bytes, its checksum field taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    let byte = |(place, byte): (usize, &u8)| if field.contains(&place) { b' ' } else { *byte };
    block.iter().enumerate().map(|entry| u32::from(byte(entry))).sum()
}

/// Reads until `into` is full or the stream ends.
fn fill(plain: &mut impl Read, into: &mut [u8]) -> Result<usize, Fault> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match plain.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}
