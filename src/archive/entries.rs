//! Tar framing: headers, extension headers, contents, the end.
//!
//! Owns the walk from block to block and every dialect of it: v7, ustar, pax and GNU. It is our own because
//! memory must stay bounded and nothing hostile may be read two ways. Must not know which paths may be
//! together in one archive.

use std::io::Read;

use tar::{EntryType, Header};

use super::gzip::{BLOCK, Unpacked};
use super::pax::Pax;
use super::profile::accept_path;
use super::{ArchiveError, Excerpt, Violation};

/// Longest payload of an extension header.
pub(super) const MAX_EXTENSION: u64 = 64 * 1024;

/// One file or directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its accepted path, without a directory's closing slash.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: Kind,
    /// The length of its content.
    pub(super) size: u64,
}

/// The two kinds of entry the profile allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Has no content.
    Directory,
    /// A regular file.
    File {
        /// Whether an execute bit is set.
        executable: bool,
    },
}

/// The entries of a tar, one after another.
pub(super) struct Entries<R> {
    plain: Unpacked<R>,
    content: u64,
    padding: u64,
}

impl<R: Read> Entries<R> {
    /// Reads the tar in `plain`.
    pub(super) fn new(plain: Unpacked<R>) -> Self {
        Self { plain, content: 0, padding: 0 }
    }

    /// The bytes unpacked so far.
    pub(super) fn unpacked(&self) -> u64 {
        self.plain.total()
    }

    /// The next entry, or `None` once the stream has ended well; skips what was left of the last content.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        while self.content()?.is_some() {}
        let mut extensions = Extensions::default();
        while let Some(header) = self.header()? {
            match header.entry_type() {
                EntryType::XHeader => {
                    let pax = Pax::of_entry(&self.payload(&header)?)?;
                    set_once(&mut extensions.pax, pax)?;
                }
                EntryType::GNULongName => {
                    let mut name = self.payload(&header)?;
                    name.pop_if(|byte| *byte == 0);
                    set_once(&mut extensions.long_name, name)?;
                }
                EntryType::GNULongLink => drop(self.payload(&header)?),
                EntryType::XGlobalHeader => Pax::check_global(&self.payload(&header)?)?,
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
        if extensions.is_empty() { Ok(None) } else { Err(Violation::Truncated.into()) }
    }

    /// The next bytes of the current entry's content, or `None` after the last.
    pub(super) fn content(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        if self.content == 0 {
            let padding = std::mem::take(&mut self.padding);
            return match self.plain.take(padding)?.len() as u64 == padding {
                true => Ok(None),
                false => Err(Violation::Truncated.into()),
            };
        }
        let bytes = self.plain.take(self.content)?;
        if bytes.is_empty() {
            return Err(Violation::Truncated.into());
        }
        self.content -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let Some(block) = self.plain.block()? else { return Ok(None) };
        if is_zero(block) {
            self.expect_only_zeros()?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(block);
        if header.cksum().ok() != Some(checksum(block)) {
            return Err(Violation::Header.into());
        }
        Ok(Some(header.clone()))
    }

    /// Reads up to the end of the stream, since only there gzip can tell whether all of it was sound.
    fn expect_only_zeros(&mut self) -> Result<(), ArchiveError> {
        loop {
            match self.plain.take(u64::MAX)? {
                [] => return Ok(()),
                bytes if is_zero(bytes) => {}
                _ => return Err(Violation::TrailingData.into()),
            }
        }
    }

    fn payload(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = size(header)?;
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

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        let pax = extensions.pax.unwrap_or_default();
        let mut raw = match (pax.path, extensions.long_name) {
            (Some(_), Some(_)) => return Err(Violation::Ambiguous.into()),
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => header.path_bytes().into_owned(),
        };
        if pax.sparse {
            return Err(Violation::EntryType { path: Excerpt::new(&raw), found: "a sparse file" }.into());
        }
        let kind = kind(header, &raw)?;
        if kind == Kind::Directory {
            raw.pop_if(|byte| *byte == b'/');
        }
        let path = accept_path(&raw)?.to_owned();
        let size = pax.size.map_or_else(|| size(header), Ok)?;
        if kind == Kind::Directory && size > 0 {
            return Err(Violation::DirectoryContent { path: (&*path).into() }.into());
        }
        self.begin(size)?;
        Ok(Entry { path, kind, size })
    }

    fn begin(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.plain.afford(size)?;
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }
}

/// What the extension headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none()
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Violation> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Violation::Ambiguous),
    }
}

fn kind(header: &Header, raw: &[u8]) -> Result<Kind, Violation> {
    let found = match header.entry_type() {
        // v7 has no type for directories, only the closing slash.
        EntryType::Regular if header.as_old().linkflag == [0] && raw.ends_with(b"/") => {
            return Ok(Kind::Directory);
        }
        EntryType::Directory => return Ok(Kind::Directory),
        EntryType::Regular | EntryType::Continuous => {
            let mode = header.mode().map_err(|_| Violation::Header)?;
            return Ok(Kind::File { executable: mode & 0o111 != 0 });
        }
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a FIFO",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown type",
    };
    Err(Violation::EntryType { path: Excerpt::new(raw), found })
}

fn size(header: &Header) -> Result<u64, Violation> {
    let field = &header.as_old().size;
    // A binary number has 95 bits for the size; `entry_size` would silently drop the upper ones.
    let fits = field[0] & 0x80 == 0 || field[..4] == [0x80, 0, 0, 0];
    header.entry_size().ok().filter(|_| fits).ok_or(Violation::Header)
}

/// The sum of the header's bytes, its checksum field taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    let spaces = field.len() as u32 * u32::from(b' ');
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..field.start]) + spaces + sum(&block[field.end..])
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
