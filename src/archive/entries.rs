//! Tar framing: headers, extension headers, contents, the end.
//!
//! Owns the walk from block to block and every dialect of it: v7, ustar, pax and GNU. It is our own because
//! memory must stay bounded and nothing hostile may be read two ways; how strictly is the table of `framing`. Must not
//! know which paths may be together in one archive.

use std::io::Read;

use super::framing::{Departure, Framing, Quirk};
use super::gzip::{BLOCK, Unpacked};
use super::header::{Header, LARGEST_OCTAL, Magic, is_zero};
use super::names::{GLOBAL, accept_path};
use super::pax::Pax;
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
    /// Whether no header was read yet.
    begins: bool,
    departure: Option<Departure>,
}

impl<R: Read> Entries<R> {
    /// Reads the tar in `plain`.
    pub(super) fn new(plain: Unpacked<R>) -> Self {
        Self { plain, content: 0, padding: 0, begins: true, departure: None }
    }

    /// The bytes unpacked so far.
    pub(super) fn unpacked(&self) -> u64 {
        self.plain.total()
    }

    /// How all of it was framed; for after the last entry.
    pub(super) fn framing(mut self) -> Framing {
        if let Some(quirk) = self.plain.quirk() {
            self.depart(quirk, None);
        }
        self.departure.map_or(Framing::Canonical, Framing::Readable)
    }

    /// The next entry, or `None` once the stream has ended well; skips what was left of the last content.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
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
                    self.payload(&header)?;
                    set_once(&mut before.long_link, ())?;
                }
                // Some readers forget for it what they were told of the entry.
                b'g' if !before.is_empty() => return Err(Violation::Ambiguous.into()),
                b'g' => {
                    let payload = self.payload(&header)?;
                    // Some readers make the folders of any other name.
                    let of_git = header.name() == GLOBAL && header.magic() == Magic::Ustar;
                    if !Pax::check_global(&payload)? || !begins || !of_git {
                        self.depart(Quirk::Global, Some(header.name()));
                    }
                }
                _ => return self.entry(&header, before).map(Some),
            }
        }
        if before.is_empty() { Ok(None) } else { Err(Violation::Truncated.into()) }
    }

    /// The next bytes of the current entry's content, or `None` after the last.
    pub(super) fn content(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
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
        self.departure.get_or_insert_with(|| Departure::new(quirk, entry));
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

    /// Reads up to the end of the stream, since only there gzip can tell whether all of it was sound. How much it was.
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

    fn pax(&mut self, header: &Header) -> Result<Pax, ArchiveError> {
        let pax = Pax::of_entry(&self.payload(header)?)?;
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

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        let (in_pax, long) = (extensions.pax.is_some(), extensions.long_name.is_some());
        if (in_pax && header.magic() != Magic::Ustar) || (long && header.magic() != Magic::Gnu) {
            self.depart(Quirk::Magic, Some(header.name()));
        }
        let pax = extensions.pax.unwrap_or_default();
        let mut raw = match (pax.path, extensions.long_name) {
            (Some(_), Some(_)) => return Err(Violation::Ambiguous.into()),
            (Some(name), None) | (None, Some(name)) => {
                header.prefix()?;
                name
            }
            (None, None) => header.path()?.into_owned(),
        };
        if pax.sparse {
            return Err(Violation::EntryType { path: Excerpt::new(&raw), found: "a sparse file" }.into());
        }
        let kind = kind(header, &raw)?;
        // The short form of a long name must not look like a folder's to whoever looks at it first.
        let short = header.name();
        if long && (short.is_empty() || kind != Kind::Directory && short.ends_with(b"/")) {
            self.depart(Quirk::ShortForm, Some(short));
        }
        if kind == Kind::Directory {
            raw.pop_if(|byte| *byte == b'/');
        }
        let path = accept_path(&raw)?.to_owned();
        let size = match (pax.size, header.size()) {
            (None, size) => size?,
            (Some(size), Ok(same)) if size == same => size,
            // More than a header holds; what it says then differs from packer to packer.
            (Some(size), _) if size > LARGEST_OCTAL => size,
            (Some(_), _) => return Err(Violation::PaxSize { path: Excerpt::new(&raw) }.into()),
        };
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
    /// Links are refused; so the name of one says nothing.
    long_link: Option<()>,
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

fn kind(header: &Header, raw: &[u8]) -> Result<Kind, Violation> {
    let found = match header.kind() {
        // v7 has no type for directories, only the closing slash.
        0 if raw.ends_with(b"/") => return Ok(Kind::Directory),
        b'5' => return Ok(Kind::Directory),
        0 | b'0' | b'7' => return Ok(Kind::File { executable: header.mode()? & 0o111 != 0 }),
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a FIFO",
        b'S' => "a sparse file",
        _ => "of an unknown type",
    };
    Err(Violation::EntryType { path: Excerpt::new(raw), found })
}

#[cfg(test)]
mod tests;
