//! A body as its inspector reads it: each byte is staged and sealed before it is inspected.
//!
//! Owns that order, and what else an inspector may use: the bytes staged so far, and scratch files. Must not know where
//! the pieces come from.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::store::sealed::SealWriter;
use crate::store::{Staged, Store};

/// An element of the queue. A queue that closes without `End` is a body that ended early.
pub(super) enum ArrivingPiece {
    Bytes(Bytes),
    End,
}

/// The bytes of a body as they arrive. Reading blocks until there are some.
pub(crate) struct Arriving<'a> {
    pieces: mpsc::Receiver<ArrivingPiece>,
    piece: Bytes,
    state: ArrivingState,
    on_disk: OnDisk<'a>,
    unstaged: Option<io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrivingState {
    Coming,
    Whole,
    /// Also when a piece could not be staged, since the following ones would leave a gap.
    BrokenOff,
}

/// The part of a body that is staged already, and scratch files beside it.
#[derive(Clone, Copy)]
pub(crate) struct OnDisk<'a> {
    store: &'a dyn Store,
    sealing: &'a RefCell<SealWriter<Staged>>,
}

impl<'a> Arriving<'a> {
    pub(super) fn new(pieces: mpsc::Receiver<ArrivingPiece>, on_disk: OnDisk<'a>) -> Self {
        Self { pieces, piece: Bytes::new(), state: ArrivingState::Coming, on_disk, unstaged: None }
    }

    /// The staged part, for as long as the body is inspected.
    pub(crate) fn on_disk(&self) -> OnDisk<'a> {
        self.on_disk
    }

    /// Stages the rest.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        while self.state != ArrivingState::Whole {
            self.stage_next()?;
        }
        Ok(())
    }

    /// Why a piece could not be staged, if one could not.
    pub(super) fn unstaged(self) -> Option<io::Error> {
        self.unstaged
    }

    fn stage_next(&mut self) -> io::Result<()> {
        let next = match self.state {
            ArrivingState::Coming => self.pieces.blocking_recv(),
            ArrivingState::Whole => Some(ArrivingPiece::End),
            ArrivingState::BrokenOff => None,
        };
        match next {
            Some(ArrivingPiece::Bytes(piece)) => {
                if let Err(error) = self.on_disk.sealing.borrow_mut().write_all(&piece) {
                    self.unstaged = Some(error);
                    return Err(self.broken_off());
                }
                self.piece = piece;
            }
            Some(ArrivingPiece::End) => self.state = ArrivingState::Whole,
            None => return Err(self.broken_off()),
        }
        Ok(())
    }

    fn broken_off(&mut self) -> io::Error {
        self.state = ArrivingState::BrokenOff;
        io::Error::new(io::ErrorKind::ConnectionAborted, "the body ended early")
    }
}

impl Read for Arriving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.state != ArrivingState::Whole {
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

    /// Bytes that arrived so far, including those not yet inspected.
    pub(crate) fn length(&self) -> u64 {
        self.sealing.borrow().get_ref().length()
    }

    /// Opens the staged body again from its start. Call it after the last byte: a file that outgrows memory moves to disk.
    pub(crate) fn again(&self) -> io::Result<File> {
        self.sealing.borrow().get_ref().reopen()
    }

    /// A temporary file, deleted when its value is dropped.
    pub(crate) fn scratch(&self) -> io::Result<Staged> {
        Ok(self.store.stage()?)
    }
}

impl fmt::Debug for OnDisk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDisk").field("length", &self.length()).finish_non_exhaustive()
    }
}
