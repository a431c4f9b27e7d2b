//! One answer of several registries to a question about no volume.
//!
//! Each registry is asked under a key that names it, so its answer is cached, renewed and stored as if it were the only
//! registry. The composed answer is made of these and is not stored.
//!
//! | a registry | in a list, or the capabilities | in an answer about one advisory |
//! |---|---|---|
//! | has an answer | is part of it | the first in order that has one gives it |
//! | says 404 | has nothing to add | the next is asked |
//! | says something else that is definite | is missing: `partial` | the next is asked; else that is the answer |
//! | cannot be asked | is missing: `partial` | the next is asked; else that is the failure, never 404 |
//!
//! Once one registry has answered, the others are waited for only as long as a client waits before it gets a stale answer;
//! a later one counts as unreachable, and its answer is there for the next question. An item about a volume that is routed
//! to another registry is left out, and so is what a client may not read: a registry that it may not read at all is not asked.
//! While no registry may be asked, a registry's whole list of advisories speaks for it where nothing newer is held (`whole_list`).
//! Owns that table, which registries are asked and how long they are waited for. Must not
//! know how an answer is composed (`composed`), nor how it is kept (`compositions`).

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::answer::CachedAnswer;
use super::environment::Environment;
use super::failure::ReadFailure;
use super::judge::Judge;
use super::shelf::DocumentShelf;
use crate::access::{ReadScope, Readable};
use crate::domain::{DocumentKey, GlobalQuestion};
use crate::upstream::{CouldNotAsk, FetchContext};

mod advisory;
mod composed;
mod reply;
mod search;
mod shown;
mod whole_list;

use reply::RegistryReply;

#[derive(Clone)]
pub(super) struct Several {
    env: Arc<Environment>,
    shelf: Arc<DocumentShelf>,
    judge: Arc<Judge>,
}

impl Several {
    pub(super) fn new(shelf: Arc<DocumentShelf>, judge: Arc<Judge>) -> Self {
        Self { env: Arc::clone(&shelf.env), shelf, judge }
    }

    /// The answer to `key`, which no fresh document in memory gives, of the registry that it belongs to or of all.
    pub(super) async fn answer(
        &self,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        // A client waits once, however many registries are asked.
        let context = context.waiting(self.env.patience);
        match key.global().filter(|_| self.env.live().upstreams.are_several()) {
            None => self.or_of_whole_list(key, self.judge.learn(key, context).await).await,
            Some(question) => {
                let registries = self.env.live().upstreams.iter().count();
                let scope = ReadScope::new(std::iter::repeat_n(Readable::All, registries));
                self.composed_of(key, question, &scope, context).await
            }
        }
    }

    /// The answer to `key` for a client that may read only what is within `scope`. A question about a volume is answered as a
    /// whole: whether the volume may be read was decided before.
    pub(super) async fn within(
        &self,
        key: &DocumentKey,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let context = context.waiting(self.env.patience);
        match key.global() {
            None => self.or_of_whole_list(key, self.judge.learn(key, context).await).await,
            Some(question) => self.composed_of(key, question, scope, context).await,
        }
    }

    async fn composed_of(
        &self,
        key: &DocumentKey,
        question: GlobalQuestion<'_>,
        scope: &ReadScope,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        match question {
            GlobalQuestion::Search(query) if scope.is_narrowed() || scope.refusal().is_some() => {
                self.search_shown(key, query, scope, context).await
            }
            GlobalQuestion::Search(query) => self.search_all(key, query, scope, context).await,
            GlobalQuestion::Advisories => self.advisories_of_all(key, scope, context).await,
            GlobalQuestion::Advisory(id) => self.advisory_of_any(key, id, scope, context).await,
            GlobalQuestion::Capabilities => self.capabilities_of_all(key, scope, context).await,
        }
    }

    /// `key` for each registry within `scope`, in the order of the configuration.
    fn keys_of_all(&self, key: &DocumentKey, scope: &ReadScope) -> Vec<Option<DocumentKey>> {
        let live = self.env.live();
        let keys = live.upstreams.iter().enumerate();
        keys.map(|(at, upstream)| scope.reaches(at).then(|| key.at_registry(upstream.name()))).collect()
    }

    async fn part(&self, key: &DocumentKey, context: FetchContext<'_>) -> RegistryReply {
        self.or_of_whole_list(key, self.judge.stated(key, context).await).await.into()
    }

    /// The answers to these questions, in their order; where there is no question, there is nothing to add. Once one is
    /// found, the others are waited for as long as a client waits before it gets a stale answer.
    async fn ask_all(&self, keys: &[Option<DocumentKey>], context: FetchContext<'_>) -> Vec<RegistryReply> {
        let absent = |key: &Option<DocumentKey>| key.is_none().then(RegistryReply::absent);
        let mut replies: Vec<Option<RegistryReply>> = keys.iter().map(absent).collect();
        let ask = |(at, key): (usize, &'_ DocumentKey)| {
            let key = key.clone();
            async move { (at, self.part(&key, context).await) }
        };
        let questions = keys.iter().enumerate().filter_map(|(at, key)| Some((at, key.as_ref()?)));
        let mut asked: FuturesUnordered<_> = questions.map(ask).collect();
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
                        let found = matches!(answer, RegistryReply::Found(_));
                        replies[at] = Some(answer);
                        if found && until.is_none() {
                            until = Some(Instant::now() + self.env.patience);
                        }
                    }
                    None => break,
                },
                () = patience => break,
            }
        }
        drop(asked);
        let late = || RegistryReply::Unasked(CouldNotAsk::TimedOut.into());
        replies.into_iter().map(|reply| reply.unwrap_or_else(late)).collect()
    }
}
