//! A file that its address no longer gives: the document that names the address is asked for once more.
//!
//! An address may be signed and good for a time only, while the document that names it was confirmed since; it says
//! nothing after its time, the document does. So the document is asked for again without conditions, once for all who
//! wait and for every file that it names, settled, and the file is fetched from where it is by then. A document whose
//! new address is as dead as the old one is not asked for again before `negative_ttl` is over.
//!
//! Owns that. Must not know what permits a file (`archives`, `trust_artifacts`), nor how one is fetched.

use std::sync::Arc;

use tracing::info;

use super::document::Document;
use super::documents::{Answer, Documents};
use super::failure::Failure;
use super::outcome::Outcome;
use super::sealed_file::Origin;
use super::sealed_files::{Fill, SealedFiles};
use super::settle::Settled;
use super::wanted::Wanted;
use super::{archives, trust_artifacts};
use crate::clock::Timestamp;
use crate::domain::DocumentKey;
use crate::upstream::Errand;

/// Most documents that are remembered to name dead addresses.
const MOST: u64 = 10_000;

/// The documents that were asked for again in vain: which reading of each, and when.
#[derive(Debug)]
pub(super) struct DeadEnds(moka::sync::Cache<DocumentKey, (u64, Timestamp)>);

impl Default for DeadEnds {
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST))
    }
}

impl SealedFiles {
    /// The one fetch of a file, from wherever its document says that it is.
    pub(super) async fn fill(&self, origin: &Origin, errand: Errand<'_>) -> Fill {
        let failure = match self.fill_from(origin, &origin.locator, errand).await {
            Err(failure) if failure.is_of_address() => failure,
            filled => return filled,
        };
        let mut dead = origin.locator.clone();
        let held = self.documents.held(&origin.from).await.filter(|held| held.settled);
        let known = held.as_ref().and_then(|held| self.locator(origin, held).ok());
        // Another file of the same document may have had it asked for already.
        if let Some(locator) = known.filter(|known| *known != dead) {
            match self.fill_from(origin, &locator, errand).await {
                Err(failure) if failure.is_of_address() => dead = locator,
                filled => return filled,
            }
        }
        let since = held.map_or(0, |held| held.read);
        if self.is_dead_end(&origin.from, since) {
            return Err(failure);
        }
        info!(file = %origin.fetch.wanted, request_id = errand.id, "a file is not at its address any more; its document is asked for again");
        let told = match self.documents.anew(&origin.from, since, errand).await {
            Ok(told) => told,
            // Nobody can be asked where else it is.
            Err(unasked) if unasked.lets_stale_live() => return Err(failure),
            Err(refused) => return Err(refused),
        };
        let locator = self.opened(origin, &told)?;
        let filled = match locator == dead {
            true => Err(failure),
            false => self.fill_from(origin, &locator, errand).await,
        };
        if filled.as_ref().is_err_and(Failure::is_of_address) {
            let reading = (told.document.read, self.documents.now());
            self.dead_ends.0.insert(origin.from.clone(), reading);
        }
        filled
    }

    /// Whether the reading `read` of a document was asked for in vain a moment ago.
    fn is_dead_end(&self, from: &DocumentKey, read: u64) -> bool {
        let negative_ttl = self.documents.live().policy.negative_ttl;
        let is_young = |at| self.documents.now().since(at).is_some_and(|age| age < negative_ttl);
        self.dead_ends.0.get(from).is_some_and(|(of, at)| of == read && is_young(at))
    }

    /// Where the file is now, if the document still permits it.
    fn opened(&self, origin: &Origin, gate: &Answer) -> Result<String, Failure> {
        match &origin.fetch.wanted {
            Wanted::Archive { integrity, .. } => {
                let (now, locator) = archives::open_gate(gate)?;
                // Another content was settled meanwhile, so that the next request is for that.
                if now == *integrity { Ok(locator) } else { Err(Failure::Lost) }
            }
            Wanted::TrustArtifact { digest, .. } => {
                trust_artifacts::open_gate(gate, digest).map(|(_, locator)| locator.to_owned())
            }
        }
    }

    fn locator(&self, origin: &Origin, document: &Arc<Document>) -> Result<String, Failure> {
        let policy = self.documents.policy(&origin.from, document);
        self.opened(origin, &self.documents.hit(Arc::clone(document), &policy, None))
    }
}

impl Documents {
    /// The answer to `key` from a second question, put after the question `since`, and settled.
    async fn anew(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let (filled, collapsed) = self.fetch_anew(key, since, errand).await?;
        let document = match filled.document.settled {
            true => filled.document,
            false => {
                let settled = self.settle(key, &filled.document, errand).await?;
                let (Settled::Agreed(document) | Settled::Unconfirmed(document)) = settled;
                document
            }
        };
        let outcome =
            Outcome::Forwarded { stale: true, status: filled.status, stored: filled.stored, collapsed };
        let policy = self.policy(key, &document);
        Ok(Answer { outcome, ..self.hit(document, &policy, None) })
    }
}
