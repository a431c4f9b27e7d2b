//! Decodes a file in a content coding while it comes.
//!
//! A thread that may block pulls the bytes through the decoder. No more is decoded than is read, so a decompression
//! bomb takes the memory of a few pieces. Owns that thread, and the check whether an archive's label is about the
//! archive itself. Must not know how a coding is decoded.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::ContentCoding;
use crate::upstream::{CouldNotAsk, Payload};

/// The pieces between the decoder and its reader.
const QUEUE: usize = 2;
const PIECE: usize = 64 << 10;
/// How much of a file is kept until it is known whether it is coded.
const HEAD: usize = 64 << 10;
/// The first bytes of gzip.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

type CodedPieces = BoxStream<'static, Result<Bytes, CouldNotAsk>>;

/// Decodes the `coding` of `body`.
pub(in crate::upstream) fn decode(body: CodedPieces, coding: ContentCoding, payload: Payload) -> CodedPieces {
    let (decoded, pieces) = mpsc::channel(QUEUE);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let coming = Coming { runtime, body, piece: Bytes::new(), head: Some(Vec::new()), failed: None };
        let coming = Rc::new(RefCell::new(coming));
        if let Err(_broken) = pass(&coming, coding, payload, &decoded) {
            let why = coming.borrow_mut().failed.take().unwrap_or(CouldNotAsk::BrokenBody);
            // A reader that is gone needs no reason.
            let _ = decoded.blocking_send(Err(why));
        }
    });
    stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) }).boxed()
}

/// Decodes the body, or passes it on where it turns out not to be coded.
fn pass(
    coming: &Rc<RefCell<Coming>>,
    coding: ContentCoding,
    payload: Payload,
    to: &mpsc::Sender<Result<Bytes, CouldNotAsk>>,
) -> io::Result<()> {
    let mut start = [0; GZIP.len()];
    let decoder = coding.off(SharedBody(Rc::clone(coming)));
    let begun = decoder.and_then(|mut decoder| {
        let length = fill(&mut decoder, &mut start)?;
        Ok((decoder, length))
    });
    if coming.borrow().failed.is_some() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let is_coded = |start: &[u8]| payload == Payload::TrustArtifact || *start == GZIP;
    match begun {
        Ok((decoder, length)) if is_coded(&start[..length]) => {
            coming.borrow_mut().head = None;
            hand_on(Read::chain(&start[..length], decoder), to)
        }
        Err(error) if payload == Payload::TrustArtifact => Err(error),
        Ok(_) | Err(_) => {
            let head = coming.borrow_mut().head.take().unwrap_or_default();
            hand_on(Read::chain(io::Cursor::new(head), SharedBody(Rc::clone(coming))), to)
        }
    }
}

/// Reads until `into` is full or nothing more comes.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match from.read(&mut into[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Passes everything on, as long as there is a reader.
fn hand_on(mut from: impl Read, to: &mpsc::Sender<Result<Bytes, CouldNotAsk>>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE];
        let length = fill(&mut from, &mut piece)?;
        piece.truncate(length);
        if length == 0 || to.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
}

/// The coded bytes as they come. Reading blocks until there are some.
struct Coming {
    runtime: Handle,
    body: CodedPieces,
    piece: Bytes,
    /// What was read, as long as it may have to be read again.
    head: Option<Vec<u8>>,
    failed: Option<CouldNotAsk>,
}

impl Read for Coming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.body.next()) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(why)) => {
                    self.failed = Some(why);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        let (into, _) = into.split_at_mut(length);
        if let Some(head) = &mut self.head {
            if head.len() + length > HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            head.extend_from_slice(&self.piece[..length]);
        }
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}

/// The coded bytes, shared by the decoder and the check.
struct SharedBody(Rc<RefCell<Coming>>);

impl Read for SharedBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(into)
    }
}

#[cfg(test)]
mod tests;
