//! Composing an answer of several registries' answers, with its age and outcome.
//!
//! It is as old as its oldest part, and fresh as long as the part with the least freshness left. A partial answer is not
//! fresh at all, so that no client keeps it. An answer with a part that may not be kept is not kept. Owns that, and the lists
//! that need one page of each registry. Must not know how long a registry is waited for.

use std::sync::Arc;

use super::Several;
use super::reply::RegistryReply;
use crate::access::ReadScope;
use crate::domain::several::{Item, RegistryList, SelectedItem, advisory_document, merge_capabilities};
use crate::domain::{DocumentKey, Template};
use crate::read::answer::CachedAnswer;
use crate::read::content::DocumentContent;
use crate::read::document::Document;
use crate::read::envelope::Meta;
use crate::read::failure::ReadFailure;
use crate::read::keeping::Keeping;
use crate::read::outcome::{Outcome, Stale};
use crate::upstream::FetchContext;

/// The parts of an answer, each of a registry that has one.
pub(super) struct Parts {
    /// The position of the registry in the configuration, and its answer.
    pub(super) found: Vec<(usize, CachedAnswer)>,
    /// Whether a registry is missing.
    pub(super) partial: bool,
    /// Whether the answer has only some of what the parts have, for one client.
    pub(super) is_narrowed: bool,
}

impl Parts {
    /// The documents among the replies. If there are none, the refusal or failure that the client gets.
    pub(super) fn of(replies: Vec<RegistryReply>) -> Result<Self, Result<CachedAnswer, ReadFailure>> {
        if !replies.iter().any(|reply| matches!(reply, RegistryReply::Found(_))) {
            return Err(RegistryReply::none(replies));
        }
        // A client that sent only-if-cached gets a whole answer or none.
        if replies.iter().any(|reply| matches!(reply, RegistryReply::Unasked(ReadFailure::HeldOnly))) {
            return Err(Err(ReadFailure::HeldOnly));
        }
        let found = Vec::with_capacity(replies.len());
        let mut parts = Self { found, partial: false, is_narrowed: false };
        for (registry, reply) in replies.into_iter().enumerate() {
            match reply {
                RegistryReply::Found(answer) => parts.found.push((registry, answer)),
                RegistryReply::Refused(404, _) => {}
                RegistryReply::Refused(..) | RegistryReply::Unasked(_) => parts.partial = true,
            }
        }
        Ok(parts)
    }

    fn answers(&self) -> impl Iterator<Item = &CachedAnswer> {
        self.found.iter().map(|(_, answer)| answer)
    }

    /// Seconds for which the composed answer is fresh.
    fn ttl(&self) -> i64 {
        let least = self.answers().map(|answer| answer.ttl).min().unwrap_or(0);
        if self.partial { least.min(0) } else { least }
    }

    fn outcome(&self) -> Outcome {
        let (mut forwarded, mut worst) = (None, None);
        for answer in self.answers() {
            match answer.outcome {
                Outcome::Forwarded { .. } => {
                    forwarded = Some(forwarded.map_or(answer.outcome, |so_far| both(so_far, answer.outcome)));
                }
                Outcome::Hit { stale, .. } => worst = worst.max(stale),
                _ => {}
            }
        }
        match forwarded {
            _ if self.partial => Outcome::Partial { asked: forwarded.is_some(), ttl: self.ttl() },
            Some(forwarded) if worst.is_none_or(|worst| worst == Stale::WhileRevalidate) => forwarded,
            Some(_) | None => Outcome::Hit { ttl: self.ttl(), stale: worst },
        }
    }
}

/// The outcome of an answer composed of two that were asked for.
fn both(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (
            Outcome::Forwarded { stale, status, stored, collapsed },
            Outcome::Forwarded { stale: too, status: other, stored: kept, collapsed: joined },
        ) => Outcome::Forwarded {
            stale: stale || too,
            status: if status == other { status } else { 200 },
            stored: stored && kept,
            collapsed: collapsed && joined,
        },
        (one, _) => one,
    }
}

