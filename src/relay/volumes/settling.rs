//! Writes that change what is read: finalize and unpublish.
//!
//! What they changed is out of date here before their client is told, also when the client left or the answer was lost.
//! Owns that, and holding a finalized release against what was uploaded of it. Must not know how documents are renewed.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{error, warn};
use url::Url;

use super::record::{Grant, Kind, Upload};
use super::{MOST, Registry, Volumes, declared, is_plain, onward, rewritten};
use crate::domain::check::check;
use crate::domain::link::{Replacement, Template, release_path};
use crate::domain::{Change, DocumentKey, Facts, Integrity, UploadId, Version, VolumeName, VolumePattern};
use crate::relay::forward::{self, Passing};
use crate::relay::token::Owner;
use crate::relay::upload::{self, Destination};
use crate::relay::{Answer, ClientBody, Refused, Request};
use crate::upstream::{CouldNotAsk, KeptErrand, Target};

/// A change to be put to the registry, whoever waits for it.
struct Settling {
    volumes: Volumes,
    registry: Registry,
    change: Change,
    volume: VolumeName,
    owner: Owner,
    headers: HeaderMap,
    base: String,
    body: Bytes,
    repeatable: bool,
    errand: KeptErrand,
}

/// What an answer to a finalize says, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finalized<'a> {
    #[serde(borrow, default, deserialize_with = "super::present")]
    release: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::present")]
    detail_url: Option<&'a RawValue>,
}

/// A release as the registry says it is now, and the links in its answer.
#[derive(Default)]
struct Said<'a> {
    released: Option<(Version, Option<Integrity>)>,
    links: Vec<(&'a RawValue, Replacement)>,
}

#[derive(Deserialize)]
struct Versioned {
    version: Version,
}

impl Volumes {
    pub(super) async fn change(
        &self,
        change: &Change,
        volume: &VolumeName,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Refused> {
        let registry = self.registry(volume)?;
        let limit = MOST.min(self.ground.sizes().max_document);
        let body = self.ground.room.whole(&request.client(), body, limit).await?;
        let repeatable = declared::has_key(request.headers, &body)?;
        let settling = Settling {
            volumes: self.clone(),
            registry,
            change: change.clone(),
            volume: volume.clone(),
            owner: Owner::of(request.headers),
            headers: onward(request.headers),
            base: request.base.to_owned(),
            body,
            repeatable,
            errand: request.errand.kept(),
        };
        // Once it is sent, what follows from it must not be lost with the client.
        let run = tokio::spawn(settling.run()).await;
        // Whether it was sent before its task died, nobody knows.
        run.unwrap_or_else(|_| Err(CouldNotAsk::BrokenBody.into()))
    }
}

impl Settling {
    async fn run(self) -> Result<Answer, Refused> {
        let (path, method) = place(&self.change);
        let destination = Destination {
            upstream: &self.registry.upstream,
            resource: self.change.as_str(),
            method,
            target: Target::Path(&path),
            headers: self.headers.clone(),
            repeatable: self.repeatable,
            errand: self.errand.lend(),
        };
        let relayed = match upload::send_document(destination, &self.body).await {
            Ok(relayed) if relayed.status.is_success() => relayed,
            Ok(relayed) => {
                // A conflict may be with what an earlier try did.
                if !relayed.status.is_client_error() || relayed.status == StatusCode::CONFLICT {
                    self.outdate().await;
                }
                return Ok(forward::coming(relayed, Passing::Listed));
            }
            Err(error) => {
                // Of several tries the last one's failure is told, and an earlier one may have arrived.
                if self.repeatable || may_have_happened(&error) {
                    self.outdate().await;
                }
                return Err(error.into());
            }
        };
        let whole = forward::whole(relayed, Passing::Listed, self.volumes.ground.sizes().max_document).await;
        self.outdate().await;
        let (mut answer, body) = whole?;
        if let Change::Finalize(_, upload) | Change::FinalizeAttachment(_, _, upload) = &self.change
            // What is merely accepted may yet be refused, and another upload become the release.
            && matches!(answer.status, StatusCode::OK | StatusCode::CREATED)
        {
            let said = if is_plain(&answer.headers) { self.read(&path, &body) } else { Said::default() };
            let Said { released, links } = said;
            self.conclude(upload, released).await;
            if !links.is_empty() {
                let template = Template::new(body.clone(), links);
                rewritten(&mut answer, template.render(&self.base));
            }
        }
        Ok(answer)
    }

    /// Has the volume's documents asked for again before they are next served.
    async fn outdate(&self) {
        let volume = VolumePattern::Exact(self.volume.clone());
        if let Err(error) = self.volumes.ground.documents.invalidate(&volume, None).await {
            error!(%error, volume = %self.volume, "cannot keep that a volume's documents are out of date");
        }
    }

