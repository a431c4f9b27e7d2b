//! The record of an upload that a registry granted, and the name in the upload URL that clients send it to.
//!
//! The name is the record's id and 32 random bytes, which only the record holds. The id follows from the grant, so a
//! repeated request and the finalize find the record. Owns both forms. Must not know where records are kept, nor what
//! becomes of an upload.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::domain::{Change, Integrity, Purl, Sha256, UploadId, Version, VolumeName};
use crate::relay::WriteRefusal;
use crate::relay::owner::Owner;
use crate::relay::upload_records::Owned;

/// The hexadecimal digits of each half of a name.
const HALF: usize = 64;

/// The kind of uploaded content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UploadKind {
    /// The archive of a release.
    Archive,
    /// The bytes of a trust attachment.
    Attachment,
}

/// The identity of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadGrant {
    /// The registry, by its name in the configuration.
    pub(super) upstream: String,
    pub(super) kind: UploadKind,
    pub(super) volume: VolumeName,
    /// The release that an attachment belongs to. `None` for an archive: its finalize does not name the release.
    pub(super) attached_to: Option<Version>,
    /// The registry's id of the upload.
    pub(super) upload_id: String,
    pub(super) owner: Owner,
}

impl UploadGrant {
    /// The grant of the upload `upload_id`, which `change` asks for or finalizes.
    pub(super) fn new(
        change: &Change,
        volume: &VolumeName,
        upstream: &str,
        upload_id: &UploadId,
        owner: Owner,
    ) -> Self {
        let attached_to = change.attached_to().cloned();
        let kind = if attached_to.is_some() { UploadKind::Attachment } else { UploadKind::Archive };
        let (upstream, volume, upload_id) = (upstream.to_owned(), volume.clone(), upload_id.to_string());
        Self { upstream, kind, volume, attached_to, upload_id, owner }
    }

    /// The id of the record.
    pub(super) fn id(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// An upload that was granted and is not finalized.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadRecord {
    pub(super) grant: UploadGrant,
    /// The random half of the name.
    secret: String,
    /// The version of the archive, or of the release that it is attached to, if the request was valid.
    pub(super) version: Option<Version>,
    /// The registry's absolute URL for it.
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) media_type: Option<String>,
    pub(super) declared: DeclaredContent,
    pub(super) expires_at: Timestamp,
    pub(super) uploaded: Option<UploadedContent>,
}

/// The content as the client declared it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeclaredContent {
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
}

/// The content that the registry accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadedContent {
    pub(super) sha256: Sha256,
    pub(super) length: u64,
    /// The integrity of a checked archive.
    pub(super) integrity: Option<Integrity>,
}

/// The instruction of a grant.
pub(super) struct UploadInstruction {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) media_type: Option<String>,
    pub(super) expires_at: Timestamp,
}

impl Owned for UploadRecord {
    fn owner(&self) -> &Owner {
        &self.grant.owner
    }
}

impl UploadRecord {
    /// The record of a grant. A repeated grant keeps its name and the content that was uploaded.
    pub(super) fn new(
        grant: UploadGrant,
        version: Option<Version>,
        declared: DeclaredContent,
        instructed: UploadInstruction,
        before: Option<Self>,
    ) -> Result<Self, WriteRefusal> {
        let (secret, uploaded) = match before {
            Some(before) => (before.secret, before.uploaded),
            None => (secret()?, None),
        };
        let UploadInstruction { url, method, headers, media_type, expires_at } = instructed;
        Ok(Self { grant, secret, version, url, method, headers, media_type, declared, expires_at, uploaded })
    }

    /// The name in its upload URL.
    pub(super) fn name(&self) -> String {
        self.grant.id().hex() + &self.secret
    }

    /// Whether `name` is its name.
    pub(super) fn has_name(&self, name: &UploadId) -> bool {
        self.name().as_bytes().ct_eq(name.as_str().as_bytes()).into()
    }

    /// The release that it is for, if known.
    pub(super) fn release(&self) -> Option<Purl> {
        self.version.as_ref().map(|version| Purl::new(&self.grant.volume, version))
    }
}

/// The id of the record that may have this name.
pub(super) fn id_of(name: &UploadId) -> Option<Sha256> {
    let (id, secret) = name.as_str().split_at_checked(HALF)?;
    if secret.len() == HALF { Sha256::from_hex(id).ok() } else { None }
}

fn secret() -> Result<String, WriteRefusal> {
    let mut random = [0; HALF / 2];
    getrandom::fill(&mut random).map_err(|_| WriteRefusal::Lost)?;
    Ok(HEXLOWER.encode(&random))
}

/// Prints neither the name, nor the URL, which may be signed, nor a header field.
impl fmt::Debug for UploadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadRecord")
            .field("upstream", &self.grant.upstream)
            .field("kind", &self.grant.kind)
            .field("volume", &self.grant.volume)
            .field("version", &self.version)
            .field("declared", &self.declared)
            .field("expires_at", &self.expires_at)
            .field("uploaded", &self.uploaded)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn grant(upload_id: &str) -> UploadGrant {
        UploadGrant {
            upstream: "public".to_owned(),
            kind: UploadKind::Archive,
            volume: "@acme/x".parse().unwrap(),
            attached_to: None,
            upload_id: upload_id.to_owned(),
            owner: Owner::of(&HeaderMap::new()),
        }
    }

    fn upload(grant: UploadGrant, before: Option<UploadRecord>) -> UploadRecord {
        let instructed = UploadInstruction {
            url: "https://up.example/place?signature=secret-signature".to_owned(),
            method: "PUT".to_owned(),
            headers: vec![("x-secret".to_owned(), "secret-header".to_owned())],
            media_type: None,
            expires_at: Timestamp(9),
        };
        UploadRecord::new(grant, None, DeclaredContent::default(), instructed, before).unwrap()
    }

    #[test]
    fn a_record_is_found_by_its_name_and_by_nothing_else() {
        let first = upload(grant("u-1"), None);
        let name: UploadId = first.name().parse().unwrap();
        assert_eq!(id_of(&name), Some(first.grant.id()));
        assert!(first.has_name(&name));
        let again = upload(grant("u-1"), Some(first.clone()));
        assert_eq!(again.name(), first.name(), "a repeated grant keeps its name");
        let other = upload(grant("u-1"), None);
        assert_eq!(other.grant.id(), first.grant.id());
        assert!(!other.has_name(&name), "the grant does not tell the name");
        assert_ne!(upload(grant("u-2"), None).grant.id(), first.grant.id());
        for name in ["x", &first.name()[1..], &(first.name() + "0"), &"z".repeat(2 * HALF)] {
            assert_eq!(id_of(&name.parse().unwrap()), None, "{name}");
        }
    }

    #[test]
    fn debug_prints_no_secret_of_an_upload() {
        let upload = upload(grant("u-1"), None);
        let printed = format!("{upload:?}");
        assert!(printed.contains("@acme/x"));
        for secret in ["secret", upload.secret.as_str(), "u-1"] {
            assert!(!printed.contains(secret), "{secret}: {printed}");
        }
    }
}
