//! Places: as many as there are meant to be proxies. A process has one, and leaves it to the next one when it ends in order.
//!
//! The record lies in the bucket, where each change is made as a whole, so no two processes take one place. How it is known
//! whose permits may still count:
//!
//! | a place | who takes it | and has |
//! |---|---|---|
//! | nobody had, or nobody for minutes | a new process | its share at once |
//! | its process ended in order | one new process, or one that has the place of a killed one | what that process left |
//! | its process was killed | a new process that finds no other | a share when the dead process cannot count any more |
//! | there were meant to be more a while ago | a new process, until none of the others knows of more | its larger share when those of that time cannot count any more |
//! | nobody had, and there were meant to be fewer or more a while ago | a new process | a share when those of that time cannot count any more |
//!
//! Where a place is left, no other one is taken: what was used there would count nowhere. With another number of places each
//! process has another share, and so the last row.
//!
//! Invariant: a process that finds no place has the place of one that was killed before it entered. Why: there are no more
//! processes than places, and those that ended in order are all taken. So the age of a process counts from when it entered.
//! Nobody knows which process was killed, so names are only for who ends: an entry whose name was taken away stands for any
//! process that finds its own no more.
//!
//! Each change may be made twice, because whoever writes to a bucket does not always hear whether it was written. Owns that
//! decision; times are the wall clock's, in milliseconds. Must not know how the record is stored.

use serde::{Deserialize, Serialize};

use crate::legacy::Legacy;

/// So long after its end nothing of a process counts, also where clocks differ.
const OVER_MS: u64 = 300_000;

/// Who has the places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places(Vec<Place>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    name: String,
    /// How many places there are meant to be for its process; nothing in records of earlier versions.
    #[serde(default)]
    most: u32,
    /// When a process took it for which there were meant to be another number than for the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resized: Option<u64>,
    /// When its process ended in order.
    ended: Option<u64>,
    /// Whether its process takes the next better place.
    #[serde(default)]
    waits: bool,
    /// What a process that ended left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Legacy>,
}

/// What a process finds that enters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// A place of which nothing counts.
    Room,
    /// A place of which others may count that had shares of another size.
    NewRoom,
    /// The place of one that ended in order.
    Successor(Legacy),
    /// No place but that of one that was killed. It may ask again.
    Nothing,
    /// What an earlier attempt found.
    Again,
}

impl Places {
    /// Places of which nothing is known: any may count.
    pub fn unknown(places: u32) -> Self {
        Self((0..places).map(|_| Place::default()).collect())
    }

    /// The process `name` enters, or asks for a better place; there are meant to be `most` places.
    pub fn enter(&mut self, name: &str, most: u32, now_ms: u64) -> Entered {
        let own = self.0.iter().find(|place| place.name == name);
        if own.is_some_and(|place| !place.waits) {
            return Entered::Again;
        }
        let is_known = own.is_some();
        self.0.retain(|place| !place.is_over(now_ms));
        let places = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
        let are_fewer = self.become_fewer(most, places, now_ms);
        let is_left = self.0.iter().any(|place| place.left.is_some());
        if !is_known && !is_left && self.0.len() < places {
            let is_new = are_fewer || self.0.iter().any(|place| place.was_resized(most, now_ms));
            self.0.push(Place { resized: are_fewer.then_some(now_ms), ..Place::of(name, most) });
            return if is_new { Entered::NewRoom } else { Entered::Room };
        }
        let left = self.0.iter().enumerate().filter(|(_, place)| place.left.is_some());
        let Some((index, _)) = left.min_by_key(|(_, place)| place.ended) else {
            self.put(name, most, true);
            return Entered::Nothing;
        };
        // What it has so far is left to whoever finds its own no more.
        self.0.iter_mut().filter(|place| place.name == name).for_each(|place| *place = Place::default());
        let before = self.0.remove(index);
        let resized = if before.most == most { before.resized } else { Some(now_ms) };
        self.0.push(Place { resized, ..Place::of(name, most) });
        before.left.map_or(Entered::Nothing, Entered::Successor)
    }

