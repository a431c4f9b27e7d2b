//! Documents: from memory, from the store, or from a registry, in that order.
//!
//! The interface of this room: [`get`](Documents::get) answers a question, the rest is for files, writes and operators. The
//! [`DocumentShelf`] holds documents, the [`Asker`] asks registries, the [`Judge`] decides with `decision` which answer is given.
//! Owns how these are put together. Must not know HTTP responses.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::answer::CachedAnswer;
use super::asker::Asker;
use super::document::Document;
pub(crate) use super::environment::LiveSettings;
use super::environment::{Environment, PATIENCE};
use super::failure::ReadFailure;
use super::judge::Judge;
use super::long_reads::{LongRead, LongReadRefusal};
use super::restrictions::{AccessMark, Restrictions};
use super::several::Several;
use super::shelf::DocumentShelf;
use super::waits::Waiting;
use crate::access::ReadScope;
use crate::clock::{Clock, Timestamp};
use crate::consistency::refusals::ArchiveRefusal;
use crate::consistency::{PinError, PinnedCommit};
use crate::domain::{Dist, DocumentKey, Integrity, Purl, Registry, Version, VolumePattern};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::{CouldNotAsk, FetchContext, RegistryClient};

/// The documents of every registry.
pub(crate) struct Documents {
    pub(super) env: Arc<Environment>,
    pub(super) shelf: Arc<DocumentShelf>,
    pub(super) judge: Arc<Judge>,
    several: Several,
    restrictions: Restrictions,
}

