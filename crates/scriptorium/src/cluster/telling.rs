//! Telling the others what this proxy changed.
//!
//! Whoever changes something only leaves it here, after what it changed is in the bucket; a task of the cluster adds it to the
//! record of news and announces it. What the bucket or the engine did not take is told to both again, however often: twice is
//! harmless. Owns that. Must not know what follows from news.

use std::time::Duration;

use tracing::warn;

use super::ClusterNode;
use super::news::{News, NewsRecord, ToldNews};
use crate::store::StorageKey;

/// The longest wait for the bucket.
const PATIENCE: Duration = Duration::from_secs(2);
/// After news was not taken.
const PAUSE: Duration = Duration::from_secs(1);

impl ClusterNode {
    /// Has all others hear `news`, soon. Never waits.
    pub(crate) fn tell(&self, news: News) {
        self.outbox.put(news);
    }

    /// Tells what waits, for ever.
    pub(super) async fn keep_telling(&self) {
        loop {
            self.outbox.filled().await;
            let told = self.outbox.take();
            if told.is_empty() {
                continue;
            }
            let events: Vec<_> = told.iter().map(ToldNews::event).collect();
            let (kept, announced) = tokio::join!(self.keep_news(&told), self.engine().announce(&events));
            // Those who are together look at the bucket only if a proxy is missing, so both have to succeed. Whoever missed the first
            // announcement may have looked at the record before the news was in it, so it is announced once more.
            if kept && announced.is_ok() && self.engine().announce(&events).await.is_ok() {
                told.iter().for_each(|told| self.metrics.cluster.news(told.news.kind.as_str(), "told"));
            } else {
                tokio::time::sleep(PAUSE).await;
                self.outbox.put_back(told);
            }
        }
    }

    /// Adds news to the record in the bucket; `false` if the bucket does not take it.
    async fn keep_news(&self, told: &[ToldNews]) -> bool {
        let mut add = |stored: Option<bytes::Bytes>| Some(NewsRecord::with(stored.as_ref(), told));
        let kept = tokio::time::timeout(PATIENCE, self.store.update(&StorageKey::News, &mut add)).await;
        match kept {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                warn!(%error, "the bucket does not take what the other proxies have to hear; it is tried again");
                false
            }
            Err(_elapsed) => false,
        }
    }
}
