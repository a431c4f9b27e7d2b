//! Long documents that clients read, and what of them is in memory only because somebody reads it.
//!
//! A document that memory holds costs its readers nothing. One that is not kept, or not any longer, is there for them alone:
//! there is a bound for all of these and one for each client's. Who would begin to read one beyond it is refused. Who read
//! one that has been replaced since is cut off where there are too many, the one who began first before the others: what
//! he reads is out of date, and he can ask again. What is on its way to a connection is a copy, so that a slow one holds
//! nothing else; the more of these there are, the smaller they get. Owns that. Must not know what is answered.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ahash::RandomState;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::document::Content;
use super::documents::{Answer, Documents};
use super::rendition::{LONGEST, Rendition};
use crate::domain::DocumentKey;
use crate::domain::link::Rendering;

/// Bytes of documents that are there for their readers alone. One document may be longer.
const MOST: usize = 64 << 20;

/// Those that are there for one client.
const MOST_OF_ONE: usize = MOST / 2;

/// Bytes of copies on their way, of the usual size.
const AFLOAT: usize = 16 << 20;

/// What is copied at once.
const PIECE: usize = 16 << 10;

/// The same where there are too many: a connection takes sixteen of them at once.
const SMALL_PIECE: usize = 1 << 10;

/// Why a document may not be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All clients together read as much.
    #[error("this proxy holds as many long answers for slow readers as it can; try again shortly")]
    Proxy,
    /// This client does.
    #[error("you are reading as many long answers at once as one client may; read some to their end first")]
    Client,
}

/// All readings of long documents.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// In the order in which they began.
    open: Mutex<Vec<Weak<Reading>>>,
    /// Makes numbers of clients.
    hasher: RandomState,
    afloat: Arc<AtomicUsize>,
}

/// One client's reading of a long document.
#[derive(Debug)]
pub struct Reading {
    key: DocumentKey,
    content: Weak<Content>,
    /// Where the document's bytes lie, which another content may share.
    at: usize,
    bytes: usize,
    client: u64,
    state: Mutex<State>,
    afloat: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum State {
    /// It is not decided yet what is sent.
    Begun,
    Rendering(Rendering),
    Coded(Bytes),
    /// Taken back.
    Cut,
}

impl Documents {
    /// Leave for `client` to read a long answer to `key`; nothing is needed for a short one.
    ///
    /// # Errors
    /// [`Full`] when it would be held for its readers alone and there is no room.
    pub fn begin_reading(
        &self,
        key: &DocumentKey,
        answer: &Answer,
        client: &impl Hash,
    ) -> Result<Option<Arc<Reading>>, Full> {
        let Content::Found(found) = &*answer.document.content else { return Ok(None) };
        let template = found.shown();
        if template.original().len() <= LONGEST {
            return Ok(None);
        }
        let reading = Reading {
            key: key.clone(),
            content: Arc::downgrade(&answer.document.content),
            at: template.original().as_ptr() as usize,
            bytes: template.original().len() + template.overhead(),
            client: self.readings.hasher.hash_one(client),
            state: Mutex::new(State::Begun),
            afloat: Arc::clone(&self.readings.afloat),
        };
        self.readings.begin(reading, |reading| self.keeps(reading)).map(Some)
    }

    /// Looks again at what is held for readers alone, after something long was replaced.
    pub(super) fn look_at_readings(&self) {
        self.readings.settle(|reading| self.keeps(reading));
    }

    /// Whether memory holds what is read in any case.
    fn keeps(&self, reading: &Reading) -> bool {
        let is_of = |content: &Arc<Content>| {
            Arc::as_ptr(content) == reading.content.as_ptr()
                || (!reading.is_coded() && content.body().as_ptr() as usize == reading.at)
        };
        let held = self.memory.get(&reading.key).is_some_and(|held| is_of(&held.content));
        held || self.several.composition(&reading.key).is_some_and(|content| is_of(&content))
    }
}

impl Readings {
    fn begin(&self, reading: Reading, is_kept: impl Fn(&Reading) -> bool) -> Result<Arc<Reading>, Full> {
        let mut open = self.open();
        let (all, of_client) = settled(&mut open, Some(reading.client), &is_kept);
        if !is_kept(&reading) {
            let beside = |held: &HashMap<usize, usize>| match held.contains_key(&reading.at) {
                true => 0,
                false => held.values().sum(),
            };
            let exceeds = |held: usize, most| held > 0 && held + reading.bytes > most;
            if exceeds(beside(&of_client), MOST_OF_ONE) {
                return Err(Full::Client);
            }
            if exceeds(beside(&all), MOST) {
                return Err(Full::Proxy);
            }
        }
        let reading = Arc::new(reading);
        open.push(Arc::downgrade(&reading));
        Ok(reading)
    }