impl Documents {
    /// Documents kept in memory over `store`.
    #[must_use]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        live: LiveSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self::with_patience(store, live, clock, metrics, PATIENCE)
    }

    pub(super) fn with_patience(
        store: Arc<dyn Store>,
        live: LiveSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Self {
        let restrictions = Restrictions::new(live.upstreams.are_restricted());
        let env = Arc::new(Environment::new(live, clock, metrics, patience));
        let shelf = Arc::new(DocumentShelf::new(Arc::clone(&env), store));
        let asker = Arc::new(Asker::new(Arc::clone(&shelf)));
        let judge = Arc::new(Judge::new(Arc::clone(&shelf), asker));
        let several = Several::new(Arc::clone(&shelf), Arc::clone(&judge));
        Self { env, several, shelf, judge, restrictions }
    }

    /// The answer to `key`, settled. Its registry is asked if `decision` says so.
    ///
    /// # Errors
    /// [`ReadFailure`] when there is no answer that may be given.
    pub(crate) async fn get(
        &self,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        match self.judge.fresh(key, context) {
            Some(answer) => Ok(answer),
            // Boxed, so that the future of a hit stays small.
            None => Box::pin(self.answer_shown(key, context)).await,
        }
    }

    /// The same for a key without a fresh document. An index shows which releases are in stock, if that is configured; a
    /// release whose archive was refused is refused.
    async fn answer_shown(
        &self,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let answer = self.several.answer(key, context).await?;
        let answer = self.judge.under_policy(key, answer, context).await?;
        match key {
            DocumentKey::Index(name) if self.shelf.marks_rows() && !answer.document.is_refusal() => {
                let document = self.judge.stocked(name, answer.document).await;
                Ok(CachedAnswer { document, ..answer })
            }
            key => match self.judge.refusal_of(key, &answer.document) {
                Some(refusal) => Err(ReadFailure::RefusedArchive(refusal)),
                None => Ok(answer),
            },
        }
    }

    /// `answer`, which was given before something was awaited on its strength; the answer of now if something speaks against
    /// it since.
    ///
    /// # Errors
    /// [`ReadFailure`] when no answer may be given any more.
    pub(crate) async fn by_now(
        &self,
        key: &DocumentKey,
        answer: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        match self.judge.still_counts(key, &answer.document).await {
            true => Ok(answer),
            false => self.get(key, context).await,
        }
    }

    /// The answer to `key`, a question about no volume, of what is within `scope`.
    ///
    /// # Errors
    /// [`ReadFailure`] when there is no answer that may be given.
    pub(crate) async fn get_within(
        &self,
        key: &DocumentKey,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        self.several.within(key, scope, context).await
    }

    /// The answer to `key` to a question without conditions after the question `since`, settled.
    pub(crate) async fn anew(
        &self,
        key: &DocumentKey,
        since: u64,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        self.judge.anew(key, since, context).await
    }

    /// The document that is held for `key`, however old.
    pub(crate) async fn held(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        self.shelf.held(key).await
    }

    /// An answer with `document`, which is held for `key`.
    pub(crate) fn answer_of(&self, key: &DocumentKey, document: &Arc<Document>) -> CachedAnswer {
        self.judge.answer_as(key, document, None)
    }

    /// Registers that `client` reads a long answer to `key`; `None` for a short one.
    ///
    /// # Errors
    /// [`LongReadRefusal`] when too many long answers are kept for their readers alone.
    pub(crate) fn begin_reading(
        &self,
        key: &DocumentKey,
        answer: &CachedAnswer,
        client: &impl Hash,
    ) -> Result<Option<Arc<LongRead>>, LongReadRefusal> {
        let reads = &self.shelf.long_reads;
        let read = LongRead::of(reads, key, &answer.document.content, client);
        read.map(|read| reads.begin(read, |read| self.shelf.keeps(read))).transpose()
    }

    #[must_use]
    pub(crate) fn live(&self) -> Guard<Arc<LiveSettings>> {
        self.env.live()
    }

    /// The configuration in force, to be compared with a later one.
    pub(crate) fn live_full(&self) -> Arc<LiveSettings> {
        self.env.live_full()
    }

    /// Whether some clients may not read all registries, and whether that is the same as before.
    pub(crate) fn access_mark(&self) -> AccessMark {
        self.restrictions.mark()
    }

    /// Replaces the policy and upstreams.
    pub(crate) fn reload(&self, live: LiveSettings) {
        let [before, after] = [self.live().upstreams.are_restricted(), live.upstreams.are_restricted()];
        self.restrictions.change(before, after, || self.shelf.reload(live));
    }

    /// The time by which answers are judged.
    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// Whether what was refused at `at`, or was not there, is believed without asking again.
    pub(crate) fn still_refused(&self, at: Timestamp) -> bool {
        self.env.still_refused(at)
    }

    /// The registry that `key` belongs to now.
    ///
    /// # Errors
    /// [`ReadFailure::NoUpstream`] where there is none.
    pub(crate) fn upstream_of(&self, key: &DocumentKey) -> Result<Arc<RegistryClient>, ReadFailure> {
        self.env.upstream_of(key)
    }

    /// Whether this proxy brings what the release `key` names as its `dist`. Git may deliver it from a host that only clients ask.
    pub(crate) fn brings(&self, key: &DocumentKey, dist: &Dist) -> bool {
        self.env.brings(key, dist)
    }

    /// Bounds the requests that may wait for one registry to a share of `requests`.
    pub(crate) fn share_places(&self, requests: usize) {
        self.judge.asker.share_places(requests);
    }

    /// Counts a request that waits for a file of `registry`.
    ///
    /// # Errors
    /// [`CouldNotAsk::Busy`] when too many wait already.
    pub(crate) fn wait_for(
        &self,
        registry: &Arc<Registry>,
        context: FetchContext<'_>,
    ) -> Result<Option<Waiting>, CouldNotAsk> {
        self.judge.asker.wait_for(registry, context)
    }

    /// Remembers that an archive was refused.
    pub(crate) async fn refuse_archive(&self, refusal: ArchiveRefusal) {
        self.judge.refuse_archive(refusal).await;
    }

    /// Keeps the pin of a release for ever: an archive of it was verified.
    pub(crate) async fn prove(
        &self,
        registry: &Registry,
        release: &Purl,
        proved: (&Integrity, Option<PinnedCommit>),
    ) {
        self.judge.prove(registry, release, proved).await;
    }

    /// Pins `tree`, which was uploaded through this proxy to `registry` as `release`; the registry `said` this one.
    ///
    /// # Errors
    /// When the pin cannot be read, or can be neither stored nor remembered.
    pub(crate) async fn published(
        &self,
        release: &Purl,
        tree: Integrity,
        said: Option<Integrity>,
        registry: &Registry,
    ) -> Result<(), PinError> {
        self.judge.published(release, tree, said, registry).await
    }

    /// Writes pins that the store did not take at first, once it does. Never returns.
    pub(crate) async fn write_pins(&self) {
        self.judge.write_pins().await;
    }

    /// Declares the documents about `volumes`, or about one `version` of them, out of date. Answers with how many were in
    /// memory.
    ///
    /// # Errors
    /// When that cannot be stored; it is in force until a restart.
    pub(crate) async fn invalidate(
        &self,
        volumes: &VolumePattern,
        version: Option<&Version>,
    ) -> Result<usize, StoreError> {
        self.judge.invalidate(volumes, version).await
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("held", &self.shelf.memory.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
