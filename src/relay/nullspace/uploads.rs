//! A resumable upload's beginning and its end.
//!
//! Owns what is read of the registry's session and the check of the whole. Must not know what a part is.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tracing::{info, warn};

use super::manifest::excerpt;
use super::passing::PASSING;
use super::route::Upload;
use super::session::Facts;
use super::{Nullspace, Refused, UploadFault};
use crate::clock::{Timestamp, rfc3339};
use crate::relay::token::Owner;
use crate::relay::{Answer, ClientBody, Refused as Unrelayed, Request, forward};

/// How long an upload is remembered whose registry does not say when it ends.
const UNSAID: Duration = Duration::from_secs(24 * 60 * 60);

/// The answer to a creation.
#[derive(Deserialize)]
struct Created {
    session: SessionDocument,
}

#[derive(Deserialize)]
struct SessionDocument {
    upload_id: String,
    content_length: u64,
    part_size: u64,
    part_count: u32,
    whole_checksum_sha256: Option<String>,
    expires_at: Option<String>,
}

/// What a creation, or a completion, declares.
#[derive(Deserialize, Default)]
struct Declared {
    whole_checksum_sha256: Option<String>,
}

impl Nullspace {
    /// Relays a creation and remembers the upload.
    pub(super) async fn create_upload(
        &self,
        uploads: &str,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        let limit = self.ground.sizes().max_document;
        let body = self.document(&request, body).await?;
        let relayed = self.pass_whole("nullspace-upload", &request, &body).await?;
        let (answer, document) = forward::whole(relayed, PASSING, limit).await?;
        if answer.status.is_success() {
            self.remember(uploads, &request, &body, &document).await;
        }
        Ok(answer)
    }

    /// What is not remembered is relayed all the same, so nothing that fails here is the client's concern.
    async fn remember(&self, uploads: &str, request: &Request<'_>, body: &[u8], document: &[u8]) {
        let id = request.errand.id;
        let Ok(Created { session }) = serde_json::from_slice(document) else {
            return info!(request_id = id, "an upload is not checked: its session cannot be read");
        };
        let declared = session.whole_checksum_sha256.or_else(|| declared(body));
        let facts = Facts {
            owner: Owner::of(request.headers),
            content_length: session.content_length,
            part_size: session.part_size,
            part_count: session.part_count,
            declared,
        };
        if !facts.add_up() {
            return info!(
                request_id = id,
                "an upload is not checked: its parts do not add up, or are too many"
            );
        }
        let until = session.expires_at.as_deref().and_then(rfc3339::parse);
        let until = until.unwrap_or_else(|| self.ahead(UNSAID));
        let upload = Upload { uploads, id: &session.upload_id };
        if let Err(error) = self.sessions.begin(upload, facts, until, &request.client()).await {
            warn!(request_id = id, %error, "an upload is not checked: it cannot be remembered");
        }
    }

    /// Relays the end of an upload, if its parts are together what was declared, as far as that is known here.
    pub(super) async fn complete(
        &self,
        upload: Upload<'_>,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        let body = self.document(&request, body).await?;
        let ours = self.check_whole(upload, &request, &body).await?;
        let relayed = self.pass_whole("nullspace-upload", &request, &body).await?;
        if relayed.status.is_success() || (ours && relayed.status == StatusCode::GONE) {
            self.sessions.end(upload).await;
        }
        Ok(forward::coming(relayed, PASSING))
    }

    /// Whether the upload is the sender's, as far as is known here; an error where it is and is not what was declared.
    async fn check_whole(
        &self,
        upload: Upload<'_>,
        request: &Request<'_>,
        body: &[u8],
    ) -> Result<bool, Unrelayed> {
        let live = match self.sessions.find(upload).await {
            Ok(live) => live.filter(|live| live.is_of(&Owner::of(request.headers))),
            Err(error) => {
                warn!(request_id = request.errand.id, %error, "an upload's whole is not checked");
                None
            }
        };
        let Some(live) = live else { return Ok(false) };
        let Some(expected) = declared(body).or_else(|| live.facts.declared.clone()) else { return Ok(true) };
        let Some(found) = live.session().await.whole() else {
            info!(
                request_id = request.errand.id,
                "an upload's whole is not checked: not all of it came this way"
            );
            return Ok(true);
        };
        let found = found.hex();
        if expected.eq_ignore_ascii_case(&found) {
            return Ok(true);
        }
        let fault = UploadFault::WholeChecksum { expected: excerpt(&expected), found };
        Err(Refused::Upload { fault, upload: excerpt(upload.id), part: None }.into())
    }

    /// Relays that an upload is given up.
    pub(super) async fn abort(
        &self,
        upload: Upload<'_>,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        let answer = self.pass(request, body).await?;
        if answer.status.is_success() {
            self.sessions.end(upload).await;
        }
        Ok(answer)
    }

    fn ahead(&self, time: Duration) -> Timestamp {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.ground.clock.now().0.saturating_add(millis))
    }
}

fn declared(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Declared>(body).unwrap_or_default().whole_checksum_sha256
}
