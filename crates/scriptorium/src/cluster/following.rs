//! Hearing what the other proxies changed.
//!
//! The stream is read four times a second. The record in the bucket is looked at after a gap, and every few seconds while the
//! engine is away or a proxy is missing: what one changed that is cut off is found there. After a gap in both, memory begins as
//! after a restart. Owns that, and until when this proxy is current. Must not know what news means.

use std::collections::HashSet;
use std::time::Duration;

use ::cluster::{CURRENT_FOR, Followed, Follower, StreamEvent};
use tracing::warn;

use super::ClusterNode;
use super::hearing::Hearing;
use super::landings::landed;
use super::news::{News, NewsRecord, ToldNews, UnseenNews};
use crate::store::StorageKey;

/// Between readings of the stream.
const PACE: Duration = Duration::from_millis(250);
/// Events that are read at once.
const PAGE: u32 = 1_000;
/// Between looks at the record that are not due for any other reason, so that none is ever far behind it.
const KEEPING_UP: Duration = Duration::from_secs(30);
/// News that waits to be heard. One more, and it becomes one that says: anything.
const MOST: usize = 4_096;
/// The longest wait for the bucket.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where this proxy is in what the others say.
#[derive(Default)]
struct Listening {
    follower: Follower,
    /// When the bucket's record was last looked at, and the last number in it then.
    looked: Duration,
    seen: Option<u64>,
    /// News of which nothing was made yet.
    unheard: Vec<ToldNews>,
}

impl ClusterNode {
    /// Listens for ever.
    pub(super) async fn keep_following(&self, hearing: &dyn Hearing) {
        let mut listening = Listening::default();
        loop {
            let (sent, at) = (self.clock.monotonic(), self.clock.now());
            let (mut more, mut is_current) = (false, false);
            if let Ok(page) = self.engine().read(listening.follower.place(), PAGE).await {
                more = page.more;
                if let Followed::Events(events) = listening.follower.read(page, sent, self.clock.monotonic())
                {
                    is_current = !more;
                    self.take_events(&events, &mut listening.unheard);
                }
            }
            let begun = self.clock.monotonic();
            let is_due = begun.saturating_sub(listening.looked) >= KEEPING_UP
                || listening.follower.should_look(self.are_all_together(), begun);
            if is_due && self.look(&mut listening).await {
                listening.looked = begun;
                listening.follower.looked(begun);
                is_current = true;
            }
            let is_known = self.make_known(&mut listening.unheard, hearing).await;
            // After a gap the stream alone does not do.
            if is_known && is_current && listening.follower.is_current(begun) {
                hearing.is_current_until(at.after(CURRENT_FOR));
            }
            if !more {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// Notes news, and wakes those who wait for a fetch.
    fn take_events(&self, events: &[StreamEvent], unheard: &mut Vec<ToldNews>) {
        for event in events {
            if let Some(landed) = landed(event) {
                self.landings.tell(&event.subject, landed);
            } else if let Some(told) = ToldNews::of(event)
                && !self.outbox.known.knows(told.id)
            {
                unheard.push(told);
            }
        }
    }

    /// Looks at the record in the bucket; `false` if that cannot be read now.
    async fn look(&self, listening: &mut Listening) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.store.read(&StorageKey::News)).await;
        let Ok(Ok(stored)) = read else { return false };
        let read = NewsRecord::of(stored.as_ref()).map(|record| record.after(listening.seen));
        let Some((last, unseen)) = read else {
            warn!("the bucket's record of what proxies told each other is damaged; memory begins anew");
            listening.seen = None;
            listening.unheard = anything();
            return true;
        };
        listening.seen = Some(last);
        match unseen {
            UnseenNews::Whole(news) => {
                listening.unheard.extend(news.into_iter().filter(|told| !self.outbox.known.knows(told.id)));
            }
            UnseenNews::Gap => {
                listening.unheard = anything();
            }
        }
        true
    }

    /// Has done what follows from `unheard`; `false` if it has to be tried again.
    async fn make_known(&self, unheard: &mut Vec<ToldNews>, hearing: &dyn Hearing) -> bool {
        if unheard.is_empty() {
            return true;
        }
        if unheard.len() > MOST {
            *unheard = anything();
        }
        let mut once = HashSet::with_capacity(unheard.len());
        let news = unheard.iter().map(|told| &told.news).filter(|news| once.insert(*news));
        let news: Vec<News> = news.cloned().collect();
        if let Err(error) = hearing.hear(&news).await {
            warn!(%error, "the bucket cannot be read for what other proxies changed; it is tried again");
            return false;
        }
        for told in unheard.drain(..) {
            if self.outbox.known.learn(told.id) {
                self.metrics.cluster.news(told.news.kind.as_str(), "heard");
            }
        }
        true
    }
}

/// News that says: anything may have changed.
fn anything() -> Vec<ToldNews> {
    vec![ToldNews { id: fastrand::u64(..), news: News::everything() }]
}
