//! Trust views: the release that they are about, and the attachments of a detail (specification, "Trust metadata").
//!
//! Owns their shape, the links to artifacts, and whether embedded bytes have their digest, where a text's UTF-8 bytes
//! are the artifact. Must not know which release they should be about, nor earlier views.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::extent::few;
use super::release::{IdentityMismatch, other_purl};
use super::shape::{DETAIL, SUMMARY};
use super::{DocumentSource, Edits, Facts, Malformed, parse, string};
use crate::domain::link::{Replacement, trust_artifact_path};
use crate::domain::members::span;
use crate::domain::{Integrity, Sha256, Version, VolumeName};

/// What a trust summary or detail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The subject's purl, if it differs from the route.
    pub(crate) mismatch: Option<IdentityMismatch>,
    /// The subject's integrity.
    pub(crate) integrity: Integrity,
    /// Which revision of the view this is.
    pub(crate) revision: Option<Revision>,
    /// The attachments of a detail; none for a summary.
    pub(crate) attachments: Vec<Attachment>,
}

impl Trust {
    pub(super) fn weight(&self) -> usize {
        let texts = |attachment: &Attachment| {
            let url = match &attachment.locator {
                Locator::Url(url) => url.len(),
                Locator::Embedded => 0,
            };
            size_of::<Attachment>()
                + attachment.id.len()
                + attachment.category.len()
                + attachment.media_type.len()
                + url
        };
        size_of::<Self>() + self.attachments.iter().map(texts).sum::<usize>()
    }
}

/// The revision of a view; a later one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revision {
    /// The registry's own number or name.
    pub(crate) revision: String,
    /// When it was made, as the registry writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<String>,
}

/// A statement about a release. Its status may change; its existence and digest may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The registry's name for it, unique within the detail.
    pub(crate) id: String,
    /// What kind of statement it is.
    pub(crate) category: String,
    pub(crate) digest: Sha256,
    /// The length of its bytes, if given.
    pub(crate) size: Option<u64>,
    pub(crate) media_type: String,
    pub(crate) locator: Locator,
    /// What its embedded bytes are, if they do not have the digest.
    pub(crate) embeds: Option<String>,
    /// Whether it is in force.
    pub(crate) is_active: bool,
    /// The integrity that it was verified against, according to the registry.
    pub(crate) subject: Option<Integrity>,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Locator {
    /// At a URL, absolute or relative to the detail's own; the detail may embed them too.
    Url(String),
    /// Only in the detail itself.
    Embedded,
}

#[derive(Deserialize)]
struct Summary {
    subject: TrustSubject,
    #[serde(default)]
    revision: Option<Revision>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    subject: TrustSubject,
    #[serde(default)]
    revision: Option<Revision>,
    #[serde(borrow, deserialize_with = "few")]
    attachments: Vec<ListedAttachment<'a>>,
}

#[derive(Deserialize)]
struct TrustSubject {
    purl: String,
    integrity: Integrity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedAttachment<'a> {
    id: String,
    #[serde(default)]
    category: String,
    format: ArtifactFormat,
    artifact_digest: Sha256,
    #[serde(default)]
    artifact_size: Option<u64>,
    #[serde(borrow)]
    locator: ArtifactLocation<'a>,
    status: AttachmentStatus,
    #[serde(default)]
    verification: Option<Verification>,
}

#[derive(Deserialize)]
struct ArtifactFormat {
    #[serde(rename = "mediaType")]
    media_type: String,
}

#[derive(Deserialize)]
struct ArtifactLocation<'a> {
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    embedded: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EmbeddedText<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct AttachmentStatus {
    state: AttachmentState,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum AttachmentState {
    Active,
    Revoked,
    Superseded,
    Invalid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    #[serde(default)]
    subject_digest: Option<Integrity>,
}

pub(super) fn read_summary(
    name: &VolumeName,
    version: &Version,
    text: &str,
) -> Result<(Facts, Edits), Malformed> {
    let Summary { subject, revision } = parse(text, &SUMMARY)?;
    Ok((Facts::Trust(about(name, version, subject, revision, Vec::new())), Edits::new()))
}

pub(super) fn read_detail(
    name: &VolumeName,
    version: &Version,
    text: &str,
    from: DocumentSource<'_>,
) -> Result<(Facts, Edits), Malformed> {
    let Detail { subject, revision, attachments: listed } = parse::<Detail<'_>>(text, &DETAIL)?;
    let (mut attachments, mut edits) = (Vec::with_capacity(listed.len()), Edits::new());
    for listed in listed {
        let ListedAttachment { id, category, format, artifact_digest: digest, artifact_size: size, .. } =
            listed;
        let locator = listed.locator;
        if let Some(url) = locator.url {
            let link = trust_artifact_path(name, version, &digest);
            edits.push((span(text, url), Replacement::Link(link)));
        }
        attachments.push(Attachment {
            id,
            category,
            digest,
            size,
            media_type: format.media_type,
            embeds: locator.embedded.and_then(|embedded| other_bytes(embedded, &digest, size)),
            locator: match (locator.url, locator.embedded) {
                (Some(url), _) => Locator::Url(from.resolve(string(url)?)),
                (None, Some(_)) => Locator::Embedded,
                (None, None) => return Err(Malformed("locator must have url or embedded".to_owned())),
            },
            is_active: listed.status.state == AttachmentState::Active,
            subject: listed.verification.and_then(|verification| verification.subject_digest),
        });
    }
    let mut ids = HashSet::new();
    if !attachments.iter().all(|attachment| ids.insert(&attachment.id)) {
        return Err(Malformed("two attachments have one id".to_owned()));
    }
    Ok((Facts::Trust(about(name, version, subject, revision, attachments)), edits))
}

/// What `embedded` holds, if it does not have this digest and this size.
fn other_bytes(embedded: &RawValue, digest: &Sha256, size: Option<u64>) -> Option<String> {
    // The bytes may be most of the document, so they are copied only where there are escapes.
    let Ok(EmbeddedText(text)) = serde_json::from_str(embedded.get()) else {
        return Some("no text".to_owned());
    };
    let (found, length) = (Sha256::of(text.as_bytes()), text.len() as u64);
    (found != *digest || size.is_some_and(|size| size != length))
        .then(|| format!("{length} bytes of {found}"))
}

fn about(
    name: &VolumeName,
    version: &Version,
    subject: TrustSubject,
    revision: Option<Revision>,
    attachments: Vec<Attachment>,
) -> Trust {
    let mismatch = other_purl("subject.purl", name, version, &subject.purl);
    Trust { mismatch, integrity: subject.integrity, revision, attachments }
}
