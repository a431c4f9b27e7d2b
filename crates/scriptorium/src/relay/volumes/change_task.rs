//! Finalize and unpublish: the writes that change the volume's documents.
//!
//! The documents are invalidated before the client gets its answer, also if the client left or the answer was lost. A
//! finalized release is compared with the uploaded archive. Owns both. Must not know how documents are renewed.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{Instrument, error, warn};
use url::Url;

use super::record::{UploadGrant, UploadRecord};
use super::{Volumes, WritableRegistry, is_uncoded, replace_content, request_headers};
use crate::domain::check::check;
use crate::domain::link::{Replacement, Template};
use crate::domain::{Change, DocumentKey, Facts, Integrity, UploadId, Version, VolumeName, VolumePattern};
use crate::relay::forward::{self, PassedFields};
use crate::relay::owner::Owner;
use crate::relay::{ClientBody, RelayRequest, RelayedAnswer, WriteRefusal};
use crate::upstream::{CouldNotAsk, OutgoingBody, OwnedFetchContext, Target, WriteBody, WriteRequest};

/// A change that is sent to the registry by a task of its own.
struct ChangeTask {
    volumes: Volumes,
    registry: WritableRegistry,
    change: Change,
    volume: VolumeName,
    owner: Owner,
    headers: HeaderMap,
    base: String,
    body: Bytes,
    repeatable: bool,
    context: OwnedFetchContext,
}

/// The members that are read of an answer to a finalize.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FinalizeAnswer<'a> {
    #[serde(borrow, default, deserialize_with = "super::present")]
    release: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::present")]
    detail_url: Option<&'a RawValue>,
}

/// The release that a registry's answer names, and the links in the answer.
#[derive(Default)]
struct FinalizeOutcome<'a> {
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
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let registry = self.registry(volume, request)?;
        let (body, repeatable) = self.read_document(request, body).await?;
        let task = ChangeTask {
            volumes: self.clone(),
            registry,
            change: change.clone(),
            volume: volume.clone(),
            owner: Owner::of(request.headers),
            headers: request_headers(request.headers),
            base: request.base.to_owned(),
            body,
            repeatable,
            context: request.context.owned(),
        };
        // A task of its own: the documents must be invalidated also if the client leaves.
        let run = tokio::spawn(task.run().in_current_span()).await;
        // It is unknown whether the change was sent before its task panicked.
        run.unwrap_or_else(|_| Err(CouldNotAsk::BrokenBody.into()))
    }
}

impl ChangeTask {
    async fn run(self) -> Result<RelayedAnswer, WriteRefusal> {
        let (path, content) = (self.change.path(), || OutgoingBody::from(&self.body));
        let method = if let Change::Unpublish(..) = self.change { Method::DELETE } else { Method::POST };
        let write = WriteRequest {
            resource: self.change.as_str(),
            method,
            target: Target::Path(&path),
            headers: self.headers.clone(),
            body: WriteBody::new(self.repeatable, &content),
            context: self.context.borrowed(),
        };
        let relayed = match self.registry.upstream.relay(write).await {
            Ok(relayed) if relayed.status.is_success() => relayed,
            Ok(relayed) => {
                // A conflict may be with an earlier attempt.
                if !relayed.status.is_client_error() || relayed.status == StatusCode::CONFLICT {
                    self.invalidate().await;
                }
                return Ok(forward::streamed(relayed, PassedFields::Listed));
            }
            Err(error) => {
                // The error is of the last attempt; an earlier one may have arrived.
                if self.repeatable || error.may_have_happened() {
                    self.invalidate().await;
                }
                return Err(error.into());
            }
        };
        let limit = self.volumes.services.sizes().max_document;
        let whole = forward::whole(relayed, PassedFields::Listed, limit).await;
        self.invalidate().await;
        let (mut answer, body) = whole?;
        if let Change::Finalize(_, upload) | Change::FinalizeAttachment(_, _, upload) = &self.change
            // A change that is only accepted may yet be refused.
            && matches!(answer.status, StatusCode::OK | StatusCode::CREATED)
        {
            let readable = is_uncoded(&answer.headers);
            let outcome = if readable { self.read(&path, &body) } else { FinalizeOutcome::default() };
            let FinalizeOutcome { released, links } = outcome;
            self.finish_upload(upload, released).await;
            if !links.is_empty() {
                let template = Template::new(body.clone(), links);
                replace_content(&mut answer, template.render(&self.base));
            }
        }
        Ok(answer)
    }

