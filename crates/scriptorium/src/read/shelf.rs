//! The shelf: what is held of each document, in memory over the store.
//!
//! Memory holds a document only if it comes from the registry to which its key is routed now; a reload drops the others,
//! and blocks new ones meanwhile. Documents are put on the shelf as clients see them, so the shelf also holds what that
//! depends on: invalidations, divergences, refused archives, blocks and stock. Owns that. Must not know how old a document
//! may be when it is served, nor how one is asked for.

use std::sync::Arc;

use ahash::RandomState;
use moka::ops::compute::{CompResult, Op};
use parking_lot::RwLock;
use tracing::error;

use super::blocks::Blocks;
use super::compositions::Compositions;
use super::document::Document;
use super::environment::{Environment, LiveSettings};
use super::invalidations::Invalidations;
use super::long_reads::{LongRead, LongReads};
use super::place::place;
use super::rendition::LONGEST;
use super::sightings::Sightings;
use super::stock::Stocks;
use super::unkept::Unkept;
use crate::cluster::NewsKind;
use crate::consistency::{ArchiveRefusals, Divergence, Divergences};
use crate::domain::{DocumentKey, Registry, VolumeName, VolumePattern};
use crate::store::Store;

mod advertised;
mod rows;
mod stored;

pub(super) struct DocumentShelf {
    pub(super) env: Arc<Environment>,
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: moka::sync::Cache<DocumentKey, Arc<Document>, RandomState>,
    /// Read-locked while a document is put into memory, write-locked while routes change.
    routes: RwLock<()>,
    /// Locked while a long document is read from the store.
    recollecting: tokio::sync::Mutex<()>,
    pub(super) compositions: Compositions,
    pub(super) unkept: Unkept,
    pub(super) sightings: Sightings,
    pub(super) long_reads: LongReads,
    pub(super) invalidations: Invalidations,
    pub(super) divergences: Divergences,
    pub(super) refusals: ArchiveRefusals,
    pub(super) blocks: Blocks,
    pub(super) stocks: Stocks,
}

