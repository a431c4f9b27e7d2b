//! Trust views: whom they are about, and the attachments a detail lists (specification, "Trust metadata").
//!
//! Owns their shape, the links to artifacts, and whether embedded bytes are those that their digest names: a text's UTF-8
//! bytes are the artifact. Must not know the release they should be about, nor what was seen before.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::cut::span;
use super::extent::few;
use super::release::{Mismatch, other_purl};
use super::shape::{DETAIL, SUMMARY};
use super::{Edits, Facts, From, Malformed, parse, string};
use crate::domain::link::{Replacement, trust_artifact_path};
use crate::domain::{Integrity, Sha256, Version, VolumeName};

/// What a trust summary or detail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The subject's logical identity where it is not the route's.
    pub mismatch: Option<Mismatch>,
    /// The subject's content identity.
    pub integrity: Integrity,
    /// Which of the view's texts this is.
    pub revision: Option<Revision>,
    /// The attachments a detail lists; none for a summary.
    pub attachments: Vec<Attachment>,
}

impl Trust {
    pub(super) fn weight(&self) -> usize {
        let texts = |attachment: &Attachment| {
            let url = match &attachment.locator {
                Locator::Url(url) => url.len(),
                Locator::Embedded => 0,
            };
            size_of::<Attachment>() + attachment.id.len() + attachment.media_type.len() + url
        };
        size_of::<Self>() + self.attachments.iter().map(texts).sum::<usize>()
    }
}

/// Which of a view's texts one is: a later one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The registry's own count or name.
    pub revision: String,
    /// When it was made, as the registry writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

/// A statement about a release. Its status may change; that it exists and its digest may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The registry's name for it, unique within the detail.
    pub id: String,
    /// The SHA-256 of its bytes.
    pub digest: Sha256,
    /// The length of its bytes, where given.
    pub size: Option<u64>,
    /// Its media type.
    pub media_type: String,
    /// Where its bytes are.
    pub locator: Locator,
    /// What its embedded bytes are where they are not those of the digest.
    pub embeds: Option<String>,
    /// Whether it counts now.
    pub is_active: bool,
    /// The content identity that it is said to have been verified against.
    pub subject: Option<Integrity>,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// At a URL, absolute or relative to the detail's own, and perhaps in the detail too.
    Url(String),
    /// In the detail itself and nowhere else.
    Embedded,
}

#[derive(Deserialize)]
struct Summary {
    subject: Subject,
    #[serde(default)]
    revision: Option<Revision>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    subject: Subject,
    #[serde(default)]
    revision: Option<Revision>,
    #[serde(borrow, deserialize_with = "few")]
    attachments: Vec<Listed<'a>>,
}

#[derive(Deserialize)]
struct Subject {
    purl: String,
    integrity: Integrity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    id: String,
    format: Format,
    artifact_digest: Sha256,
    #[serde(default)]
    artifact_size: Option<u64>,
    #[serde(borrow)]
    locator: Where<'a>,
    status: Standing,
    #[serde(default)]
    verification: Option<Verification>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "mediaType")]
    media_type: String,
}

#[derive(Deserialize)]
struct Where<'a> {
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    embedded: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Standing {
    state: State,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum State {
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
    from: From<'_>,
) -> Result<(Facts, Edits), Malformed> {
    let Detail { subject, revision, attachments: listed } = parse::<Detail<'_>>(text, &DETAIL)?;
    let (mut attachments, mut edits) = (Vec::with_capacity(listed.len()), Edits::new());
    for listed in listed {
        let Listed { id, format, artifact_digest: digest, artifact_size: size, locator, .. } = listed;
        if let Some(url) = locator.url {
            let link = trust_artifact_path(name, version, &digest);
            edits.push((span(text, url), Replacement::Link(link)));
        }
        attachments.push(Attachment {
            id,
            digest,
            size,
            media_type: format.media_type,
            embeds: locator.embedded.and_then(|embedded| other_bytes(embedded, &digest, size)),
            locator: match (locator.url, locator.embedded) {
                (Some(url), _) => Locator::Url(from.resolve(string(url)?)),
                (None, Some(_)) => Locator::Embedded,
                (None, None) => return Err(Malformed("locator must have url or embedded".to_owned())),
            },
            is_active: listed.status.state == State::Active,
            subject: listed.verification.and_then(|verification| verification.subject_digest),
        });
    }
    let mut ids = HashSet::new();
    if !attachments.iter().all(|attachment| ids.insert(&attachment.id)) {
        return Err(Malformed("two attachments have one id".to_owned()));
    }
    Ok((Facts::Trust(about(name, version, subject, revision, attachments)), edits))
}

/// What `embedded` holds, where that is not the artifact with this digest and, where given, this size.
fn other_bytes(embedded: &RawValue, digest: &Sha256, size: Option<u64>) -> Option<String> {
    // Its bytes may be most of the document: only escapes are worth a copy.
    let Ok(Text(text)) = serde_json::from_str(embedded.get()) else { return Some("no text".to_owned()) };
    let (found, length) = (Sha256::of(text.as_bytes()), text.len() as u64);
    (found != *digest || size.is_some_and(|size| size != length))
        .then(|| format!("{length} bytes of {found}"))
}

fn about(
    name: &VolumeName,
    version: &Version,
    subject: Subject,
    revision: Option<Revision>,
    attachments: Vec<Attachment>,
) -> Trust {
    let mismatch = other_purl("subject.purl", name, version, &subject.purl);
    Trust { mismatch, integrity: subject.integrity, revision, attachments }
}
