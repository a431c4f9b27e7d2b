//! Requests for an upload: read, sent to the registry, and its grant replaced by an upload URL of this proxy.
//!
//! Owns the request for a release and the one for a trust attachment. Must not know the form of a grant
//! (`instruction`), nor how an upload URL is used.

use bytes::Bytes;
use http::Method;
use http::header::AUTHORIZATION;
use tracing::warn;

use super::declared::{self, UploadRequest};
use super::instruction;
use super::record::{UploadGrant, UploadRecord};
use super::{Volumes, WritableRegistry, is_uncoded, replace_content, request_headers};
use crate::clock::Timestamp;
use crate::domain::{Change, DocumentKey, Integrity, Purl, Sha256, VolumeName};
use crate::read::ReadFailure;
use crate::read::content::DocumentContent;
use crate::relay::forward::{self, PassedFields};
use crate::relay::owner::Owner;
use crate::relay::{ClientBody, RelayRequest, RelayedAnswer, WriteRefusal};
use crate::upstream::{OutgoingBody, Target, WriteBody, WriteRequest};

/// How many milliseconds a record outlives its upload: for the finalize, and to explain to a late client what happened.
const LATE: u64 = 60 * 60 * 1000;

impl Volumes {
    /// Relays a request for an upload: `change` publishes a release of `volume`, or an attachment of one.
    pub(super) async fn request_upload(
        &self,
        change: &Change,
        volume: &VolumeName,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let registry = self.registry(volume, request)?;
        if registry.strict {
            declared::is_json(request.headers)?;
        }
        let (body, repeatable) = self.read_document(request, body).await?;
        let attached_to = change.attached_to();
        let mut intent = match (registry.strict, attached_to) {
            (false, _) => UploadRequest::lenient(&body),
            (true, None) => UploadRequest::publication(&body)?,
            (true, Some(_)) => UploadRequest::attachment(&body)?,
        };
        if let Some(version) = attached_to {
            intent.version = Some(version.clone());
            if let Some((purl, integrity)) = intent.subject.take() {
                let release = Purl::new(volume, version);
                if purl != release {
                    return Err(differs("purl", &release, &purl));
                }
                if registry.may_read {
                    self.check_integrity(&release, integrity, request).await?;
                }
            }
        }
        let limit = self.limit(None);
        if intent.declared.size.is_some_and(|size| size > limit) {
            return Err(WriteRefusal::TooLarge { limit });
        }
        // Checked before, so that no grant is lost for lack of a record.
        let owner = Owner::of(request.headers);
        self.uploads.room_for(&Sha256::of(b""), &owner, Some(&request.client())).await?;
        let (path, content) = (change.path(), || OutgoingBody::from(&body));
        let write = WriteRequest {
            resource: change.as_str(),
            method: Method::POST,
            target: Target::Path(&path),
            headers: request_headers(request.headers),
            body: WriteBody::new(repeatable, &content),
            context: request.context,
        };
        let relayed = registry.upstream.relay(write).await?;
        if !relayed.status.is_success() {
            return Ok(forward::streamed(relayed, PassedFields::Listed));
        }
        let limit = self.services.sizes().max_document;
        let (mut answer, document) = forward::whole(relayed, PassedFields::Listed, limit).await?;
        let granted = if is_uncoded(&answer.headers) {
            self.grant(&registry, (change, volume), intent, &document, request).await
        } else {
            Err(WriteRefusal::Instruction("its answer is compressed"))
        };
        let granted = granted.inspect_err(|error| {
            let upstream = registry.upstream.name();
            warn!(%error, upstream, %volume, request_id = request.context.id, "the registry granted an upload, and the client is not told of it");
        })?;
        replace_content(&mut answer, granted);
        Ok(answer)
    }

    /// Compares the integrity in the subject of an attachment with that of the release that it is sent to.
    async fn check_integrity(
        &self,
        release: &Purl,
        integrity: Integrity,
        request: RelayRequest<'_>,
    ) -> Result<(), WriteRefusal> {
        let key = DocumentKey::Release(release.name.clone(), release.version.clone());
        let answer = self.services.documents.get(&key, request.context).await?;
        let released = match &*answer.document.content {
            DocumentContent::Refused { problem, .. } => {
                return Err(ReadFailure::Refused(Box::new(problem.clone())).into());
            }
            content @ DocumentContent::Found(_) => content.release(),
        };
        let released = released.ok_or(ReadFailure::Malformed)?;
        match released.integrity {
            None => Err(ReadFailure::Withdrawn(released.status.clone()).into()),
            Some(expected) if expected != integrity => Err(differs("integrity", &expected, &integrity)),
            Some(_) => Ok(()),
        }
    }

    /// The registry's answer `body`, with an upload URL of this proxy. Records the grant.
    async fn grant(
        &self,
        registry: &WritableRegistry,
        (change, volume): (&Change, &VolumeName),
        intent: UploadRequest,
        body: &Bytes,
        request: RelayRequest<'_>,
    ) -> Result<Bytes, WriteRefusal> {
        let granted = instruction::RegistryGrant::read(body)?;
        let url = registry.upstream.place(granted.locator(), &change.path())?;
        let instructed = granted.instructed(url.into(), intent.media_type);
        let until = instructed.expires_at.0.saturating_add(LATE);
        let owner = Owner::of(request.headers);
        let grant = UploadGrant::new(change, volume, registry.upstream.name(), &granted.upload_id, owner);
        let id = grant.id();
        let upload = {
            let _naming = self.naming.lock().await;
            let before = self.uploads.get(&id).await?.map(|(before, _)| before);
            let before = before.filter(|before| before.grant == grant);
            let upload = UploadRecord::new(grant, intent.version, intent.declared, instructed, before)?;
            self.uploads.put(id, upload.clone(), Timestamp(until), Some(&request.client())).await?;
            upload
        };
        let mut fields = Vec::with_capacity(2);
        fields.extend(upload.media_type.as_deref().map(|media_type| ("content-type", media_type)));
        // A client that sends only the fields of the grant must still present the credential that it began with.
        let credential = request.headers.get(AUTHORIZATION).and_then(|credential| credential.to_str().ok());
        fields.extend(credential.map(|credential| ("authorization", credential)));
        Ok(granted.rewritten(&format!("{}/uploads/{}", request.base, upload.name()), &fields))
    }

    /// The most bytes that are accepted of an upload of the `declared` length.
    pub(super) fn limit(&self, declared: Option<u64>) -> u64 {
        let sizes = self.services.sizes();
        let most = sizes.archive.max_archive.min(sizes.max_body);
        declared.map_or(most, |declared| declared.min(most))
    }
}

/// The refusal of a subject that is not the release.
fn differs(member: &'static str, expected: &impl ToString, found: &impl ToString) -> WriteRefusal {
    WriteRefusal::Subject { member, expected: expected.to_string(), found: found.to_string() }
}
