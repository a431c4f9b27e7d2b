//! The bytes of an upload, at the place this proxy gave out for them.
//!
//! Owns whose place it is and until when, what the bytes must be, and what goes on with them to the place that the
//! registry named. Must not know how an upload is taken in, nor how it is sent.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::{error, warn};
use url::Url;

use super::record::{self, Declared, Kind, Upload, Uploaded};
use super::refused::Refused as Ours;
use super::{Volumes, declared, instruction};
use crate::archive::{ArchiveError, Examined, Expected, Framing, Limits};
use crate::cache::verify_arriving;
use crate::domain::{Integrity, Purl, Sha256, UploadId};
use crate::intake::{Arriving, Received};
use crate::relay::forward::{self, Passing};
use crate::relay::token::Owner;
use crate::relay::upload::{self, Description, Destination, Taken};
use crate::relay::{Answer, ClientBody, Content, Refused, Request};
use crate::store::StoreError;
use crate::upstream::{Target, Upstream};

/// What the bytes must be.
struct Expectation {
    limit: u64,
    declared: Declared,
    /// Whether they are held against what was declared.
    strict: bool,
    /// The release whose archive they must be.
    archive: Option<Purl>,
    limits: Limits,
}

impl Description for Expectation {
    /// The tree of an archive. One that is none comes back as such, since other bytes than were declared explain it.
    type Found = Result<Option<Integrity>, ArchiveError>;

