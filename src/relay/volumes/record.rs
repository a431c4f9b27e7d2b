//! What is kept of an upload that a registry granted, and the place that clients send it to instead.
//!
//! A place is the record's id and 32 random bytes that only the record holds besides it. The id is that of the grant, so
//! a repeated request finds its record again, and the finalize that follows does. Owns both forms. Must not know where
//! records are kept, nor what becomes of an upload.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Sha256, UploadId, Version, VolumeName};
use crate::relay::Refused;
use crate::relay::kept::Owned;
use crate::relay::token::Owner;

/// Hexadecimal digits of each half of a place's name.
const HALF: usize = 64;

/// What is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// The archive of a release.
    Archive,
    /// The bytes of a trust attachment.
    Attachment,
}

/// Who was granted what, by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// The registry, by its name in the configuration.
    pub(super) upstream: String,
    pub(super) kind: Kind,
    pub(super) volume: VolumeName,
    /// The release that something is attached to; of a release's own archive its finalize does not name it.
    pub(super) attached_to: Option<Version>,
    /// What the registry calls it.
    pub(super) upload_id: String,
    pub(super) owner: Owner,
}

impl Grant {
    /// One digest for each, whatever is in it.
    pub(super) fn id(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// An upload that was granted and is not finalized.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) grant: Grant,
    /// What only the place's name knows besides.
    secret: String,
    /// The version that the archive must be, or that something is attached to, where the request was understood.
    pub(super) version: Option<Version>,
    /// Where the registry wants it, absolute.
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) media_type: Option<String>,
    pub(super) declared: Declared,
    pub(super) expires_at: Timestamp,
    pub(super) uploaded: Option<Uploaded>,
}

/// What was said of the bytes beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Declared {
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
}

/// What passed here and was taken by the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uploaded {
    pub(super) sha256: Sha256,
    pub(super) length: u64,
    /// The tree in it, where it was looked at.
    pub(super) integrity: Option<Integrity>,
}

/// What of an instruction is followed.
pub(super) struct Instructed {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) media_type: Option<String>,
    pub(super) expires_at: Timestamp,
}

impl Owned for Upload {
    fn owner(&self) -> &Owner {
        &self.grant.owner
    }
}

impl Upload {
    /// A granted upload. One that was granted before keeps its place, and what is known to have been uploaded.
    pub(super) fn new(
        grant: Grant,
        version: Option<Version>,
        declared: Declared,
        instructed: Instructed,
        before: Option<Self>,
    ) -> Result<Self, Refused> {
        let (secret, uploaded) = match before {
            Some(before) => (before.secret, before.uploaded),
            None => (secret()?, None),
        };
        let Instructed { url, method, headers, media_type, expires_at } = instructed;
        let upload =
            Self { grant, secret, version, url, method, headers, media_type, declared, expires_at, uploaded };
        Ok(upload)
    }

    /// The same, with what the registry is known to have of it.
    pub(super) fn with(self, uploaded: Option<Uploaded>) -> Self {
        Self { uploaded, ..self }
    }

    /// What its place is called.
    pub(super) fn name(&self) -> String {
        self.grant.id().hex() + &self.secret
    }

    /// Whether `name` is what its place is called.
    pub(super) fn is_at(&self, name: &UploadId) -> bool {
        self.name().as_bytes().ct_eq(name.as_str().as_bytes()).into()
    }

    /// The release it is for, where that is known.
    pub(super) fn release(&self) -> Option<Purl> {
        self.version.as_ref().map(|version| Purl::new(&self.grant.volume, version))
    }
}

/// The id of the record whose place may be called `name`.
pub(super) fn id_of(name: &UploadId) -> Option<Sha256> {
    let (id, secret) = name.as_str().split_at_checked(HALF)?;
    if secret.len() == HALF { Sha256::from_hex(id).ok() } else { None }
}

fn secret() -> Result<String, Refused> {
    let mut random = [0; HALF / 2];
    getrandom::fill(&mut random).map_err(|_| Refused::Lost)?;
    Ok(HEXLOWER.encode(&random))
}

/// Shows neither the place nor the URL, which may sign itself, nor a header field.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
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

    fn grant(upload_id: &str) -> Grant {
        Grant {
            upstream: "public".to_owned(),
            kind: Kind::Archive,
            volume: "@acme/x".parse().unwrap(),
            attached_to: None,
            upload_id: upload_id.to_owned(),
            owner: Owner::of(&HeaderMap::new()),
        }
    }

    fn upload(grant: Grant, before: Option<Upload>) -> Upload {
        let instructed = Instructed {
            url: "https://up.example/place?signature=secret-signature".to_owned(),
            method: "PUT".to_owned(),
            headers: vec![("x-secret".to_owned(), "secret-header".to_owned())],
            media_type: None,
            expires_at: Timestamp(9),
        };
        Upload::new(grant, None, Declared::default(), instructed, before).unwrap()
    }

    #[test]
    fn a_place_is_found_by_its_name_and_by_nothing_else() {
        let first = upload(grant("u-1"), None);
        let name: UploadId = first.name().parse().unwrap();
        assert_eq!(id_of(&name), Some(first.grant.id()));
        assert!(first.is_at(&name));
        let again = upload(grant("u-1"), Some(first.clone()));
        assert_eq!(again.name(), first.name(), "a repeated grant keeps its place");
        let other = upload(grant("u-1"), None);
        assert_eq!(other.grant.id(), first.grant.id());
        assert!(!other.is_at(&name), "who knows the grant does not know the place");
        assert_ne!(upload(grant("u-2"), None).grant.id(), first.grant.id());
        for name in ["x", &first.name()[1..], &(first.name() + "0"), &"z".repeat(2 * HALF)] {
            assert_eq!(id_of(&name.parse().unwrap()), None, "{name}");
        }
    }

    #[test]
    fn nothing_that_opens_a_place_is_printed() {
        let upload = upload(grant("u-1"), None);
        let printed = format!("{upload:?}");
        assert!(printed.contains("@acme/x"));
        for secret in ["secret", upload.secret.as_str(), "u-1"] {
            assert!(!printed.contains(secret), "{secret}: {printed}");
        }
    }
}
