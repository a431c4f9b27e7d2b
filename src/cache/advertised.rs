//! What capabilities say of uploads to clients: what is carried of the registry's where its writes are relayed, else that
//! there are none.
//!
//! Owns that, whatever was configured when the document was fetched or stored. Must not know how a write is relayed.

use std::sync::Arc;

use super::document::Document;
use super::documents::Documents;
use crate::domain::{DocumentKey, Resource};

impl Documents {
    /// Capabilities as they are to be shown by what is configured now; any other document as it is. Called where nothing
    /// else changes the answer to `key`, so that a reload finds what was put before it.
    pub(super) fn advertised(&self, key: &DocumentKey, document: &Arc<Document>) -> Arc<Document> {
        let shown = match key.resource() {
            Resource::Capabilities => document.content.advertising(self.relays_uploads(key)),
            _ => None,
        };
        match shown.map(Arc::new) {
            Some(content) => Arc::new(Document { content, ..Document::clone(document) }),
            None => Arc::clone(document),
        }
    }

    /// Shows capabilities in memory anew, after a change of what is configured.
    pub(super) fn advertise_anew(&self) {
        let everybody = DocumentKey::Capabilities;
        let of_each: Vec<_> =
            self.live().upstreams.iter().map(|upstream| everybody.to(upstream.name())).collect();
        for key in of_each.iter().chain([&everybody]) {
            self.replace(key, |held| Some(self.advertised(key, held?)));
        }
    }

    /// Whether the registry that `key` belongs to takes writes through this proxy.
    fn relays_uploads(&self, key: &DocumentKey) -> bool {
        self.live().upstreams.of(key).is_some_and(|upstream| upstream.writes().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::Errand;
    use crate::cache::document::Content;
    use crate::cache::documents::Live;
    use crate::config::{self, OnDivergence};
    use crate::store::{ObjectStorage, Store};
    use crate::telemetry::Metrics;
    use crate::upstream::Upstreams;
    use crate::upstream::testing::{Registry, answer};

    const SAID: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{"releaseUploads":true},"uploadProfiles":{"releaseUploads":["http-put"]},"z":1.0}"#;

    fn live(registry: &Registry, writes: bool) -> Live {
        let upstream = registry.upstream_with(|config| config.writes = writes);
        let upstreams = Upstreams::new(vec![(upstream, Vec::new())]);
        let (policy, on_divergence) = (config::Cache::default(), OnDivergence::Quarantine);
        Live { policy, on_divergence, max_document: 1 << 20, upstreams }
    }

    fn documents(store: &Arc<dyn Store>, registry: &Registry) -> Arc<Documents> {
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = registry.clock.clone();
        Arc::new(Documents::new(Arc::clone(store), live(registry, false), clock, metrics))
    }

    async fn advertises(documents: &Arc<Documents>) -> bool {
        let answer = documents.get(&DocumentKey::Capabilities, Errand::foreground("id-1")).await.unwrap();
        let Content::Found(found) = &*answer.document.content else { panic!("found") };
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