impl Several {
    /// All advisories within `scope`: those of each registry about volumes that are routed to it.
    pub(super) async fn advisories_of_all(
        &self,
        key: &DocumentKey,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let replies = self.ask_all(&self.keys_of_all(key, scope), context).await;
        let parts = match Parts::of(replies) {
            Ok(parts) => Parts { is_narrowed: scope.is_narrowed(), ..parts },
            Err(answer) => return answer,
        };
        let scope = scope.clone();
        self.composed(key, parts, move |several, parts| {
            let mut selected = Vec::new();
            for (registry, answer) in &parts.found {
                let (template, list) = (shown(answer)?, listed(answer)?);
                let counts = |item: &&Item| match &item.subject {
                    Some(subject) => {
                        scope.shows(*registry, subject.as_ref())
                            && subject.as_ref().is_none_or(|name| several.is_routed_to(name, *registry))
                    }
                    None => false,
                };
                let counted = list.items.iter().filter(counts);
                let select = |item: &Item| SelectedItem { from: template, span: item.span.clone() };
                selected.extend(counted.map(select));
            }
            Ok(advisory_document(selected))
        })
        .await
    }

    /// The capabilities that every registry within `scope` has.
    pub(super) async fn capabilities_of_all(
        &self,
        key: &DocumentKey,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let replies = self.ask_all(&self.keys_of_all(key, scope), context).await;
        let parts = match Parts::of(replies) {
            Ok(parts) => parts,
            Err(answer) => return answer,
        };
        self.composed(key, parts, |_, parts| {
            let shown = parts.answers().map(|answer| Ok(shown(answer)?.render("")));
            let shown = shown.collect::<Result<Vec<_>, ReadFailure>>()?;
            let texts =
                shown.iter().map(|body| std::str::from_utf8(body).map_err(|_| ReadFailure::Malformed));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            merge_capabilities(&texts).map(Template::text).map_err(|_| ReadFailure::Malformed)
        })
        .await
    }

    /// The answer that `make` composes of `parts`, or the cached one.
    pub(super) async fn composed(
        &self,
        key: &DocumentKey,
        parts: Parts,
        make: impl FnOnce(&Self, &Parts) -> Result<Template, ReadFailure> + Send + 'static,
    ) -> Result<CachedAnswer, ReadFailure> {
        let parts = Arc::new(parts);
        let of = || parts.answers().map(|answer| &answer.document.content);
        let live = self.env.live_full();
        let withheld = parts.answers().any(|answer| answer.document.meta.keeping.withheld);
        let kept = if parts.is_narrowed { None } else { self.shelf.compositions.of(key, &live, of()) };
        let content = match kept {
            Some(content) => content,
            None => {
                let (several, made_of) = (self.clone(), Arc::clone(&parts));
                let length = parts.answers().map(|answer| answer.document.content.body().len()).sum();
                let make = move || make(&several, &made_of).map(DocumentContent::made);
                let content = Arc::new(self.env.long_work.run(length, make).await??);
                if !withheld && !parts.is_narrowed {
                    self.shelf.compositions.keep(key, &live, of(), &content);
                }
                content
            }
        };
        let oldest = parts.answers().map(|answer| answer.document.meta.fetched_at).min();
        let meta = Meta {
            key: key.to_string(),
            status: 200,
            fetched_at: oldest.unwrap_or_else(|| self.env.now()),
            upstream_age: 0,
            upstream: String::new(),
            origin: String::new(),
            etag: None,
            at: None,
            keeping: Keeping { withheld, ..Keeping::default() },
            turn: None,
        };
        Ok(CachedAnswer {
            document: Arc::new(Document::made(meta, content, Arc::clone(&self.env.coders))),
            outcome: parts.outcome(),
            age: parts.answers().map(|answer| answer.age).max().unwrap_or(0),
            ttl: parts.ttl(),
        })
    }
}

pub(super) fn shown(answer: &CachedAnswer) -> Result<&Template, ReadFailure> {
    match &*answer.document.content {
        DocumentContent::Found(found) => Ok(found.shown()),
        DocumentContent::Refused { .. } => Err(ReadFailure::Malformed),
    }
}

pub(super) fn listed(answer: &CachedAnswer) -> Result<&RegistryList, ReadFailure> {
    answer.document.content.listed().ok_or(ReadFailure::Malformed)
}
