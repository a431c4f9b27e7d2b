//! An answer that another proxy on the bucket fetches, or just fetched.
//!
//! Of all proxies one asks a registry, and the others find its answer in the bucket. An answer that is in doubt is asked for by
//! each, since only its own second question settles a difference; and so is one that its registry has asked for each time. Owns when another proxy's answer will do. Must not know who asks.

use futures_util::FutureExt;

use super::{Asker, Fetched, How, WantedAnswer};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::read::freshness::Freshness;
use crate::read::reading::Reading;
use crate::upstream::{FetchContext, RegistryClient};

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
        let asked = self.env.question();
        let look = || self.found_elsewhere(upstream, wanted, asked).map(|found| found.map(Ok)).boxed();
        let is_kept = |fetched: &Result<Fetched, ReadFailure>| {
            let is_found =
                |document: &Document| document.outlives_process() && !document.meta.keeping.no_cache;
            fetched.as_ref().is_ok_and(|fetched| is_found(&fetched.document))
        };
        cluster.fly(&key, &look, is_kept, self.renew(upstream, wanted, context)).await
    }

    /// What the bucket holds, if it is fresh and later than what memory holds. It counts as asked for with the question
    /// `asked`, which was drawn before the bucket was looked at.
    async fn found_elsewhere(
        &self,
        upstream: &RegistryClient,
        WantedAnswer { key, since, .. }: WantedAnswer<'_>,
        asked: u64,
    ) -> Option<Fetched> {
        let held = self.shelf.remembered(key);
        // Somebody wants an answer to a question that was put later than the one that is held was.
        if held.as_ref().map_or(0, |held| held.reading.asked) < since {
            return None;
        }
        let document = self.shelf.stored_now(key, upstream.registry()).await?;
        let is_later = held.is_none_or(|held| document.meta.fetched_at > held.meta.fetched_at);
        let is_outdated = self.shelf.invalidations.covers(key, &document.meta, document.reading.asked);
        let is_fresh = self.env.freshness(key, &document) == Freshness::Fresh;
        if !is_later || is_outdated || !is_fresh {
            return None;
        }
        let reading = Reading::whole(asked, self.env.question());
        let document = self.shelf.remember(key, Document { is_stored: true, reading, ..document });
        let status = document.meta.status;
        Some(Fetched { collapsed: true, ..Fetched::new(document, status) })
    }
}
