//! The items of a manifest's lists.
//!
//! Owns the fields of each kind, what one may hold, and the order in which they stand: strictly ascending, so that no item
//! comes twice and one state has one text. Must not know how a list is read or written.

use archive::{Integrity, Sha256, Version, VolumeName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::head::is_line;
use crate::layout::{MAX_ITEMS, MAX_NUMBER, MAX_PARTS, part_name};
use crate::time::UtcSecond;

/// The lists of a manifest, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManifestSection {
    /// What registries sent.
    Documents,
    /// What the proxy serves.
    Files,
    /// Which integrity a release had first.
    Pins,
    /// What the mirror lacks.
    Missing,
    /// The tar files, where there are any.
    Parts,
}

impl ManifestSection {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Documents, Self::Files, Self::Pins, Self::Missing, Self::Parts];

    /// As the manifest writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Files => "files",
            Self::Pins => "pins",
            Self::Missing => "missing",
            Self::Parts => "parts",
        }
    }
}

/// An item of one of the lists.
pub trait ListedItem: Serialize + DeserializeOwned + Clone + 'static {
    /// The list that it stands in.
    const SECTION: ManifestSection;
    /// How many there may be.
    const MOST: usize = MAX_ITEMS;

    /// Why it cannot stand in a list.
    ///
    /// # Errors
    /// What is expected of which field.
    fn check(&self) -> Result<(), &'static str>;
    /// Whether `next` may stand after it.
    fn precedes(&self, next: &Self) -> bool;
    /// For whoever takes all kinds.
    fn as_item(&self) -> ManifestItem<'_>;
}

/// An item of any list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestItem<'a> {
    /// Of `documents`.
    Document(&'a BundledDocument),
    /// Of `files`.
    File(&'a BundledFile),
    /// Of `pins`.
    Pin(&'a BundledPin),
    /// Of `missing`.
    Gap(&'a BundleGap),
    /// Of `parts`.
    Part(&'a BundlePart),
}

/// What a registry answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledDocument {
    /// What was asked for.
    pub route: String,
    /// The registry, by its name; its base URL stands in the head.
    pub upstream: String,
    /// The status of the answer.
    pub status: u16,
    /// The blob with the body.
    #[serde(with = "hex")]
    pub sha256: Sha256,
    /// Its length.
    pub size: u64,
    /// The registry's tag, quotes included.
    #[serde(deserialize_with = "super::present")]
    pub etag: Option<String>,
    /// When the registry said so last.
    pub confirmed: UtcSecond,
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundledFileKind {
    /// The archive of a release.
    Archive,
    /// What a trust attachment points to.
    TrustArtifact,
}

/// A file that the proxy serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledFile {
    /// What kind of file it is.
    pub kind: BundledFileKind,
    /// The volume of its release.
    pub volume: VolumeName,
    /// The version of its release.
    pub version: Version,
    /// The integrity under which it is known.
    pub integrity: Integrity,
    /// The blob with its bytes.
    #[serde(with = "hex")]
    pub sha256: Sha256,
    /// Its length.
    pub size: u64,
}

/// The integrity that a release had when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledPin {
    /// The volume of the release.
    pub volume: VolumeName,
    /// The version of the release.
    pub version: Version,
    /// The integrity.
    pub integrity: Integrity,
    /// When it was seen.
    pub first_seen: UtcSecond,
}

/// What the mirror lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "GapFields", into = "GapFields")]
pub struct BundleGap {
    /// What it is.
    pub subject: GapSubject,
    /// Why it is not there.
    pub reason: String,
}

/// What can be lacking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapSubject {
    /// A root of the mirror.
    Root(String),
    /// A release.
    Release(String),
}

/// A tar file of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundlePart {
    /// Its name.
    pub name: String,
    /// Its digest.
    #[serde(with = "hex")]
    pub sha256: Sha256,
    /// Its length.
    pub size: u64,
}

const SIZE: &str = "`size` is expected to be at most 9007199254740991";

impl ListedItem for BundledDocument {
    const SECTION: ManifestSection = ManifestSection::Documents;

