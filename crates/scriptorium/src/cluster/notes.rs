//! Notes: what a fetch leaves in the engine for the other proxies, where its result is not in the bucket.
//!
//! A registry's "not found" is in no bucket, or whoever invents names would fill it; and neither is an archive that arrived
//! damaged. A note carries the number of its fetch, so that whoever waited for that fetch knows it from an earlier one. Notes only
//! spare fetches: without one, each proxy fetches for itself. Owns their form, and how long, how many and how lasting they may
//! be. Must not know what a note says.

use std::time::Duration;

use ::cluster::Engine;
use parking_lot::Mutex;

/// The longest text of a note, in bytes.
const LONGEST: usize = 4 << 10;
/// Notes of one proxy that last, at most.
const MOST: usize = 1_000;
/// The longest that a note lasts.
const LASTING: Duration = Duration::from_secs(60);

/// What a fetch leaves for the other proxies.
#[derive(Debug)]
pub(crate) enum FlightTrace {
    /// Its result is in the bucket.
    Stored,
    /// A note says what came of it.
    Noted(FlightNote),
    /// Nothing: each fetches for itself.
    Nothing,
}

/// What a note says, and for how long.
#[derive(Debug)]
pub(crate) struct FlightNote {
    text: String,
    lasting: Duration,
}

/// The note of another proxy, or of an earlier fetch.
#[derive(Debug)]
pub(crate) struct SeenNote {
    pub(crate) text: String,
    /// Whether its fetch ended after this proxy began to wait for it.
    pub(crate) was_awaited: bool,
}

/// Until when the notes of this proxy last.
#[derive(Debug, Default)]
pub(super) struct FlightNotes(Mutex<Vec<Duration>>);

impl FlightTrace {
    /// A note that lasts at most so long; nothing if the text is too long.
    pub(crate) fn note(text: String, lasting: Duration) -> Self {
        match text.len() <= LONGEST && !lasting.is_zero() {
            true => Self::Noted(FlightNote { text, lasting: lasting.min(LASTING) }),
            false => Self::Nothing,
        }
    }
}

impl FlightNotes {
    /// Leaves the note of the fetch with this number. Whether others can find it.
    pub(super) async fn leave(
        &self,
        engine: &dyn Engine,
        key: &str,
        fence: u64,
        note: FlightNote,
        now: Duration,
    ) -> bool {
        if !self.has_room(now, note.lasting) {
            return false;
        }
        let text = format!("{fence} {}", note.text);
        engine.share(&named(key), &text, note.lasting).await.is_ok()
    }

    fn has_room(&self, now: Duration, lasting: Duration) -> bool {
        let mut lasts = self.0.lock();
        if lasts.len() >= MOST {
            lasts.retain(|until| *until > now);
        }
        let has_room = lasts.len() < MOST;
        if has_room {
            lasts.push(now + lasting);
        }
        has_room
    }
}

/// The note of a key. `behind`: the number of the fetch for which this proxy began to wait.
pub(super) async fn seen(engine: &dyn Engine, key: &str, behind: Option<u64>) -> Option<SeenNote> {
    let [note] = engine.shared(&[named(key)]).await.ok()?.try_into().ok()?;
    read(&note?.value, behind)
}

fn read(value: &str, behind: Option<u64>) -> Option<SeenNote> {
    let (fence, text) = value.split_once(' ')?;
    let fence: u64 = fence.parse().ok()?;
    let was_awaited = behind.is_some_and(|behind| fence >= behind);
    (text.len() <= LONGEST).then(|| SeenNote { text: text.to_owned(), was_awaited })
}

fn named(key: &str) -> String {
    format!("note:{key}")
}

#[cfg(test)]
mod tests {
    use ::cluster::{EngineDouble, SharedDouble};

    use super::*;

    fn note(text: &str) -> FlightNote {
        match FlightTrace::note(text.to_owned(), Duration::from_secs(5)) {
            FlightTrace::Noted(note) => note,
            trace => panic!("{trace:?}"),
        }
    }

    #[tokio::test]
    async fn whoever_waited_for_a_fetch_knows_its_note_from_that_of_an_earlier_one() {
        let (notes, now) = (FlightNotes::default(), Duration::ZERO);
        let engine = SharedDouble::new(EngineDouble::new(Duration::from_secs(1)));
        assert!(notes.leave(&engine, "key", 7, note("not there"), now).await);
        for (behind, was_awaited) in [(None, false), (Some(7), true), (Some(6), true), (Some(8), false)] {
            let seen = seen(&engine, "key", behind).await.unwrap();
            assert_eq!((&*seen.text, seen.was_awaited), ("not there", was_awaited), "{behind:?}");
        }
        assert!(seen(&engine, "other", Some(7)).await.is_none());
        engine.lock().set_time(Duration::from_secs(7));
        assert!(seen(&engine, "key", Some(7)).await.is_none(), "it lasts no longer");
        engine.lock().refuse_writes(true);
        assert!(!notes.leave(&engine, "key", 8, note("not there"), now).await);
    }

    #[test]
    fn notes_are_bounded_in_length_time_and_number() {
        let long = |length| FlightTrace::note("x".repeat(length), Duration::from_secs(3_600));
        assert!(matches!(long(LONGEST), FlightTrace::Noted(FlightNote { lasting: LASTING, .. })));
        assert!(matches!(long(LONGEST + 1), FlightTrace::Nothing));
        assert!(matches!(FlightTrace::note(String::new(), Duration::ZERO), FlightTrace::Nothing));
        assert!(read(&format!("7 {}", "x".repeat(LONGEST + 1)), None).is_none());
        let (notes, second) = (FlightNotes::default(), Duration::from_secs(1));
        assert!((0..MOST).all(|_| notes.has_room(Duration::ZERO, second)));
        assert!(!notes.has_room(Duration::ZERO, second));
        assert!(notes.has_room(second, second), "the others are over");
    }
}
