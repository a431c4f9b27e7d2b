//! A page of search results of several registries.
//!
//! The first page of each registry says how many results it has. That determines which of its pages have results on the
//! page that is asked for: at most two, so a page costs at most three questions per registry. Registries are asked for pages
//! of the client's size, so that the client's next page finds half of its results cached. Owns which pages are asked for.
//! Must not know how results are interleaved (`domain::several`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Several;
use super::composed::{Parts, listed, shown};
use super::reply::RegistryReply;
use crate::access::ReadScope;
use crate::domain::several::{ListPosition, RegistryList, SelectedItem, page, search_document};
use crate::domain::{DocumentKey, SearchQuery, VolumeName};
use crate::read::answer::CachedAnswer;
use crate::read::failure::ReadFailure;
use crate::upstream::FetchContext;

/// Pages by the registry and where they begin.
type Pages = BTreeMap<(usize, u32), CachedAnswer>;

impl Several {
    /// The page that `query` asks for.
    pub(super) async fn search_all(
        &self,
        key: &DocumentKey,
        query: &SearchQuery,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let names: Vec<String> =
            self.env.live().upstreams.iter().map(|upstream| upstream.name().to_owned()).collect();
        let at =
            |registry: usize, offset| DocumentKey::Search(query.at(offset)).at_registry(&names[registry]);
        let firsts: Vec<_> =
            (0..names.len()).map(|registry| scope.reaches(registry).then(|| at(registry, 0))).collect();
        let replies = self.ask_all(&firsts, context).await.into_iter().map(counted).collect();
        let Parts { found: firsts, mut partial, .. } = match Parts::of(replies) {
            Ok(parts) => parts,
            Err(answer) => return answer,
        };
        let mut lengths = vec![0; names.len()];
        for (registry, first) in &firsts {
            lengths[*registry] = results(listed(first)?, query);
        }
        let places = page(&lengths, query.offset().into(), query.limit() as usize);
        let mut pages: Pages = firsts.into_iter().map(|(registry, first)| ((registry, 0), first)).collect();
        let wanted = wanted(&places, query, &pages);
        let keys: Vec<_> = wanted.iter().map(|(registry, offset)| Some(at(*registry, *offset))).collect();
        for (place, reply) in wanted.into_iter().zip(self.ask_all(&keys, context).await) {
            match reply {
                RegistryReply::Found(answer) => drop(pages.insert(place, answer)),
                RegistryReply::Refused(..) | RegistryReply::Unasked(_) => partial = true,
            }
        }
        let parts = pages.iter().map(|((registry, _), answer)| (*registry, answer.clone())).collect();
        let parts = Parts { found: parts, partial, is_narrowed: false };
        let query = query.clone();
        self.composed(key, parts, move |several, _| {
            let lists = pages.iter().map(|(place, answer)| Ok((*place, (shown(answer)?, listed(answer)?))));
            let lists = lists.collect::<Result<BTreeMap<_, _>, ReadFailure>>()?;
            let selected = places.iter().filter_map(|place| {
                let (begins, within) = begins(place.at, &query)?;
                let (from, list) = lists.get(&(place.list, begins))?;
                let item = list.items.get(within)?;
                let name: &VolumeName = item.subject.as_ref()?.as_ref()?;
                let counts = several.is_routed_to(name, place.list);
                counts.then(|| SelectedItem { from, span: item.span.clone() })
            });
            Ok(search_document(selected.collect(), lengths.iter().sum(), &query))
        })
        .await
    }

    /// Whether a volume is routed to the registry at this position of the configuration.
    pub(super) fn is_routed_to(&self, name: &VolumeName, registry: usize) -> bool {
        let live = self.env.live();
        let own = live.upstreams.for_volume(name);
        own.is_some_and(|own| {
            live.upstreams.iter().nth(registry).is_some_and(|other| Arc::ptr_eq(own, other))
        })
    }
}

/// A first page without the number of results cannot be used.
fn counted(reply: RegistryReply) -> RegistryReply {
    match reply {
        RegistryReply::Found(answer) if listed(&answer).is_ok_and(|list| list.total.is_some()) => {
            RegistryReply::Found(answer)
        }
        RegistryReply::Found(_) => RegistryReply::Unasked(ReadFailure::Malformed),
        reply => reply,
    }
}

/// How many results a registry has, up to the largest offset that can be asked for.
fn results(first: &RegistryList, query: &SearchQuery) -> u64 {
    let shown = first.items.len().min(query.limit() as usize) as u64;
    first.total.unwrap_or(0).max(shown).min(u32::MAX.into())
}

/// The offset of the page with the result `at`, and the position on that page.
fn begins(at: u64, query: &SearchQuery) -> Option<(u32, usize)> {
    let limit = u64::from(query.limit());
    Some((u32::try_from(at - at % limit).ok()?, usize::try_from(at % limit).ok()?))
}

/// The pages with these results that are not fetched yet.
fn wanted(places: &[ListPosition], query: &SearchQuery, there: &Pages) -> Vec<(usize, u32)> {
    let mut wanted: Vec<_> =
        places.iter().filter_map(|place| Some((place.list, begins(place.at, query)?.0))).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|page| !there.contains_key(page) && there.contains_key(&(page.0, 0)));
    wanted
}
