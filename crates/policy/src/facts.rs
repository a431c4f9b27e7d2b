//! What is known about a release when it is judged.
//!
//! Owns what "not known" means for each fact: [`PolicyFacts`] says it field by field. Must not know rules, nor where a fact
//! comes from.

use std::fmt;
use std::sync::Arc;

use archive::{Integrity, ManifestFacts, Version, VolumeName};
use serde::{Deserialize, Serialize};

use crate::advisory::{Advisory, UnreadAdvisory};

/// Everything that a policy may look at. Seconds are counted from 1970 on.
#[derive(Debug, Clone, Copy)]
pub struct PolicyFacts<'a> {
    /// The volume.
    pub name: &'a VolumeName,
    /// The version.
    pub version: &'a Version,
    /// The content; a waiver for certain bytes counts only if it is known.
    pub integrity: Option<&'a Integrity>,
    /// When this integrity was first seen here. If it was not, the release is as young as can be.
    pub first_seen: Option<u64>,
    /// How the archive comes; no rule on it matches before it is known.
    pub delivery: Option<Delivery>,
    /// What the manifest says; no rule on it matches before an archive was verified.
    pub manifest: Option<&'a ManifestFacts>,
    /// What is attached to the release.
    pub trust: TrustFacts<'a>,
    /// What was published against the volume.
    pub advisories: AdvisoryFacts<'a>,
}

impl<'a> PolicyFacts<'a> {
    /// A release of which only the name is known.
    #[must_use]
    pub fn of(name: &'a VolumeName, version: &'a Version) -> Self {
        Self {
            name,
            version,
            integrity: None,
            first_seen: None,
            delivery: None,
            manifest: None,
            trust: TrustFacts::NotAsked,
            advisories: AdvisoryFacts::default(),
        }
    }
}

/// How an archive comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As the tree of a Git reference.
    Git,
    /// As a file.
    Cdn,
}

impl Delivery {
    /// The word for it in a rule.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Cdn => "cdn",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is attached to a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrustFacts<'a> {
    /// Nobody asked yet; no rule on it matches.
    #[default]
    NotAsked,
    /// The registry could not be asked; for a rule everything is missing.
    CouldNotAsk,
    /// The categories of active attachments.
    Known(&'a [&'a str]),
}

/// What was published against a volume.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdvisoryFacts<'a> {
    /// The advisories about the volume, whichever versions they affect.
    pub about: &'a [Arc<Advisory>],
    /// Those that cannot be read and name the volume: which versions they affect is not known.
    pub unread: &'a [Arc<UnreadAdvisory>],
    /// How many cannot be read and name no volume.
    pub unread_about_any: usize,
    /// When a source last confirmed them; `None` if none ever did.
    pub confirmed: Option<u64>,
}
