//! Contents that are held until their order is known.
//!
//! Owns the move from memory to a temporary file. Must not know what the contents are.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::ArchiveError;

/// Bytes of a piece of memory.
const PIECE: usize = 64 * 1024;
/// Bytes read back from the file at a time.
const READ_BUFFER: u64 = 256 * 1024;

/// A temporary file, removed when its value is dropped.
pub trait Scratch: Write {
    /// Fills `into` with the bytes at `offset`.
    ///
    /// # Errors
    /// If they cannot be read, or the file is shorter.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Scratch for File {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, into, offset)
    }
}

/// Creates a temporary file.
pub(crate) type NewScratch<'a> = &'a dyn Fn() -> io::Result<Box<dyn Scratch>>;

/// Bytes in pieces of one length. Memory follows what is held, and no piece is so long that an allocator gives it a mapping of its
/// own, or keeps it when it is given back.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Vec<u8>>,
    len: usize,
}

impl Pieces {
    fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.len / PIECE;
            if at == self.pieces.len() {
                self.pieces.push(Vec::with_capacity(PIECE));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.len % PIECE));
            self.pieces[at].extend_from_slice(now);
            self.len += now.len();
            bytes = later;
        }
    }

    /// Empties the pieces, which are used again.
    fn clear(&mut self) {
        self.pieces.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }

    /// Passes the `len` bytes at `offset` to `sink`.
    fn read(
        &self,
        offset: u64,
        len: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let start = usize::try_from(offset).ok();
        let end = usize::try_from(offset.saturating_add(len)).ok().filter(|end| *end <= self.len);
        let Some((mut at, end)) = start.zip(end) else {
            return Err(ArchiveError::Scratch(io::ErrorKind::UnexpectedEof.into()));
        };
        while at < end {
            let (piece, from) = (&self.pieces[at / PIECE], at % PIECE);
            let to = piece.len().min(from + (end - at));
            sink(&piece[from..to])?;
            at += to - from;
        }
        Ok(())
    }
}

/// Bytes appended one after another, in memory up to a window and in a file beyond it.
pub(crate) struct Spill<'a> {
    scratch: NewScratch<'a>,
    window: usize,
    /// All bytes, or the bytes that the file does not have yet.
    memory: Pieces,
    file: Option<Box<dyn Scratch>>,
}

impl<'a> Spill<'a> {
    /// Keeps up to `window` bytes in memory.
    pub(crate) fn new(window: usize, scratch: NewScratch<'a>) -> Self {
        Self { scratch, window, memory: Pieces::default(), file: None }
    }

    /// Whether `bytes` can be appended without leaving memory.
    pub(crate) fn has_room(&self, bytes: &[u8]) -> bool {
        self.memory.len + bytes.len() <= self.window
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if !self.has_room(bytes) {
            self.flush().map_err(ArchiveError::Scratch)?;
        }
        self.memory.append(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert((self.scratch)()?),
        };
        self.memory.pieces.iter().try_for_each(|piece| file.write_all(piece))?;
        self.memory.clear();
        Ok(())
    }

    /// Ends appending.
    pub(crate) fn finish(mut self) -> Result<Spilled, ArchiveError> {
        if self.file.is_some() {
            self.flush().map_err(ArchiveError::Scratch)?;
        }
        Ok(Spilled(match self.file {
            Some(file) => Place::File(file, Vec::new()),
            None => Place::Memory(self.memory),
        }))
    }
}

/// A finished spill, to be read in any order.
pub(crate) struct Spilled(Place);

enum Place {
    /// It fits the window.
    Memory(Pieces),
    /// All bytes are in the file. The buffer has the bytes that were read last.
    File(Box<dyn Scratch>, Vec<u8>),
}

impl Spilled {
    /// Passes the `len` bytes at `offset` to `sink`, in pieces.
    pub(crate) fn read(
        &mut self,
        mut offset: u64,
        len: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        match &mut self.0 {
            Place::Memory(pieces) => pieces.read(offset, len, sink),
            Place::File(file, buffer) => {
                let end = offset.saturating_add(len);
                while offset < end {
                    let piece = READ_BUFFER.min(end - offset);
                    buffer.resize(piece as usize, 0);
                    file.read_exact_at(buffer, offset).map_err(ArchiveError::Scratch)?;
                    sink(buffer)?;
                    offset += piece;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fixture;

    #[test]
    fn reads_back_in_any_order_from_memory_or_file() {
        let content: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
        for (window, files_made) in [(content.len(), 0), (content.len() - 1, 1), (1000, 1), (0, 1)] {
            let made = Cell::new(0);
            let scratch = || {
                made.set(made.get() + 1);
                fixture::scratch()
            };
            let mut spill = Spill::new(window, &scratch);
            for piece in content.chunks(999) {
                spill.append(piece).unwrap();
            }
            let mut spilled = spill.finish().unwrap();
            for (offset, len) in [(2_000_001, 399_999), (0, 0), (7, 1_000_000), (0, content.len())] {
                let mut read = Vec::new();
                let sink = |bytes: &[u8]| {
                    read.extend_from_slice(bytes);
                    Ok(())
                };
                spilled.read(offset as u64, len as u64, sink).unwrap();
                assert!(read == content[offset..offset + len], "{window} {offset} {len}");
            }
            let past = spilled.read(content.len() as u64, 1, |_| Ok(()));
            assert!(matches!(past, Err(ArchiveError::Scratch(_))));
            assert_eq!(made.get(), files_made, "window {window}");
        }
    }
}
