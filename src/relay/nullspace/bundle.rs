//! A version of a deployment, from its creation to its bundle.
//!
//! Owns both requests. Must not know how a tar is read.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};

use super::contents::Bundle;
use super::manifest::Manifest;
use super::passing::{IDEMPOTENCY_KEY, PASSING, patiently, uncoded};
use super::{Nullspace, Refused};
use crate::relay::token::Owner;
use crate::relay::upload::{self, Taken};
use crate::relay::{Answer, ClientBody, Refused as Unrelayed, Request, forward};

const BUNDLE_DIGEST: HeaderName = HeaderName::from_static("x-nullspace-bundle-digest");
const TAR: &str = "application/x-tar";

impl Nullspace {
    /// Relays the creation of a version and remembers what its bundle must be.
    pub(super) async fn create_version(
        &self,
        deployment: &str,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        let sizes = self.ground.sizes();
        let body = self.document(&request, body).await?;
        let relayed = self.pass_whole("nullspace-version", &request, &body).await?;
        let (answer, document) = forward::whole(relayed, PASSING, sizes.max_document).await?;
        // What cannot be read is the registry's to judge; its bundle will be.
        if answer.status.is_success()
            && let Ok(Ok(Some(manifest))) = self.read(body).await
        {
            let owner = Owner::of(request.headers);
            self.manifests.remember(deployment, &document, owner, Arc::new(manifest));
        }
        Ok(answer)
    }

    /// Takes a bundle in, and sends it on if it is what its version's manifest says.
    pub(super) async fn bundle(
        &self,
        deployment: &str,
        version: &str,
        request: Request<'_>,
        body: ClientBody,
    ) -> Result<Answer, Unrelayed> {
        let limit = self.ground.sizes().max_body;
        let headers = request.headers;
        // As they are sent: a client may have declared them to be the connection's.
        let onward = forward::onward(headers, PASSING);
        required(&onward, &IDEMPOTENCY_KEY, "Idempotency-Key")?;
        let declared = required(&onward, &BUNDLE_DIGEST, "X-Nullspace-Bundle-Digest")?.to_owned();
        if !is_tar(headers) {
            return Err(Unrelayed::MediaType { expected: TAR });
        }
        uncoded(headers)?;
        body.fits(limit)?;
        let owner = Owner::of(headers);
        let manifest = match self.manifests.of(deployment, version, &owner) {
            Some(manifest) => manifest,
            None => match self.ask_for_manifest(deployment, version, &request).await? {
                Ok(manifest) => Arc::new(manifest),
                Err(answer) => return Ok(answer),
            },
        };
        let bundle = Arc::new(Bundle { manifest, declared, limit });
        let taken = upload::take_in(&self.ground, &request.client(), bundle, body).await;
        let Taken { received, share: _share, .. } = taken.map_err(patiently)?;
        let relayed = self.send_on("nullspace-bundle", &request, &received).await?;
        Ok(forward::coming(relayed, PASSING))
    }

    /// The manifest that the registry has for a version, or its answer where it gives none to this client.
    async fn ask_for_manifest(
        &self,
        deployment: &str,
        version: &str,
        request: &Request<'_>,
    ) -> Result<Result<Manifest, Answer>, Unrelayed> {
        let path = format!("/v1/agent-deployments/{deployment}/versions/{version}");
        let (answer, document) = self.ask("nullspace-version", &path, request).await?;
        match answer.status {
            StatusCode::OK => Ok(Ok(self.read(document).await??.ok_or(Refused::Unverifiable)?)),
            status if status.is_success() => Err(Refused::Unverifiable.into()),
            _ => Ok(Err(answer)),
        }
    }

    /// The manifest in a version's document, which may be long.
    async fn read(&self, document: Bytes) -> Result<Result<Option<Manifest>, Refused>, Unrelayed> {
        let most = self.ground.sizes().archive.limits.max_entries;
        let reading = tokio::task::spawn_blocking(move || Manifest::of_version(&document, most));
        reading.await.map_err(|_| Unrelayed::Lost)
    }
}

/// The text of a header that must be there, once.
fn required<'a>(headers: &'a HeaderMap, name: &HeaderName, called: &'static str) -> Result<&'a str, Refused> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next().and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.filter(|_| values.next().is_none()).ok_or(Refused::Header(called))
}

fn is_tar(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(TAR))
}
