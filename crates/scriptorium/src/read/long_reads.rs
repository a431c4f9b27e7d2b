//! Responses with long documents, and the memory that only they keep alive.
//!
//! A document on the shelf costs its readers nothing. A document that is not kept, or was replaced, stays in memory for its
//! readers alone; there is a bound for all of these and one per client. A client that would exceed it is refused. When
//! documents are replaced and the bound is exceeded, the oldest readers are cut off: they read an outdated document and can
//! ask again. Each piece on its way to a connection is a copy, so that a slow connection keeps no whole document alive; the
//! more pieces are on their way, the smaller they are. Owns that. Must not know what is answered.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ahash::RandomState;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::content::DocumentContent;
use super::rendition::{LONGEST, Rendition};
use crate::domain::DocumentKey;
use crate::domain::link::Rendering;

/// Bytes of documents that are kept for their readers alone. A single document may be longer.
const MOST: usize = 64 << 20;

/// The same for the readers of one client.
const MOST_OF_ONE: usize = MOST / 2;

/// Bytes of copies on their way; above this, pieces are small.
const AFLOAT: usize = 16 << 20;

/// The usual size of a piece.
const PIECE: usize = 16 << 10;

/// The size of a small piece; a connection buffers up to sixteen of them.
const SMALL_PIECE: usize = 1 << 10;

/// Why a document may not be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LongReadRefusal {
    /// The bound for all clients is reached.
    #[error("this proxy holds as many long answers for slow readers as it can; try again shortly")]
    Proxy,
    /// The bound for this client is reached.
    #[error("you are reading as many long answers at once as one client may; read some to their end first")]
    Client,
}

#[derive(Debug, Default)]
pub(super) struct LongReads {
    /// The oldest first.
    open: Mutex<Vec<Weak<LongRead>>>,
    /// Hashes clients.
    hasher: RandomState,
    afloat: Arc<AtomicUsize>,
}

/// One client's reading of a long document.
#[derive(Debug)]
pub(crate) struct LongRead {
    key: DocumentKey,
    content: Weak<DocumentContent>,
    /// The address of the document's bytes, which another content may share.
    at: usize,
    bytes: usize,
    client: u64,
    state: Mutex<ReadState>,
    afloat: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum ReadState {
    /// It is not known yet in which coding it is sent.
    Begun,
    Rendering(Rendering),
    Coded(Bytes),
    /// Cut off.
    Cut,
}

impl LongReads {
    pub(super) fn begin(
        &self,
        reading: LongRead,
        is_kept: impl Fn(&LongRead) -> bool,
    ) -> Result<Arc<LongRead>, LongReadRefusal> {
        let mut open = self.open.lock();
        let (all, of_client) = settled(&mut open, Some(reading.client), &is_kept);
        if !is_kept(&reading) {
            let beside = |held: &HashMap<usize, usize>| match held.contains_key(&reading.at) {
                true => 0,
                false => held.values().sum(),
            };
            let exceeds = |held: usize, most| held > 0 && held + reading.bytes > most;
            if exceeds(beside(&of_client), MOST_OF_ONE) {
                return Err(LongReadRefusal::Client);
            }
            if exceeds(beside(&all), MOST) {
                return Err(LongReadRefusal::Proxy);
            }
        }
        let reading = Arc::new(reading);
        open.push(Arc::downgrade(&reading));
        Ok(reading)
    }

    pub(super) fn settle(&self, is_kept: impl Fn(&LongRead) -> bool) {
        settled(&mut self.open.lock(), None, is_kept);
    }
}

/// Cuts off readers until the memory that is kept for them alone fits. Gives what is left, by address: of all clients, and
/// of `client`.
fn settled(
    open: &mut Vec<Weak<LongRead>>,
    client: Option<u64>,
    is_kept: impl Fn(&LongRead) -> bool,
) -> (HashMap<usize, usize>, HashMap<usize, usize>) {
    open.retain(|reading| reading.strong_count() > 0);
    let (mut all, mut of_each) = (HashMap::new(), HashMap::<_, HashMap<_, _>>::new());
    // The latest first, so that the oldest readers are cut off.
    for reading in open.iter().rev().filter_map(Weak::upgrade) {
        if reading.is_cut() || is_kept(&reading) {
            continue;
        }
        let of_client = of_each.entry(reading.client).or_default();
        let fits = |held: &HashMap<usize, usize>, most| {
            let others: usize = held.values().sum();
            held.contains_key(&reading.at) || others == 0 || others + reading.bytes <= most
        };
        if fits(of_client, MOST_OF_ONE) && fits(&all, MOST) {
            of_client.insert(reading.at, reading.bytes);
            all.insert(reading.at, reading.bytes);
        } else {
            *reading.state.lock() = ReadState::Cut;
        }
    }
    let of_client = client.and_then(|client| of_each.remove(&client)).unwrap_or_default();
    (all, of_client)
}

impl LongRead {
    /// What `client` begins to read of `content`, the answer to `key`; nothing of a short one.
    pub(super) fn of(
        reads: &LongReads,
        key: &DocumentKey,
        content: &Arc<DocumentContent>,
        client: &impl Hash,
    ) -> Option<Self> {
        let DocumentContent::Found(found) = &**content else { return None };
        let template = found.shown();
        (template.original().len() > LONGEST).then(|| Self {
            key: key.clone(),
            content: Arc::downgrade(content),
            at: template.original().as_ptr() as usize,
            bytes: template.original().len() + template.overhead(),
            client: reads.hasher.hash_one(client),
            state: Mutex::new(ReadState::Begun),
            afloat: Arc::clone(&reads.afloat),
        })
    }

