//! Search for a client that may read only some volumes, or nothing at all.
//!
//! What such a client may not read must not be counted either: a page that is too short, or a total, would tell how many
//! hidden volumes a word finds. So the results of each registry are read from the first on and filtered, and pages and total
//! are those of what is left. Only so many results of a registry are read. Owns that bound and the filter. Must not know who
//! may read what (`access`).

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::Several;
use super::composed::{Parts, listed, shown};
use super::reply::RegistryReply;
use crate::access::ReadScope;
use crate::domain::several::{Item, ListPosition, SelectedItem, page, search_document};
use crate::domain::{DocumentKey, SearchQuery};
use crate::read::answer::CachedAnswer;
use crate::read::failure::ReadFailure;
use crate::upstream::{CouldNotAsk, FetchContext};

/// The size of the pages that are read, and how many of each registry: 2,000 results.
const PAGE: u32 = 100;
const MOST_PAGES: u32 = 20;

/// How many times as long as for one answer all pages of a registry are waited for.
const PATIENCE: u32 = 5;

/// What was read of one registry: pages from the first on, and why there are no more, unless they ended.
struct ReadPages {
    pages: Vec<CachedAnswer>,
    failed: Option<RegistryReply>,
}

impl Several {
    /// The page that `query` asks for, of the results within `scope`.
    pub(super) async fn search_shown(
        &self,
        key: &DocumentKey,
        query: &SearchQuery,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let names: Vec<String> =
            self.env.live().upstreams.iter().map(|upstream| upstream.name().to_owned()).collect();
        let reached = names.iter().enumerate().filter(|(at, _)| scope.reaches(*at));
        let read = reached.map(|(at, name)| async move { (at, self.pages_of(name, query, context).await) });
        let mut parts = Parts { found: Vec::new(), partial: false, is_narrowed: true };
        let mut failed = Vec::new();
        for (at, ReadPages { pages, failed: why }) in join_all(read).await {
            parts.found.extend(pages.into_iter().map(|answer| (at, answer)));
            failed.extend(why);
        }
        parts.partial = failed.iter().any(|reply| !matches!(reply, RegistryReply::Refused(404, _)));
        let is_held_only =
            |reply: &RegistryReply| matches!(reply, RegistryReply::Unasked(ReadFailure::HeldOnly));
        if failed.iter().any(is_held_only) {
            return Err(ReadFailure::HeldOnly);
        }
        if parts.found.is_empty() && !failed.is_empty() {
            return RegistryReply::none(failed);
        }
        let (query, scope) = (query.clone(), scope.clone());
        self.composed(key, parts, move |several, parts| {
            let mut lists = vec![Vec::new(); names.len()];
            for (registry, answer) in &parts.found {
                let (from, list) = (shown(answer)?, listed(answer)?);
                let is_shown = |item: &&Item| {
                    let name = item.subject.as_ref().and_then(Option::as_ref);
                    name.is_some_and(|name| {
                        scope.shows(*registry, Some(name)) && several.is_routed_to(name, *registry)
                    })
                };
                let select = |item: &Item| SelectedItem { from, span: item.span.clone() };
                lists[*registry].extend(list.items.iter().filter(is_shown).map(select));
            }
            let lengths: Vec<u64> = lists.iter().map(|list| list.len() as u64).collect();
            let places = page(&lengths, query.offset().into(), query.limit() as usize);
            let item =
                |place: &ListPosition| lists.get(place.list)?.get(usize::try_from(place.at).ok()?).cloned();
            let selected = places.iter().filter_map(item).collect();
            Ok(search_document(selected, lengths.iter().sum(), &query))
        })
        .await
    }

    /// The first pages of a registry's results.
    async fn pages_of(&self, registry: &str, query: &SearchQuery, context: FetchContext<'_>) -> ReadPages {
        let until = Instant::now() + self.env.patience * PATIENCE;
        let mut read = ReadPages { pages: Vec::new(), failed: None };
        for number in 0..MOST_PAGES {
            let key = DocumentKey::Search(query.page(PAGE, number * PAGE)).at_registry(registry);
            let reply = timeout_at(until, self.part(&key, context)).await;
            let late = |_| RegistryReply::Unasked(CouldNotAsk::TimedOut.into());
            let answer = match reply.unwrap_or_else(late) {
                RegistryReply::Found(answer) => answer,
                failed => {
                    read.failed = Some(failed);
                    break;
                }
            };
            let is_last = match listed(&answer) {
                Ok(list) => {
                    let total = list.total.unwrap_or(0);
                    list.items.is_empty() || total <= u64::from((number + 1) * PAGE)
                }
                Err(failure) => {
                    read.failed = Some(RegistryReply::Unasked(failure));
                    break;
                }
            };
            read.pages.push(answer);
            if is_last {
                break;
            }
        }
        read
    }
}
