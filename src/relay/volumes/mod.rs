//! The writes of Agent Volumes (specification, section "Write routes").
//!
//! ```text
//! intent    understood (declared) ─> registry ─> its grant (instruction) ─> remembered (record), rewritten   (intent)
//! bytes     their place and owner ─> taken in, looked at ─> the place that the registry named                (bytes)
//! finalize, unpublish ─> registry ─> the volume's documents are out of date, the release's tree is pinned    (settling)
//! ```
//! Owns who is asked, and whether at all. Must not know the shared way of an upload.

mod bytes;
mod declared;
mod instruction;
mod intent;
mod record;
mod refused;
mod settling;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::refused::Refused;
use super::forward::{self, Passing};
use super::kept::Kept;
use super::{Answer, ClientBody, Ground, Request};
use crate::config::WritesCheck;
use crate::domain::{Change, Sha256, VolumeName};
use crate::store::{Shelf, StorageKey};
use crate::upstream::{Upstream, Upstreams};

use self::record::Upload;

/// Longest body of a request that is no upload.
const MOST: u64 = 1 << 20;

/// Relays writes to the registries that take them. Clones share what they remember.
#[derive(Clone)]
pub struct Volumes {
    ground: Arc<Ground>,
    uploads: Arc<Kept<Upload>>,
    /// Held while a grant is given its place, so that one that is repeated meanwhile gets the same.
    naming: Arc<tokio::sync::Mutex<()>>,
    /// The uploads whose bytes are on their way.
    under_way: Arc<Mutex<HashSet<Sha256>>>,
}

/// A registry that takes writes, and how closely they are looked at.
#[derive(Clone)]
struct Registry {
    upstream: Arc<Upstream>,
    strict: bool,
}

impl Volumes {
    /// Writes on `ground`.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        let (store, clock) = (Arc::clone(&ground.store), Arc::clone(&ground.clock));
        let uploads = Arc::new(Kept::new(store, clock, Shelf::Uploads, StorageKey::Upload));
        Self { ground, uploads, naming: Arc::default(), under_way: Arc::default() }
    }

    /// Answers one write.
    ///
    /// # Errors
    /// Why the registry's answer is not the client's.
    pub async fn answer(
        &self,
        change: &Change,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, super::Refused> {
        let mut answer = match change {
            Change::Publish(name) => self.publish(name, request, body).await,
            Change::Attach(name, version) => self.attach(name, version, request, body).await,
            Change::Upload(place) => self.upload(place, request, body).await,
            Change::Finalize(name, _)
            | Change::Unpublish(name, _)
            | Change::FinalizeAttachment(name, _, _) => self.change(change, name, request, body).await,
        }?;
        // What was done for one client, once, is nobody else's answer, whatever the registry says of keeping it.
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }

    /// The registry of `name`, if it may be written to.
    fn registry(&self, name: &VolumeName) -> Result<Registry, super::Refused> {
        self.writable(name, |upstreams| upstreams.for_volume(name))
    }

    /// The registry that `find` finds for `volume`, if it may be written to.
    fn writable(
        &self,
        volume: &VolumeName,
        find: impl FnOnce(&Upstreams) -> Option<&Arc<Upstream>>,
    ) -> Result<Registry, super::Refused> {
        let live = self.ground.documents.live();
        let upstream = find(&live.upstreams).ok_or_else(|| super::Refused::NoUpstream(volume.clone()))?;
        let check = upstream.writes().ok_or_else(|| super::Refused::WritesOff(volume.clone()))?;
        if live.policy.offline {
            return Err(super::Refused::Offline);
        }
        Ok(Registry { upstream: Arc::clone(upstream), strict: check == WritesCheck::Strict })
    }
}

/// What goes on of a request whose answer is read here, so that no coding may be in the way.
fn onward(headers: &HeaderMap) -> HeaderMap {
    let mut headers = forward::onward(headers, Passing::Listed);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// A member that is there, also where it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Whether the body of an answer can be read as it is.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// An answer that is not byte for byte the registry's.
fn rewritten(answer: &mut Answer, body: ::bytes::Bytes) {
    answer.headers.remove(ETAG);
    answer.content = super::Content::Whole(body);
}

impl fmt::Debug for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volumes").finish_non_exhaustive()
    }
}
