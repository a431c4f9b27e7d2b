//! Requests for an upload: understood, put to the registry, and its grant turned into a place here.
//!
//! Owns both, that of a release and that of a trust attachment. Must not know what a grant must look like
//! (`instruction`), nor what becomes of the place.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::AUTHORIZATION;
use tracing::warn;

use super::declared::{self, Attachment, Publication};
use super::instruction;
use super::record::{Declared, Grant, Kind, Upload};
use super::refused::Refused as Ours;
use super::{MOST, Registry, Volumes, is_plain, onward, rewritten};
use crate::cache::Failure;
use crate::cache::document::Content;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Integrity, Purl, Sha256, Version, VolumeName};
use crate::relay::forward::{self, Passing};
use crate::relay::token::Owner;
use crate::relay::upload::{self, Destination};
use crate::relay::{Answer, ClientBody, Refused, Request};
use crate::upstream::Target;

/// How long a record outlives its upload, to tell one that came late what happened, and for its finalize.
const LATE: Duration = Duration::from_secs(60 * 60);

/// A request for an upload that may be put to the registry.
struct Intent {
    kind: Kind,
    resource: &'static str,
    volume: VolumeName,
    attached_to: Option<Version>,
    version: Option<Version>,
    media_type: Option<String>,
    declared: Declared,
    path: String,
    body: Bytes,
    repeatable: bool,
}

