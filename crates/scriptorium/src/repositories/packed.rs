//! The archive of a commit, made while it is read.
//!
//! A blocking thread writes the archive into a short queue, from which it is read like the body of a download. So no more of it is in memory
//! than the queue, and it is verified like any other. Owns that. Must not know what reads the archive.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use archive::ArchiveLimits;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use git_delivery::{CommitId, GitAllowance, GitLimits, GitObjects, TreeError, archive_commit};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// The length of a piece.
const PIECE: usize = 64 << 10;
/// Pieces between the threads.
const QUEUE: usize = 8;

/// A commit whose objects are here, and the right to make its archive.
pub(crate) struct FetchedCommit {
    pub(super) commit: CommitId,
    pub(super) objects: Arc<GitObjects>,
    pub(super) limits: GitLimits,
    pub(super) turn: OwnedSemaphorePermit,
}

/// An archive that is being made.
pub(crate) struct PackedCommit {
    /// Its bytes; an error ends them.
    pub(crate) bytes: BoxStream<'static, Result<Bytes, TreeError>>,
    /// The commit, once all of its archive is made.
    pub(crate) delivered: oneshot::Receiver<DeliveredCommit>,
}

/// What a reference named when an archive was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveredCommit {
    pub(crate) commit: String,
    pub(crate) tree: String,
}

impl FetchedCommit {
    /// Starts to make the archive, within `limits`.
    pub(crate) fn pack(self, limits: ArchiveLimits) -> PackedCommit {
        let (pieces, arriving) = mpsc::channel(QUEUE);
        let (tells, delivered) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let Self { commit, objects, limits: of_git, turn } = self;
            let now = Instant::now;
            let allowance = GitAllowance::new(&of_git, &now);
            let sink = PieceWriter { pieces: pieces.clone(), piece: Vec::with_capacity(PIECE) };
            let packed = archive_commit(&objects, commit, &limits, &allowance, sink);
            let packed = packed.and_then(|packed| {
                let (commit, tree) = (packed.commit.to_string(), packed.tree.to_string());
                let mut sink = packed.sink;
                let ended = sink.flush().map_err(archive::ArchiveError::Scratch);
                ended.map(|()| DeliveredCommit { commit, tree }).map_err(TreeError::from)
            });
            match packed {
                // Told before the end is, so that whoever reads the end finds it.
                Ok(packed) => drop(tells.send(packed)),
                Err(error) => drop(pieces.blocking_send(Err(error))),
            }
            drop(turn);
        });
        let bytes = stream::unfold(arriving, |mut arriving| async {
            let piece = arriving.recv().await?;
            Some((piece, arriving))
        });
        PackedCommit { bytes: bytes.boxed(), delivered }
    }
}

/// Sends what is written in pieces.
struct PieceWriter {
    pieces: mpsc::Sender<Result<Bytes, TreeError>>,
    piece: Vec<u8>,
}

impl PieceWriter {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        // Nobody reads any more.
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}
