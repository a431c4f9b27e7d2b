//! What was counted over the last hour and the last day, in bounded memory.
//!
//! It is told the totals that `/metrics` shows, so the numbers agree, and the time, as whole minutes. Owns the spans of
//! time and what is counted in them. Must not know a clock. It is lost with the process.

use parking_lot::Mutex;

const MINUTES: usize = 60;
const QUARTERS: usize = 96;
pub(crate) const MINUTES_IN_QUARTER: u64 = 15;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A lookup answered from the cache.
    Hit,
    /// The same with something old, or with what is left of several registries' answers.
    Stale,
    /// A lookup for which a registry was asked.
    Miss,
    /// A lookup that was refused: what was asked for is not there, contradicts itself or may not be had.
    Refused,
    /// A lookup without an answer, since no registry could be asked or what came was no good.
    Failed,
    /// A request without a known token.
    Anonymous,
    /// A request of a person's token.
    Authenticated,
    /// A request of a build machine's token.
    Ci,
    /// Bytes that were not what they claimed to be.
    Damage,
}

impl Counted {
    /// Those of a lookup, in the order in which they are shown.
    pub(crate) const LOOKUPS: [Self; 5] = [Self::Hit, Self::Stale, Self::Miss, Self::Refused, Self::Failed];
    /// Those of a request.
    pub(crate) const CLASSES: [Self; 3] = [Self::Anonymous, Self::Authenticated, Self::Ci];
    const MANY: usize = 9;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Ci => "ci",
            Self::Damage => "damage",
        }
    }

    /// The group of a lookup with this label.
    pub(super) fn of_outcome(outcome: &str) -> Self {
        match outcome {
            "hit" => Self::Hit,
            "stale-while-revalidate" | "stale-if-error" | "offline" | "partial" => Self::Stale,
            "negative" | "divergent" | "policy" => Self::Refused,
            "failed" => Self::Failed,
            _ => Self::Miss,
        }
    }

    /// The class of a request with this label.
    pub(super) fn of_class(class: &str) -> Self {
        match class {
            "ci" => Self::Ci,
            "authenticated" => Self::Authenticated,
            _ => Self::Anonymous,
        }
    }
}

/// What was counted in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpanCounts([u64; Counted::MANY]);

impl SpanCounts {
    pub(crate) fn of(&self, what: Counted) -> u64 {
        self.0[what as usize]
    }

    pub(crate) fn add(&mut self, what: Counted, count: u64) {
        let held = &mut self.0[what as usize];
        *held = held.saturating_add(count);
    }

    /// All lookups.
    pub(crate) fn lookups(&self) -> u64 {
        Counted::LOOKUPS.into_iter().map(|what| self.of(what)).fold(0, u64::saturating_add)
    }

    /// The sum of several spans.
    pub(crate) fn sum(spans: &[Self]) -> Self {
        spans.iter().fold(Self::default(), |sum, span| sum.with(span, u64::saturating_add))
    }

    fn with(&self, other: &Self, join: fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|place| join(self.0[place], other.0[place])))
    }
}

/// The last `N` spans of equal length, each with its number since 1970.
#[derive(Debug)]
struct Spans<const N: usize>([(u64, SpanCounts); N]);

impl<const N: usize> Default for Spans<N> {
    fn default() -> Self {
        Self([(0, SpanCounts::default()); N])
    }
}

impl<const N: usize> Spans<N> {
    fn add(&mut self, number: u64, more: &SpanCounts) {
        let held = &mut self.0[place::<N>(number)];
        *held = (number, if held.0 == number { held.1.with(more, u64::saturating_add) } else { *more });
    }

    /// The spans up to `last`, the earliest first.
    fn until(&self, last: u64) -> Vec<SpanCounts> {
        let numbers = (0..N as u64).rev().map(|back| last.saturating_sub(back));
        let held = numbers.map(|number| (number, self.0[place::<N>(number)]));
        held.map(|(number, (at, held))| if at == number { held } else { SpanCounts::default() }).collect()
    }
}

fn place<const N: usize>(number: u64) -> usize {
    (number % N as u64) as usize
}

#[derive(Debug, Default)]
struct CountedSoFar {
    totals: SpanCounts,
    minutes: Spans<MINUTES>,
    quarters: Spans<QUARTERS>,
}

/// The last hour in minutes and the last day in quarters of an hour.
#[derive(Debug, Default)]
pub(crate) struct CountHistory(Mutex<CountedSoFar>);

impl CountHistory {
    /// The counters show `totals` in this minute since 1970. What was added since the last note belongs to it.
    pub(super) fn note(&self, minute: u64, totals: SpanCounts) {
        let mut seen = self.0.lock();
        let more = totals.with(&seen.totals, u64::saturating_sub);
        seen.totals = totals;
        seen.minutes.add(minute, &more);
        seen.quarters.add(minute / MINUTES_IN_QUARTER, &more);
    }

    /// The 60 minutes that end with this one.
    pub(crate) fn hour(&self, minute: u64) -> Vec<SpanCounts> {
        self.0.lock().minutes.until(minute)
    }

    /// The 96 quarters of an hour that end with this one.
    pub(crate) fn day(&self, minute: u64) -> Vec<SpanCounts> {
        self.0.lock().quarters.until(minute / MINUTES_IN_QUARTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 29_000_000;

    fn hits(hit: u64) -> SpanCounts {
        let mut counts = SpanCounts::default();
        counts.add(Counted::Hit, hit);
        counts
    }

    fn sum(spans: &[SpanCounts]) -> u64 {
        SpanCounts::sum(spans).lookups()
    }

    #[test]
    fn a_minute_has_what_was_added_to_the_totals_in_it() {
        let history = CountHistory::default();
        for (minute, total) in [(NOW, 5), (NOW, 7), (NOW + 1, 7), (NOW + 2, 10)] {
            history.note(minute, hits(total));
        }
        let hour = history.hour(NOW + 2);
        assert_eq!(hour.len(), MINUTES);
        assert_eq!(hour[57..], [hits(7), hits(0), hits(3)]);
        assert_eq!(sum(&history.day(NOW + 2)), 10);
    }

    #[test]
    fn what_is_older_than_the_span_is_gone() {
        let history = CountHistory::default();
        history.note(NOW, hits(5));
        assert_eq!(sum(&history.hour(NOW + 59)), 5);
        assert_eq!(sum(&history.hour(NOW + 60)), 0);
        assert_eq!(sum(&history.day(NOW + 60)), 5);
        assert_eq!(sum(&history.day(NOW + 24 * 60)), 0);
        history.note(NOW + 60, hits(6));
        assert_eq!(history.hour(NOW + 60)[59], hits(1), "the place of an older minute is used again");
    }

    #[test]
    fn each_outcome_is_in_one_group() {
        for (outcome, group) in [
            ("hit", Counted::Hit),
            ("stale-while-revalidate", Counted::Stale),
            ("stale-if-error", Counted::Stale),
            ("offline", Counted::Stale),
            ("partial", Counted::Stale),
            ("miss", Counted::Miss),
            ("collapsed", Counted::Miss),
            ("revalidated", Counted::Miss),
            ("negative", Counted::Refused),
            ("divergent", Counted::Refused),
            ("policy", Counted::Refused),
            ("failed", Counted::Failed),
        ] {
            assert_eq!(Counted::of_outcome(outcome), group, "{outcome}");
        }
    }
}