impl Volumes {
    pub(super) async fn publish(
        &self,
        name: &VolumeName,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Refused> {
        let registry = self.registry(name)?;
        let (body, repeatable) = self.said(&registry, request, body).await?;
        let said = if registry.strict { Publication::strict(&body)? } else { Publication::lenient(&body) };
        let Publication { version, media_type, declared } = said;
        let intent = Intent {
            kind: Kind::Archive,
            resource: "publish",
            volume: name.clone(),
            attached_to: None,
            version,
            media_type,
            declared,
            path: format!("/api/v1/volumes/{name}"),
            body,
            repeatable,
        };
        self.put(&registry, intent, request).await
    }

    pub(super) async fn attach(
        &self,
        name: &VolumeName,
        version: &Version,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Refused> {
        let registry = self.registry(name)?;
        let (body, repeatable) = self.said(&registry, request, body).await?;
        let said = if registry.strict { Attachment::strict(&body)? } else { Attachment::lenient(&body) };
        let Attachment { subject, media_type, declared } = said;
        if let Some(subject) = subject {
            self.bind(&Purl::new(name, version), subject, request).await?;
        }
        let intent = Intent {
            kind: Kind::Attachment,
            resource: "attach",
            volume: name.clone(),
            attached_to: Some(version.clone()),
            version: Some(version.clone()),
            media_type,
            declared,
            path: format!("/api/v1/volumes/{name}/{version}/trust/uploads"),
            body,
            repeatable,
        };
        self.put(&registry, intent, request).await
    }

    /// The body of a request, and whether the request may be repeated.
    async fn said(
        &self,
        registry: &Registry,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<(Bytes, bool), Refused> {
        if registry.strict {
            declared::is_json(request.headers)?;
        }
        let limit = MOST.min(self.ground.sizes().max_document);
        let body = self.ground.room.whole(&request.client(), body, limit).await?;
        let repeatable = declared::has_key(request.headers, &body)?;
        Ok((body, repeatable))
    }

    /// Holds the subject of an attachment against the release that it is sent to.
    async fn bind(
        &self,
        release: &Purl,
        (purl, integrity): (Purl, Integrity),
        request: Request<'_>,
    ) -> Result<(), Refused> {
        let unbound =
            |member, expected: String, found: String| Err(Ours::Subject { member, expected, found }.into());
        if purl != *release {
            return unbound("purl", release.to_string(), purl.to_string());
        }
        let key = DocumentKey::Release(release.name.clone(), release.version.clone());
        let answer = self.ground.documents.get(&key, request.errand).await.map_err(Ours::from)?;
        let released = match &*answer.document.content {
            Content::Refused { problem, .. } => {
                return Err(Ours::Release(Failure::Refused(Box::new(problem.clone()))).into());
            }
            content @ Content::Found(_) => content.release(),
        };
        let released = released.ok_or(Ours::Release(Failure::Malformed))?;
        match released.integrity {
            None => Err(Ours::Release(Failure::Withdrawn(released.status.clone())).into()),
            Some(expected) if expected != integrity => {
                unbound("integrity", expected.to_string(), integrity.to_string())
            }
            Some(_) => Ok(()),
        }
    }

    /// Puts a request to the registry. What it grants is remembered, and the client told of a place here.
    async fn put(
        &self,
        registry: &Registry,
        intent: Intent,
        request: Request<'_>,
    ) -> Result<Answer, Refused> {
        let limit = self.limit(None);
        if intent.declared.size.is_some_and(|size| size > limit) {
            return Err(Refused::TooLarge { limit });
        }
        // Nothing is granted that could not be remembered.
        let owner = Owner::of(request.headers);
        self.uploads.room_for(&Sha256::of(b""), &owner, Some(&request.client())).await?;
        let destination = Destination {
            upstream: &registry.upstream,
            resource: intent.resource,
            method: Method::POST,
            target: Target::Path(&intent.path),
            headers: onward(request.headers),
            repeatable: intent.repeatable,
            errand: request.errand,
        };
        let relayed = upload::send_document(destination, &intent.body).await?;
        if !relayed.status.is_success() {
            return Ok(forward::coming(relayed, Passing::Listed));
        }
        let (mut answer, body) =
            forward::whole(relayed, Passing::Listed, self.ground.sizes().max_document).await?;
        let granted = if is_plain(&answer.headers) {
            self.grant(registry, &intent, &body, request).await
        } else {
            Err(Ours::Instruction("its answer is compressed").into())
        };
        let granted = granted.inspect_err(|error| {
            let upstream = registry.upstream.name();
            warn!(%error, upstream, volume = %intent.volume, request_id = request.errand.id, "a granted upload is not passed on");
        })?;
        rewritten(&mut answer, granted);
        Ok(answer)
    }

    /// The registry's answer with a place of ours, which is remembered.
    async fn grant(
        &self,
        registry: &Registry,
        intent: &Intent,
        body: &Bytes,
        request: Request<'_>,
    ) -> Result<Bytes, Refused> {
        let granted = instruction::Grant::read(body)?;
        let url = registry.upstream.place(granted.locator(), &intent.path)?;
        let instructed = granted.instructed(url.into(), intent.media_type.clone());
        let expires_at = instructed.expires_at;
        let grant = Grant {
            upstream: registry.upstream.name().to_owned(),
            kind: intent.kind,
            volume: intent.volume.clone(),
            attached_to: intent.attached_to.clone(),
            upload_id: granted.upload_id.to_string(),
            owner: Owner::of(request.headers),
        };
        let id = grant.id();
        let upload = {
            let _naming = self.naming.lock().await;
            let before = self.uploads.get(&id).await?.map(|(before, _)| before);
            let before = before.filter(|before| before.grant == grant);
            let upload = Upload::new(grant, intent.version.clone(), intent.declared, instructed, before)?;
            let late = u64::try_from(LATE.as_millis()).unwrap_or(u64::MAX);
            let until = Timestamp(expires_at.0.saturating_add(late));
            self.uploads.put(id, upload.clone(), until, Some(&request.client())).await?;
            upload
        };
        let mut fields = Vec::with_capacity(2);
        fields.extend(upload.media_type.as_deref().map(|media_type| ("content-type", media_type)));
        // Who sends only what the grant names is still bound to the credential it came with.
        let credential = request.headers.get(AUTHORIZATION).and_then(|credential| credential.to_str().ok());
        fields.extend(credential.map(|credential| ("authorization", credential)));
        Ok(granted.rewritten(&format!("{}/uploads/{}", request.base, upload.name()), &fields))
    }

    /// Most bytes that are taken of an upload that was declared to be so long.
    pub(super) fn limit(&self, declared: Option<u64>) -> u64 {
        let sizes = self.ground.sizes();
        let most = sizes.archive.max_archive.min(sizes.max_body);
        declared.map_or(most, |declared| declared.min(most))
    }
}
