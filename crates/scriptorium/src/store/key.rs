//! The keys of everything that is stored, and their paths inside the storage.
//!
//! Owns every path: no other file spells one out. Must not know what is stored there.

use crate::domain::{Integrity, Resource, Sha256};

/// The key of a stored value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum StorageKey {
    /// A document in its envelope.
    Document {
        /// Its kind, which is a folder.
        resource: Resource,
        /// The digest of its registry and its question.
        name: Sha256,
    },
    /// A document about one release, in the same folder as those of the volume's other releases.
    OfRelease {
        /// Its kind, which is a folder.
        resource: Resource,
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of its registry and its question.
        name: Sha256,
    },
    /// One of a fixed number of keys that share all documents whose questions clients can invent.
    Slot {
        /// Their kind, which is a folder.
        resource: Resource,
        /// The number of the key.
        slot: u16,
    },
    /// The first integrity seen of a release whose archive was verified, or that a person vouched for.
    Pin {
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of the registry and the release.
        release: Sha256,
    },
    /// The first integrity seen of a release whose archive was not verified.
    Sighting {
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of the registry and the release.
        release: Sha256,
    },
    /// The trust attachments ever seen of a release, by the digest of the registry and the release.
    History(Sha256),
    /// An open divergence, by the digest of its subject.
    Divergence(Sha256),
    /// An upload that was granted and is not finished, by the digest of its grant.
    Upload(Sha256),
    /// A resumable upload under way, by the digest of its name at the registry.
    Session(Sha256),
    /// What a mirror selected, by the digest of its name.
    Mirror(Sha256),
    /// When the releases of a volume were first seen, and what was found out about them, by the digest of the registry and
    /// the volume.
    Evidence(Sha256),
    /// The invalidations that an operator declared.
    Invalidations,
    /// The archives whose content was refused.
    Refusals,
    /// What proxies on this bucket last told each other.
    News,
    /// The last proxies of a cluster that started on this bucket.
    Starts,
    /// The bundles that were taken in and made.
    Bundles,
    /// How much each value is used.
    Uses,
    /// A sealed archive.
    Archive(Integrity),
    /// A sealed trust artifact, by the digest of its bytes.
    TrustArtifact(Sha256),
    /// A damaged value that was set aside, or the note about it: its path and the time.
    Quarantined(String),
}

/// The common prefix of the keys of one kind of values, by which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPrefix {
    /// All documents.
    Documents,
    /// The documents of one kind about the releases of a volume, by the digest of its name.
    OfReleases(Resource, Sha256),
    /// All pins and sightings.
    Pins,
    /// The pins of a volume, by the digest of its name.
    PinsOf(Sha256),
    /// The sightings of a volume, by the digest of its name.
    SightingsOf(Sha256),
    /// All histories of trust attachments.
    Histories,
    /// All open divergences.
    Divergences,
    /// All unfinished uploads.
    Uploads,
    /// All resumable uploads.
    Sessions,
    /// What every mirror selected.
    Mirrors,
    /// The evidence about all volumes.
    Evidence,
    /// All archives.
    Archives,
    /// All trust artifacts.
    TrustArtifacts,
    /// All values that were set aside.
    Quarantine,
}

impl KeyPrefix {
    /// The folder inside the storage.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Documents => "documents".to_owned(),
            Self::OfReleases(resource, volume) => {
                format!("documents/{}/{}", resource.as_str(), sharded(volume))
            }
            Self::Pins => "pins".to_owned(),
            Self::PinsOf(volume) => format!("pins/{}", sharded(volume)),
            Self::SightingsOf(volume) => format!("pins/seen/{}", sharded(volume)),
            Self::Histories => "histories".to_owned(),
            Self::Divergences => "divergences".to_owned(),
            Self::Uploads => "uploads".to_owned(),
            Self::Sessions => "sessions".to_owned(),
            Self::Mirrors => "mirrors".to_owned(),
            Self::Evidence => "evidence".to_owned(),
            Self::Archives => "archives".to_owned(),
            Self::TrustArtifacts => "trust-artifacts".to_owned(),
            Self::Quarantine => "quarantine".to_owned(),
        }
    }
}