    /// What the answer to a finalize at `path` says.
    fn read<'a>(&self, path: &str, body: &'a Bytes) -> Said<'a> {
        let Ok(finalized) = serde_json::from_slice::<Finalized<'a>>(body) else { return Said::default() };
        let origin = self.registry.upstream.origin();
        let mut said = Said::default();
        if let Some(release) = finalized.release
            && let Ok(Versioned { version }) = serde_json::from_str(release.get())
        {
            let key = DocumentKey::Release(self.volume.clone(), version.clone());
            let checked = check(&key, &Bytes::copy_from_slice(release.get().as_bytes()), origin);
            if let Ok(checked) = checked
                && let Facts::Release(facts) = checked.facts
                && facts.mismatch.is_none()
            {
                said.released = Some((version, facts.integrity));
                if let Ok(text) = String::from_utf8(checked.template.render(&self.base).into()) {
                    said.links.push((release, Replacement::Literal(text.into())));
                }
            }
        }
        if let Some(detail) = finalized.detail_url
            && let Some(path) = below(origin, path, detail)
        {
            said.links.push((detail, Replacement::Link(path)));
        }
        said
    }

    /// Forgets an upload that is finished. A release is held against what was uploaded of it.
    async fn conclude(&self, upload_id: &UploadId, released: Option<(Version, Option<Integrity>)>) {
        let id = self.grant(upload_id).id();
        let uploads = &self.volumes.uploads;
        let upload = match uploads.get(&id).await {
            Ok(Some((upload, _))) => upload,
            Ok(None) => return,
            Err(error) => {
                error!(%error, volume = %self.volume, "cannot read what was uploaded; its release is not held against it");
                return;
            }
        };
        self.hold(&upload, released).await;
        if let Err(error) = uploads.remove(&id).await {
            error!(%error, ?upload, "cannot forget an upload that is finished");
        }
    }

    async fn hold(&self, upload: &Upload, released: Option<(Version, Option<Integrity>)>) {
        let tree = upload.uploaded.and_then(|uploaded| uploaded.integrity);
        let (Some(tree), Some(release)) = (tree, upload.release()) else { return };
        let said = match released {
            Some((version, _)) if version != release.version => {
                warn!(%release, %version, request_id = self.errand.lend().id, "the registry finalized an upload as another version");
                return;
            }
            Some((_, said)) => said,
            None => None,
        };
        let registry = self.registry.upstream.registry();
        let held = self.volumes.ground.documents.published(&release, tree, said, registry);
        if let Err(error) = held.await {
            error!(%error, %release, "cannot pin what was published; its first reader does");
        }
    }

    fn grant(&self, upload_id: &UploadId) -> Grant {
        let (kind, attached_to) = match &self.change {
            Change::FinalizeAttachment(_, version, _) => (Kind::Attachment, Some(version.clone())),
            _ => (Kind::Archive, None),
        };
        Grant {
            upstream: self.registry.upstream.name().to_owned(),
            kind,
            volume: self.volume.clone(),
            attached_to,
            upload_id: upload_id.to_string(),
            owner: self.owner.clone(),
        }
    }
}

/// Where a change goes, and how.
fn place(change: &Change) -> (String, Method) {
    match change {
        Change::Unpublish(name, version) => (release_path(name, version), Method::DELETE),
        Change::Finalize(name, id) => (format!("/api/v1/volumes/{name}/uploads/{id}/finalize"), Method::POST),
        Change::FinalizeAttachment(name, version, id) => {
            (format!("/api/v1/volumes/{name}/{version}/trust/uploads/{id}/finalize"), Method::POST)
        }
        Change::Publish(name) => (format!("/api/v1/volumes/{name}"), Method::POST),
        Change::Attach(name, version) => {
            (format!("/api/v1/volumes/{name}/{version}/trust/uploads"), Method::POST)
        }
        Change::Upload(id) => (format!("/uploads/{id}"), Method::PUT),
    }
}

/// Whether a write that was not answered may have reached the registry.
fn may_have_happened(error: &CouldNotAsk) -> bool {
    match error {
        CouldNotAsk::Unreachable(_)
        | CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy
        | CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::BadLocator
        | CouldNotAsk::Unsent => false,
        CouldNotAsk::TimedOut
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::ServerError(_)
        | CouldNotAsk::Throttled { .. }
        | CouldNotAsk::CredentialRefused
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::UnreadCoding(_)
        | CouldNotAsk::Undecodable(_)
        | CouldNotAsk::Unexpected(_)
        | CouldNotAsk::TooManyRedirects => true,
    }
}

/// The path below a registry's base URL that a link in the answer at `from` leads to, if it leads into its API.
fn below(origin: &str, from: &str, link: &RawValue) -> Option<String> {
    let link: String = serde_json::from_str(link.get()).ok()?;
    let url = Url::parse(&format!("{origin}{from}")).ok()?.join(&link).ok()?;
    let path = url.as_str().strip_prefix(origin)?;
    path.starts_with("/api/v1/").then(|| path.to_owned())
}
