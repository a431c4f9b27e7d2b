//! The list of advisories of one registry, as the cache has it.
//!
//! A registry may give its list in pages. A page that is missing makes the list one that could not be asked: a part would say that
//! the other advisories do not exist. One advisory that cannot be read costs the others nothing; it goes with the list as one that
//! cannot be read. Owns how a list is looked up, and which of its advisories are read. Must not know how its pages follow each other
//! (`domain`), nor what is done with the list.

use std::sync::Arc;

use policy::{Advisory, UnreadAdvisory, read_registry_advisory};
use tracing::info;

use super::faults::FoundFaults;
use crate::clock::Timestamp;
use crate::domain::check::check_advisory;
use crate::domain::several::RegistryList;
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
    let mut read = ReadList::default();
    for ListPage { content, .. } in &stamp.0 {
        // A refusal with 404: the registry has no advisories.
        if let Some(list) = content.listed() {
            read.items(list, content.body());
        }
    }
    let mut faults = FoundFaults::default();
    let lists = stamp.0.iter().filter_map(|page| page.content.listed());
    let (stated, given) = lists.fold((0, 0), |(stated, given), list| {
        (list.total.unwrap_or_default().max(stated), given + list.items.len())
    });
    if (given as u64) < stated {
        faults.short(registry.name(), stated, given);
    }
    faults.single(registry.name(), &read.unread);
    let source = BookSource {
        advisories: read.advisories.into_iter().map(Arc::new).collect(),
        unread: read.unread.into_iter().map(Arc::new).collect(),
        confirmed: stamp.0.iter().map(|page| page.confirmed).min(),
        fault_count: faults.count(),
        faults: faults.told(),
    };
    Some((stamp, source))
}

#[derive(Debug, Default)]
struct ReadList {
    advisories: Vec<Advisory>,
    unread: Vec<UnreadAdvisory>,
}

impl ReadList {
    fn items(&mut self, list: &RegistryList, body: &[u8]) {
        for (index, item) in list.items.iter().enumerate() {
            let text = body.get(item.span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
            let text = text.unwrap_or_default();
            let unread = |why: String| UnreadAdvisory::new(text, format!("items[{index}]"), why);
            match (check_advisory(text), read_registry_advisory(text.as_bytes())) {
                (Ok(()), Ok(advisory)) => self.advisories.push(advisory),
                // What can be read of it warns all the same.
                (Err(why), Ok(advisory)) => {
                    self.unread.push(unread(why.to_string()));
                    self.advisories.push(advisory);
                }
                (_, Err(fault)) => self.unread.push(unread(fault.to_string())),
            }
        }
    }
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
        if document.meta.status == 200 && document.content.listed().is_none() {
            return Err("its list cannot be read".to_owned());
        }
        pages.push(ListPage { content: Arc::clone(&document.content), confirmed: document.meta.fetched_at });
        if !paging.is_followed(document.content.listed()) {
            return Ok(pages);
        }
    }
    Err(format!("its list does not end within {MOST_ADVISORY_PAGES} pages"))
}
