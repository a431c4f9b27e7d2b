//! What is held of each document, in memory and in the store, and whose it is.
//!
//! An answer counts only for the registry that its question is routed to now. So memory holds no other's: what is not
//! of that registry is not put there, and a reload drops what is not any more, while nothing is put there. In the store
//! the answers of several registries lie side by side. Owns that. Must not know how old an answer may be.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use moka::ops::compute::Op;
use tracing::{error, warn};

use super::document::Document;
use super::documents::{Documents, Live};
use super::envelope::Envelope;
use super::failure::Failure;
use super::parsing::SHORT;
use super::place::place;
use super::rendition::LONGEST;
use crate::consistency::Divergence;
use crate::domain::{DocumentKey, Registry, VolumeName};
use crate::store::{Damage, StorageKey, StoreError};
use crate::upstream::Upstream;

impl Documents {
    /// Replaces the policy and upstreams. What is cached of a registry stays as long as its names are routed to it; the
    /// rest counts again when they are.
    pub fn reload(&self, live: Live) {
        {
            let _alone = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            self.live.store(Arc::new(live));
            for (key, _) in &self.memory {
                let forget = |held: Option<moka::Entry<_, Arc<Document>>>| match held {
                    Some(held) if !self.counts(&key, held.value()) => Op::Remove,
                    Some(_) | None => Op::Nop,
                };
                self.memory.entry_by_ref(&*key).and_compute_with(forget);
            }
        }
        self.count_divergences();
        self.show_all();
        self.advertise_anew();
    }

    /// The registry that `key` belongs to now.
    ///
    /// # Errors
    /// [`Failure::NoUpstream`] where there is none.
    pub(super) fn upstream_of(&self, key: &DocumentKey) -> Result<Arc<Upstream>, Failure> {
        let upstream = self.live().upstreams.of(key).cloned();
        upstream.ok_or_else(|| key.volume().cloned().map_or(Failure::Malformed, Failure::NoUpstream))
    }

    /// Whose answers to `key` count now, if anybody's do.
    pub(super) fn registry_of(&self, key: &DocumentKey) -> Option<Arc<Registry>> {
        self.live().upstreams.of(key).map(|upstream| Arc::clone(upstream.registry()))
    }

    /// Whether `document` is an answer of the registry that `key` belongs to now.
    pub(super) fn counts(&self, key: &DocumentKey, document: &Document) -> bool {
        self.live().upstreams.of(key).is_some_and(|upstream| document.meta.is_of(upstream.registry()))
    }

    /// The divergence that the registry which `key` belongs to now is in about it.
    pub(super) fn divergence_of(&self, key: &DocumentKey) -> Option<Arc<Divergence>> {
        self.divergences.of(&*self.registry_of(key)?, key)
    }

    /// The releases of `volume` about which the registry that it is routed to now is in divergence.
    pub(super) fn divergences_of(&self, volume: &VolumeName) -> Vec<Arc<Divergence>> {
        let registry = self.registry_of(&DocumentKey::Index(volume.clone()));
        registry.map_or_else(Vec::new, |registry| self.divergences.of_volume(&registry, volume))
    }

    /// Every open divergence of a registry that its volume is routed to now, by volume and version.
    pub(super) fn open_divergences(&self) -> Vec<Arc<Divergence>> {
        self.divergences.all(|registry, key| self.registry_of(key).is_some_and(|now| *now == *registry))
    }

    pub(super) fn count_divergences(&self) {
        self.metrics.divergences_open(self.open_divergences().len());
    }

    /// What memory holds, however old.
    pub(super) fn remembered(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        self.memory.get(key)
    }

    /// What memory or the store holds. A stored document that cannot be used is a miss.
    pub(super) async fn held(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        if let Some(document) = self.memory.get(key) {
            return Some(document);
        }
        let registry = self.registry_of(key)?;
        let place = place(&registry, key);
        let (stored, length) = match self.store.read_tail(&place, SHORT as u64).await {
            Ok(stored) => stored?,
            Err(error) => {
                error!(%error, key = %key, "cannot read a stored document");
                return None;
            }
        };
        if stored.len() as u64 == length {
            let read = stored_as(key, &registry, &stored);
            return self.recollect(key, &place, read).await;
        }
        self.read_back(key, registry, &place, length).await
    }

