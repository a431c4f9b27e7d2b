//! What a run works with: documents, files, the store, and the context in which registries are asked.
//!
//! Owns that a run asks as background work, under one request id, for documents as they are now, and that it leaves the
//! memory to what clients ask for. Must not know what is asked for.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::courtesy::courteously;
use super::patience::within_budget;
use super::tally::RunTally;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, FileKey};
use crate::files::{PermittedFile, SealedFiles};
use crate::read::{CachedAnswer, Documents, FetchContext, Outcome, ReadFailure};
use crate::store::ProxyStore;
use crate::telemetry::Metrics;
use crate::upstream::BackgroundWork;

/// A registry that does not say its advisories by then holds a run up no longer.
const LONGEST_WAIT_FOR_ADVISORIES: Duration = Duration::from_secs(60);

/// The parts of the proxy that mirrors use.
#[derive(Debug, Clone)]
pub(crate) struct MirrorDesk {
    pub(crate) documents: Arc<Documents>,
    pub(crate) files: Arc<SealedFiles>,
    pub(crate) store: Arc<ProxyStore>,
    /// Counts what clients ask for.
    pub(crate) metrics: Arc<Metrics>,
}

/// One run: a plan or a sync.
pub(super) struct MirrorRun<'a> {
    pub(super) desk: &'a MirrorDesk,
    pub(super) tally: &'a RunTally,
    id: String,
    /// Documents are asked for after this moment.
    since: u64,
}

impl<'a> MirrorRun<'a> {
    /// Begins when the rules know their advisories, or after a while: judged earlier, a release may be held that need not be.
    pub(super) async fn begin(desk: &'a MirrorDesk, tally: &'a RunTally, mirror: &str) -> Self {
        let known = tokio::time::timeout(LONGEST_WAIT_FOR_ADVISORIES, desk.documents.knows_advisories());
        if known.await.is_err() {
            warn!(
                mirror,
                "the advisories of registries are not here yet; rules that need them may hold releases"
            );
        }
        let since = desk.documents.moment();
        Self { desk, tally, id: BackgroundWork::Mirror(mirror).request_id(), since }
    }

    fn context(&self) -> FetchContext<'_> {
        FetchContext::background(&self.id)
    }

    /// How many items are dealt with at once: `most`, or half of what the narrowest registry may be asked at once, so that
    /// clients find a slot.
    pub(super) fn at_once(&self, most: usize) -> usize {
        let live = self.desk.documents.live();
        let narrowest = live.upstreams.iter().map(|upstream| upstream.max_concurrent()).min();
        narrowest.map_or(most, |narrowest| most.min(narrowest / 2).max(1))
    }

    /// Deals with one item of several, and rests afterwards while clients ask.
    pub(super) async fn courteously<T>(&self, item: impl Future<Output = T>) -> T {
        courteously(|| self.desk.metrics.answered(), item).await
    }

    /// The document `key` as its registry has it now.
    pub(super) async fn document(&self, key: &DocumentKey) -> Result<CachedAnswer, ReadFailure> {
        self.document_if_any(key, false).await
    }

    /// The same of a document of which the registry said, if it `was_absent`, that there is none.
    pub(super) async fn document_if_any(
        &self,
        key: &DocumentKey,
        was_absent: bool,
    ) -> Result<CachedAnswer, ReadFailure> {
        let (documents, context) = (&self.desk.documents, self.context().was_absent(was_absent));
        let answer = within_budget(|| documents.renewed(key, self.since, context)).await?;
        self.tally.document(&answer);
        Ok(answer)
    }

    /// The same, left to the store afterwards unless memory held it before: a sync must not fill the memory.
    pub(super) async fn document_for_now(&self, key: &DocumentKey) -> Result<CachedAnswer, ReadFailure> {
        let _borrowed = self.borrow(key.clone());
        self.document(key).await
    }

    /// Lets a document be in memory as long as the answer lives, if it is not there anyway.
    pub(super) fn borrow(&self, key: DocumentKey) -> BorrowedMemory<'_> {
        let documents = &*self.desk.documents;
        let key = Some(key).filter(|key| !documents.is_remembered(key));
        BorrowedMemory { documents, key }
    }

    /// Whether what was absent at `at` still counts as absent.
    pub(super) fn is_young_absence(&self, at: Timestamp) -> bool {
        self.desk.documents.still_refused(at)
    }

    /// The length of the file `key`, as its registry says it.
    pub(super) async fn length(&self, key: &FileKey) -> Result<Option<u64>, ReadFailure> {
        self.tally.asked();
        within_budget(|| self.desk.files.length(key, self.context())).await
    }

    /// The file `key`, stored. One that was stored before is read to its end, and mended where it is damaged.
    pub(super) async fn file(&self, key: &FileKey) -> Result<PermittedFile, ReadFailure> {
        let files = &self.desk.files;
        let file = within_budget(|| files.open(key, self.context())).await?;
        if self.desk.store.is_folder() && matches!(file.outcome, Outcome::Hit { .. }) {
            within_budget(|| files.read_through(&file.file, self.context())).await?;
        }
        self.tally.file(file.outcome, matches!(key, FileKey::Archive(..)), file.file.seal.length);
        Ok(file)
    }
}

/// Dropped, it leaves a document to the store.
pub(super) struct BorrowedMemory<'a> {
    documents: &'a Documents,
    /// None if memory held it before.
    key: Option<DocumentKey>,
}

impl Drop for BorrowedMemory<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.documents.leave_to_store(key);
        }
    }
}
