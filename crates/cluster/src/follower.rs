//! What a node has to hear from the others, and what it does when it did not hear everything.
//!
//! Changes are told twice. Whoever makes one first adds it to the record in the bucket, which is the truth, and then announces
//! it in the engine's stream, which is quick. A node reads the stream on from its place. It looks at the record when the stream
//! has a gap, and every few seconds while the engine is away.
//!
//! Invariant: while [`Follower::is_current`] says so, every change that was announced or recorded more than
//! [`CURRENT_FOR`] ago was given to this node. A node that is not current must not serve as fresh what others may have changed.
//!
//! Owns these decisions, with the time passed in. Must not know the engine, the bucket, or what an event means.

use std::time::Duration;

/// What was read or looked at so recently is the present.
pub const CURRENT_FOR: Duration = Duration::from_secs(5);
/// Between looks at the record while the engine is away.
const LOOKING: Duration = Duration::from_secs(3);

/// A place in the stream: the last event that was read, and in which memory of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPlace {
    /// The memory of the engine.
    pub memory: String,
    /// The number of the event.
    pub number: u64,
}

/// Something that all nodes have to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// What happened, as the proxy names it: an invalidation, a finalize, a block, a divergence, a landing.
    pub kind: String,
    /// To what: a volume, a release, a key.
    pub subject: String,
    /// More about it.
    pub detail: String,
}

/// What a reading of the stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// The last event that this brings, or the last that there is.
    pub place: StreamPlace,
    /// The number of the first event that this brings.
    pub first: Option<u64>,
    /// The events after the place from which was read.
    pub events: Vec<StreamEvent>,
    /// Whether there are more.
    pub more: bool,
}

/// What to do with a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// Do what these events say. Read on at once if there are more.
    Events(Vec<StreamEvent>),
    /// Something was missed: look at the record, then say [`Follower::looked`].
    CatchUp,
}

/// The place of one node, and how current it is.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    place: Option<StreamPlace>,
    /// Since when events are missing of which the bucket was not asked yet.
    behind: Option<Duration>,
    current: Option<Duration>,
    looked: Option<Duration>,
}

impl Follower {
    /// From where to read.
    pub fn place(&self) -> Option<&StreamPlace> {
        self.place.as_ref()
    }

    /// Takes a page that was asked for at `sent`.
    pub fn read(&mut self, page: StreamPage, sent: Duration, now: Duration) -> Followed {
        let goes_on = self.place.as_ref().is_some_and(|place| {
            let next = page.first.unwrap_or(page.place.number + 1);
            place.memory == page.place.memory && next == place.number + 1
        });
        self.place = Some(page.place);
        if !goes_on {
            self.behind = Some(now);
            return Followed::CatchUp;
        }
        if !page.more {
            self.current = self.current.max(Some(sent));
        }
        Followed::Events(page.events)
    }

    /// Whether the record in the bucket is to be looked at now. `all_together`: this node works together with the
    /// others, and none of those that there are meant to be is missing. What a missing one changes is in the bucket only.
    pub fn should_look(&self, all_together: bool, now: Duration) -> bool {
        let is_old = |at: Option<Duration>| at.is_none_or(|at| now.saturating_sub(at) >= LOOKING);
        let is_unsure = !all_together && is_old(self.looked) || is_old(self.current);
        self.behind.is_some() || self.place.is_none() || is_unsure
    }

    /// The record was looked at, from `begun` on, and what it says was done.
    pub fn looked(&mut self, begun: Duration) {
        // A look that had begun before does not know what is missing since.
        self.behind = self.behind.filter(|since| begun < *since);
        self.looked = self.looked.max(Some(begun));
        self.current = self.current.max(Some(begun));
    }

    /// Whether everything that others changed was heard.
    pub fn is_current(&self, now: Duration) -> bool {
        self.behind.is_none() && self.current.is_some_and(|current| now.saturating_sub(current) < CURRENT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn page(memory: &str, first: Option<u64>, last: u64) -> StreamPage {
        let event = StreamEvent { kind: "invalidate".into(), subject: "v".into(), detail: String::new() };
        let events = first.map_or(Vec::new(), |first| vec![event; (last + 1 - first) as usize]);
        StreamPage { place: StreamPlace { memory: memory.into(), number: last }, first, events, more: false }
    }

    fn following() -> Follower {
        let mut follower = Follower::default();
        assert_eq!(follower.read(page("a", None, 5), at(0), at(0)), Followed::CatchUp);
        assert!(!follower.is_current(at(0)));
        follower.looked(at(0));
        follower
    }

    #[test]
    fn reads_on_from_its_place() {
        let mut follower = following();
        assert_eq!(follower.read(page("a", None, 5), at(1), at(1)), Followed::Events(Vec::new()));
        let Followed::Events(events) = follower.read(page("a", Some(6), 8), at(4_000), at(4_100)) else {
            panic!()
        };
        assert_eq!(events.len(), 3);
        assert!(follower.is_current(at(8_999)));
        assert!(!follower.is_current(at(9_000)));
    }

    #[test]
    fn every_gap_is_caught_up_before_it_is_current() {
        for gap in [page("a", Some(7), 8), page("a", None, 6), page("b", Some(6), 8), page("a", None, 4)] {
            let mut follower = following();
            assert_eq!(follower.read(gap.clone(), at(0), at(1)), Followed::CatchUp, "{gap:?}");
            assert!(!follower.is_current(at(1)) && follower.should_look(true, at(1)));
            follower.looked(at(0));
            assert!(!follower.is_current(at(1)), "that look had begun before the gap");
            follower.looked(at(2));
            assert!(follower.is_current(at(2)));
        }
    }

    #[test]
    fn hears_on_while_it_catches_up() {
        let mut follower = following();
        assert_eq!(follower.read(page("a", Some(7), 8), at(0), at(1)), Followed::CatchUp);
        let Followed::Events(events) = follower.read(page("a", Some(9), 9), at(1), at(2)) else { panic!() };
        assert_eq!(events.len(), 1);
        assert!(!follower.is_current(at(2)));
    }

    #[test]
    fn alone_or_without_the_stream_it_looks_every_few_seconds() {
        let mut follower = following();
        assert!(!follower.should_look(false, at(2_999)));
        assert!(follower.should_look(true, at(3_000)), "it did not read either");
        follower.read(page("a", None, 5), at(3_000), at(3_000));
        assert!(follower.should_look(false, at(3_000)));
        assert!(!follower.should_look(true, at(3_000)));
    }
}