    /// Reads a long document back, of which the store holds `length` bytes: one after the other, so that a crowd on one
    /// finds it in memory, and many of them do not lie there before they are read.
    async fn read_back(
        &self,
        key: &DocumentKey,
        registry: Arc<Registry>,
        place: &StorageKey,
        length: u64,
    ) -> Option<Arc<Document>> {
        let _alone = self.recollecting.lock().await;
        if let Some(document) = self.memory.get(key) {
            return Some(document);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let asked = key.clone();
        let work = move |stored: Result<Option<Bytes>, StoreError>| {
            stored.map(|stored| stored.and_then(|stored| stored_as(&asked, &registry, &stored)))
        };
        match self.parsing.run_on(length, self.store.read(place), work).await {
            Ok(Ok(read)) => self.recollect(key, place, read).await,
            Ok(Err(error)) => {
                error!(%error, key = %key, "cannot read a stored document");
                None
            }
            Err(failure) => {
                error!(%failure, key = %key, "cannot read a stored document");
                None
            }
        }
    }

    /// Remembers what was read back. What cannot be used is set aside; what is another's is left where it is.
    async fn recollect(
        &self,
        key: &DocumentKey,
        place: &StorageKey,
        read: Option<Result<Document, String>>,
    ) -> Option<Arc<Document>> {
        match read? {
            Ok(document) => Some(self.remember(key, Document { stored: true, ..document })),
            Err(reason) => {
                warn!(reason, key = %key, "a stored document cannot be used and is set aside");
                self.metrics.integrity_failure("stored-document");
                let damage = Damage::of(place, format!("the stored answer to {key}"), reason);
                if let Err(error) = self.store.set_aside(place, &damage).await {
                    error!(%error, "cannot set a damaged document aside");
                }
                None
            }
        }
    }

    /// Puts `document` into memory, unless what memory holds was asked for later, or it is not the answer of the registry
    /// that `key` belongs to now. Answers with what memory holds, or what it is not given to hold.
    pub(super) fn remember(&self, key: &DocumentKey, mut document: Document) -> Arc<Document> {
        let _routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if !self.counts(key, &document) {
            return Arc::new(document);
        }
        document.outdated = self.invalidations.covers(key, &document.meta, document.asked);
        document.coders = Some(Arc::clone(&self.coders));
        self.note_advisories(key, &document);
        let document = Arc::new(document);
        if document.meta.keeping.withheld {
            return self.withhold(key, document);
        }
        let (mut news, is_long) = (false, document.content.body().len() > LONGEST);
        let held = self.replace(key, |held| {
            let newer = held.is_some_and(|held| held.asked > document.asked);
            news = !newer && self.note_block(key, &document);
            (!newer).then(|| self.advertised(key, &document))
        });
        if let (true, Some(name)) = (news, key.volume()) {
            self.show(name);
        }
        if is_long {
            self.look_at_readings();
        }
        held.unwrap_or(document)
    }

    /// Replaces what memory holds of `key` with what `change` makes of it; nothing else changes it meanwhile.
    pub(super) fn replace(
        &self,
        key: &DocumentKey,
        change: impl FnOnce(Option<&Arc<Document>>) -> Option<Arc<Document>>,
    ) -> Option<Arc<Document>> {
        let changed = self
            .memory
            .entry_by_ref(key)
            .and_compute_with(|held| change(held.as_ref().map(moka::Entry::value)).map_or(Op::Nop, Op::Put));
        changed.into_entry().map(moka::Entry::into_value)
    }
}

/// What `stored` is as the answer of `registry` to `key`, if it is one, or why it cannot be used.
fn stored_as(key: &DocumentKey, registry: &Registry, stored: &Bytes) -> Option<Result<Document, String>> {
    match Envelope::decode(stored) {
        Ok(envelope) if envelope.meta.key != key.to_string() || !envelope.meta.is_of(registry) => None,
        Ok(envelope) => Some(Document::new(key, envelope).map_err(|malformed| malformed.to_string())),
        Err(error) => Some(Err(error.to_string())),
    }
}
