//! Nullspace: every request of this API is forwarded, and its uploads are checked.
//!
//! The crate `nullspace` describes the API. This folder acts on that description. It remembers the manifest of a version
//! (`manifests`) until the version's bundle is checked against it (`bundle`). It records a resumable upload (`session`,
//! `sessions`), so that the upload's parts (`parts`) and the whole (`uploads`) can be checked. Must not know statuses of
//! refusals.

mod bundle;
mod manifests;
mod parts;
mod passing;
mod session;
mod sessions;
#[cfg(test)]
mod tests;
mod uploads;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use nullspace::{NullspaceRefusal, NullspaceRoute};

use self::manifests::Manifests;
use self::sessions::UploadSessions;
use super::forward::is_uncoded;
use super::{ClientBody, RelayRequest, RelayServices, RelayedAnswer, WriteRefusal};
use crate::upstream::RegistryClient;

/// Relays one Nullspace.
pub(crate) struct Nullspace {
    services: Arc<RelayServices>,
    mount: String,
    upstream: Arc<RegistryClient>,
    manifests: Manifests,
    sessions: UploadSessions,
}

impl fmt::Debug for Nullspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mount, upstream, .. } = self;
        f.debug_struct("Nullspace").field("mount", mount).field("upstream", upstream).finish_non_exhaustive()
    }
}

impl Nullspace {
    /// Relays to the API at `upstream`. Clients reach it below the path `mount`.
    #[must_use]
    pub(crate) fn new(services: Arc<RelayServices>, mount: String, upstream: Arc<RegistryClient>) -> Self {
        let sessions = UploadSessions::new(Arc::clone(&services.store), Arc::clone(&services.clock), &mount);
        Self { services, mount, upstream, manifests: Manifests::new(), sessions }
    }

    /// The part of a path below the mount. It begins with a slash.
    #[must_use]
    pub(crate) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.mount).filter(|rest| rest.starts_with('/'))
    }

    /// Answers one request, whose path is the part below the mount.
    ///
    /// # Errors
    /// Why the client does not get the registry's answer.
    pub(crate) async fn answer(
        &self,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let route = NullspaceRoute::of(request.method, request.path)?;
        if self.services.documents.live().policy.offline {
            return Err(WriteRefusal::Offline);
        }
        let answer = match route {
            NullspaceRoute::CreateVersion { deployment } => {
                self.create_version(deployment, request, body).await
            }
            NullspaceRoute::Bundle { deployment, version } => {
                self.upload_bundle(deployment, version, request, body).await
            }
            NullspaceRoute::CreateUpload { uploads } => self.create_upload(uploads, request, body).await,
            NullspaceRoute::Part { upload, number } => self.upload_part(upload, number, request, body).await,
            NullspaceRoute::Complete(upload) => self.complete(upload, request, body).await,
            NullspaceRoute::Abort(upload) => self.abort(upload, request, body).await,
            NullspaceRoute::Other => self.pass(request, body).await,
        };
        let answer = answer.map_err(|refused| match refused {
            // Clients of this API try again after a 429 and after no other status.
            WriteRefusal::Busy => NullspaceRefusal::Busy.into(),
            refused => refused,
        });
        answer.inspect_err(|error| {
            if error.facets().is_about_content {
                self.services.metrics.integrity_failure("upload");
                tracing::warn!(%error, path = request.path, request_id = request.context.id, "an upload is refused");
            }
        })
    }
}

/// Refuses content with a coding. It is checked as it is sent, and a registry that decodes it would get other bytes.
fn expect_uncoded(headers: &HeaderMap) -> Result<(), NullspaceRefusal> {
    if is_uncoded(headers) { Ok(()) } else { Err(NullspaceRefusal::Coded) }
}
