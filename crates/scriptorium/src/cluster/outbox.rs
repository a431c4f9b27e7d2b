//! News that waits to be told.
//!
//! Owns its bound and its order, and that this proxy knows its own news. Must not know how news is told.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::news::{KnownNews, News, ToldNews};

/// News that waits to be told. One more, and it becomes one that says: anything.
const MOST: usize = 1024;

/// News that waits to be told.
#[derive(Debug, Default)]
pub(super) struct NewsOutbox {
    waiting: Mutex<Vec<ToldNews>>,
    wake: Notify,
    /// What this proxy told or heard.
    pub(super) known: KnownNews,
}

impl NewsOutbox {
    /// Leaves news to be told, unless the same waits already.
    pub(super) fn put(&self, news: News) {
        let mut waiting = self.waiting.lock();
        if waiting.iter().any(|told| told.news == news) {
            return;
        }
        let news = match waiting.len() < MOST {
            true => news,
            false => {
                waiting.clear();
                News::everything()
            }
        };
        let id = fastrand::u64(..);
        // What this proxy did it need not hear.
        self.known.learn(id);
        waiting.push(ToldNews { id, news });
        drop(waiting);
        self.wake.notify_one();
    }

    /// Returns when something waits.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// All that waits.
    pub(super) fn take(&self) -> Vec<ToldNews> {
        std::mem::take(&mut self.waiting.lock())
    }

    /// Puts back what was taken, before what came meanwhile.
    pub(super) fn put_back(&self, mut told: Vec<ToldNews>) {
        let mut waiting = self.waiting.lock();
        told.append(&mut waiting);
        *waiting = told;
        drop(waiting);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NewsKind;

    fn news(volume: usize) -> News {
        News { kind: NewsKind::Document, volumes: format!("v{volume}").parse().unwrap() }
    }

    #[test]
    fn what_waits_is_told_once_in_order_and_bounded() {
        let outbox = NewsOutbox::default();
        for volume in [1, 2, 1] {
            outbox.put(news(volume));
        }
        let told = outbox.take();
        assert_eq!(told.iter().map(|told| told.news.clone()).collect::<Vec<_>>(), [news(1), news(2)]);
        assert!(told.iter().all(|told| outbox.known.knows(told.id)));
        outbox.put(news(3));
        outbox.put_back(told);
        let told = outbox.take().into_iter().map(|told| told.news).collect::<Vec<_>>();
        assert_eq!(told, [news(1), news(2), news(3)]);
        (0..=MOST).for_each(|volume| outbox.put(news(volume)));
        assert_eq!(outbox.take().into_iter().map(|told| told.news).collect::<Vec<_>>(), [News::everything()]);
    }
}
