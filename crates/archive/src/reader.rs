//! The tar reader: headers, extension headers, contents, the end.
//!
//! Owns the walk from block to block in every dialect (v7, ustar, pax, GNU), for archives and for tars that are forwarded
//! ([`TarUse`]). It is our own reader because memory must be bounded and hostile input must have one reading; the table in
//! `framing` says how strict it is. Must not know which paths may be together in one archive.

use std::io::Read;

use super::framing::{Framing, FramingDeparture, Quirk};
use super::gzip::Unpacked;
use super::header::{BLOCK, Header, LARGEST_OCTAL, Magic, is_zero};
use super::paths::{GLOBAL, accept_path, any_path};
use super::pax::Pax;
use super::{ArchiveError, Excerpt, Violation};

/// The longest payload of an extension header.
pub(crate) const MAX_EXTENSION: u64 = 64 * 1024;

/// The use of a tar, which decides what it may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TarUse {
    /// An archive: files and directories, with paths that every system accepts. Records that do not affect the tree are
    /// skipped, because a tree whose framing is not canonical is packed anew.
    Archive,
    /// A tar that is forwarded byte for byte: symbolic links too, and any path. Unknown records are refused.
    Forwarded,
}

/// One entry of a tar; its content follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Its path, without a directory's closing slash.
    pub path: String,
    /// Its kind.
    pub kind: EntryKind,
    /// Its permission bits.
    pub mode: u32,
    /// The length of its content.
    pub size: u64,
}

/// The kinds of entry that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// Has no content.
    Directory,
    /// A regular file.
    File,
    /// Has no content. An archive has none.
    Symlink {
        /// The path it points to.
        target: String,
    },
}

/// Reads the entries of a tar, one after another.
///
/// Memory is bounded for any input. Input that readers could read in two ways is refused.
///
/// ```
/// # fn main() -> Result<(), archive::ArchiveError> {
/// let tar = [0; 1024]; // an empty tar
/// let mut reader = archive::TarReader::forwarded(&tar[..]);
/// while let Some(entry) = reader.next_entry()? {
///     println!("{} has {} bytes", entry.path, entry.size);
///     while let Some(_bytes) = reader.content()? {}
/// }
/// # Ok(())
/// # }
/// ```
pub struct TarReader<R> {
    plain: Unpacked<R>,
    tar_use: TarUse,
    content: u64,
    padding: u64,
    /// Whether no header has been read yet.
    begins: bool,
    departure: Option<FramingDeparture>,
}

impl<R: Read> TarReader<R> {
    /// Reads the `.tar.gz` of an archive, which may unpack to `limit` bytes.
    pub(crate) fn archive(packed: R, limit: u64) -> Self {
        Self::new(Unpacked::gzip(packed, limit), TarUse::Archive)
    }

    /// Reads a tar that is forwarded unchanged.
    pub fn forwarded(tar: R) -> Self {
        Self::new(Unpacked::plain(tar), TarUse::Forwarded)
    }

    fn new(plain: Unpacked<R>, tar_use: TarUse) -> Self {
        Self { plain, tar_use, content: 0, padding: 0, begins: true, departure: None }
    }

    /// The bytes unpacked so far.
    pub(crate) fn unpacked(&self) -> u64 {
        self.plain.total()
    }

    /// The framing of the whole tar. Call it after the last entry.
    pub(crate) fn framing(mut self) -> Framing {
        if let Some(quirk) = self.plain.quirk() {
            self.depart(quirk, None);
        }
        self.departure.map_or(Framing::Canonical, Framing::Readable)
    }

