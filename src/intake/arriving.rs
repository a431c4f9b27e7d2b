//! A body as its inspector reads it: no byte is looked at before it is staged and sealed.
//!
//! Owns that order, and what else an inspector may use: what was staged so far, and room beside it. Must not know
//! where the pieces come from.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::store::sealed::SealWriter;
use crate::store::{Staged, Store};

/// What the queue holds. Without an end the body was broken off.
pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

/// The bytes of a body, as they come. Reading blocks until there are some.
pub struct Arriving<'a> {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    state: State,
    on_disk: OnDisk<'a>,
    unstaged: Option<io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Coming,
    Whole,
    /// Also when a piece could not be staged: what follows would leave a gap.
    BrokenOff,
}

/// What of a body lies on the disk already, and room for scratch beside it.
#[derive(Clone, Copy)]
pub struct OnDisk<'a> {
    store: &'a dyn Store,
    sealing: &'a RefCell<SealWriter<Staged>>,
}

impl<'a> Arriving<'a> {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>, on_disk: OnDisk<'a>) -> Self {
        Self { pieces, piece: Bytes::new(), state: State::Coming, on_disk, unstaged: None }
    }

    /// What was staged of it, for as long as it is inspected.
    #[must_use]
    pub fn on_disk(&self) -> OnDisk<'a> {
        self.on_disk
    }

    /// Stages the rest.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        while self.state != State::Whole {
            self.stage_next()?;
        }
        Ok(())
    }

    /// Why a piece could not be staged, if so.
    pub(super) fn unstaged(self) -> Option<io::Error> {
        self.unstaged
    }

    fn stage_next(&mut self) -> io::Result<()> {
        let next = match self.state {
            State::Coming => self.pieces.blocking_recv(),
            State::Whole => Some(Piece::End),
            State::BrokenOff => None,
        };
        match next {
            Some(Piece::Bytes(piece)) => {
                if let Err(error) = self.on_disk.sealing.borrow_mut().write_all(&piece) {
                    self.unstaged = Some(error);
                    return Err(self.broken_off());
                }
                self.piece = piece;
            }
            Some(Piece::End) => self.state = State::Whole,
            None => return Err(self.broken_off()),
        }
        Ok(())
    }

    fn broken_off(&mut self) -> io::Error {
        self.state = State::BrokenOff;
        io::Error::new(io::ErrorKind::ConnectionAborted, "the body ended early")
    }
}

impl Read for Arriving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.state != State::Whole {
            self.stage_next()?;
        }
        let length = self.piece.len().min(into.len());
        let (into, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}

impl fmt::Debug for Arriving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<'a> OnDisk<'a> {
    pub(super) fn new(store: &'a dyn Store, sealing: &'a RefCell<SealWriter<Staged>>) -> Self {
        Self { store, sealing }
    }

    /// Bytes that came so far, those that nobody read yet among them.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.sealing.borrow().get_ref().length()
    }

    /// Opens what came once more from the start; for after the last byte, since a file that outgrows its place moves.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn again(&self) -> io::Result<File> {
        self.sealing.borrow().get_ref().reopen()
    }

    /// A temporary file, gone with its value.
    ///
    /// # Errors
    /// When there is no room for one.
    pub fn scratch(&self) -> io::Result<Staged> {
        Ok(self.store.stage()?)
    }
}

impl fmt::Debug for OnDisk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDisk").field("length", &self.length()).finish_non_exhaustive()
    }
}
