//! One answer of several registries to a question about no volume.
//!
//! The question is put to each registry under a key that names it, so each answer is cached, renewed and joined for
//! itself, and stored as if that registry were the only one. What is made of them is made of what is held, and is not
//! stored.
//!
//! | a registry | in a list, or the capabilities | in an answer about one advisory |
//! |---|---|---|
//! | has an answer | is part of it | the first in order that has one gives it |
//! | says 404 | has nothing to add | the next is asked |
//! | says something else that is definite | is missing: `partial` | the next is asked; else that is the answer |
//! | cannot be asked | is missing: `partial` | the next is asked; else that is the failure, never 404 |
//!
//! A registry that keeps others waiting for longer than a client waits for what is stale counts as one that cannot be
//! asked; its answer is there for the next question. An item about a volume that is routed to another registry is
//! nobody's. Owns that table, who is asked and how long they are waited for. Must not know what is made of the answers
//! (`composed`), nor how it is kept (`compositions`).

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::document::Content;
use super::documents::{Answer, Documents};
use super::failure::Failure;
use crate::domain::{DocumentKey, General};
use crate::upstream::{CouldNotAsk, Errand};

mod advisory;
mod composed;
mod compositions;
mod search;

use advisory::Sightings;
use compositions::Compositions;

/// What is remembered beside the registries' own answers.
pub(super) struct Several {
    compositions: Compositions,
    sightings: Sightings,
}

impl Several {
    /// For documents in `memory` bytes.
    pub(super) fn beside(memory: u64) -> Self {
        Self { compositions: Compositions::beside(memory), sightings: Sightings::default() }
    }
}

impl Several {
    /// What was made last in answer to `key`, as far as that is kept.
    pub(super) fn composition(&self, key: &DocumentKey) -> Option<Arc<Content>> {
        self.compositions.last(key)
    }
}

/// What one registry has to say.
enum Said {
    /// Its document.
    Found(Answer),
    /// That it has none, or none for this question.
    Refused(u16, Result<Answer, Failure>),
    /// Nothing.
    Unasked(Failure),
}

impl From<Result<Answer, Failure>> for Said {
    fn from(answer: Result<Answer, Failure>) -> Self {
        match answer {
            Ok(answer) => match &*answer.document.content {
                Content::Found(_) => Self::Found(answer),
                Content::Refused { problem, .. } => Self::Refused(problem.status, Ok(answer)),
            },
            Err(Failure::Refused(problem)) => Self::Refused(problem.status, Err(Failure::Refused(problem))),
            Err(failure) => Self::Unasked(failure),
        }
    }
}

impl Said {
    /// What is answered where nobody has a document: not being able to ask comes before a refusal, and that before a 404.
    fn none(all: Vec<Self>) -> Result<Answer, Failure> {
        let weight = |said: &Self| match said {
            Self::Unasked(_) => 0,
            Self::Refused(404, _) => 2,
            Self::Refused(..) | Self::Found(_) => 1,
        };
        match all.into_iter().min_by_key(weight) {
            Some(Self::Found(answer)) => Ok(answer),
            Some(Self::Refused(_, answer)) => answer,
            Some(Self::Unasked(failure)) => Err(failure),
            None => Err(Failure::Malformed),
        }
    }
}

impl Documents {
    /// The answer to `key`, which no fresh document in memory gives, of the registry that it belongs to or of all.
    pub(super) async fn answer(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        // A client waits once, however many registries are asked.
        let errand = errand.waiting(self.patience);
        match key.general().filter(|_| self.live().upstreams.are_several()) {
            None => self.learn(key, errand).await,
            Some(General::Search(query)) => self.search_all(key, query, errand).await,
            Some(General::Advisories) => self.advisories_of_all(key, errand).await,
            Some(General::Advisory(id)) => self.advisory_of_any(key, id, errand).await,
            Some(General::Capabilities) => self.capabilities_of_all(key, errand).await,
        }
    }

    /// `key` as it is put to each registry, in the order of the configuration.
    fn put_to_each(&self, key: &DocumentKey) -> Vec<DocumentKey> {
        self.live().upstreams.iter().map(|upstream| key.to(upstream.name())).collect()
    }

    /// What one registry says to a question that was put to it.
    async fn part(self: &Arc<Self>, key: &DocumentKey, errand: Errand<'_>) -> Said {
        match self.fresh(key, errand) {
            Some(answer) => Ok(answer).into(),
            None => self.learn(key, errand).await.into(),
        }
    }

    /// What is said to each of these questions, in their order. Once one has an answer, the others are waited for as
    /// long as a client waits for what is stale.
    async fn ask_all(self: &Arc<Self>, keys: &[DocumentKey], errand: Errand<'_>) -> Vec<Said> {
        let mut said: Vec<Option<Said>> = keys.iter().map(|_| None).collect();
        let ask = |(at, key)| async move { (at, self.part(key, errand).await) };
        let mut asked: FuturesUnordered<_> = keys.iter().enumerate().map(ask).collect();
        let mut until = None;
        loop {
            let patience = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = asked.next() => match next {
                    Some((at, answer)) => {
                        let found = matches!(answer, Said::Found(_));
                        said[at] = Some(answer);
                        if found && until.is_none() {
                            until = Some(Instant::now() + self.patience);
                        }
                    }
                    None => break,
                },
                () = patience => break,
            }
        }
        drop(asked);
        let late = || Said::Unasked(CouldNotAsk::TimedOut.into());
        said.into_iter().map(|said| said.unwrap_or_else(late)).collect()
    }
}