    fn settle(&self, is_kept: impl Fn(&Reading) -> bool) {
        settled(&mut self.open(), None, is_kept);
    }

    fn open(&self) -> MutexGuard<'_, Vec<Weak<Reading>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts readings off until what is held for them alone fits. Gives what is left by where it lies: of all, and of `client`.
fn settled(
    open: &mut Vec<Weak<Reading>>,
    client: Option<u64>,
    is_kept: impl Fn(&Reading) -> bool,
) -> (HashMap<usize, usize>, HashMap<usize, usize>) {
    open.retain(|reading| reading.strong_count() > 0);
    let (mut all, mut of_each) = (HashMap::new(), HashMap::<_, HashMap<_, _>>::new());
    // The latest first: who began before them has no room any more.
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
            *reading.state() = State::Cut;
        }
    }
    let of_client = client.and_then(|client| of_each.remove(&client)).unwrap_or_default();
    (all, of_client)
}

impl Reading {
    /// The body of `rendition`, or its `coded` form, as it is sent.
    pub fn send(
        self: Arc<Self>,
        rendition: &Rendition,
        coded: Option<&Bytes>,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        {
            let mut state = self.state();
            if matches!(*state, State::Begun) {
                *state = match coded {
                    Some(coded) => State::Coded(coded.clone()),
                    None => State::Rendering(rendition.rendering()),
                };
            }
        }
        stream::iter(std::iter::from_fn(move || self.next())).boxed()
    }

    fn next(&self) -> Option<io::Result<Bytes>> {
        let before = self.afloat.fetch_add(PIECE, Ordering::Relaxed);
        let most = if before < AFLOAT { PIECE } else { SMALL_PIECE };
        let afloat = Afloat(Arc::clone(&self.afloat));
        let piece = match &mut *self.state() {
            State::Rendering(rendering) => rendering.copied(most)?,
            State::Coded(coded) => {
                let piece = Bytes::copy_from_slice(&coded[..coded.len().min(most)]);
                *coded = coded.slice(piece.len()..);
                Some(piece).filter(|piece| !piece.is_empty())?
            }
            State::Begun | State::Cut => {
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
        matches!(*self.state(), State::Cut)
    }

    fn is_coded(&self) -> bool {
        matches!(*self.state(), State::Coded(_))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn reading(at: usize, client: u64) -> Reading {
        Reading {
            key: DocumentKey::Capabilities,
            content: Weak::new(),
            at,
            bytes: LONG,
            client,
            state: Mutex::new(State::Begun),
            afloat: Arc::default(),
        }
    }

    #[test]
    fn what_memory_holds_costs_its_readers_nothing() {
        let readings = Readings::default();
        let all: Vec<_> = (1..100).map(|at| readings.begin(reading(at, 1), |_| true).unwrap()).collect();
        assert!(all.iter().all(|reading| !reading.is_cut()));
    }

    #[test]
    fn what_is_not_kept_is_bounded_for_one_client_and_for_all() {
        let readings = Readings::default();
        let begin = |at, client| readings.begin(reading(at, client), |_| false);
        let first = begin(1, 1).unwrap();
        let _same = begin(1, 1).unwrap();
        assert_eq!(begin(2, 1).err(), Some(Full::Client));
        let _other = begin(2, 2).unwrap();
        let _shared = begin(2, 3).unwrap();
        assert_eq!(begin(3, 4).err(), Some(Full::Proxy));
        drop((first, _same));
        let _room = begin(3, 4).unwrap();
    }

    #[test]
    fn of_versions_that_were_replaced_those_are_cut_off_that_were_begun_first() {
        let readings = Readings::default();
        let mut held: Vec<Arc<Reading>> = Vec::new();
        for version in 1..50 {
            let is_kept = |reading: &Reading| reading.at == version;
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
            Reading { state: Mutex::new(State::Rendering(template.rendering(""))), ..reading(1, 1) };
        let piece = reading.next().unwrap().unwrap();
        assert_eq!((piece.len(), reading.afloat.load(Ordering::Relaxed)), (PIECE, PIECE));
        drop(piece);
        assert_eq!(reading.afloat.load(Ordering::Relaxed), 0);
        reading.afloat.store(AFLOAT, Ordering::Relaxed);
        let small = reading.next().unwrap().unwrap();
        assert_eq!((small.len(), reading.afloat.load(Ordering::Relaxed)), (SMALL_PIECE, AFLOAT));
        *reading.state() = State::Cut;
        assert!(reading.next().unwrap().is_err());
    }
}
