//! The content of an upload, which a client sends to an upload URL of this proxy.
//!
//! Owns which clients may use the URL and until when, what the content must be, and which header fields go with it to the
//! URL that the registry named. Must not know how an upload is received, nor how it is sent.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::Mutex;
use tracing::{error, warn};
use url::Url;

use super::record::{self, DeclaredContent, UploadKind, UploadRecord, UploadedContent};
use super::{Volumes, instruction};
use crate::domain::fields::is_media_type;
use crate::domain::{Integrity, Purl, Sha256, UploadId};
use crate::files::{sealed_facts, verify_arriving};
use crate::intake::{Arriving, Received};
use crate::relay::forward::{self, PassedFields};
use crate::relay::owner::Owner;
use crate::relay::upload::{self, CheckedUpload, Description};
use crate::relay::{ClientBody, RelayRequest, RelayedAnswer, RelayedContent, WriteRefusal};
use crate::store::StoreError;
use crate::upstream::{RegistryClient, Target, WriteBody, WriteRequest};
use archive::{ArchiveError, ArchiveLimits, ExpectedRelease, Framing, VerifiedArchive};

/// The required content.
struct Expectation {
    declared: DeclaredContent,
    /// Whether the content is compared with what was declared.
    strict: bool,
    /// The release whose archive the content must be.
    archive: Option<Purl>,
    limits: ArchiveLimits,
}

