//! One advisory, of whichever registry knows it.
//!
//! A registry whose list showed it is asked first, then the others in the order of the configuration, one after the
//! other. An advisory about a volume that is routed to another registry does not count, as it does not in a list. Owns
//! that order, and which lists showed what. Must not know how a list is made.

use std::sync::Arc;

use ahash::RandomState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Said;
use crate::cache::document::{Document, refusal};
use crate::cache::documents::{Answer, Documents};
use crate::cache::failure::Failure;
use crate::domain::{AdvisoryId, AdvisoryQuery, DocumentKey, Registry, Resource};
use crate::upstream::Errand;

/// Most advisories of which it is known whose list showed them.
const MOST: u64 = 16 * 1024;

/// Which registry's list showed which advisory.
pub(super) struct Sightings(moka::sync::Cache<(Arc<Registry>, AdvisoryId), (), RandomState>);

impl Default for Sightings {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(MOST).build_with_hasher(RandomState::new()))
    }
}

impl Documents {
    /// Remembers which advisories `document` shows, where it is a list and there are several registries to choose from.
    pub(in crate::cache) fn note_advisories(&self, key: &DocumentKey, document: &Document) {
        let live = self.live();
        let Some(own) = live.upstreams.of(key).filter(|_| live.upstreams.are_several()) else { return };
        if key.resource() != Resource::Advisories {
            return;
        }
        let Some(list) = document.content.listed() else { return };
        for item in list.items.iter().take(MOST as usize) {
            let counts = item.about.as_ref().is_some_and(|about| {
                let routed = about.as_ref().map(|name| live.upstreams.for_volume(name));
                routed.is_none_or(|to| to.is_some_and(|to| Arc::ptr_eq(to, own)))
            });
            if let Some(id) = item.id.as_ref().filter(|_| counts) {
                self.several.sightings.0.insert((Arc::clone(own.registry()), id.clone()), ());
            }
        }
    }

    /// The advisory `id`, which is what `key` asks for.
    pub(super) async fn advisory_of_any(
        self: &Arc<Self>,
        key: &DocumentKey,
        id: &AdvisoryId,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let order = self.who_knows(id).await;
        let keys: Vec<_> = order.iter().map(|registry| key.to(registry.name())).collect();
        let mut said = Vec::with_capacity(keys.len());
        let mut asked = FuturesUnordered::new();
        for key in &keys {
            asked.push(async move { (key, self.part(key, errand).await) });
            // One that takes its time keeps the next from being asked no longer than a client waits for what is stale.
            let found = self.first_found(&mut asked, &mut said);
            if let Ok(Some(answer)) = tokio::time::timeout(self.patience, found).await {
                return Ok(answer);
            }
        }
        match self.first_found(&mut asked, &mut said).await {
            Some(answer) => Ok(answer),
            None => Said::none(said),
        }
    }

    /// The first answer of those who are being asked. What the others say is added to `said`.
    async fn first_found<'a>(
        &self,
        asked: &mut FuturesUnordered<impl Future<Output = (&'a DocumentKey, Said)>>,
        said: &mut Vec<Said>,
    ) -> Option<Answer> {
        while let Some((key, answer)) = asked.next().await {
            match self.counting(key, answer) {
                Said::Found(answer) => return Some(answer),
                other => said.push(other),
            }
        }
        None
    }

    /// The registries in the order in which they are asked for `id`. Lists that an earlier process stored count.
    async fn who_knows(self: &Arc<Self>, id: &AdvisoryId) -> Vec<Arc<Registry>> {
        let registries: Vec<_> =
            self.live().upstreams.iter().map(|upstream| Arc::clone(upstream.registry())).collect();
        let showed = |registry: &Arc<Registry>| {
            self.several.sightings.0.contains_key(&(Arc::clone(registry), id.clone()))
        };
        if !registries.iter().any(showed) {
            for registry in &registries {
                self.held(&DocumentKey::Advisories(AdvisoryQuery::default()).to(registry.name())).await;
            }
        }
        let (mut first, rest): (Vec<_>, Vec<_>) = registries.into_iter().partition(showed);
        first.extend(rest);
        first
    }

    /// What a registry said, unless it speaks of a volume that is another's.
    fn counting(&self, key: &DocumentKey, said: Said) -> Said {
        let Said::Found(answer) = said else { return said };
        let (about, live) = (answer.document.content.about(), self.live());
        let own = |name| {
            let registries = live.upstreams.for_volume(name).zip(live.upstreams.of(key));
            registries.is_some_and(|(routed, own)| Arc::ptr_eq(routed, own))
        };
        match about {
            Some(about) if about.as_ref().is_none_or(own) => Said::Found(answer),
            Some(_) | None => Said::Refused(404, Err(Failure::Refused(Box::new(refusal(404))))),
        }
    }
}