    fn limit(&self) -> u64 {
        self.limit
    }

    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Self::Found, Refused> {
        let Some(Purl { name, version }) = &self.archive else { return Ok(Ok(None)) };
        let verified = verify_arriving(content, &Expected { name, version, integrity: None }, &self.limits);
        // The registry gets the bytes as they are, so all of its readers must unpack what was looked at here.
        let verified = verified.and_then(|Examined { framing, integrity, .. }| match framing {
            Framing::Canonical => Ok(integrity),
            Framing::Readable(departure) => Err(ArchiveError::Framing(departure)),
        });
        match verified {
            Ok(integrity) => Ok(Ok(Some(integrity))),
            Err(ArchiveError::Scratch(error)) => Err(StoreError::from(error).into()),
            Err(error) if self.declared.sha256.is_none() && self.declared.size.is_none() => {
                Err(Ours::Archive(error).into())
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn judge(&self, _: &Self::Found, received: &Received) -> Result<(), Refused> {
        let (sha256, length) = (received.sha256(), received.length());
        if !self.strict {
            return Ok(());
        }
        match self.declared {
            Declared { size: Some(expected), .. } if expected != length => {
                Err(Refused::Size { expected, found: length })
            }
            Declared { sha256: Some(expected), .. } if expected != sha256 => {
                Err(Refused::Digest { expected, found: sha256 })
            }
            Declared { .. } => Ok(()),
        }
    }

    fn seal(&self, found: &Self::Found) -> (Sha256, String) {
        match (found, &self.archive) {
            (Ok(Some(integrity)), Some(release)) => (*integrity.digest(), release.to_string()),
            _ => (Sha256::of(b""), String::new()),
        }
    }
}

/// An upload whose bytes are on their way, until this is dropped.
struct UnderWay {
    all: Arc<Mutex<HashSet<Sha256>>>,
    id: Sha256,
}

impl UnderWay {
    fn enter(all: &Arc<Mutex<HashSet<Sha256>>>, id: Sha256) -> Option<Self> {
        let entered = all.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        entered.then(|| Self { all: Arc::clone(all), id })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Volumes {
    pub(super) async fn upload(
        &self,
        place: &UploadId,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Refused> {
        let (id, upload) = self.find(place).await?;
        self.admit(&upload, request.headers)?;
        let registry =
            self.writable(&upload.grant.volume, |upstreams| upstreams.named(&upload.grant.upstream))?;
        let under_way = UnderWay::enter(&self.under_way, id).ok_or(Ours::UnderWay)?;
        // Once more, for what was noted between.
        let (id, upload) = self.find(place).await?;
        if let Some(expected) = upload.media_type.as_ref().filter(|_| registry.strict)
            && !declared::is_sent_as(request.headers, expected)
        {
            return Err(Ours::MediaType { expected: expected.clone() }.into());
        }
        let expectation = self.expectation(&upload, registry.strict);
        let taken = upload::take_in(&self.ground, &request.client(), Arc::new(expectation), body).await;
        let taken = taken.and_then(|Taken { received, found, share }| {
            Ok((received, found.map_err(Ours::Archive)?, share))
        });
        let (received, integrity, _share) = taken.inspect_err(|error| {
            if is_about_content(error) {
                self.ground.metrics.integrity_failure("upload");
                warn!(%error, ?upload, request_id = request.errand.id, "an upload is refused");
            }
        })?;
        let url = Url::parse(&upload.url).map_err(|_| Ours::UnknownUpload)?;
        let given = given(&upload);
        let destination = Destination {
            upstream: &registry.upstream,
            resource: "upload",
            method: Method::from_bytes(upload.method.as_bytes()).unwrap_or(Method::PUT),
            target: Target::At { url: &url, given: &given },
            headers: headers(&upload, request.headers),
            repeatable: false,
            errand: request.errand,
        };
        if upload.uploaded.is_some() {
            // Should the answer be lost, nobody knows what the registry has.
            self.know(id, &upload, None).await?;
        }
        let relayed = upload::send_on(destination, &received).await?;
        if relayed.status.is_success() {
            let volumes = self.clone();
            // Whoever sent it may be gone by now, and it was taken all the same.
            let noted = tokio::spawn(async move {
                volumes.note(id, upload, received, integrity).await;
                // Not before: what is noted late would take the place of what the next one sent.
                drop(under_way);
            });
            if let Err(error) = noted.await {
                error!(%error, "what was uploaded is not remembered");
            }
        }
        let mut answer = forward::coming(relayed, Passing::Listed);
        if !is_of(&registry.upstream, &url) && !is_problem(&answer) {
            [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, LINK]
                .iter()
                .for_each(|name| drop(answer.headers.remove(name)));
            answer.content = Content::Whole(::bytes::Bytes::new());
        }
        Ok(answer)
    }

    /// The upload at `place`.
    async fn find(&self, place: &UploadId) -> Result<(Sha256, Upload), Refused> {
        let id = record::id_of(place).ok_or(Ours::UnknownUpload)?;
        let (upload, until) = self.uploads.get(&id).await?.ok_or(Ours::UnknownUpload)?;
        if !upload.is_at(place) {
            return Err(Ours::UnknownUpload.into());
        }
        let now = self.ground.clock.now();
        if now >= upload.expires_at || now > until {
            return Err(Ours::Expired.into());
        }
        Ok((id, upload))
    }

    /// Whether whoever sends these header fields may use the place.
    fn admit(&self, upload: &Upload, headers: &HeaderMap) -> Result<(), Refused> {
        let sender = Owner::of(headers);
        match () {
            () if upload.grant.owner.is(&sender) => Ok(()),
            () if sender.is_nobody() => Err(Ours::NoCredential.into()),
            () => Err(Ours::NotTheirs.into()),
        }
    }

    fn expectation(&self, upload: &Upload, strict: bool) -> Expectation {
        let archive = upload.release().filter(|_| strict && upload.grant.kind == Kind::Archive);
        Expectation {
            limit: self.limit(upload.declared.size),
            declared: upload.declared,
            strict,
            archive,
            limits: self.ground.sizes().archive.limits,
        }
    }

    /// Remembers what the registry has of an upload.
    async fn know(&self, id: Sha256, upload: &Upload, uploaded: Option<Uploaded>) -> Result<(), Refused> {
        let _naming = self.naming.lock().await;
        let held = self.uploads.get(&id).await?;
        // A grant that was repeated meanwhile has the newer instruction.
        let Some((held, until)) = held.filter(|(held, _)| held.grant == upload.grant) else { return Ok(()) };
        self.uploads.put(id, held.with(uploaded), until, None).await
    }

    /// Notes what the registry took, and keeps an archive that passed for those who will ask for it.
    async fn note(&self, id: Sha256, upload: Upload, received: Received, integrity: Option<Integrity>) {
        let uploaded = Uploaded { sha256: received.sha256(), length: received.length(), integrity };
        if let Err(error) = self.know(id, &upload, Some(uploaded)).await {
            error!(%error, ?upload, "cannot remember what was uploaded; its finalize is not held against it");
        }
        if let (Some(integrity), Some(release)) = (integrity, upload.release()) {
            self.ground.files.seed(&release, &integrity, received).await;
        }
    }
}

/// Whether `url` is at the registry's own origin.
fn is_of(upstream: &Upstream, url: &Url) -> bool {
    Url::parse(upstream.origin()).is_ok_and(|home| home.origin() == url.origin())
}

/// Whether an answer is a problem document. Whatever else a store says of a request may repeat how it was signed.
fn is_problem(answer: &Answer) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/problem+json"))
}

/// Whether an upload came whole and is not what it must be.
fn is_about_content(error: &Refused) -> bool {
    matches!(error, Refused::Size { .. } | Refused::Digest { .. } | Refused::Volumes(Ours::Archive(_)))
}

/// What the registry's instruction has clients send to the place.
fn given(upload: &Upload) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(instruction::needs)?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    upload.headers.iter().filter_map(field).collect()
}

/// What goes on of the client's own, where the instruction does not say otherwise. Its credential leaves for the
/// registry itself only.
fn headers(upload: &Upload, sent: &HeaderMap) -> HeaderMap {
    let declared = upload.media_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok());
    let kind = sent.get(CONTENT_TYPE).cloned().or(declared).map(|kind| (CONTENT_TYPE, kind));
    let credential = sent.get(AUTHORIZATION).cloned().map(|credential| (AUTHORIZATION, credential));
    kind.into_iter().chain(credential).collect()
}
