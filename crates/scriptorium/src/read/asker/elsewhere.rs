//! An answer that another proxy on the bucket fetches, or just fetched.
//!
//! Of all proxies one asks a registry, and the others find its answer in the bucket. What is in no bucket is noted for them
//! (`told`). An answer that is in doubt is asked for by each, since only its own second question settles a difference; and so is
//! one that its registry has asked for each time. Owns when another proxy's answer will do. Must not know who asks.

use async_trait::async_trait;

use super::told::{ToldAnswer, ToldFailure};
use super::{Asker, Fetched, How, WantedAnswer};
use crate::cluster::{FlightTrace, SeenNote, SharedFetch};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::read::freshness::Freshness;
use crate::read::reading::Reading;
use crate::upstream::{FetchContext, RegistryClient};

/// One question to a registry, which one proxy asks for all.
struct SharedQuestion<'a> {
    asker: &'a Asker,
    upstream: &'a RegistryClient,
    wanted: WantedAnswer<'a>,
    key: String,
    /// Drawn before anything of another proxy was looked at.
    asked: u64,
}

impl Asker {
    /// Asks the registry, unless another proxy does.
    pub(super) async fn renew_once(
        &self,
        upstream: &RegistryClient,
        wanted: WantedAnswer<'_>,
        context: FetchContext<'_>,
    ) -> Result<Fetched, ReadFailure> {
        let held = self.shelf.remembered(wanted.key);
        let may_share = |held: &Document| !self.env.limits(wanted.key, held).ttl.is_zero();
        let is_shared = wanted.how != How::Anew && held.is_none_or(|held| may_share(&held));
        let Some(cluster) = self.env.cluster().filter(|_| is_shared) else {
            return self.renew(upstream, wanted, context).await;
        };
        let key = upstream.registry().digest_of(&wanted.key.to_string()).hex();
        let question = SharedQuestion { asker: self, upstream, wanted, key, asked: self.env.question() };
        cluster.fly(&question, self.renew(upstream, wanted, context)).await
    }
}

#[async_trait]
impl SharedFetch<Result<Fetched, ReadFailure>> for SharedQuestion<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    async fn look(&self) -> Option<Result<Fetched, ReadFailure>> {
        if self.is_too_late() {
            return None;
        }
        let shelf = &self.asker.shelf;
        let document = shelf.stored_now(self.wanted.key, self.upstream.registry()).await?;
        self.taken(Document { is_stored: true, ..document }).map(Ok)
    }

    fn read(&self, note: &SeenNote) -> Option<Result<Fetched, ReadFailure>> {
        if self.is_too_late() {
            return None;
        }
        match ToldAnswer::read(&note.text)? {
            ToldAnswer::Absent { meta, body } => {
                let absent = ToldAnswer::absence(self.wanted.key, self.upstream.registry(), meta, body)?;
                self.taken(absent).map(Ok)
            }
            ToldAnswer::Failed(failed) => note.was_awaited.then(|| failed.failure().map(Err))?,
        }
    }

    fn leave(&self, result: &Result<Fetched, ReadFailure>) -> FlightTrace {
        let document = match result {
            Ok(fetched) => &fetched.document,
            Err(failure) => return ToldFailure::of(failure).map_or(FlightTrace::Nothing, ToldFailure::trace),
        };
        if document.outlives_process() && !document.meta.keeping.no_cache {
            return FlightTrace::Stored;
        }
        let lasting = self.asker.env.limits(self.wanted.key, document).ttl;
        ToldAnswer::of_absent(document).map_or(FlightTrace::Nothing, |told| told.trace(lasting))
    }
}

impl SharedQuestion<'_> {
    /// Whether somebody wants an answer to a question that was put later than the one that is held was.
    fn is_too_late(&self) -> bool {
        let held = self.asker.shelf.remembered(self.wanted.key);
        held.map_or(0, |held| held.reading.asked) < self.wanted.since
    }

    /// What another proxy was answered, if it is fresh and later than what memory holds. It counts as asked for with this
    /// question.
    fn taken(&self, document: Document) -> Option<Fetched> {
        let (Asker { env, shelf, .. }, key) = (self.asker, self.wanted.key);
        let held = shelf.remembered(key);
        let is_later = held.is_none_or(|held| document.meta.fetched_at > held.meta.fetched_at);
        let is_outdated = shelf.invalidations.covers(key, &document.meta, document.reading.asked);
        let is_fresh = env.freshness(key, &document) == Freshness::Fresh;
        if !is_later || is_outdated || !is_fresh {
            return None;
        }
        let reading = Reading::whole(self.asked, env.question());
        let document = shelf.remember(key, Document { reading, ..document });
        let status = document.meta.status;
        Some(Fetched { collapsed: true, ..Fetched::new(document, status) })
    }
}