    fn check(&self) -> Result<(), &'static str> {
        if !(self.route.starts_with('/') && is_line(&self.route)) {
            return Err("`route` is expected to be a path");
        }
        if !is_line(&self.upstream) {
            return Err("`upstream` is expected to be a text of one line");
        }
        if !(100..=599).contains(&self.status) {
            return Err("`status` is expected to be one of HTTP");
        }
        if self.etag.as_ref().is_some_and(|etag| !is_line(etag)) {
            return Err("`etag` is expected to be null or a text of one line");
        }
        if self.size > MAX_NUMBER { Err(SIZE) } else { Ok(()) }
    }

    fn precedes(&self, next: &Self) -> bool {
        (&self.route, &self.upstream) < (&next.route, &next.upstream)
    }

    fn as_item(&self) -> ManifestItem<'_> {
        ManifestItem::Document(self)
    }
}

impl BundledFile {
    fn place(&self) -> (&VolumeName, &Version, BundledFileKind, &Integrity, &Sha256) {
        (&self.volume, &self.version, self.kind, &self.integrity, &self.sha256)
    }
}

impl ListedItem for BundledFile {
    const SECTION: ManifestSection = ManifestSection::Files;

    fn check(&self) -> Result<(), &'static str> {
        if self.size > MAX_NUMBER { Err(SIZE) } else { Ok(()) }
    }

    fn precedes(&self, next: &Self) -> bool {
        self.place() < next.place()
    }

    fn as_item(&self) -> ManifestItem<'_> {
        ManifestItem::File(self)
    }
}

impl ListedItem for BundledPin {
    const SECTION: ManifestSection = ManifestSection::Pins;

    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn precedes(&self, next: &Self) -> bool {
        (&self.volume, &self.version) < (&next.volume, &next.version)
    }

    fn as_item(&self) -> ManifestItem<'_> {
        ManifestItem::Pin(self)
    }
}

impl ListedItem for BundleGap {
    const SECTION: ManifestSection = ManifestSection::Missing;

    fn check(&self) -> Result<(), &'static str> {
        let (GapSubject::Root(subject) | GapSubject::Release(subject)) = &self.subject;
        if !is_line(subject) {
            return Err("`root` or `release` is expected to be a text of one line");
        }
        if is_line(&self.reason) { Ok(()) } else { Err("`reason` is expected to be a text of one line") }
    }

    fn precedes(&self, next: &Self) -> bool {
        self < next
    }

    fn as_item(&self) -> ManifestItem<'_> {
        ManifestItem::Gap(self)
    }
}

impl BundlePart {
    /// The number in its name; 0 where that is no number.
    fn number(&self) -> usize {
        self.name.get(5..9).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }
}

impl ListedItem for BundlePart {
    const SECTION: ManifestSection = ManifestSection::Parts;
    const MOST: usize = MAX_PARTS;

    fn check(&self) -> Result<(), &'static str> {
        if self.number() == 0 || self.name != part_name(self.number()) {
            return Err("`name` is expected to be `part-0001.tar` and so on");
        }
        if self.size > MAX_NUMBER { Err(SIZE) } else { Ok(()) }
    }

    fn precedes(&self, next: &Self) -> bool {
        self.number() + 1 == next.number()
    }

    fn as_item(&self) -> ManifestItem<'_> {
        ManifestItem::Part(self)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GapFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    reason: String,
}

impl TryFrom<GapFields> for BundleGap {
    type Error = &'static str;

    fn try_from(fields: GapFields) -> Result<Self, Self::Error> {
        let subject = match (fields.root, fields.release) {
            (Some(root), None) => GapSubject::Root(root),
            (None, Some(release)) => GapSubject::Release(release),
            (None, None) | (Some(_), Some(_)) => return Err("expected one of `root` and `release`"),
        };
        Ok(Self { subject, reason: fields.reason })
    }
}

impl From<BundleGap> for GapFields {
    fn from(gap: BundleGap) -> Self {
        let (root, release) = match gap.subject {
            GapSubject::Root(root) => (Some(root), None),
            GapSubject::Release(release) => (None, Some(release)),
        };
        Self { root, release, reason: gap.reason }
    }
}

/// Digests as the names of blobs have them, without a prefix.
mod hex {
    use super::{Deserialize, Deserializer, Serializer, Sha256, de};

    pub(super) fn serialize<S: Serializer>(digest: &Sha256, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        let text = String::deserialize(deserializer)?;
        Sha256::from_hex(&text)
            .map_err(|_| de::Error::custom("expected a digest of 64 lowercase hexadecimal digits"))
    }
}