    /// Does without the places that are too many for a process that knows of fewer than others do. Whether that is so: its share is larger
    /// than theirs, so it has it when nothing of theirs counts, and what they left is no use to it.
    fn become_fewer(&mut self, most: u32, places: usize, now_ms: u64) -> bool {
        let are_fewer = self.0.iter().any(|place| place.most > most);
        self.0.retain(|place| place.most <= most || place.left.is_none());
        while self.0.len() > places {
            let of_more = self.0.iter().position(|place| place.most > most);
            self.0.remove(of_more.unwrap_or(places));
        }
        if are_fewer {
            // Whoever comes next has to know of those who are gone from the record.
            self.0.iter_mut().for_each(|place| place.resized = Some(now_ms));
        }
        are_fewer
    }

    /// Has an entry for the process `name`, which entered, before it [ends](Self::end). Whether that is a change.
    pub fn put(&mut self, name: &str, most: u32, waits: bool) -> bool {
        if self.0.iter().any(|place| place.name == name) {
            return false;
        }
        // An end that left nothing is as good as a death.
        let is_anybodys = |place: &Place| (place.ended.is_none(), !place.name.is_empty());
        let known = self.0.iter().enumerate().filter(|(_, place)| place.left.is_none());
        let Some((index, _)) = known.min_by_key(|(_, place)| is_anybodys(place)) else { return false };
        self.0.remove(index);
        self.0.push(Place { waits, ..Place::of(name, most) });
        true
    }

    /// The process `name`, which has an entry, ends in order. Whether that is a change.
    pub fn end(&mut self, name: &str, left: &Legacy, now_ms: u64) -> bool {
        let own = self.0.iter_mut().find(|place| place.name == name && place.ended.is_none());
        let Some(place) = own else { return false };
        (place.ended, place.waits, place.left) = (Some(now_ms), false, Some(left.clone()));
        true
    }
}

impl Place {
    fn of(name: &str, most: u32) -> Self {
        Self { name: name.to_owned(), most, ..Self::default() }
    }

