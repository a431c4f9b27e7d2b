//! What a registry's whole list of advisories says about one volume, or of one advisory, while no registry may be asked.
//!
//! A mirror and a bundle bring the list and not an answer to each question that clients may put. An answer is made of the list only
//! if every page of it is held, and given only if nothing is held for the question, or something older. Owns that. Must not know
//! how a list is brought in.

use std::sync::Arc;

use super::Several;
use crate::domain::several::Item;
use crate::domain::{AdvisoryId, AdvisoryPages, AdvisoryQuery, DocumentKey, VolumeName};
use crate::read::answer::CachedAnswer;
use crate::read::document::Document;
use crate::read::envelope::{Envelope, Meta};
use crate::read::failure::ReadFailure;
use crate::read::outcome::Stale;

/// A question that a whole list answers.
enum ListQuestion<'a> {
    About(&'a VolumeName),
    Of(&'a AdvisoryId),
}

impl<'a> ListQuestion<'a> {
    fn of(key: &'a DocumentKey) -> Option<Self> {
        match key {
            DocumentKey::AtRegistry(at_registry) => Self::of(at_registry.question()),
            DocumentKey::Advisory(id) => Some(Self::Of(id)),
            DocumentKey::Advisories(query) => {
                let about = query.volume.as_ref()?;
                // A parameter of the registry's own may mean anything.
                (*query == AdvisoryQuery::about(about.clone())).then_some(Self::About(about))
            }
            _ => None,
        }
    }

    fn takes(&self, item: &Item) -> bool {
        match self {
            Self::About(volume) => item.subject.as_ref().and_then(Option::as_ref) == Some(*volume),
            Self::Of(id) => item.id.as_ref() == Some(*id),
        }
    }

    /// The body of the answer, if the list has one.
    fn body(&self, items: &[&[u8]]) -> Option<Vec<u8>> {
        match (self, items) {
            (Self::About(_), items) => Some([&b"{\"items\":["[..], &items.join(&b','), b"]}"].concat()),
            (Self::Of(_), [advisory]) => Some(advisory.to_vec()),
            (Self::Of(_), _) => None,
        }
    }
}

impl Several {
    /// The answer to `key`, for which `learnt` was found; while offline, that of the whole list where it is better.
    pub(super) async fn or_of_whole_list(
        &self,
        key: &DocumentKey,
        learnt: Result<CachedAnswer, ReadFailure>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let Some(question) = ListQuestion::of(key).filter(|_| self.env.is_offline()) else { return learnt };
        let known = match &learnt {
            Ok(answer) => Some(answer.document.meta.fetched_at),
            Err(ReadFailure::Offline) => None,
            Err(_) => return learnt,
        };
        match self.of_whole_list(key, &question).await {
            Some(answer) if Some(answer.document.meta.fetched_at) > known => Ok(answer),
            Some(_) | None => learnt,
        }
    }

    async fn of_whole_list(&self, key: &DocumentKey, question: &ListQuestion<'_>) -> Option<CachedAnswer> {
        let pages = self.whole_list(key).await?;
        let mut items = Vec::new();
        for page in &pages {
            let listed = &page.content.listed()?.items;
            let taken = listed.iter().filter(|item| question.takes(item));
            items.extend(taken.filter_map(|item| page.content.body().get(item.span.clone())));
        }
        let body = question.body(&items)?;
        let oldest = pages.iter().min_by_key(|page| page.meta.fetched_at)?;
        let meta = Meta { key: key.to_string(), etag: None, ..oldest.meta.clone() };
        let document = Document::new(key, Envelope { meta, body: body.into() }).ok()?;
        Some(self.judge.answer_as(key, &Arc::new(document), Some(Stale::Offline)))
    }

    /// Every page of the list of the registry that `key` belongs to.
    async fn whole_list(&self, key: &DocumentKey) -> Option<Vec<Arc<Document>>> {
        let registry = self.env.registry_of(key)?;
        let (mut paging, mut pages) = (AdvisoryPages::default(), Vec::new());
        while let Some(query) = paging.question() {
            let key = DocumentKey::Advisories(query).at_registry(registry.name());
            let page = self.shelf.held(&key).await.filter(|page| !page.is_refusal())?;
            let listed = page.content.listed();
            let is_followed = paging.is_followed(listed);
            pages.push(page);
            if !is_followed {
                return Some(pages);
            }
        }
        None
    }
}
