//! One advisory, from the registry that has it.
//!
//! Registries whose list showed the advisory are asked first, then the others in the order of the configuration, one after
//! the other. An advisory about a volume that is routed to another registry is left out, as in a list. Owns that order. Must
//! not know how a list is composed.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Several;
use super::reply::RegistryReply;
use crate::access::ReadScope;
use crate::domain::{AdvisoryId, AdvisoryQuery, DocumentKey, Registry, VolumeName};
use crate::read::answer::CachedAnswer;
use crate::read::failure::ReadFailure;
use crate::upstream::FetchContext;

impl Several {
    /// The advisory `id`, which is what `key` asks for.
    pub(super) async fn advisory_of_any(
        &self,
        key: &DocumentKey,
        id: &AdvisoryId,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let order = self.registries_by_sightings(id).await;
        let order =
            order.iter().filter(|registry| self.place_of(registry).is_some_and(|at| scope.reaches(at)));
        let keys: Vec<_> = order.map(|registry| key.at_registry(registry.name())).collect();
        let mut replies = Vec::with_capacity(keys.len());
        let mut asked = FuturesUnordered::new();
        for key in &keys {
            asked.push(async move { (key, self.part(key, context).await) });
            // A slow registry delays the next one only as long as a client waits before it gets a stale answer.
            let found = self.first_found(&mut asked, &mut replies, scope);
            if let Ok(Some(answer)) = tokio::time::timeout(self.env.patience, found).await {
                return Ok(answer);
            }
        }
        match self.first_found(&mut asked, &mut replies, scope).await {
            Some(answer) => Ok(answer),
            // A registry's own words would tell what is hidden from this client from what is not there.
            None if scope.is_narrowed() => {
                RegistryReply::none(replies.into_iter().map(RegistryReply::in_our_words).collect())
            }
            None => RegistryReply::none(replies),
        }
    }

    /// The first advisory among the answers under way; other answers are added to `replies`.
    async fn first_found<'a>(
        &self,
        asked: &mut FuturesUnordered<impl Future<Output = (&'a DocumentKey, RegistryReply)>>,
        replies: &mut Vec<RegistryReply>,
        scope: &ReadScope,
    ) -> Option<CachedAnswer> {
        while let Some((key, answer)) = asked.next().await {
            match self.counting(key, answer, scope) {
                RegistryReply::Found(answer) => return Some(answer),
                other => replies.push(other),
            }
        }
        None
    }

    /// The registries in the order in which they are asked for `id`. Stored lists of an earlier process count too.
    async fn registries_by_sightings(&self, id: &AdvisoryId) -> Vec<Arc<Registry>> {
        let registries: Vec<_> =
            self.env.live().upstreams.iter().map(|upstream| Arc::clone(upstream.registry())).collect();
        let showed = |registry: &Arc<Registry>| self.shelf.sightings.has(registry, id);
        if !registries.iter().any(showed) {
            for registry in &registries {
                self.shelf
                    .held(&DocumentKey::Advisories(AdvisoryQuery::default()).at_registry(registry.name()))
                    .await;
            }
        }
        let (mut first, rest): (Vec<_>, Vec<_>) = registries.into_iter().partition(showed);
        first.extend(rest);
        first
    }

    /// The position of a registry in the configuration.
    fn place_of(&self, registry: &Registry) -> Option<usize> {
        self.env.live().upstreams.iter().position(|upstream| **upstream.registry() == *registry)
    }

    /// A registry's reply. It counts as a 404 if its advisory is about a volume that is routed to another registry, or that is
    /// outside of `scope`.
    fn counting(&self, key: &DocumentKey, reply: RegistryReply, scope: &ReadScope) -> RegistryReply {
        let RegistryReply::Found(answer) = reply else { return reply };
        let (subject, live) = (answer.document.content.subject(), self.env.live());
        let Some(own) = live.upstreams.of(key) else { return RegistryReply::absent() };
        let place = live.upstreams.iter().position(|upstream| Arc::ptr_eq(upstream, own));
        let counts = |subject: &Option<VolumeName>| {
            let is_routed =
                |name| live.upstreams.for_volume(name).is_some_and(|routed| Arc::ptr_eq(routed, own));
            let is_shown = place.is_some_and(|at| scope.shows(at, subject.as_ref()));
            is_shown && subject.as_ref().is_none_or(is_routed)
        };
        if subject.is_some_and(counts) { RegistryReply::Found(answer) } else { RegistryReply::absent() }
    }
}