impl StorageKey {
    /// The path inside the storage. Digests are spread over 256 folders.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Document { resource, name } => {
                format!("documents/{}/{}.doc", resource.as_str(), sharded(name))
            }
            Self::OfRelease { resource, volume, name } => {
                format!("{}/{}.doc", KeyPrefix::OfReleases(*resource, *volume).path(), name.hex())
            }
            Self::Slot { resource, slot } => format!("documents/{}/{slot:04x}.doc", resource.as_str()),
            Self::Pin { volume, release } => {
                format!("{}/{}", KeyPrefix::PinsOf(*volume).path(), release.hex())
            }
            Self::Sighting { volume, release } => {
                format!("{}/{}", KeyPrefix::SightingsOf(*volume).path(), release.hex())
            }
            Self::History(release) => format!("histories/{}", sharded(release)),
            Self::Divergence(subject) => format!("divergences/{}", subject.hex()),
            Self::Upload(place) => format!("uploads/{}", place.hex()),
            Self::Session(upload) => format!("sessions/{}", upload.hex()),
            Self::Mirror(name) => format!("mirrors/{}", name.hex()),
            Self::Evidence(volume) => format!("evidence/{}", sharded(volume)),
            Self::Invalidations => "invalidations.json".to_owned(),
            Self::Refusals => "refusals".to_owned(),
            Self::News => "news".to_owned(),
            Self::Starts => "starts".to_owned(),
            Self::Bundles => "bundles".to_owned(),
            Self::Uses => "uses".to_owned(),
            Self::Archive(integrity) => format!("archives/{}", sharded(integrity.digest())),
            Self::TrustArtifact(digest) => format!("trust-artifacts/{}", sharded(digest)),
            Self::Quarantined(name) => format!("quarantine/{name}"),
        }
    }

    /// The digest that a file is sealed with; `None` for the key of a small value.
    pub(crate) fn sealed_as(&self) -> Option<&Sha256> {
        match self {
            Self::Archive(integrity) => Some(integrity.digest()),
            Self::TrustArtifact(digest) => Some(digest),
            _ => None,
        }
    }

    /// The kind of value in one word: the kind of a document, or the folder.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Document { resource, .. }
            | Self::OfRelease { resource, .. }
            | Self::Slot { resource, .. } => resource.as_str(),
            Self::Pin { .. } | Self::Sighting { .. } => "pins",
            Self::History(_) => "histories",
            Self::Divergence(_) => "divergences",
            Self::Upload(_) => "uploads",
            Self::Session(_) => "sessions",
            Self::Mirror(_) => "mirrors",
            Self::Evidence(_) => "evidence",
            Self::Invalidations => "invalidations",
            Self::Refusals => "refusals",
            Self::News => "news",
            Self::Starts => "starts",
            Self::Bundles => "bundles",
            Self::Uses => "uses",
            Self::Archive(_) => "archives",
            Self::TrustArtifact(_) => "trust-artifacts",
            Self::Quarantined(_) => "quarantine",
        }
    }

    /// The key with `path`; `None` for a path that no key has.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').collect();
        let digest = |hex: &str| Sha256::from_hex(hex).ok();
        let document = |file: &str| digest(file.strip_suffix(".doc")?);
        let key = match *segments {
            ["documents", resource, file] => {
                let slot = u16::from_str_radix(file.strip_suffix(".doc")?, 16).ok()?;
                Self::Slot { resource: Resource::named(resource)?, slot }
            }
            ["documents", resource, _, file] => {
                Self::Document { resource: Resource::named(resource)?, name: document(file)? }
            }
            ["documents", resource, _, volume, file] => Self::OfRelease {
                resource: Resource::named(resource)?,
                volume: digest(volume)?,
                name: document(file)?,
            },
            ["pins", _, volume, release] => Self::Pin { volume: digest(volume)?, release: digest(release)? },
            ["pins", "seen", _, volume, release] => {
                Self::Sighting { volume: digest(volume)?, release: digest(release)? }
            }
            ["histories", _, release] => Self::History(digest(release)?),
            ["divergences", subject] => Self::Divergence(digest(subject)?),
            ["uploads", place] => Self::Upload(digest(place)?),
            ["sessions", upload] => Self::Session(digest(upload)?),
            ["mirrors", name] => Self::Mirror(digest(name)?),
            ["evidence", _, volume] => Self::Evidence(digest(volume)?),
            ["invalidations.json"] => Self::Invalidations,
            ["refusals"] => Self::Refusals,
            ["news"] => Self::News,
            ["starts"] => Self::Starts,
            ["bundles"] => Self::Bundles,
            ["uses"] => Self::Uses,
            ["archives", _, tree] => Self::Archive(Integrity::new(digest(tree)?)),
            ["trust-artifacts", _, bytes] => Self::TrustArtifact(digest(bytes)?),
            ["quarantine", ..] => Self::Quarantined(path.strip_prefix("quarantine/")?.to_owned()),
            _ => return None,
        };
        (key.path() == path).then_some(key)
    }
}