    /// The next entry, or `None` at a valid end of the stream. The rest of the last content is skipped.
    ///
    /// # Errors
    /// [`ArchiveError`] if the tar is invalid or its source failed.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, ArchiveError> {
        while self.content()?.is_some() {}
        let mut before = Extensions::default();
        while let Some(header) = self.header()? {
            let begins = std::mem::replace(&mut self.begins, false);
            if !before.is_empty() && matches!(header.kind(), b'x' | b'L' | b'K') {
                self.depart(Quirk::Extensions, Some(header.name()));
            }
            match header.kind() {
                b'x' => set_once(&mut before.pax, self.pax(&header)?)?,
                b'L' => set_once(&mut before.long_name, self.long_name(&header)?)?,
                b'K' => {
                    self.depart(Quirk::Link, Some(header.name()));
                    let mut link = self.payload(&header)?;
                    link.pop_if(|byte| *byte == 0);
                    set_once(&mut before.long_link, link)?;
                }
                b'g' if self.tar_use == TarUse::Forwarded => {
                    return Err(self.odd_kind(header.name(), "a global pax header").into());
                }
                // Some readers then ignore the extension headers before it.
                b'g' if !before.is_empty() => return Err(Violation::Ambiguous.into()),
                b'g' => self.global(&header, begins)?,
                _ => return self.entry(&header, before).map(Some),
            }
        }
        if before.is_empty() { Ok(None) } else { Err(Violation::Truncated.into()) }
    }

    /// The next bytes of the current entry's content, or `None` after the last.
    ///
    /// # Errors
    /// [`ArchiveError`] if the content is truncated.
    pub fn content(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        if self.content == 0 {
            let padding = std::mem::take(&mut self.padding);
            let bytes = self.plain.take(padding)?;
            let (found, zero) = (bytes.len() as u64, is_zero(bytes));
            if !zero {
                self.depart(Quirk::Padding, None);
            }
            return if found == padding { Ok(None) } else { Err(Violation::Truncated.into()) };
        }
        let bytes = self.plain.take(self.content)?;
        if bytes.is_empty() {
            return Err(Violation::Truncated.into());
        }
        self.content -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Remembers the first departure from the canonical form.
    fn depart(&mut self, quirk: Quirk, entry: Option<&[u8]>) {
        self.departure.get_or_insert_with(|| FramingDeparture::new(quirk, entry));
    }

    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let Some(block) = self.plain.block()? else {
            self.depart(Quirk::End, None);
            return Ok(None);
        };
        if is_zero(block) {
            let more = self.expect_only_zeros()?;
            if more < BLOCK as u64 || !more.is_multiple_of(BLOCK as u64) {
                self.depart(Quirk::End, None);
            }
            return Ok(None);
        }
        let header = Header::read(block)?;
        let sniffed = (self.begins && header.is_sniffed()).then_some(Quirk::Sniffed);
        if let Some(quirk) = sniffed.or_else(|| header.quirk()) {
            self.depart(quirk, Some(header.name()));
        }
        Ok(Some(header))
    }

    /// Reads zeros up to the end of the stream, since gzip checks its checksum only there. Returns the number of zeros.
    fn expect_only_zeros(&mut self) -> Result<u64, ArchiveError> {
        let mut zeros = 0;
        loop {
            match self.plain.take(u64::MAX)? {
                [] => return Ok(zeros),
                bytes if is_zero(bytes) => zeros += bytes.len() as u64,
                _ => return Err(Violation::TrailingData.into()),
            }
        }
    }

    /// Checks a global pax header. It `begins` the tar if it is the first header.
    fn global(&mut self, header: &Header, begins: bool) -> Result<(), ArchiveError> {
        let payload = self.payload(header)?;
        // Some readers create the folders in any other name.
        let of_git = header.name() == GLOBAL && header.magic() == Magic::Ustar;
        if !Pax::check_global(&payload)? || !begins || !of_git {
            self.depart(Quirk::Global, Some(header.name()));
        }
        Ok(())
    }

    fn pax(&mut self, header: &Header) -> Result<Pax, ArchiveError> {
        let mut pax = Pax::of_entry(&self.payload(header)?)?;
        if let Some(key) = pax.unknown.take().filter(|_| self.tar_use == TarUse::Forwarded) {
            return Err(Violation::PaxUnknown(key).into());
        }
        if !pax.canonical || header.magic() != Magic::Ustar {
            self.depart(Quirk::Pax, Some(header.name()));
        }
        Ok(pax)
    }

    fn long_name(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.payload(header)?;
        let closed = name.pop_if(|byte| *byte == 0).is_some();
        if !closed || header.name() != b"././@LongLink" || header.magic() != Magic::Gnu {
            self.depart(Quirk::LongName, Some(header.name()));
        }
        Ok(name)
    }

    fn payload(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header.size()?;
        if size > MAX_EXTENSION {
            return Err(Violation::ExtensionSize { size, limit: MAX_EXTENSION }.into());
        }
        self.begin(size)?;
        let mut payload = Vec::new();
        while let Some(bytes) = self.content()? {
            payload.extend_from_slice(bytes);
        }
        Ok(payload)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<TarEntry, ArchiveError> {
        let Extensions { pax, long_name, long_link } = extensions;
        let long = long_name.is_some();
        if (pax.is_some() && header.magic() != Magic::Ustar) || (long && header.magic() != Magic::Gnu) {
            self.depart(Quirk::Magic, Some(header.name()));
        }
        let pax = pax.unwrap_or_default();
        let mut raw = match one_of(pax.path, long_name)? {
            Some(name) => {
                header.prefix()?;
                name
            }
            None => header.path()?.into_owned(),
        };
        if pax.sparse {
            return Err(self.odd_kind(&raw, "a sparse file").into());
        }
        let link = match self.tar_use {
            // Links are refused, so a link name has no effect.
            TarUse::Archive => None,
            TarUse::Forwarded => one_of(pax.linkpath, long_link)?,
        };
        let kind = self.kind(header, &raw, link)?;
        let is_directory = kind == EntryKind::Directory;
        // Some readers look at the short form of a long name first. It must not look like a folder's.
        let short = header.name();
        if long && (short.is_empty() || !is_directory && short.ends_with(b"/")) {
            self.depart(Quirk::ShortForm, Some(short));
        }
        if is_directory {
            raw.pop_if(|byte| *byte == b'/');
        }
        let path = match self.tar_use {
            TarUse::Archive => accept_path(&raw)?,
            TarUse::Forwarded => any_path(&raw)?,
        };
        let path = path.to_owned();
        let size = match (pax.size, header.size()) {
            (None, size) => size?,
            (Some(size), Ok(same)) if size == same => size,
            // The size does not fit the header, whose field then differs between packers.
            (Some(size), _) if size > LARGEST_OCTAL => size,
            (Some(_), _) => return Err(Violation::PaxSize(Excerpt::new(&raw)).into()),
        };
        if kind != EntryKind::File && size > 0 {
            return Err(Violation::UnexpectedContent((&*path).into()).into());
        }
        let mode = match self.tar_use {
            // The mode of an archive's directory is only framing.
            TarUse::Archive if is_directory => 0,
            TarUse::Archive | TarUse::Forwarded => (header.mode()? & 0o7777) as u32,
        };
        self.begin(size)?;
        Ok(TarEntry { path, kind, mode, size })
    }

    fn kind(&self, header: &Header, raw: &[u8], link: Option<Vec<u8>>) -> Result<EntryKind, Violation> {
        let slash = raw.ends_with(b"/");
        let found = match (header.kind(), self.tar_use) {
            (b'5', _) => return Ok(EntryKind::Directory),
            // v7 has no type for directories: the closing slash marks them.
            (0, TarUse::Archive) if slash => return Ok(EntryKind::Directory),
            (0 | b'0' | b'7', TarUse::Archive) => return Ok(EntryKind::File),
            (0 | b'0', TarUse::Forwarded) if !slash => return Ok(EntryKind::File),
            (0 | b'0', TarUse::Forwarded) => "a file whose name ends in a slash",
            (b'2', TarUse::Forwarded) => {
                let target = link.unwrap_or_else(|| header.link().to_vec());
                let target = any_path(&target)?.to_owned();
                return Ok(EntryKind::Symlink { target });
            }
            (b'1', _) => "a hard link",
            (b'2', _) => "a symbolic link",
            (b'3', _) => "a character device",
            (b'4', _) => "a block device",
            (b'6', _) => "a FIFO",
            (b'S', _) => "a sparse file",
            _ => "of an unknown type",
        };
        Err(self.odd_kind(raw, found))
    }

    fn odd_kind(&self, raw: &[u8], found: &'static str) -> Violation {
        let allowed = match self.tar_use {
            TarUse::Archive => "regular files and directories",
            TarUse::Forwarded => "regular files, directories and symbolic links",
        };
        Violation::EntryType { path: Excerpt::new(raw), found, allowed }
    }

    fn begin(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.plain.afford(size)?;
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }
}

/// The extension headers before an entry.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Violation> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::Ambiguous),
    }
}

/// The value of a pax record or of a GNU header. If both are there, readers disagree.
fn one_of(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Violation> {
    match (pax, gnu) {
        (Some(_), Some(_)) => Err(Violation::Ambiguous),
        (one, other) => Ok(one.or(other)),
    }
}

#[cfg(test)]
mod tests;