impl DocumentShelf {
    pub(super) fn new(env: Arc<Environment>, store: Arc<dyn Store>) -> Self {
        let bytes = env.live().policy.memory;
        let memory = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, document: &Arc<Document>| document.weight())
            .build_with_hasher(RandomState::new());
        Self {
            memory,
            routes: RwLock::default(),
            recollecting: tokio::sync::Mutex::default(),
            compositions: Compositions::beside(bytes),
            unkept: Unkept::default(),
            sightings: Sightings::default(),
            long_reads: LongReads::default(),
            invalidations: Invalidations::new(Arc::clone(&store)),
            divergences: Divergences::new(Arc::clone(&store)),
            refusals: ArchiveRefusals::new(Arc::clone(&store)),
            blocks: Blocks::default(),
            stocks: Stocks::default(),
            env,
            store,
        }
    }

    /// Reads invalidations, divergences and refusals of an earlier process, once, before a stored document is used. If that
    /// fails, divergences are found again, but their age is lost.
    pub(super) async fn recall(&self) {
        let recalled = async {
            let invalidations = self.invalidations.load(self.env.now(), self.env.damaged()).await;
            let refusals = self.refusals.load(self.env.damaged()).await;
            invalidations.and(refusals).and(self.divergences.load(self.env.damaged()).await)
        };
        match recalled.await {
            Ok(()) => self.count_divergences(),
            Err(error) => error!(%error, "cannot read the stored invalidations, refusals and divergences"),
        }
    }

    /// Replaces the configuration. Documents of a registry stay in memory if their keys are still routed to it; the others
    /// are read from the store again once they are.
    pub(super) fn reload(&self, live: LiveSettings) {
        {
            let _alone = self.routes.write();
            self.env.replace_live(live);
            for (key, _) in &self.memory {
                let forget = |held: Option<moka::Entry<_, Arc<Document>>>| match held {
                    Some(held) if !self.env.counts(&key, held.value()) => Op::Remove,
                    Some(_) | None => Op::Nop,
                };
                self.memory.entry_by_ref(&*key).and_compute_with(forget);
            }
        }
        self.count_divergences();
        self.show_all();
        self.advertise_anew();
    }

    /// The open divergence about `key` at the registry to which it is routed now.
    pub(super) fn divergence_of(&self, key: &DocumentKey) -> Option<Arc<Divergence>> {
        self.divergences.of(&*self.env.registry_of(key)?, key)
    }

    /// The open divergences about releases of `volume` at the registry to which it is routed now.
    pub(super) fn divergences_of(&self, volume: &VolumeName) -> Vec<Arc<Divergence>> {
        let registry = self.env.registry_of(&DocumentKey::Index(volume.clone()));
        registry.map_or_else(Vec::new, |registry| self.divergences.of_volume(&registry, volume))
    }

    /// Every open divergence at a registry to which its volume is routed now, by volume and version.
    pub(super) fn open_divergences(&self) -> Vec<Arc<Divergence>> {
        let counts = |registry: &Registry, key: &DocumentKey| {
            self.env.registry_of(key).is_some_and(|now| *now == *registry)
        };
        let mut open = self.divergences.all(counts);
        let refusals = self.refusals.all();
        let refused = refusals.iter().filter_map(|refusal| Some((refusal, refusal.divergence()?)));
        let refused = refused.filter(|(refusal, divergence)| counts(&refusal.registry, &divergence.key()));
        open.extend(refused.map(|(_, divergence)| Arc::new(divergence)));
        open.sort_by(|one, other| (&one.volume, &one.version).cmp(&(&other.volume, &other.version)));
        open
    }

    pub(super) fn count_divergences(&self) {
        self.env.metrics.divergences_open(self.open_divergences().len());
    }

    /// What memory holds, however old.
    pub(super) fn remembered(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        self.memory.get(key)
    }

    /// Leaves the document in memory to the store, if that has it.
    pub(super) fn leave_to_store(&self, key: &DocumentKey) {
        if self.memory.get(key).is_some_and(|held| held.outlives_process()) {
            self.memory.invalidate(key);
        }
    }

    /// The document in memory if it was asked for later than `document`, else `document`.
    pub(super) fn newest(&self, key: &DocumentKey, document: Arc<Document>) -> Arc<Document> {
        let newer =
            |held: &Arc<Document>| held.reading.asked > document.reading.asked && held.is_beside(&document);
        self.remembered(key).filter(newer).unwrap_or(document)
    }

    /// Puts `document` into memory, unless memory holds a later one, or `key` is routed to another registry now. Answers
    /// with the document in memory, else with `document`.
    pub(super) fn remember(&self, key: &DocumentKey, mut document: Document) -> Arc<Document> {
        let _routes = self.routes.read();
        if !self.env.counts(key, &document) {
            return Arc::new(document);
        }
        let is_outdated = self.invalidations.covers(key, &document.meta, document.reading.asked);
        document.standing = document.standing.outdated(is_outdated);
        document.coders = Some(Arc::clone(&self.env.coders));
        self.sightings.note(&self.env.live(), key, &document);
        let document = Arc::new(document);
        if document.meta.keeping.withheld {
            return self.withhold(key, document);
        }
        let (mut news, is_long) = (false, document.content.body().len() > LONGEST);
        let held = self.replace(key, |held| {
            let newer = held.is_some_and(|held| held.reading.asked > document.reading.asked);
            news = !newer && self.note_block(key, &document);
            (!newer).then(|| self.advertised(key, &document))
        });
        if let (true, Some(name)) = (news, key.volume()) {
            self.show(name);
        }
        if is_long {
            self.look_at_long_reads();
        }
        held.unwrap_or(document)
    }

    /// Replaces the document in memory by what `change` makes of it, atomically.
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

    /// Something new speaks against the document in memory: it leaves the hit path until it is compared again.
    pub(super) fn doubt(&self, key: &DocumentKey) {
        self.replace(key, |held| {
            let held = held?;
            Some(Arc::new(held.with(held.standing.doubted(self.env.question()))))
        });
    }

    /// Drops the `held` document, because `document` may not be kept and replaces it.
    pub(super) async fn pass_on(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        document: Document,
    ) -> Arc<Document> {
        if held.is_some()
            && let Err(error) = self.store.remove(&place(&document.meta.registry(), key)).await
        {
            error!(%error, key = %key, "cannot remove a document that may not be kept any longer");
        }
        if held.is_some() {
            self.tell_of(key);
        }
        self.unkept.note(key, &document);
        self.remember(key, Document { is_stored: false, ..document })
    }

    /// Removes the document in memory and answers with `document`, which may not be kept; unless memory holds a later one.
    pub(super) fn withhold(&self, key: &DocumentKey, document: Arc<Document>) -> Arc<Document> {
        let kept = self.memory.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if held.value().reading.asked > document.reading.asked => Op::Nop,
            _ => Op::Remove,
        });
        if let CompResult::Unchanged(newer) = kept {
            return newer.into_value();
        }
        if let (true, Some(name)) = (self.note_block(key, &document), key.volume()) {
            self.show(name);
        }
        self.as_shown(key, &document)
    }

    /// Updates the list of blocks from the answer to `key`. True if that changed the list.
    fn note_block(&self, key: &DocumentKey, document: &Document) -> bool {
        let DocumentKey::Release(name, version) = key else { return false };
        self.blocks.note(name, version, document)
    }

    /// `document` as clients see it.
    fn as_shown(&self, key: &DocumentKey, document: &Arc<Document>) -> Arc<Document> {
        let DocumentKey::Index(name) = key else { return self.advertised(key, document) };
        match document.content.showing(&self.lowered(name, document)) {
            Some(content) => Arc::new(document.showing(content)),
            None => Arc::clone(document),
        }
    }

    /// Whether an answer to `key` that was not kept is younger than `index_ttl`.
    pub(super) fn was_just_asked(&self, key: &DocumentKey) -> bool {
        let Some(registry) = self.env.registry_of(key) else { return false };
        let age = self.unkept.asked_at(&registry, key).and_then(|at| self.env.now().since(at));
        age.is_some_and(|age| age < self.env.live().policy.index_ttl)
    }

    /// Removes the answer of `registry` to `key`, unless memory holds one that was asked for after the question `since`.
    pub(super) async fn forget(&self, registry: &Registry, key: &DocumentKey, since: u64) {
        let kept = self.memory.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if held.value().reading.asked > since => Op::Nop,
            _ => Op::Remove,
        });
        if let CompResult::Unchanged(_) = kept {
            return;
        }
        if let Err(error) = self.store.remove(&place(registry, key)).await {
            error!(%error, key = %key, "cannot remove a release that an index withdrew");
        }
        self.tell_of(key);
    }

    /// Has other proxies look at the stored documents about the volume of `key`.
    pub(super) fn tell_of(&self, key: &DocumentKey) {
        if let Some(name) = key.volume() {
            self.env.tell(NewsKind::Document, || VolumePattern::Exact(name.clone()));
        }
    }

    fn look_at_long_reads(&self) {
        self.long_reads.settle(|read| self.keeps(read));
    }

    /// Whether the shelf holds the document that is read anyway.
    pub(super) fn keeps(&self, read: &LongRead) -> bool {
        let held = self.memory.get(read.key()).is_some_and(|held| read.is_of(&held.content));
        held || self.compositions.last(read.key()).is_some_and(|content| read.is_of(&content))
    }
}
