//! The creation, the completion and the abort of a resumable upload.
//!
//! Owns when an upload is recorded and when its whole is checked. Must not know what a part is.

use http::StatusCode;
use nullspace::{NewUpload, UploadPath, UploadProgress, declared_whole};
use tracing::{info, warn};

use super::Nullspace;
use super::passing::PASSED;
use super::session::SessionRecord;
use crate::clock::{Timestamp, rfc3339};
use crate::relay::owner::Owner;
use crate::relay::{ClientBody, RelayRequest, RelayedAnswer, WriteRefusal, forward};

/// How long an upload is recorded if the registry names no expiry, in milliseconds.
const DEFAULT_LIFETIME: u64 = 24 * 60 * 60 * 1000;

impl Nullspace {
    /// Relays the creation of an upload and records the upload.
    pub(super) async fn create_upload(
        &self,
        uploads: &str,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let limit = self.services.sizes().max_document;
        let body = self.read_document(&request, body).await?;
        let relayed = self.send_document("nullspace-upload", &request, &body).await?;
        let (answer, document) = forward::whole(relayed, PASSED, limit).await?;
        if answer.status.is_success() {
            self.record(uploads, &request, &body, &document).await;
        }
        Ok(answer)
    }

    /// Records a created upload. A failure is logged only: an upload without a record is relayed unchecked.
    async fn record(&self, uploads: &str, request: &RelayRequest<'_>, body: &[u8], document: &[u8]) {
        let request_id = request.context.id;
        let NewUpload { id, facts, expires_at } = match NewUpload::read(body, document) {
            Ok(upload) => upload,
            Err(why) => return info!(request_id, "an upload is not checked: {why}"),
        };
        let (owner, progress) = (Owner::of(request.headers), UploadProgress::default());
        let record = SessionRecord { owner, facts, progress };
        let until = expires_at
            .as_deref()
            .and_then(rfc3339::parse)
            .unwrap_or_else(|| Timestamp(self.services.clock.now().0.saturating_add(DEFAULT_LIFETIME)));
        let upload = UploadPath { uploads, id: &id };
        if let Err(error) = self.sessions.begin(upload, record, until, &request.client()).await {
            warn!(request_id, %error, "an upload is not checked: it cannot be recorded");
        }
    }

    /// Relays the completion of an upload, unless its whole is known here and is not what was declared.
    pub(super) async fn complete(
        &self,
        upload: UploadPath<'_>,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let body = self.read_document(&request, body).await?;
        let own = self.check_whole(upload, &request, &body).await?;
        let relayed = self.send_document("nullspace-upload", &request, &body).await?;
        if relayed.status.is_success() || (own && relayed.status == StatusCode::GONE) {
            self.sessions.end(upload).await;
        }
        Ok(forward::streamed(relayed, PASSED))
    }

    /// Compares the whole of an upload with its declared hash, if the sender's upload is recorded here and all of its parts
    /// came through this proxy. Answers whether the upload is recorded as the sender's.
    async fn check_whole(
        &self,
        upload: UploadPath<'_>,
        request: &RelayRequest<'_>,
        body: &[u8],
    ) -> Result<bool, WriteRefusal> {
        let request_id = request.context.id;
        let live = match self.sessions.find(upload).await {
            Ok(live) => live.filter(|live| live.owner.is(&Owner::of(request.headers))),
            Err(error) => {
                warn!(request_id, %error, "the whole of an upload is not checked");
                None
            }
        };
        let Some(live) = live else { return Ok(false) };
        let Some(expected) = declared_whole(body).or_else(|| live.facts.declared.clone()) else {
            return Ok(true);
        };
        if !live.session.lock().await.progress.check_whole(upload, &live.facts, &expected)? {
            info!(
                request_id,
                "the whole of an upload is not checked: some parts did not come through this proxy"
            );
        }
        Ok(true)
    }

    /// Relays the abort of an upload.
    pub(super) async fn abort(
        &self,
        upload: UploadPath<'_>,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let answer = self.pass(request, body).await?;
        if answer.status.is_success() {
            self.sessions.end(upload).await;
        }
        Ok(answer)
    }
}