    /// Invalidates the volume's documents: the next read asks the registry.
    async fn invalidate(&self) {
        let volume = VolumePattern::Exact(self.volume.clone());
        if let Err(error) = self.volumes.services.documents.invalidate(&volume, None).await {
            error!(%error, volume = %self.volume, "cannot store that a volume's documents are out of date");
        }
    }

    /// Reads the answer to a finalize at `path`.
    fn read<'a>(&self, path: &str, body: &'a Bytes) -> FinalizeOutcome<'a> {
        let Ok(finalized) = serde_json::from_slice::<FinalizeAnswer<'a>>(body) else {
            return FinalizeOutcome::default();
        };
        let origin = self.registry.upstream.origin();
        let mut outcome = FinalizeOutcome::default();
        if let Some(release) = finalized.release
            && let Ok(Versioned { version }) = serde_json::from_str(release.get())
        {
            let key = DocumentKey::Release(self.volume.clone(), version.clone());
            let checked = check(&key, &Bytes::copy_from_slice(release.get().as_bytes()), origin);
            if let Ok(checked) = checked
                && let Facts::Release(facts) = checked.facts
                && facts.mismatch.is_none()
            {
                outcome.released = Some((version, facts.integrity));
                if let Ok(text) = String::from_utf8(checked.template.render(&self.base).into()) {
                    outcome.links.push((release, Replacement::Literal(text.into())));
                }
            }
        }
        if let Some(detail) = finalized.detail_url
            && let Some(path) = below(origin, path, detail)
        {
            outcome.links.push((detail, Replacement::Link(path)));
        }
        outcome
    }

    /// Removes the record of a finished upload, after comparing the release with what was uploaded.
    async fn finish_upload(&self, upload_id: &UploadId, released: Option<(Version, Option<Integrity>)>) {
        let upstream = self.registry.upstream.name();
        let grant = UploadGrant::new(&self.change, &self.volume, upstream, upload_id, self.owner.clone());
        let id = grant.id();
        let uploads = &self.volumes.uploads;
        let upload = match uploads.get(&id).await {
            Ok(Some((upload, _))) => upload,
            Ok(None) => return,
            Err(error) => {
                error!(%error, volume = %self.volume, "cannot read the record of an upload; its release is not compared with it");
                return;
            }
        };
        self.pin(&upload, released).await;
        if let Err(error) = uploads.remove(&id).await {
            error!(%error, ?upload, "cannot remove the record of a finished upload");
        }
    }

    /// Pins the uploaded tree. A registry that names another tree for the release is in divergence.
    async fn pin(&self, upload: &UploadRecord, released: Option<(Version, Option<Integrity>)>) {
        let tree = upload.uploaded.and_then(|uploaded| uploaded.integrity);
        let (Some(tree), Some(release)) = (tree, upload.release()) else { return };
        let named = match released {
            Some((version, _)) if version != release.version => {
                warn!(%release, %version, request_id = self.context.borrowed().id, "the registry finalized an upload under another version");
                return;
            }
            Some((_, integrity)) => integrity,
            None => None,
        };
        let registry = self.registry.upstream.registry();
        let pinned = self.volumes.services.documents.published(&release, tree, named, registry);
        if let Err(error) = pinned.await {
            error!(%error, %release, "cannot pin a published release; its first read pins it");
        }
    }
}

/// The path below a registry's base URL of a link in the answer at `from`, if it leads into the API.
fn below(origin: &str, from: &str, link: &RawValue) -> Option<String> {
    let link: String = serde_json::from_str(link.get()).ok()?;
    let url = Url::parse(&format!("{origin}{from}")).ok()?.join(&link).ok()?;
    let path = url.as_str().strip_prefix(origin)?;
    path.starts_with("/api/v1/").then(|| path.to_owned())
}
