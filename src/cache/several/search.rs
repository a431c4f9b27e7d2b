//! A page of search results of several registries.
//!
//! How many results each has is what its first page says. From that follows which of its pages have results on this one:
//! at most two, however far down it lies, so a page costs at most three questions a registry. They are asked for pages as
//! long as the client's, cut where those begin, so that the next page of the client finds half of its results held. Owns
//! who is asked for what. Must not know whose turn it is (`domain::several`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Said;
use super::composed::{Parts, listed, shown};
use crate::cache::documents::{Answer, Documents};
use crate::cache::failure::Failure;
use crate::domain::several::{Listed, Picked, Place, page, search};
use crate::domain::{DocumentKey, SearchQuery, VolumeName};
use crate::upstream::Errand;

/// Pages by the registry and where they begin.
type Pages = BTreeMap<(usize, u32), Answer>;

impl Documents {
    /// The page that `query`, which is what `key` asks, is about.
    pub(super) async fn search_all(
        self: &Arc<Self>,
        key: &DocumentKey,
        query: &SearchQuery,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let names: Vec<String> =
            self.live().upstreams.iter().map(|upstream| upstream.name().to_owned()).collect();
        let at = |registry: usize, offset| DocumentKey::Search(query.at(offset)).to(&names[registry]);
        let firsts: Vec<_> = (0..names.len()).map(|registry| at(registry, 0)).collect();
        let said = self.ask_all(&firsts, errand).await.into_iter().map(counted).collect();
        let Parts { found: firsts, mut partial } = match Parts::of(said) {
            Ok(parts) => parts,
            Err(answer) => return answer,
        };
        let mut has = vec![0; names.len()];
        for (registry, first) in &firsts {
            has[*registry] = results(listed(first)?, query);
        }
        let places = page(&has, query.offset().into(), query.limit() as usize);
        let mut pages: Pages = firsts.into_iter().map(|(registry, first)| ((registry, 0), first)).collect();
        let wanted = wanted(&places, query, &pages);
        let keys: Vec<_> = wanted.iter().map(|(registry, offset)| at(*registry, *offset)).collect();
        for (place, said) in wanted.into_iter().zip(self.ask_all(&keys, errand).await) {
            match said {
                Said::Found(answer) => drop(pages.insert(place, answer)),
                Said::Refused(..) | Said::Unasked(_) => partial = true,
            }
        }
        let parts = pages.iter().map(|((registry, _), answer)| (*registry, answer.clone())).collect();
        let parts = Parts { found: parts, partial };
        let query = query.clone();
        self.composed(key, parts, move |documents, _| {
            let lists = pages.iter().map(|(place, answer)| Ok((*place, (shown(answer)?, listed(answer)?))));
            let lists = lists.collect::<Result<BTreeMap<_, _>, Failure>>()?;
            let picked = places.iter().filter_map(|place| {
                let (begins, within) = begins(place.at, &query)?;
                let (from, list) = lists.get(&(place.list, begins))?;
                let item = list.items.get(within)?;
                let name: &VolumeName = item.about.as_ref()?.as_ref()?;
                let counts = documents.is_routed_to(name, place.list);
                counts.then(|| Picked { from, span: item.span.clone() })
            });
            Ok(search(picked.collect(), has.iter().sum(), &query))
        })
        .await
    }

    /// Whether a volume is routed to the registry that is `registry` in the order of the configuration.
    pub(super) fn is_routed_to(&self, name: &VolumeName, registry: usize) -> bool {
        let live = self.live();
        let own = live.upstreams.for_volume(name);
        own.is_some_and(|own| {
            live.upstreams.iter().nth(registry).is_some_and(|other| Arc::ptr_eq(own, other))
        })
    }
}

/// A first page that does not say how many results there are is as good as none.
fn counted(said: Said) -> Said {
    match said {
        Said::Found(answer) if listed(&answer).is_ok_and(|list| list.total.is_some()) => Said::Found(answer),
        Said::Found(_) => Said::Unasked(Failure::Malformed),
        said => said,
    }
}

/// How many results a registry has, as its first page says and shows. Nobody can ask for those behind the largest offset.
fn results(first: &Listed, query: &SearchQuery) -> u64 {
    let shown = first.items.len().min(query.limit() as usize) as u64;
    first.total.unwrap_or(0).max(shown).min(u32::MAX.into())
}

/// Where the page begins that has the result `at` on it, and its place there.
fn begins(at: u64, query: &SearchQuery) -> Option<(u32, usize)> {
    let limit = u64::from(query.limit());
    Some((u32::try_from(at - at % limit).ok()?, usize::try_from(at % limit).ok()?))
}

/// The pages that these places are on and that are not there.
fn wanted(places: &[Place], query: &SearchQuery, there: &Pages) -> Vec<(usize, u32)> {
    let mut wanted: Vec<_> =
        places.iter().filter_map(|place| Some((place.list, begins(place.at, query)?.0))).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|page| !there.contains_key(page) && there.contains_key(&(page.0, 0)));
    wanted
}