    pub(super) fn key(&self) -> &DocumentKey {
        &self.key
    }

    /// Whether it is `content` that is read, or what its bytes are shared with.
    pub(super) fn is_of(&self, content: &Arc<DocumentContent>) -> bool {
        Arc::as_ptr(content) == self.content.as_ptr()
            || (!self.is_coded() && content.body().as_ptr() as usize == self.at)
    }

    /// The body of `rendition`, or its `coded` form, as it is sent.
    pub(crate) fn send(
        self: Arc<Self>,
        rendition: &Rendition,
        coded: Option<&Bytes>,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        {
            let mut state = self.state.lock();
            if matches!(*state, ReadState::Begun) {
                *state = match coded {
                    Some(coded) => ReadState::Coded(coded.clone()),
                    None => ReadState::Rendering(rendition.rendering()),
                };
            }
        }
        stream::iter(std::iter::from_fn(move || self.next())).boxed()
    }

    fn next(&self) -> Option<io::Result<Bytes>> {
        let before = self.afloat.fetch_add(PIECE, Ordering::Relaxed);
        let most = if before < AFLOAT { PIECE } else { SMALL_PIECE };
        let afloat = Afloat(Arc::clone(&self.afloat));
        let piece = match &mut *self.state.lock() {
            ReadState::Rendering(rendering) => rendering.copied(most)?,
            ReadState::Coded(coded) => {
                let piece = Bytes::copy_from_slice(&coded[..coded.len().min(most)]);
                *coded = coded.slice(piece.len()..);
                Some(piece).filter(|piece| !piece.is_empty())?
            }
            ReadState::Begun | ReadState::Cut => {
                return Some(Err(io::Error::other("what was read has been replaced, and too much is read")));
            }
        };
        // A small one is not counted: there is one buffer's worth of them for each connection.
        match most {
            PIECE => Some(Ok(Bytes::from_owner(Piece { bytes: piece, _afloat: afloat }))),
            _ => Some(Ok(piece)),
        }
    }

    fn is_cut(&self) -> bool {
        matches!(*self.state.lock(), ReadState::Cut)
    }

    fn is_coded(&self) -> bool {
        matches!(*self.state.lock(), ReadState::Coded(_))
    }
}

/// What one piece takes of all that may be on their way.
struct Afloat(Arc<AtomicUsize>);

impl Drop for Afloat {
    fn drop(&mut self) {
        self.0.fetch_sub(PIECE, Ordering::Relaxed);
    }
}

/// A piece on its way.
struct Piece {
    bytes: Bytes,
    _afloat: Afloat,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Template;

    const LONG: usize = 31 << 20;

    /// A reading by `client` of a document that lies at `at`.
    fn reading(at: usize, client: u64) -> LongRead {
        LongRead {
            key: DocumentKey::Capabilities,
            content: Weak::new(),
            at,
            bytes: LONG,
            client,
            state: Mutex::new(ReadState::Begun),
            afloat: Arc::default(),
        }
    }

    #[test]
    fn what_memory_holds_costs_its_readers_nothing() {
        let readings = LongReads::default();
        let all: Vec<_> = (1..100).map(|at| readings.begin(reading(at, 1), |_| true).unwrap()).collect();
        assert!(all.iter().all(|reading| !reading.is_cut()));
    }

    #[test]
    fn what_is_not_kept_is_bounded_for_one_client_and_for_all() {
        let readings = LongReads::default();
        let begin = |at, client| readings.begin(reading(at, client), |_| false);
        let first = begin(1, 1).unwrap();
        let _same = begin(1, 1).unwrap();
        assert_eq!(begin(2, 1).err(), Some(LongReadRefusal::Client));
        let _other = begin(2, 2).unwrap();
        let _shared = begin(2, 3).unwrap();
        assert_eq!(begin(3, 4).err(), Some(LongReadRefusal::Proxy));
        drop((first, _same));
        let _room = begin(3, 4).unwrap();
    }

    #[test]
    fn of_versions_that_were_replaced_those_are_cut_off_that_were_begun_first() {
        let readings = LongReads::default();
        let mut held: Vec<Arc<LongRead>> = Vec::new();
        for version in 1..50 {
            let is_kept = |reading: &LongRead| reading.at == version;
            held.push(readings.begin(reading(version, version as u64), is_kept).unwrap());
            readings.settle(is_kept);
            let open: Vec<_> = held.iter().filter(|reading| !reading.is_cut()).map(|held| held.at).collect();
            assert_eq!(open, (version.saturating_sub(2).max(1)..=version).collect::<Vec<_>>());
        }
        readings.settle(|_| false);
        assert_eq!(held.iter().filter(|reading| !reading.is_cut()).count(), 2);
    }

    #[test]
    fn a_reading_gives_its_document_in_pieces_until_it_is_cut_off() {
        let body: Bytes = vec![b'x'; 3 * PIECE].into();
        let template = Template::with(body, Vec::new());
        let reading =
            LongRead { state: Mutex::new(ReadState::Rendering(template.rendering(""))), ..reading(1, 1) };
        let piece = reading.next().unwrap().unwrap();
        assert_eq!((piece.len(), reading.afloat.load(Ordering::Relaxed)), (PIECE, PIECE));
        drop(piece);
        assert_eq!(reading.afloat.load(Ordering::Relaxed), 0);
        reading.afloat.store(AFLOAT, Ordering::Relaxed);
        let small = reading.next().unwrap().unwrap();
        assert_eq!((small.len(), reading.afloat.load(Ordering::Relaxed)), (SMALL_PIECE, AFLOAT));
        *reading.state.lock() = ReadState::Cut;
        assert!(reading.next().unwrap().is_err());
    }
}
