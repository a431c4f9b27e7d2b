//! The writes of Agent Volumes (specification, section "Write routes").
//!
//! ```text
//! intent               read (declared) ─> registry ─> its grant (instruction) ─> recorded (record), rewritten  (intent)
//! content              URL and owner checked ─> staged and checked ─> the URL that the registry named           (content)
//! finalize, unpublish  registry ─> the volume's documents are invalidated, the release's integrity is pinned    (change_task)
//! ```
//! Owns which registry is asked, and whether writes are allowed. Must not know how an upload is received.

mod change_task;
mod content;
mod declared;
mod instruction;
mod intent;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use ::bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use self::record::UploadRecord;
use super::forward::{self, PassedFields, is_uncoded};
use super::upload_records::UploadRecords;
use super::{ClientBody, RelayRequest, RelayServices, RelayedAnswer, RelayedContent, WriteRefusal};
use crate::access::{AccessRefusal, readable};
use crate::config::WritesCheck;
use crate::domain::{Change, Sha256, VolumeName};
use crate::limit::Client;
use crate::store::{KeyPrefix, StorageKey};
use crate::upstream::{RegistryClient, RegistryClients};

/// The longest body of a request that is not an upload.
const MAX_DOCUMENT: u64 = 1 << 20;

/// Relays writes to the registries that accept them. Clones share their records.
#[derive(Clone)]
pub(crate) struct Volumes {
    services: Arc<RelayServices>,
    uploads: Arc<UploadRecords<UploadRecord>>,
    /// Held while a grant gets its upload URL, so that a repeated grant gets the same URL.
    naming: Arc<tokio::sync::Mutex<()>>,
    /// The uploads that are being sent.
    under_way: Arc<Mutex<HashSet<Sha256>>>,
}

/// A registry that accepts writes, and whether they are checked strictly.
#[derive(Clone)]
struct WritableRegistry {
    upstream: Arc<RegistryClient>,
    strict: bool,
    /// Whether the client may be told what this proxy reads of the registry. A credential that only the registry can judge
    /// does not show that.
    may_read: bool,
}

impl Volumes {
    pub(crate) fn new(services: Arc<RelayServices>) -> Self {
        let (store, clock) = (Arc::clone(&services.store), Arc::clone(&services.clock));
        let uploads = Arc::new(UploadRecords::new(store, clock, KeyPrefix::Uploads, StorageKey::Upload));
        Self { services, uploads, naming: Arc::default(), under_way: Arc::default() }
    }

    /// Answers one write.
    ///
    /// # Errors
    /// Why the registry's answer is not the client's.
    pub(crate) async fn answer(
        &self,
        change: &Change,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let mut answer = match change {
            Change::Publish(name) | Change::Attach(name, _) => {
                self.request_upload(change, name, request, body).await
            }
            Change::Upload(name) => self.upload(name, request, body).await,
            Change::Finalize(name, _)
            | Change::Unpublish(name, _)
            | Change::FinalizeAttachment(name, _, _) => self.change(change, name, request, body).await,
        }?;
        // An answer to a write is for one client, whatever the registry says about caching it.
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }

    /// The registry of `name`, if it accepts writes and the client may use it. A credential that is not known here is the
    /// registry's to judge.
    fn registry(
        &self,
        name: &VolumeName,
        request: RelayRequest<'_>,
    ) -> Result<WritableRegistry, WriteRefusal> {
        let mut may_read = Ok(());
        let writable = self.writable(name, |upstreams| {
            let upstream = upstreams.for_volume(name)?;
            let holder = request.context.client.and_then(Client::holder);
            may_read = readable(upstream.readers(), holder).admits(name);
            Some(upstream)
        });
        match may_read {
            Err(AccessRefusal::NoToken) if request.headers.contains_key(AUTHORIZATION) => {
                Ok(WritableRegistry { may_read: false, ..writable? })
            }
            Err(refusal) => Err(refusal.into()),
            Ok(()) => writable,
        }
    }

    /// The registry that `find` finds for `volume`, if writes are allowed.
    fn writable(
        &self,
        volume: &VolumeName,
        find: impl FnOnce(&RegistryClients) -> Option<&Arc<RegistryClient>>,
    ) -> Result<WritableRegistry, WriteRefusal> {
        let live = self.services.documents.live();
        let upstream = find(&live.upstreams).ok_or_else(|| WriteRefusal::NoUpstream(volume.clone()))?;
        let check = upstream.writes().ok_or_else(|| WriteRefusal::WritesOff(volume.clone()))?;
        if live.policy.offline {
            return Err(WriteRefusal::Offline);
        }
        Ok(WritableRegistry {
            upstream: Arc::clone(upstream),
            strict: check == WritesCheck::Strict,
            may_read: true,
        })
    }

    /// The whole body of a request that is not an upload, and whether the request may be repeated.
    async fn read_document(
        &self,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<(Bytes, bool), WriteRefusal> {
        let limit = MAX_DOCUMENT.min(self.services.sizes().max_document);
        let body = self.services.body_memory.whole(&request.client(), body, limit).await?;
        let repeatable = declared::has_key(request.headers, &body)?;
        Ok((body, repeatable))
    }
}

fn request_headers(headers: &HeaderMap) -> HeaderMap {
    forward::uncoded_request(headers, PassedFields::Listed)
}

/// Reads a member that is present, also if it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Replaces the content of an answer.
fn replace_content(answer: &mut RelayedAnswer, content: Bytes) {
    answer.headers.remove(ETAG);
    answer.content = RelayedContent::Whole(content);
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes").finish_non_exhaustive()
    }
}
