//! Documents in the store: written when they come, read back when memory does not hold them.
//!
//! The answers of several registries to one question lie side by side. A stored document that cannot be used is a miss.
//! Owns that. Must not know how old an answer may be.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tracing::{error, warn};

use super::DocumentShelf;
use crate::domain::{DocumentKey, Registry};
use crate::long_work::SHORT;
use crate::read::document::Document;
use crate::read::envelope::Envelope;
use crate::read::place::place;
use crate::store::{Damage, StorageKey, StoreError};

impl DocumentShelf {
    /// The document in memory or in the store.
    pub(in crate::read) async fn held(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        if let Some(document) = self.memory.get(key) {
            return Some(document);
        }
        let registry = self.env.registry_of(key)?;
        let place = place(&registry, key);
        let (stored, length) = match self.store.read_tail(&place, SHORT as u64).await {
            // A power cut leaves nothing of a document whose content was not flushed yet.
            Ok(stored) => stored.filter(|(_, length)| *length > 0)?,
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

    /// The document that the store holds, whatever memory holds.
    pub(in crate::read) async fn stored_now(
        &self,
        key: &DocumentKey,
        registry: &Arc<Registry>,
    ) -> Option<Document> {
        let stored = self.store.read(&place(registry, key)).await.ok().flatten()?;
        let (key, registry, length) = (key.clone(), Arc::clone(registry), stored.len());
        let read = move || stored_as(&key, &registry, &stored);
        self.env.long_work.patiently(length, read).await.flatten()?.ok()
    }

    /// Reads a long document of `length` bytes from the store. One at a time, so that a crowd that wants it finds it in
    /// memory, and few unparsed documents are in memory at once.
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
        match self.env.long_work.run_on(length, self.store.read(place), work).await {
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

    /// Puts what was read into memory. A damaged document is set aside; an answer to another question is left where it is.
    async fn recollect(
        &self,
        key: &DocumentKey,
        place: &StorageKey,
        read: Option<Result<Document, String>>,
    ) -> Option<Arc<Document>> {
        match read? {
            Ok(document) => Some(self.remember(key, Document { is_stored: true, ..document })),
            Err(reason) => {
                warn!(reason, key = %key, "a stored document cannot be used and is set aside");
                self.env.metrics.integrity_failure("stored-document");
                let damage = Damage::of(place, format!("the stored answer to {key}"), reason);
                if let Err(error) = self.store.set_aside(place, &damage).await {
                    error!(%error, "cannot set a damaged document aside");
                }
                None
            }
        }
    }

    /// Puts an answer into memory and the store. If the store fails, the answer is given all the same.
    pub(in crate::read) async fn keep(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        mut document: Document,
    ) -> Arc<Document> {
        // An index is compared with releases that diverge even if it did not change.
        if let DocumentKey::Index(name) = key
            && !self.divergences_of(name).is_empty()
        {
            document.standing = document.standing.unsettled();
        }
        let changes = held.map_or(document.meta.status == 403, |held| !says_the_same(held, &document));
        if let Some(held) = held {
            document.standing = document.standing.following(&held.standing, &held.content);
            document.meta.turn = held.turn_to(&document);
        }
        if document.meta.keeping.withheld {
            return self.pass_on(key, held, document).await;
        }
        // Stored before it is given, so that a crash does not bring back an answer that was replaced.
        let put = self.put(key, held, &document).await;
        document.is_stored = put.is_ok();
        if let Err(error) = put {
            error!(%error, key = %key, "cannot store a document");
        }
        let document = self.remember(key, document);
        if changes {
            self.tell_of(key);
        }
        match key {
            // The content that it shares with its predecessor may show rows lowered for a reason that is gone.
            DocumentKey::Index(name) => self.show(name).unwrap_or(document),
            _ => document,
        }
    }

    /// Leaves what memory holds of the keys that `concerned` picks to the store, where other proxies put what is newer. What the
    /// store does not hold is out of date.
    pub(in crate::read) fn give_way(&self, concerned: impl Fn(&DocumentKey) -> bool) {
        for (key, held) in self.memory.iter().filter(|(key, _)| concerned(key)) {
            if held.outlives_process() {
                self.memory.invalidate(&*key);
            } else {
                self.replace(&key, |held| Some(Arc::new(held?.with(held?.standing.clone().outdated(true)))));
            }
        }
        self.blocks.forget_of(|name| concerned(&DocumentKey::Index(name.clone())));
    }

    /// Takes up what another process stored: memory begins as after a restart.
    pub(in crate::read) async fn reread(&self) -> Result<(), StoreError> {
        self.invalidations.reread(self.env.now(), self.env.question(), self.env.damaged()).await?;
        self.divergences.reread(|_| true, self.env.damaged()).await?;
        self.refusals.reread(self.env.damaged()).await?;
        self.memory.invalidate_all();
        self.blocks.forget();
        self.stocks.forget();
        self.count_divergences();
        Ok(())
    }

    /// Stores an answer in place of the `held` one. If there is no room for both, a `held` answer with another content is
    /// removed first, since it must not come back after a restart.
    async fn put(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        document: &Document,
    ) -> Result<(), StoreError> {
        let (place, envelope) = (place(&document.meta.registry(), key), document.envelope());
        let encoded = self.env.long_work.patiently(envelope.body.len(), move || envelope.encode()).await;
        let bytes =
            encoded.ok_or_else(|| StoreError::from(io::Error::other("the writing of a document died")))?;
        // A refusal is a fact that clients are told. A document can be asked for again.
        let write = async |bytes| match document.is_refusal() {
            true => self.store.write(&place, bytes).await,
            false => self.store.write_behind(&place, bytes).await,
        };
        let Err(error) = write(bytes.clone()).await else { return Ok(()) };
        if held.is_some_and(|held| says_the_same(held, document)) {
            return Err(error);
        }
        self.store.remove(&place).await?;
        write(bytes).await
    }
}

fn says_the_same(held: &Document, document: &Document) -> bool {
    held.is_refusal() == document.is_refusal() && held.content.body() == document.content.body()
}

/// Parses `stored`: `None` if it is not an answer of `registry` to `key`, an error if it is damaged.
fn stored_as(key: &DocumentKey, registry: &Registry, stored: &Bytes) -> Option<Result<Document, String>> {
    match Envelope::decode(stored) {
        Ok(envelope) if envelope.meta.key != key.to_string() || !envelope.meta.is_of(registry) => None,
        Ok(envelope) => Some(Document::new(key, envelope).map_err(|malformed| malformed.to_string())),
        Err(error) => Some(Err(error.to_string())),
    }
}
