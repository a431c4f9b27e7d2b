//! Nullspace: an API that is relayed whole, and of which uploads are understood.
//!
//! `route` says what a request asks for. A version's manifest is remembered (`manifest`), so that its bundle can be
//! read (`tarball`) and held against it (`contents`, `bundle`). A resumable upload is remembered (`session`,
//! `sessions`), so that its parts (`parts`) and its end (`uploads`) can be checked. Owns what is known of this API. Must
//! not know how a refusal is worded to a client.

mod bundle;
mod contents;
mod manifest;
mod parts;
mod passing;
mod refused;
mod route;
mod session;
mod sessions;
mod tarball;
#[cfg(test)]
mod tests;
mod uploads;

use std::fmt;
use std::sync::Arc;

pub use self::refused::{Refused, UploadFault};

use self::manifest::Manifests;
use self::route::Route;
use self::sessions::Sessions;
use super::{Answer, ClientBody, Ground, Request};
use crate::upstream::Upstream;

/// Relays one Nullspace.
pub struct Nullspace {
    ground: Arc<Ground>,
    mount: String,
    upstream: Arc<Upstream>,
    manifests: Manifests,
    sessions: Sessions,
}

impl fmt::Debug for Nullspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mount, upstream, .. } = self;
        f.debug_struct("Nullspace").field("mount", mount).field("upstream", upstream).finish_non_exhaustive()
    }
}

impl Nullspace {
    /// The API at `upstream`, mounted below the path `mount`.
    #[must_use]
    pub fn new(ground: Arc<Ground>, mount: String, upstream: Arc<Upstream>) -> Self {
        let sessions = Sessions::new(Arc::clone(&ground.store), Arc::clone(&ground.clock), &mount);
        Self { ground, mount, upstream, manifests: Manifests::new(), sessions }
    }

    /// The rest of a path below the mount, beginning with a slash.
    #[must_use]
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.mount).filter(|rest| rest.starts_with('/'))
    }

    /// Answers one request; its path is that below the mount.
    ///
    /// # Errors
    /// Why the registry's answer is not the client's.
    pub async fn answer(&self, request: Request<'_>, body: ClientBody) -> Result<Answer, super::Refused> {
        let route = Route::of(request.method, request.path)?;
        if self.ground.documents.live().policy.offline {
            return Err(super::Refused::Offline);
        }
        let answer = match route {
            Route::CreateVersion { deployment } => self.create_version(deployment, request, body).await,
            Route::Bundle { deployment, version } => self.bundle(deployment, version, request, body).await,
            Route::CreateUpload { uploads } => self.create_upload(uploads, request, body).await,
            Route::Part { upload, number } => self.part(upload, number, request, body).await,
            Route::Complete(upload) => self.complete(upload, request, body).await,
            Route::Abort(upload) => self.abort(upload, request, body).await,
            Route::Other => self.pass(request, body).await,
        };
        answer.inspect_err(|error| {
            if matches!(error, super::Refused::Nullspace(refused) if refused.is_about_content()) {
                self.ground.metrics.integrity_failure("upload");
                tracing::warn!(%error, path = request.path, request_id = request.errand.id, "an upload is refused");
            }
        })
    }
}