    /// Whether a process of this place may count for which there were meant to be another number.
    fn was_resized(&self, most: u32, now_ms: u64) -> bool {
        let is_recent = |resized: u64| now_ms.checked_sub(resized).is_none_or(|ago| ago < OVER_MS);
        self.most != most || self.resized.is_some_and(is_recent)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.ended.and_then(|ended| now_ms.checked_sub(ended)).is_some_and(|ago| ago >= OVER_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(who: &str) -> Legacy {
        Legacy { age_ms: who.bytes().next().map(u64::from), ..Legacy::default() }
    }

    fn full() -> Places {
        let mut places = Places::default();
        assert_eq!([places.enter("a", 2, 0), places.enter("b", 2, 0)], [Entered::Room, Entered::Room]);
        places
    }

    #[test]
    fn as_many_as_there_are_meant_to_be_find_room() {
        let mut places = full();
        assert_eq!(places.enter("c", 2, 0), Entered::Nothing);
        assert_eq!(places.enter("d", 2, 9_999_999), Entered::Nothing, "who was killed may live");
        assert_eq!(Places::unknown(2).enter("a", 2, 0), Entered::Nothing);
    }

    #[test]
    fn who_ended_in_order_has_one_successor() {
        let mut places = full();
        assert!(places.end("a", &left("a"), 5) && !places.end("a", &left("a"), 5));
        assert_eq!(places.enter("c", 2, 6), Entered::Successor(left("a")));
        assert_eq!(places.enter("c", 2, 6), Entered::Again);
        assert_eq!(places.enter("d", 2, 6), Entered::Nothing);
        assert!(!places.end("a", &left("a"), 7), "its place is another's");
        assert!(!places.put("c", 2, false) && places.end("c", &left("c"), 8));
        assert_eq!(places.enter("d", 2, 9), Entered::Successor(left("c")), "it waited for a better place");
        assert_eq!(places.enter("d", 2, 9), Entered::Again);
    }

    #[test]
    fn a_place_that_was_left_for_minutes_is_room() {
        let mut places = full();
        places.end("a", &left("a"), 1_000);
        assert_eq!(places.clone().enter("c", 2, 300_999), Entered::Successor(left("a")));
        assert_eq!(places.enter("c", 2, 301_000), Entered::Room);
    }

    #[test]
    fn a_process_whose_name_was_taken_away_ends_in_the_place_of_the_one_that_was_killed() {
        let mut places = full();
        // It takes the older entry, but the other process was killed.
        assert_eq!(places.enter("c", 2, 0), Entered::Nothing);
        assert!(
            !places.end("a", &left("a"), 1) && places.put("a", 2, false) && places.end("a", &left("a"), 1)
        );
        assert_eq!(places.enter("d", 2, 2), Entered::Successor(left("a")));
        assert!(places.end("c", &left("c"), 3) && places.end("d", &left("d"), 3));
        assert!(!places.put("e", 2, false), "every place is left to somebody");
    }

    #[test]
    fn what_was_left_is_taken_before_a_place_that_nobody_had() {
        let mut places = full();
        places.end("a", &left("a"), 1);
        assert_eq!(places.enter("c", 3, 2), Entered::Successor(left("a")));
        assert_eq!(places.enter("d", 3, 3), Entered::NewRoom, "the share of b is larger");
        places.end("b", &left("b"), 4);
        assert_eq!(places.enter("e", 3, 5), Entered::Successor(left("b")));
        assert_eq!(places.enter("f", 3, 6), Entered::Nothing);
        assert_eq!(places.enter("g", 4, 7), Entered::NewRoom);
    }

    #[test]
    fn a_new_place_is_room_once_the_larger_shares_are_over() {
        let mut places = full();
        for (before, after, at) in [("a", "c", 1_000), ("b", "d", 2_000)] {
            places.end(before, &left(before), at);
            assert_eq!(places.enter(after, 3, at), Entered::Successor(left(before)));
        }
        assert_eq!(places.clone().enter("e", 3, 301_999), Entered::NewRoom);
        assert_eq!(places.enter("e", 3, 302_000), Entered::Room);
    }

    #[test]
    fn a_larger_share_counts_once_the_smaller_ones_are_over() {
        let mut places = Places::default();
        for name in ["a", "b", "c"] {
            assert_eq!(places.enter(name, 3, 0), Entered::Room);
        }
        assert!(places.end("c", &left("c"), 1) && places.end("a", &left("a"), 2));
        assert_eq!(places.enter("d", 2, 3), Entered::NewRoom);
        assert!(places.end("b", &left("b"), 4));
        assert_eq!(places.enter("e", 2, 5), Entered::NewRoom);
        assert!(places.end("d", &left("d"), 6));
        assert_eq!(places.enter("f", 2, 7), Entered::Successor(left("d")), "all have shares of one size");
        assert_eq!(places.0.len(), 2);
        let mut at_once = Places::default();
        assert_eq!(["a", "b", "c"].map(|name| at_once.enter(name, 3, 0)), [const { Entered::Room }; 3]);
        assert_eq!(["a", "b", "c"].map(|name| at_once.end(name, &left(name), 1)), [true; 3]);
        assert_eq!(["d", "e"].map(|name| at_once.enter(name, 2, 2)), [Entered::NewRoom, Entered::NewRoom]);
        assert_eq!(at_once.enter("f", 2, 3), Entered::Nothing);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let stored = r#"[{"name":"a","ended":null},{"name":"b","ended":7}]"#;
        let mut places: Places = serde_json::from_str(stored).unwrap();
        assert_eq!(places.enter("c", 2, 8), Entered::Nothing, "nobody knows what it left");
        assert_eq!(places.0.len(), 2);
        assert!(places.0.iter().any(|place| place.name == "a"));
    }
}
