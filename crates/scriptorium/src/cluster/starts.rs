//! Which proxies started last on this bucket, so that one that starts knows whether permits of earlier ones may still count.
//!
//! A process does not know what the one before it did, so its own share of a registry's permits counts only when that is over.
//! Where fewer processes started than there are meant to be proxies, each has a share of its own from its start. Owns that
//! record. Must not know what a permit is for.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::store::record;

/// So long after its end nothing of a process counts, also where clocks differ.
const OVER: Duration = Duration::from_secs(300);

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StartRecord(Vec<StartedProcess>);

#[derive(Debug, Serialize, Deserialize)]
struct StartedProcess {
    name: String,
    /// When it ended in order.
    ended: Option<Timestamp>,
}

impl StartRecord {
    fn of(stored: Option<&Bytes>) -> Option<Self> {
        stored.map_or_else(|| Some(Self::default()), |stored| record::decode(stored).ok())
    }

    /// The stored form with one more process, and whether at most `most` may count, this one included. A record that
    /// cannot be read says that others may.
    pub(super) fn started(stored: Option<&Bytes>, name: &str, most: u32, now: Timestamp) -> (Bytes, bool) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let known = Self::of(stored);
        let is_known = known.is_some();
        let mut record = known.unwrap_or_default();
        record.0.retain(|process| process.name != name && !process.is_over(now));
        let has_room = is_known && record.0.len() < most;
        record.0.push(StartedProcess { name: name.to_owned(), ended: None });
        // One more than there are proxies says that there is no room.
        let surplus = record.0.len().saturating_sub(most.max(1));
        record.0.drain(..surplus);
        (record::encode(&record), has_room)
    }

    /// The stored form in which a process ended; `None` if that changes nothing.
    pub(super) fn ended(stored: Option<&Bytes>, name: &str, now: Timestamp) -> Option<Bytes> {
        let mut record = Self::of(stored)?;
        record.0.iter_mut().find(|process| process.name == name)?.ended = Some(now);
        Some(record::encode(&record))
    }
}

impl StartedProcess {
    fn is_over(&self, now: Timestamp) -> bool {
        self.ended.and_then(|ended| now.since(ended)).is_some_and(|ago| ago >= OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(stored: &mut Option<Bytes>, name: &str, now: u64) -> bool {
        let (next, has_room) = StartRecord::started(stored.as_ref(), name, 2, Timestamp(now));
        *stored = Some(next);
        has_room
    }

    #[test]
    fn as_many_as_there_are_meant_to_be_have_a_share_at_once() {
        let mut stored = None;
        assert!(start(&mut stored, "a", 0) && start(&mut stored, "b", 0));
        assert!(
            !start(&mut stored, "c", 0) && !start(&mut stored, "d", 9_999_999),
            "who was killed may live"
        );
    }

    #[test]
    fn who_ended_in_order_makes_room_after_a_while() {
        let mut stored = None;
        assert!(start(&mut stored, "a", 0) && start(&mut stored, "b", 0));
        stored = StartRecord::ended(stored.as_ref(), "a", Timestamp(1_000));
        assert!(!start(&mut stored.clone(), "c", 300_999));
        assert!(start(&mut stored, "c", 301_000));
        assert!(StartRecord::ended(stored.as_ref(), "a", Timestamp(0)).is_none());
    }

    #[test]
    fn a_record_that_cannot_be_read_makes_no_room() {
        assert!(!start(&mut Some(Bytes::from("garbage")), "a", 0));
    }
}