fn sharded(digest: &Sha256) -> String {
    let hex = digest.hex();
    format!("{}/{hex}", &hex[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fixed_and_lead_back() {
        let hex = "ab".to_owned() + &"0123456789".repeat(6) + "cd";
        let name = Sha256::from_hex(&hex).unwrap();
        let (release, search) = (Resource::Release, Resource::Search);
        for (key, path) in [
            (
                StorageKey::Document { resource: Resource::Index, name },
                format!("documents/index/ab/{hex}.doc"),
            ),
            (
                StorageKey::OfRelease { resource: release, volume: name, name },
                format!("documents/release/ab/{hex}/{hex}.doc"),
            ),
            (StorageKey::Slot { resource: search, slot: 0x12f }, "documents/search/012f.doc".to_owned()),
            (StorageKey::Pin { volume: name, release: name }, format!("pins/ab/{hex}/{hex}")),
            (StorageKey::Sighting { volume: name, release: name }, format!("pins/seen/ab/{hex}/{hex}")),
            (StorageKey::History(name), format!("histories/ab/{hex}")),
            (StorageKey::Divergence(name), format!("divergences/{hex}")),
            (StorageKey::Upload(name), format!("uploads/{hex}")),
            (StorageKey::Session(name), format!("sessions/{hex}")),
            (StorageKey::Mirror(name), format!("mirrors/{hex}")),
            (StorageKey::Evidence(name), format!("evidence/ab/{hex}")),
            (StorageKey::Invalidations, "invalidations.json".to_owned()),
            (StorageKey::Refusals, "refusals".to_owned()),
            (StorageKey::News, "news".to_owned()),
            (StorageKey::Starts, "starts".to_owned()),
            (StorageKey::Bundles, "bundles".to_owned()),
            (StorageKey::Uses, "uses".to_owned()),
            (StorageKey::Archive(Integrity::new(name)), format!("archives/ab/{hex}")),
            (StorageKey::TrustArtifact(name), format!("trust-artifacts/ab/{hex}")),
            (StorageKey::Quarantined(format!("pins/{hex}.17")), format!("quarantine/pins/{hex}.17")),
        ] {
            assert_eq!(key.path(), path);
            assert_eq!(StorageKey::at(&path), Some(key));
        }
    }

    #[test]
    fn other_paths_have_no_key() {
        let hex = "ab".to_owned() + &"0".repeat(62);
        for path in [
            "",
            "archives",
            "archives/ab",
            "staging/probe",
            &format!("archives/ff/{hex}"),
            &format!("archives/ab/{hex}.doc"),
            &format!("documents/recipes/ab/{hex}.doc"),
            "quarantine",
        ] {
            assert_eq!(StorageKey::at(path), None, "{path}");
        }
    }
}
