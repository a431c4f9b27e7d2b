//! Trust views: whom they are about, and the attachments a detail lists (specification, "Trust metadata").
//!
//! Owns their shape and the links to artifacts. Must not know the release they should be about, nor which
//! attachments were seen before.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::release::{Mismatch, other_purl};
use super::{Facts, Links, Malformed, parse, string};
use crate::domain::link::{Replacement, trust_artifact_path};
use crate::domain::{Integrity, Sha256, Version, VolumeName};

/// What a trust summary or detail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The subject's logical identity where it is not the route's.
    pub mismatch: Option<Mismatch>,
    /// The subject's content identity.
    pub integrity: Integrity,
    /// The attachments a detail lists; none for a summary.
    pub attachments: Vec<Attachment>,
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
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// At a URL, absolute or relative to the detail's own.
    Url(String),
    /// In the detail itself.
    Embedded,
}

#[derive(Deserialize)]
struct Summary {
    subject: Subject,
}

#[derive(Deserialize)]
struct Detail<'a> {
    subject: Subject,
    #[serde(borrow)]
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

pub(super) fn read_summary<'a>(
    name: &VolumeName,
    version: &Version,
    text: &'a str,
) -> Result<(Facts, Links<'a>), Malformed> {
    let Summary { subject } = parse(text)?;
    Ok((Facts::Trust(about(name, version, subject, Vec::new())), Vec::new()))
}

pub(super) fn read_detail<'a>(
    name: &VolumeName,
    version: &Version,
    text: &'a str,
) -> Result<(Facts, Links<'a>), Malformed> {
    let Detail { subject, attachments: listed } = parse::<Detail<'a>>(text)?;
    let (mut attachments, mut links) = (Vec::with_capacity(listed.len()), Vec::new());
    for Listed { id, format, artifact_digest: digest, artifact_size: size, locator } in listed {
        let locator = match (locator.url, locator.embedded) {
            (Some(url), None) => {
                links.push((url, Replacement::Link(trust_artifact_path(name, version, &digest))));
                Locator::Url(string(url)?)
            }
            (None, Some(_)) => Locator::Embedded,
            _ => return Err(Malformed("locator must have either url or embedded".to_owned())),
        };
        attachments.push(Attachment { id, digest, size, media_type: format.media_type, locator });
    }
    let mut ids = HashSet::new();
    if !attachments.iter().all(|attachment| ids.insert(&attachment.id)) {
        return Err(Malformed("two attachments have one id".to_owned()));
    }
    Ok((Facts::Trust(about(name, version, subject, attachments)), links))
}

fn about(name: &VolumeName, version: &Version, subject: Subject, attachments: Vec<Attachment>) -> Trust {
    let mismatch = other_purl("subject.purl", name, version, &subject.purl);
    Trust { mismatch, integrity: subject.integrity, attachments }
}
