//! A file that its address no longer gives: its document is asked again for another address.
//!
//! An address may be signed and valid for a short time only, while the document that names it was confirmed since then
//! and is still fresh. So the document is asked for again without conditions, once for all waiting requests and every file
//! that it names, and the file is fetched from the new address. A document whose new address is dead too is not asked
//! for again within `negative_ttl`.
//!
//! Owns which address comes next. Must not know how a file is fetched.

use std::sync::Arc;

use tracing::info;

use super::expected::{FileAddress, FileOrigin};
use super::gate;
use crate::clock::Timestamp;
use crate::domain::DocumentKey;
use crate::read::{Documents, ReadFailure};
use crate::upstream::FetchContext;

/// Most documents that are remembered to name dead addresses.
const MOST: u64 = 10_000;

/// The documents that were asked again in vain: which reading of each, and when.
#[derive(Debug)]
pub(super) struct DeadEnds(moka::sync::Cache<DocumentKey, (u64, Timestamp)>);

impl Default for DeadEnds {
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST))
    }
}

/// The addresses of one file, one after the other.
pub(super) struct FileAddresses<'a> {
    documents: &'a Arc<Documents>,
    dead_ends: &'a DeadEnds,
    origin: &'a FileOrigin,
    current: FileAddress,
    /// Why the first address failed.
    failure: Option<ReadFailure>,
    /// The reading of the document that is held, once that was looked at.
    held: Option<u64>,
    /// The reading that came when the document was asked for again.
    asked: Option<u64>,
}

impl<'a> FileAddresses<'a> {
    pub(super) fn new(
        documents: &'a Arc<Documents>,
        dead_ends: &'a DeadEnds,
        origin: &'a FileOrigin,
    ) -> Self {
        let current = origin.address.clone();
        Self { documents, dead_ends, origin, current, failure: None, held: None, asked: None }
    }

    pub(super) fn current(&self) -> &FileAddress {
        &self.current
    }

    /// Goes on to the next address after the current one ended in `failure`.
    pub(super) async fn next(
        &mut self,
        failure: ReadFailure,
        context: FetchContext<'_>,
    ) -> Result<(), ReadFailure> {
        let Self { documents, origin, .. } = *self;
        let FileOrigin { fetch, from, .. } = origin;
        if let Some(reading) = self.asked {
            return Err(self.dead_end(reading, failure));
        }
        let failure = self.failure.get_or_insert(failure).clone();
        if self.held.is_none() {
            let held = documents.held(from).await.filter(|held| held.is_settled());
            self.held = Some(held.as_ref().map_or(0, |held| held.reading.read));
            // Another file of the same document may have had it asked for already.
            let gate = held.map(|held| documents.answer_of(from, &held));
            let known = gate.as_ref().and_then(|gate| gate::address(&fetch.expected, gate).ok());
            if let Some(address) = known.filter(|known| *known != self.current) {
                self.current = address;
                return Ok(());
            }
        }
        let since = self.held.unwrap_or(0);
        if self.is_dead_end(since) {
            return Err(failure);
        }
        info!(file = %fetch.expected, request_id = context.id, "a file is gone from its address; its document is asked again");
        let told = match documents.anew(from, since, context).await {
            Ok(told) => told,
            // The registry cannot be asked for another address.
            Err(unasked) if unasked.lets_stale_live() => return Err(failure),
            Err(refused) => return Err(refused),
        };
        let address = gate::address(&fetch.expected, &told)?;
        if address == self.current {
            return Err(self.dead_end(told.document.reading.read, failure));
        }
        (self.current, self.asked) = (address, Some(told.document.reading.read));
        Ok(())
    }

    /// Remembers that the document was asked again in vain.
    fn dead_end(&self, reading: u64, failure: ReadFailure) -> ReadFailure {
        self.dead_ends.0.insert(self.origin.from.clone(), (reading, self.documents.now()));
        failure
    }

    /// Whether the document was asked after `reading` in vain a moment ago.
    fn is_dead_end(&self, reading: u64) -> bool {
        let dead_end = self.dead_ends.0.get(&self.origin.from);
        dead_end.is_some_and(|(of, at)| of == reading && self.documents.still_refused(at))
    }
}
