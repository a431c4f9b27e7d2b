//! News: what one proxy changed and all have to hear.
//!
//! News is told twice: it is added to one record in the bucket, which keeps the last of it in the order of its numbers, and it
//! is announced in the engine's stream. Owns both forms, and which news this proxy knows already. Must not know what
//! follows from news.

use std::collections::{HashSet, VecDeque};

use ::cluster::StreamEvent;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::VolumePattern;
use crate::store::record;

/// News that the record keeps. Who is further behind begins anew.
const KEPT: usize = 1024;
/// News of which is remembered that it is known.
const KNOWN: usize = 8 * KEPT;

/// What changed; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NewsKind {
    /// The list of invalidations.
    Invalidation,
    /// Stored documents.
    Document,
    /// The open divergences.
    Divergence,
    /// The refused archives.
    Refusal,
    /// Anything.
    Everything,
}

impl NewsKind {
    const ALL: [Self; 5] =
        [Self::Invalidation, Self::Document, Self::Divergence, Self::Refusal, Self::Everything];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Invalidation => "invalidation",
            Self::Document => "document",
            Self::Divergence => "divergence",
            Self::Refusal => "refusal",
            Self::Everything => "everything",
        }
    }
}

/// What changed, and of which volumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) kind: NewsKind,
    pub(crate) volumes: VolumePattern,
}

impl News {
    /// Anything may have changed.
    pub(crate) fn everything() -> Self {
        Self { kind: NewsKind::Everything, volumes: VolumePattern::All }
    }
}

/// News with the number that tells it from any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ToldNews {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) news: News,
}

impl ToldNews {
    pub(super) fn event(&self) -> StreamEvent {
        StreamEvent {
            kind: self.news.kind.as_str().to_owned(),
            subject: self.news.volumes.to_string(),
            detail: format!("{:016x}", self.id),
        }
    }

    /// What an event says; `None` if it is no news. What a later version says of a volume may be anything.
    pub(super) fn of(event: &StreamEvent) -> Option<Self> {
        let id = u64::from_str_radix(&event.detail, 16).ok()?;
        let volumes = event.subject.parse().ok()?;
        let kind = NewsKind::ALL.into_iter().find(|kind| kind.as_str() == event.kind);
        Some(Self { id, news: News { kind: kind.unwrap_or(NewsKind::Everything), volumes } })
    }
}

/// The last news, as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct NewsRecord {
    /// The number of the last.
    last: u64,
    news: VecDeque<ToldNews>,
}

/// What the record says that a reader did not see yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnseenNews {
    /// All of it.
    Whole(Vec<ToldNews>),
    /// Some of it is gone.
    Gap,
}

impl NewsRecord {
    /// The record in its stored form. `None` if it cannot be read: what it said is lost.
    pub(super) fn of(stored: Option<&Bytes>) -> Option<Self> {
        stored.map_or_else(|| Some(Self::default()), |stored| record::decode(stored).ok())
    }

    /// The stored form with `told` at its end. A record that cannot be read leaves a gap for all who read it.
    pub(super) fn with(stored: Option<&Bytes>, told: &[ToldNews]) -> Bytes {
        let mut record =
            Self::of(stored).unwrap_or_else(|| Self { last: fastrand::u32(..).into(), ..Self::default() });
        record.last += told.len() as u64;
        record.news.extend(told.iter().cloned());
        let surplus = record.news.len().saturating_sub(KEPT);
        record.news.drain(..surplus);
        record::encode(&record)
    }

    /// What is new after the number `seen`, and the last number.
    pub(super) fn after(&self, seen: Option<u64>) -> (u64, UnseenNews) {
        let unseen =
            seen.and_then(|seen| self.last.checked_sub(seen)).and_then(|unseen| usize::try_from(unseen).ok());
        let news = match unseen.and_then(|unseen| self.news.len().checked_sub(unseen)) {
            Some(first) => UnseenNews::Whole(self.news.iter().skip(first).cloned().collect()),
            None => UnseenNews::Gap,
        };
        (self.last, news)
    }
}

/// The news that this proxy told or heard, so that it does nothing twice.
#[derive(Debug, Default)]
pub(super) struct KnownNews(Mutex<(HashSet<u64>, VecDeque<u64>)>);

impl KnownNews {
    /// Makes the news known. Whether it was not before.
    pub(super) fn learn(&self, id: u64) -> bool {
        let (known, order) = &mut *self.0.lock();
        if !known.insert(id) {
            return false;
        }
        order.push_back(id);
        if order.len() > KNOWN
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }

    /// Whether it is known.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.0.lock().0.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: u64) -> ToldNews {
        let volumes = format!("v{id}").parse().unwrap();
        ToldNews { id, news: News { kind: NewsKind::Document, volumes } }
    }

    #[test]
    fn an_event_says_what_was_told() {
        for kind in NewsKind::ALL {
            for volumes in ["*", "@acme/x", "@acme/*"] {
                let told = ToldNews { id: 7, news: News { kind, volumes: volumes.parse().unwrap() } };
                assert_eq!(ToldNews::of(&told.event()), Some(told));
            }
        }
        let later = StreamEvent { kind: "moved".into(), subject: "x".into(), detail: "7".into() };
        assert_eq!(ToldNews::of(&later).unwrap().news.kind, NewsKind::Everything);
        assert_eq!(ToldNews::of(&StreamEvent { detail: String::new(), ..later }), None);
    }

    #[test]
    fn a_reader_gets_what_it_did_not_see_or_learns_that_some_is_gone() {
        let first = NewsRecord::with(None, &[told(1), told(2)]);
        let stored = NewsRecord::with(Some(&first), &[told(3)]);
        let record = NewsRecord::of(Some(&stored)).unwrap();
        assert_eq!(record.after(Some(3)), (3, UnseenNews::Whole(Vec::new())));
        assert_eq!(record.after(Some(1)), (3, UnseenNews::Whole(vec![told(2), told(3)])));
        for gap in [None, Some(4)] {
            assert_eq!(record.after(gap), (3, UnseenNews::Gap));
        }
        let many: Vec<_> = (0..KEPT as u64).map(told).collect();
        let record = NewsRecord::of(Some(&NewsRecord::with(Some(&stored), &many))).unwrap();
        assert_eq!(record.news.len(), KEPT);
        assert_eq!(record.after(Some(2)).1, UnseenNews::Gap);
        assert!(matches!(record.after(Some(3)).1, UnseenNews::Whole(news) if news == many));
    }

    #[test]
    fn a_damaged_record_is_a_gap_for_all() {
        let damaged = Bytes::from("garbage");
        assert_eq!(NewsRecord::of(Some(&damaged)), None);
        let record = NewsRecord::of(Some(&NewsRecord::with(Some(&damaged), &[told(1)]))).unwrap();
        assert_eq!(record.news.len(), 1);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let known = KnownNews::default();
        assert!(known.learn(1) && !known.learn(1) && known.knows(1));
        (2..2 + KNOWN as u64).for_each(|id| assert!(known.learn(id)));
        assert!(!known.knows(1) && known.knows(2));
        assert_eq!(known.0.lock().0.len(), KNOWN);
    }
}
