//! The list of advisories of one registry, as the cache has it.
//!
//! A registry may give its list in pages. A page that is missing makes the list one that could not be asked: a part would say that
//! the other advisories do not exist. Owns how a list is looked up. Must not know how its pages follow each other (`domain`), nor what is
//! done with the list.

use std::sync::Arc;

use policy::read_registry_advisories;
use tracing::{info, warn};

use crate::clock::Timestamp;
use crate::domain::{AdvisoryPages, DocumentKey, MOST_ADVISORY_PAGES, Registry};
use crate::policies::BookSource;
use crate::read::content::DocumentContent;
use crate::read::{BackgroundWork, Documents, FetchContext, ReadFailure};

/// One page of a list.
#[derive(Debug, Clone)]
struct ListPage {
    content: Arc<DocumentContent>,
    confirmed: Timestamp,
}

impl PartialEq for ListPage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.content, &other.content) && self.confirmed == other.confirmed
    }
}

/// The pages of a list, by which a changed list is told from an unchanged one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListStamp(Vec<ListPage>);

/// How a list is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookUp {
    /// The registry is asked where the cache is stale.
    Asking,
    /// Whatever is held counts, however old.
    Held,
}

/// What `registry` lists, unless it is what was read `before`, or cannot be asked.
pub(super) async fn read(
    documents: &Documents,
    registry: &Registry,
    look_up: LookUp,
    before: Option<&ListStamp>,
) -> Option<(ListStamp, BookSource)> {
    let stamp = match pages(documents, registry, look_up).await {
        Ok(pages) => ListStamp(pages),
        Err(why) => {
            info!(upstream = registry.name(), why, "the advisories of this registry cannot be read now");
            return None;
        }
    };
    if before == Some(&stamp) {
        return None;
    }
    let (mut advisories, mut refused) = (Vec::new(), 0);
    for ListPage { content, .. } in &stamp.0 {
        match read_registry_advisories(content.body()) {
            Ok((read, refusals)) => {
                advisories.extend(read.into_iter().map(Arc::new));
                refused += refusals.len();
                for refusal in refusals.iter().take(3) {
                    warn!(upstream = registry.name(), place = refusal.place, why = %refusal.fault, "an advisory cannot be read");
                }
            }
            // A refusal with 404: the registry has no advisories.
            Err(_) if content.problem().is_some() => {}
            Err(fault) => {
                warn!(upstream = registry.name(), why = %fault, "a list of advisories cannot be read");
                return None;
            }
        }
    }
    if refused > 0 {
        warn!(upstream = registry.name(), refused, "advisories were left out");
    }
    let confirmed = stamp.0.iter().map(|page| page.confirmed).min();
    Some((stamp, BookSource { advisories, confirmed }))
}

async fn pages(documents: &Documents, registry: &Registry, look_up: LookUp) -> Result<Vec<ListPage>, String> {
    let id = BackgroundWork::Advisories.request_id();
    let context = FetchContext::background(&id);
    let (mut pages, mut paging) = (Vec::new(), AdvisoryPages::default());
    while let Some(query) = paging.question() {
        let key = DocumentKey::Advisories(query).at_registry(registry.name());
        let document = match look_up {
            LookUp::Asking => documents.get(&key, context).await.map(|answer| answer.document),
            LookUp::Held => documents.held(&key).await.ok_or(ReadFailure::HeldOnly),
        };
        let document = document.map_err(|failure| failure.to_string())?;
        if document.meta.status != 200 && document.meta.status != 404 {
            return Err(format!("it answers {}", document.meta.status));
        }
        pages.push(ListPage { content: Arc::clone(&document.content), confirmed: document.meta.fetched_at });
        if !paging.is_followed(document.content.listed()) {
            return Ok(pages);
        }
    }
    Err(format!("its list does not end within {MOST_ADVISORY_PAGES} pages"))
}
