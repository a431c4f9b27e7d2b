//! Renewing a document for work that must know what its registry says now, such as the sync of a mirror.
//!
//! Owns that such a document was asked for after a moment, by a conditional question, and is settled, and that many of them
//! do not fill the memory. Must not know what a document is needed for.

use std::sync::Arc;

use super::answer::CachedAnswer;
use super::document::Document;
use super::documents::Documents;
use super::failure::ReadFailure;
use crate::domain::DocumentKey;
use crate::upstream::FetchContext;

impl Documents {
    /// The present moment in the order of this process's questions.
    pub(crate) fn moment(&self) -> u64 {
        self.env.question()
    }

    /// Whether memory holds the answer to `key`.
    pub(crate) fn is_remembered(&self, key: &DocumentKey) -> bool {
        self.shelf.memory.contains_key(key)
    }

    /// Leaves the answer to `key` to the store, if that has it.
    pub(crate) fn leave_to_store(&self, key: &DocumentKey) {
        self.shelf.leave_to_store(key);
    }

    /// The answer to `key` to a question after the moment `since`, settled. The registry is asked, conditionally if a
    /// document is held, unless somebody asked it since then. Nothing older is given in its place.
    ///
    /// # Errors
    /// [`ReadFailure`] when the registry gives no answer that may be served.
    pub(crate) async fn renewed(
        &self,
        key: &DocumentKey,
        since: u64,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        if self.env.is_offline() {
            return Err(ReadFailure::Offline);
        }
        self.shelf.recall().await;
        let held = self.shelf.held(key).await;
        let is_renewed = |held: &&Arc<Document>| held.reading.asked > since && held.is_settled();
        let answer = match held.as_ref().filter(is_renewed) {
            Some(renewed) => self.answer_of(key, renewed),
            None => self.judge.renewed(key, since, held.as_ref(), context).await?,
        };
        let answer = self.judge.under_policy(key, answer, context).await?;
        match self.judge.refusal_of(key, &answer.document) {
            Some(refusal) => Err(ReadFailure::RefusedArchive(refusal)),
            None => Ok(answer),
        }
    }
}