impl Description for Expectation {
    /// What an archive is. An invalid archive is returned as a value: a wrong digest or size is the better
    /// explanation.
    type Found = Result<Option<VerifiedArchive>, ArchiveError>;

    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Self::Found, WriteRefusal> {
        let Some(Purl { name, version }) = &self.archive else { return Ok(Ok(None)) };
        let verified =
            verify_arriving(content, &ExpectedRelease { name, version, integrity: None }, &self.limits);
        // The registry receives these very bytes, so every reader must unpack them to what was checked here.
        let verified = verified.and_then(|verified| match verified.examined.framing {
            Framing::Canonical => Ok(verified),
            Framing::Readable(departure) => Err(ArchiveError::Framing(departure)),
        });
        match verified {
            Ok(verified) => Ok(Ok(Some(verified))),
            Err(ArchiveError::Scratch(error)) => Err(StoreError::from(error).into()),
            Err(error) if self.declared.sha256.is_none() && self.declared.size.is_none() => {
                Err(WriteRefusal::Archive(error))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn judge(&self, _: &Self::Found, received: &Received) -> Result<(), WriteRefusal> {
        let (sha256, length) = (received.sha256(), received.length());
        if !self.strict {
            return Ok(());
        }
        match self.declared {
            DeclaredContent { size: Some(expected), .. } if expected != length => {
                Err(WriteRefusal::Size { expected, found: length })
            }
            DeclaredContent { sha256: Some(expected), .. } if expected != sha256 => {
                Err(WriteRefusal::Digest { expected, found: sha256 })
            }
            DeclaredContent { .. } => Ok(()),
        }
    }

    fn seal(&self, found: &Self::Found) -> (Sha256, String) {
        match (found, &self.archive) {
            (Ok(Some(verified)), Some(release)) => {
                (*verified.examined.integrity.digest(), release.to_string())
            }
            _ => (Sha256::of(b""), String::new()),
        }
    }

    fn facts(&self, found: &Self::Found) -> Vec<u8> {
        let verified = found.as_ref().ok().and_then(Option::as_ref);
        verified.map(|verified| sealed_facts(&verified.manifest)).unwrap_or_default()
    }
}

/// An upload that is being sent, until this is dropped.
struct UploadUnderWay {
    all: Arc<Mutex<HashSet<Sha256>>>,
    id: Sha256,
}

impl UploadUnderWay {
    fn enter(all: &Arc<Mutex<HashSet<Sha256>>>, id: Sha256) -> Option<Self> {
        let entered = all.lock().insert(id);
        entered.then(|| Self { all: Arc::clone(all), id })
    }
}

impl Drop for UploadUnderWay {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

impl Volumes {
    pub(super) async fn upload(
        &self,
        name: &UploadId,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let (id, upload) = self.find(name).await?;
        Self::admit(&upload, request.headers)?;
        let registry =
            self.writable(&upload.grant.volume, |upstreams| upstreams.named(&upload.grant.upstream))?;
        let under_way = UploadUnderWay::enter(&self.under_way, id).ok_or(WriteRefusal::UnderWay)?;
        // Read again: the record may have changed meanwhile.
        let (id, upload) = self.find(name).await?;
        if let Some(expected) = upload.media_type.as_ref().filter(|_| registry.strict)
            && !forward::is_sent_as(request.headers, expected)
        {
            return Err(WriteRefusal::MediaType { expected: expected.clone().into() });
        }
        let expectation = Arc::new(self.expectation(&upload, registry.strict));
        let (client, limit) = (request.client(), self.limit(upload.declared.size));
        let checked = upload::take_in(&self.services, &client, expectation, limit, body).await;
        let checked =
            checked.and_then(|CheckedUpload { received, found, slot }| Ok((received, found?, slot)));
        let (received, verified, _slot) = checked.inspect_err(|error| {
            if error.facets().is_about_content {
                self.services.metrics.integrity_failure("upload");
                warn!(%error, ?upload, request_id = request.context.id, "an upload is refused");
            }
        })?;
        let integrity = verified.map(|verified| verified.examined.integrity);
        let url = Url::parse(&upload.url).map_err(|_| WriteRefusal::UnknownUpload)?;
        let given = given(&upload);
        let write = WriteRequest {
            resource: "upload",
            method: Method::from_bytes(upload.method.as_bytes()).unwrap_or(Method::PUT),
            target: Target::At { url: &url, given: &given },
            headers: headers(&upload, request.headers),
            body: WriteBody::Once(upload::outgoing(&received)),
            context: request.context,
        };
        if upload.uploaded.is_some() {
            // If the answer is lost, it is unknown which content the registry has.
            self.set_uploaded(id, &upload, None).await?;
        }
        let relayed = registry.upstream.relay(write).await?;
        if relayed.status.is_success() {
            let volumes = self.clone();
            // A task, since the client may be gone although the registry took the upload.
            let noted = tokio::spawn(async move {
                volumes.record_uploaded(id, upload, received, integrity).await;
                // Not before: a late record would overwrite that of the next upload.
                drop(under_way);
            });
            if let Err(error) = noted.await {
                error!(%error, "the record of an upload is not updated");
            }
        }
        let mut answer = forward::streamed(relayed, PassedFields::Listed);
        if !is_at_home(&registry.upstream, &url) && !is_problem(&answer) {
            [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, LINK]
                .iter()
                .for_each(|name| drop(answer.headers.remove(name)));
            answer.content = RelayedContent::Whole(::bytes::Bytes::new());
        }
        Ok(answer)
    }

    /// The upload whose URL has this name.
    async fn find(&self, name: &UploadId) -> Result<(Sha256, UploadRecord), WriteRefusal> {
        let id = record::id_of(name).ok_or(WriteRefusal::UnknownUpload)?;
        let (upload, until) = self.uploads.get(&id).await?.ok_or(WriteRefusal::UnknownUpload)?;
        if !upload.has_name(name) {
            return Err(WriteRefusal::UnknownUpload);
        }
        let now = self.services.clock.now();
        if now >= upload.expires_at || now > until {
            return Err(WriteRefusal::Expired);
        }
        Ok((id, upload))
    }

    /// Refuses the sender of these header fields, unless it began the upload.
    fn admit(upload: &UploadRecord, headers: &HeaderMap) -> Result<(), WriteRefusal> {
        let sender = Owner::of(headers);
        if upload.grant.owner.is(&sender) {
            return Ok(());
        }
        Err(if sender.is_nobody() { WriteRefusal::NoCredential } else { WriteRefusal::OtherCredential })
    }

    fn expectation(&self, upload: &UploadRecord, strict: bool) -> Expectation {
        let archive = upload.release().filter(|_| strict && upload.grant.kind == UploadKind::Archive);
        Expectation {
            declared: upload.declared,
            strict,
            archive,
            limits: self.services.sizes().archive.limits,
        }
    }

    /// Records which content the registry has.
    async fn set_uploaded(
        &self,
        id: Sha256,
        upload: &UploadRecord,
        uploaded: Option<UploadedContent>,
    ) -> Result<(), WriteRefusal> {
        let _naming = self.naming.lock().await;
        let held = self.uploads.get(&id).await?;
        // A grant that was repeated meanwhile has the newer instruction, which is kept.
        let Some((mut held, until)) = held.filter(|(held, _)| held.grant == upload.grant) else {
            return Ok(());
        };
        held.uploaded = uploaded;
        self.uploads.put(id, held, until, None).await
    }

    /// Records the content that the registry accepted, and stores a valid archive for later reads.
    async fn record_uploaded(
        &self,
        id: Sha256,
        upload: UploadRecord,
        received: Received,
        integrity: Option<Integrity>,
    ) {
        let uploaded = UploadedContent { sha256: received.sha256(), length: received.length(), integrity };
        if let Err(error) = self.set_uploaded(id, &upload, Some(uploaded)).await {
            error!(%error, ?upload, "cannot update the record of an upload; its finalize is not compared with it");
        }
        if let (Some(integrity), Some(release)) = (integrity, upload.release()) {
            self.services.files.seed(&release, &integrity, received).await;
        }
    }
}

/// Whether `url` is at the registry's own origin.
fn is_at_home(upstream: &RegistryClient, url: &Url) -> bool {
    Url::parse(upstream.origin()).is_ok_and(|home| home.origin() == url.origin())
}

/// Whether an answer is a problem document. Any other answer of an object store may repeat the signature.
fn is_problem(answer: &RelayedAnswer) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| is_media_type(kind, "application/problem+json"))
}

/// The header fields of the registry's instruction.
fn given(upload: &UploadRecord) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(instruction::needs)?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    upload.headers.iter().filter_map(field).collect()
}

/// The client's own header fields that are sent where the instruction sets none. The credential is sent to the
/// registry's own origin only.
fn headers(upload: &UploadRecord, sent: &HeaderMap) -> HeaderMap {
    let declared = upload.media_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok());
    let kind = sent.get(CONTENT_TYPE).cloned().or(declared).map(|kind| (CONTENT_TYPE, kind));
    let credential = sent.get(AUTHORIZATION).cloned().map(|credential| (AUTHORIZATION, credential));
    kind.into_iter().chain(credential).collect()
}
