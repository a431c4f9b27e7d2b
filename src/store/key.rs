//! What is kept, and where.
//!
//! Owns every path inside the storage, and what a path is the place of: no other file spells one out. Must not
//! know what lies there.

use crate::domain::{Integrity, Resource, Sha256};

/// One stored value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StorageKey {
    /// A document in its envelope.
    Document {
        /// Its kind, which is a directory of its own.
        resource: Resource,
        /// The digest of everything that tells it from others of its kind.
        name: Sha256,
    },
    /// A document about one release, beside those of the volume's other releases.
    OfRelease {
        /// Its kind, which is a directory of its own.
        resource: Resource,
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of everything that tells it from others of its kind.
        name: Sha256,
    },
    /// One of a fixed number of places that documents clients can invent compete for, so that they cannot grow.
    Slot {
        /// Their kind, which is a directory of its own.
        resource: Resource,
        /// The place.
        slot: u16,
    },
    /// The first integrity seen for a release of which an archive was verified, or somebody knew it.
    Pin {
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of whose release it is.
        release: Sha256,
    },
    /// The first integrity seen for a release of which no archive was verified.
    Sighting {
        /// The digest of the volume's name.
        volume: Sha256,
        /// The digest of whose release it is.
        release: Sha256,
    },
    /// The trust attachments ever seen of a release, by the digest of whose release it is.
    History(Sha256),
    /// An open divergence, by the digest of what it is about.
    Divergence(Sha256),
    /// An upload that was granted and is not finished, by the digest of its place on this proxy.
    Upload(Sha256),
    /// A resumable upload under way, by the digest of what it is called where it goes.
    Session(Sha256),
    /// What an operator declared out of date.
    Invalidations,
    /// The archives that were refused for what they are.
    Refusals,
    /// How much each value was used.
    Uses,
    /// A sealed archive.
    Archive(Integrity),
    /// A sealed trust artifact, by the digest of its bytes.
    TrustArtifact(Sha256),
    /// A damaged value that was set aside, or the note about it: its path and when.
    Quarantined(String),
}

/// Values of one kind, to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// All documents.
    Documents,
    /// The documents of one kind about the releases of a volume, by the digest of its name.
    OfReleases(Resource, Sha256),
    /// All pins, of what was only seen as well.
    Pins,
    /// The pins of a volume that are kept for ever, by the digest of its name.
    PinsOf(Sha256),
    /// The others.
    SightingsOf(Sha256),
    /// All histories of trust attachments.
    Histories,
    /// All open divergences.
    Divergences,
    /// All unfinished uploads.
    Uploads,
    /// All resumable uploads.
    Sessions,
    /// All archives.
    Archives,
    /// All trust artifacts.
    TrustArtifacts,
    /// All that was set aside.
    Quarantine,
}

impl Shelf {
    /// The directory inside the storage.
    #[must_use]
    pub fn path(&self) -> String {
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
            Self::Archives => "archives".to_owned(),
            Self::TrustArtifacts => "trust-artifacts".to_owned(),
            Self::Quarantine => "quarantine".to_owned(),
        }
    }
}

impl StorageKey {
    /// The path inside the storage. Digests are spread over 256 directories.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Document { resource, name } => {
                format!("documents/{}/{}.doc", resource.as_str(), sharded(name))
            }
            Self::OfRelease { resource, volume, name } => {
                format!("{}/{}.doc", Shelf::OfReleases(*resource, *volume).path(), name.hex())
            }
            Self::Slot { resource, slot } => format!("documents/{}/{slot:04x}.doc", resource.as_str()),
            Self::Pin { volume, release } => format!("{}/{}", Shelf::PinsOf(*volume).path(), release.hex()),
            Self::Sighting { volume, release } => {
                format!("{}/{}", Shelf::SightingsOf(*volume).path(), release.hex())
            }
            Self::History(release) => format!("histories/{}", sharded(release)),
            Self::Divergence(subject) => format!("divergences/{}", subject.hex()),
            Self::Upload(place) => format!("uploads/{}", place.hex()),
            Self::Session(upload) => format!("sessions/{}", upload.hex()),
            Self::Invalidations => "invalidations.json".to_owned(),
            Self::Refusals => "refusals".to_owned(),
            Self::Uses => "uses".to_owned(),
            Self::Archive(integrity) => format!("archives/{}", sharded(integrity.digest())),
            Self::TrustArtifact(digest) => format!("trust-artifacts/{}", sharded(digest)),
            Self::Quarantined(name) => format!("quarantine/{name}"),
        }
    }

    /// The digest that a sealed value is known by; `None` for a key of other values.
    #[must_use]
    pub fn sealed_as(&self) -> Option<&Sha256> {
        match self {
            Self::Archive(integrity) => Some(integrity.digest()),
            Self::TrustArtifact(digest) => Some(digest),
            Self::Document { .. }
            | Self::OfRelease { .. }
            | Self::Slot { .. }
            | Self::Pin { .. }
            | Self::Sighting { .. }
            | Self::History(_)
            | Self::Divergence(_)
            | Self::Upload(_)
            | Self::Session(_)
            | Self::Invalidations
            | Self::Refusals
            | Self::Uses
            | Self::Quarantined(_) => None,
        }
    }

    /// The kind of value, in a word: a document's own kind, or the directory.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Document { resource, .. }
            | Self::OfRelease { resource, .. }
            | Self::Slot { resource, .. } => resource.as_str(),
            Self::Pin { .. } | Self::Sighting { .. } => "pins",
            Self::History(_) => "histories",
            Self::Divergence(_) => "divergences",
            Self::Upload(_) => "uploads",
            Self::Session(_) => "sessions",
            Self::Invalidations => "invalidations",
            Self::Refusals => "refusals",
            Self::Uses => "uses",
            Self::Archive(_) => "archives",
            Self::TrustArtifact(_) => "trust-artifacts",
            Self::Quarantined(_) => "quarantine",
        }
    }

    /// What lies at `path`; `None` for a path that is the place of nothing.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
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
            ["invalidations.json"] => Self::Invalidations,
            ["refusals"] => Self::Refusals,
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
            (StorageKey::Invalidations, "invalidations.json".to_owned()),
            (StorageKey::Refusals, "refusals".to_owned()),
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
    fn what_is_no_place_holds_nothing() {
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
