//! A version of a deployment, from its creation to the upload of its bundle.
//!
//! Owns both requests. Must not know how a tar is read.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use nullspace::{BundleDescription, BundleError, BundleManifest, NullspaceRefusal, declared_bundle};

use super::Nullspace;
use super::passing::PASSED;
use crate::domain::Sha256;
use crate::intake::{Arriving, Received};
use crate::relay::owner::Owner;
use crate::relay::upload::{self, CheckedUpload, Description};
use crate::relay::{BodyError, ClientBody, RelayRequest, RelayedAnswer, WriteRefusal, forward};

/// The media type of a bundle.
const TAR: &str = "application/x-tar";

impl Description for BundleDescription {
    /// The bundle digest.
    type Found = Sha256;

    fn inspect(&self, content: &mut Arriving<'_>) -> Result<Sha256, WriteRefusal> {
        self.read(content).map_err(|error| match error {
            BundleError::Refused(refused) => refused.into(),
            BundleError::Source(_) => BodyError::Broken.into(),
        })
    }

    fn judge(&self, found: &Sha256, _: &Received) -> Result<(), WriteRefusal> {
        Ok(self.check(found)?)
    }
}

impl Nullspace {
    /// Relays the creation of a version and remembers the version's manifest.
    pub(super) async fn create_version(
        &self,
        deployment: &str,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let limit = self.services.sizes().max_document;
        let body = self.read_document(&request, body).await?;
        let relayed = self.send_document("nullspace-version", &request, &body).await?;
        let (answer, document) = forward::whole(relayed, PASSED, limit).await?;
        // The registry judges a manifest that cannot be read here. Its bundle is checked against the registry's copy.
        if answer.status.is_success()
            && let Ok(Ok(Some(manifest))) = self.read_manifest(body).await
        {
            let owner = Owner::of(request.headers);
            self.manifests.remember(deployment, &document, owner, Arc::new(manifest));
        }
        Ok(answer)
    }

    /// Receives a bundle, checks it against its version's manifest, and sends it.
    pub(super) async fn upload_bundle(
        &self,
        deployment: &str,
        version: &str,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let limit = self.services.sizes().max_body;
        let headers = request.headers;
        // Read from the fields that are sent: a `Connection` field can name any of them, which then ends here.
        let sent = forward::request(headers, PASSED);
        let declared = declared_bundle(&sent)?.to_owned();
        if !forward::is_sent_as(headers, TAR) {
            return Err(WriteRefusal::MediaType { expected: TAR.into() });
        }
        super::expect_uncoded(headers)?;
        body.fits(limit)?;
        let owner = Owner::of(headers);
        let manifest = match self.manifests.of(deployment, version, &owner) {
            Some(manifest) => manifest,
            None => match self.fetch_manifest(deployment, version, &request).await? {
                Ok(manifest) => Arc::new(manifest),
                Err(answer) => return Ok(answer),
            },
        };
        let bundle = Arc::new(BundleDescription::new(manifest, declared));
        let checked = upload::take_in(&self.services, &request.client(), bundle, limit, body).await?;
        let CheckedUpload { received, slot: _slot, .. } = checked;
        let relayed = self.send_upload("nullspace-bundle", &request, &received).await?;
        Ok(forward::streamed(relayed, PASSED))
    }

    /// The registry's manifest of a version, or the registry's answer if it gives none to this client.
    async fn fetch_manifest(
        &self,
        deployment: &str,
        version: &str,
        request: &RelayRequest<'_>,
    ) -> Result<Result<BundleManifest, RelayedAnswer>, WriteRefusal> {
        let path = format!("/v1/agent-deployments/{deployment}/versions/{version}");
        let (answer, document) = self.fetch("nullspace-version", &path, request).await?;
        match answer.status {
            StatusCode::OK => {
                let manifest = self.read_manifest(document).await??;
                Ok(Ok(manifest.ok_or(NullspaceRefusal::Unverifiable)?))
            }
            status if status.is_success() => Err(NullspaceRefusal::Unverifiable.into()),
            _ => Ok(Err(answer)),
        }
    }

    /// The manifest in a version's document, which may be long.
    async fn read_manifest(
        &self,
        document: Bytes,
    ) -> Result<Result<Option<BundleManifest>, NullspaceRefusal>, WriteRefusal> {
        let max_entries = self.services.sizes().archive.limits.max_entries;
        let reading = tokio::task::spawn_blocking(move || BundleManifest::of_version(&document, max_entries));
        reading.await.map_err(|_| WriteRefusal::Lost)
    }
}
