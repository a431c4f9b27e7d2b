//! What is made of the answers of several registries, and what is honest to say about it.
//!
//! It is as old as the oldest part and fresh as long as the one that is fresh for the shortest time; one that is partial
//! is not fresh at all, so that nobody keeps it. What is made of an answer that is not to be kept is not kept. Owns that, and the lists that need one page of each registry. Must not
//! know who was waited for how long.

use std::sync::Arc;

use super::Said;
use crate::cache::document::{Content, Document};
use crate::cache::documents::{Answer, Documents};
use crate::cache::envelope::Meta;
use crate::cache::failure::Failure;
use crate::cache::keeping::Keeping;
use crate::cache::outcome::{Outcome, Stale};
use crate::domain::several::{Item, Listed, Picked, advisories, for_all};
use crate::domain::{DocumentKey, Template};
use crate::upstream::Errand;

/// The parts of an answer, each of a registry that has one.
pub(super) struct Parts {
    /// In the order of the configuration: which registry, and what it answered.
    pub(super) found: Vec<(usize, Answer)>,
    /// Whether a registry is missing.
    pub(super) partial: bool,
}

impl Parts {
    /// Sorts out what the registries said; where none has a document, that is the answer.
    pub(super) fn of(said: Vec<Said>) -> Result<Self, Result<Answer, Failure>> {
        if !said.iter().any(|said| matches!(said, Said::Found(_))) {
            return Err(Said::none(said));
        }
        // Who takes only what is held does not take half of it.
        if said.iter().any(|said| matches!(said, Said::Unasked(Failure::HeldOnly))) {
            return Err(Err(Failure::HeldOnly));
        }
        let mut parts = Self { found: Vec::with_capacity(said.len()), partial: false };
        for (registry, said) in said.into_iter().enumerate() {
            match said {
                Said::Found(answer) => parts.found.push((registry, answer)),
                Said::Refused(404, _) => {}
                Said::Refused(..) | Said::Unasked(_) => parts.partial = true,
            }
        }
        Ok(parts)
    }

    fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.found.iter().map(|(_, answer)| answer)
    }

    /// Seconds for which what is made of them is fresh.
    fn ttl(&self) -> i64 {
        let least = self.answers().map(|answer| answer.ttl).min().unwrap_or(0);
        if self.partial { least.min(0) } else { least }
    }

    /// How what is made of them came about.
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

/// How an answer came about that is made of two that were asked for.
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

impl Documents {
    /// The list of all advisories: each registry's, one after the other, of volumes that are routed to it.
    pub(super) async fn advisories_of_all(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let said = self.ask_all(&self.put_to_each(key), errand).await;
        let parts = match Parts::of(said) {
            Ok(parts) => parts,
            Err(answer) => return answer,
        };
        self.composed(key, parts, |documents, parts| {
            let mut picked = Vec::new();
            for (registry, answer) in &parts.found {
                let (template, list) = (shown(answer)?, listed(answer)?);
                let counts = |item: &Item| match &item.about {
                    Some(about) => about.as_ref().is_none_or(|name| documents.is_routed_to(name, *registry)),
                    None => false,
                };
                let counted = list.items.iter().filter(|item| counts(item));
                picked.extend(counted.map(|item| Picked { from: template, span: item.span.clone() }));
            }
            Ok(advisories(picked))
        })
        .await
    }

    /// What can be done with every registry.
    pub(super) async fn capabilities_of_all(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let said = self.ask_all(&self.put_to_each(key), errand).await;
        let parts = match Parts::of(said) {
            Ok(parts) => parts,
            Err(answer) => return answer,
        };
        self.composed(key, parts, |_, parts| {
            let shown = parts.answers().map(|answer| Ok(shown(answer)?.render("")));
            let shown = shown.collect::<Result<Vec<_>, Failure>>()?;
            let texts = shown.iter().map(|body| std::str::from_utf8(body).map_err(|_| Failure::Malformed));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            for_all(&texts).map(Template::text).map_err(|_| Failure::Malformed)
        })
        .await
    }

    /// The answer that `make` makes of `parts`, unless it was made of just these before.
    pub(super) async fn composed(
        self: &Arc<Self>,
        key: &DocumentKey,
        parts: Parts,
        make: impl FnOnce(&Self, &Parts) -> Result<Template, Failure> + Send + 'static,
    ) -> Result<Answer, Failure> {
        let parts = Arc::new(parts);
        let of = || parts.answers().map(|answer| &answer.document.content);
        let live = self.live.load_full();
        let withheld = parts.answers().any(|answer| answer.document.meta.keeping.withheld);
        let content = match self.several.compositions.of(key, &live, of()) {
            Some(content) => content,
            None => {
                let (documents, made_of) = (Arc::clone(self), Arc::clone(&parts));
                let length = parts.answers().map(|answer| answer.document.content.body().len()).sum();
                let make = move || make(&documents, &made_of).map(Content::made);
                let content = Arc::new(self.parsing.run(length, make).await??);
                if !withheld {
                    self.several.compositions.keep(key, &live, of(), &content);
                }
                content
            }
        };
        let oldest = parts.answers().map(|answer| answer.document.meta.fetched_at).min();
        let meta = Meta {
            key: key.to_string(),
            status: 200,
            fetched_at: oldest.unwrap_or_else(|| self.now()),
            upstream_age: 0,
            upstream: String::new(),
            origin: String::new(),
            etag: None,
            at: None,
            keeping: Keeping { withheld, ..Keeping::default() },
        };
        Ok(Answer {
            document: Arc::new(Document::made(meta, content, Arc::clone(&self.coders))),
            outcome: parts.outcome(),
            age: parts.answers().map(|answer| answer.age).max().unwrap_or(0),
            ttl: parts.ttl(),
        })
    }
}

/// The document of an answer, as it is shown to clients.
pub(super) fn shown(answer: &Answer) -> Result<&Template, Failure> {
    match &*answer.document.content {
        Content::Found(found) => Ok(found.shown()),
        Content::Refused { .. } => Err(Failure::Malformed),
    }
}

/// What stands on a list that is an answer.
pub(super) fn listed(answer: &Answer) -> Result<&Listed, Failure> {
    answer.document.content.listed().ok_or(Failure::Malformed)
}
