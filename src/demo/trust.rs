//! Trust artifacts of the sample and the documents that list them.
//!
//! Owns artifact bytes, bound to their release, and the two trust views. Must not know routes beyond an
//! artifact's own.

use serde_json::{Value, json};

use super::answer::Answer;
use super::catalogue::Release;
use super::sample::{AttachmentSpec, Format};
use crate::domain::Sha256;

/// When the sample's trust metadata was last revised.
const UPDATED: &str = "2026-06-01T08:00:00Z";

impl Format {
    fn category(self) -> &'static str {
        match self {
            Self::Cyclonedx => "bom",
            Self::SlsaProvenance => "provenance",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Cyclonedx => "application/vnd.cyclonedx+json",
            Self::SlsaProvenance => "application/vnd.in-toto+json",
        }
    }

    fn document(self) -> Value {
        match self {
            Self::Cyclonedx => json!({"family": self, "mediaType": self.media_type(), "version": "1.6"}),
            Self::SlsaProvenance => json!({
                "family": self,
                "mediaType": self.media_type(),
                "predicateType": "https://slsa.dev/provenance/v1",
            }),
        }
    }
}

/// The trust summary of a release.
pub(super) fn summary(release: &Release) -> Answer {
    let artifacts = release.spec.trust.iter().map(|AttachmentSpec { format, .. }| {
        json!({"category": format.category(), "formatsPresent": [format], "present": true})
    });
    Answer::document(&json!({
        "subject": subject(release),
        "artifacts": artifacts.collect::<Vec<_>>(),
        "detailAvailable": true,
        "revision": revision(release),
    }))
}

/// The trust detail of a release.
pub(super) fn detail(base: &str, release: &Release) -> Answer {
    let attachments = release.spec.trust.iter().map(|spec| attachment(base, spec, &artifact(spec, release)));
    Answer::document(&json!({
        "subject": subject(release),
        "revision": revision(release),
        "attachments": attachments.collect::<Vec<_>>(),
    }))
}

/// The artifacts that have a route of their own.
pub(super) fn artifacts(release: &Release) -> impl Iterator<Item = (String, Answer)> {
    release.spec.trust.iter().filter(|spec| !spec.embedded).map(|spec| {
        let artifact = artifact(spec, release);
        (path(&artifact), Answer::bytes(spec.format.media_type(), artifact.into()))
    })
}

fn subject(release: &Release) -> Value {
    json!({"purl": release.purl.to_string(), "integrity": release.integrity})
}

fn revision(release: &Release) -> Value {
    json!({"revision": release.spec.trust.len().to_string(), "updatedAt": UPDATED})
}

fn artifact(spec: &AttachmentSpec, release: &Release) -> String {
    let purl = release.purl.to_string();
    spec.template.replace("$PURL", &purl).replace("$DIGEST", &release.integrity.digest().hex())
}

/// An embedded artifact is a JSON string whose UTF-8 bytes are the artifact; the protocol leaves its form open.
fn attachment(base: &str, spec: &AttachmentSpec, artifact: &str) -> Value {
    let locator = match spec.embedded {
        true => json!({"embedded": artifact}),
        false => json!({"url": format!("{base}{}", path(artifact))}),
    };
    json!({
        "id": spec.id,
        "category": spec.format.category(),
        "format": spec.format.document(),
        "artifactDigest": Sha256::of(artifact.as_bytes()).to_string(),
        "artifactSize": artifact.len(),
        "locator": locator,
        "status": {"state": "active"},
    })
}

fn path(artifact: &str) -> String {
    format!("/cdn/trust/{}", Sha256::of(artifact.as_bytes()).hex())
}
