//! What the configuration makes of documents: the uploads that capabilities advertise are those that this proxy relays, or none, and a release
//! that Git delivers is shown as that, or as an archive of this proxy if this proxy may fetch it.
//!
//! Owns that the current configuration counts, not the one in force when the document was fetched. Must not know how a write
//! is relayed, nor how an archive is brought.

use std::sync::Arc;

use super::DocumentShelf;
use crate::domain::check::OfferedService;
use crate::domain::{DocumentKey, Resource};
use crate::policies::KeptVerdict;
use crate::read::document::Document;

impl DocumentShelf {
    /// Capabilities and exact metadata as the current configuration wants them; any other document unchanged. Called while the entry of `key`
    /// is locked, so that a reload sees every document that was put before it.
    pub(in crate::read) fn advertised(&self, key: &DocumentKey, document: &Arc<Document>) -> Arc<Document> {
        let shown = match key.resource() {
            Resource::Capabilities => document.content.advertising(self.offers(key)),
            Resource::Release => {
                let content = document.content.delivering(key, self.is_shown_as_cdn(key, document));
                // The policy may show another status of it, and says so again.
                return content.map_or_else(
                    || Arc::clone(document),
                    |content| Arc::new(document.judged(KeptVerdict::none()).showing(content)),
                );
            }
            _ => None,
        };
        match shown {
            Some(content) => Arc::new(document.showing(content)),
            None => Arc::clone(document),
        }
    }

    /// Updates documents in memory after a reload.
    pub(in crate::read) fn advertise_anew(&self) {
        let releases = self.memory.iter().filter(|(key, _)| key.resource() == Resource::Release);
        for key in releases.map(|(key, _)| key).collect::<Vec<_>>() {
            self.replace(&key, |held| {
                let shown = self.advertised(&key, held?);
                (!Arc::ptr_eq(&shown, held?)).then_some(shown)
            });
        }
        let everybody = DocumentKey::Capabilities;
        let of_each: Vec<_> =
            self.env.live().upstreams.iter().map(|upstream| everybody.at_registry(upstream.name())).collect();
        for key in of_each.iter().chain([&everybody]) {
            self.replace(key, |held| Some(self.advertised(key, held?)));
        }
    }

    /// A link to an archive that this proxy may not fetch would lead clients nowhere, so that release stays one of Git.
    fn is_shown_as_cdn(&self, key: &DocumentKey, document: &Document) -> bool {
        let dist = document.content.release().and_then(|release| release.dist.as_ref());
        self.offers(key).git_as_cdn && dist.is_some_and(|dist| self.env.brings(key, dist))
    }

    /// What this proxy does for the registry of `key`.
    fn offers(&self, key: &DocumentKey) -> OfferedService {
        let live = self.env.live();
        live.upstreams.of(key).map_or_else(OfferedService::default, |upstream| OfferedService {
            uploads: upstream.writes().is_some(),
            git_as_cdn: upstream.shows_git_as_cdn(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, OnDivergence};
    use crate::read::Documents;
    use crate::read::FetchContext;
    use crate::read::content::DocumentContent;
    use crate::read::environment::LiveSettings;
    use crate::store::{ObjectStorage, Store};
    use crate::telemetry::Metrics;
    use crate::upstream::RegistryClients;
    use crate::upstream::testing::{Registry, answer};

    const SAID: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{"releaseUploads":true},"uploadProfiles":{"releaseUploads":["http-put"]},"z":1.0}"#;

    fn live(registry: &Registry, writes: bool) -> LiveSettings {
        let upstream = registry.upstream_with(|config| config.writes = writes);
        let upstreams = RegistryClients::new(vec![(upstream, Vec::new())]);
        let (policy, on_divergence) = (config::Cache::default(), OnDivergence::Quarantine);
        LiveSettings { policy, on_divergence, max_document: 1 << 20, upstreams }
    }

    fn documents(store: &Arc<dyn Store>, registry: &Registry) -> Arc<Documents> {
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = registry.clock.clone();
        Arc::new(Documents::new(Arc::clone(store), live(registry, false), clock, metrics))
    }

    async fn advertises(documents: &Arc<Documents>) -> bool {
        let answer =
            documents.get(&DocumentKey::Capabilities, FetchContext::foreground("id-1")).await.unwrap();
        let DocumentContent::Found(found) = &*answer.document.content else { panic!("found") };
        let body = found.shown().render("http://here");
        let hidden = SAID.replace("true", "false").replace(r#"["http-put"]"#, "[]");
        assert!(body == SAID || body == hidden);
        body == SAID
    }

    #[tokio::test]
    async fn uploads_are_advertised_as_long_as_writes_are_relayed() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let registry = Registry::of([answer(200, &[], SAID)]);
        let documents_now = documents(&store, &registry);
        assert!(!advertises(&documents_now).await);
        for writes in [true, true, false, true] {
            documents_now.reload(live(&registry, writes));
            assert_eq!(advertises(&documents_now).await, writes);
        }
        let restarted = documents(&store, &registry);
        assert!(!advertises(&restarted).await, "what is stored is shown as it is configured now");
        restarted.reload(live(&registry, true));
        registry.clock.advance(Duration::from_secs(331));
        registry.then([answer(200, &[], SAID)]);
        assert!(advertises(&restarted).await, "also when it is confirmed");
    }
}
