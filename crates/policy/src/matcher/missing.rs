//! Which fact a matcher would have to know.
//!
//! Owns the names of facts that may be missing. What a matcher says without them, the parent's table says. Must not decide
//! anything.

use serde::Serialize;

use super::{Judging, Matcher};
use crate::facts::TrustFacts;

/// A fact that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingFact {
    /// When the release was first seen here.
    FirstSight,
    /// How its archive comes.
    Delivery,
    /// What its manifest says.
    Manifest,
    /// What is attached to it.
    Trust,
    /// What was published against it: the advisories are too old, were never asked for, or one cannot be read.
    Advisories,
}

impl MissingFact {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstSight => "first-sight",
            Self::Delivery => "delivery",
            Self::Manifest => "manifest",
            Self::Trust => "trust",
            Self::Advisories => "advisories",
        }
    }

    /// What is not known, and what makes it known.
    #[must_use]
    pub fn as_sentence(self) -> &'static str {
        match self {
            Self::FirstSight => {
                "the release was never seen here; its first request, or that of its index, dates it"
            }
            Self::Delivery => "the delivery is not known; it is once the exact metadata was asked for",
            Self::Manifest => "the manifest is not known; it is once the archive was verified",
            Self::Trust => "the trust metadata is not known; it is once the proxy asked for it",
            Self::Advisories => {
                "the advisories are not known; they are once a source confirmed them, each in the form of the specification"
            }
        }
    }
}

impl Matcher {
    /// The fact that it looks at, beside the name and the version.
    pub(crate) fn fact(&self) -> Option<MissingFact> {
        match self {
            Self::YoungerThan(_) => Some(MissingFact::FirstSight),
            Self::Delivery(_) => Some(MissingFact::Delivery),
            Self::Permissions(_)
            | Self::Components(_)
            | Self::PublishersNotIn(_)
            | Self::LicencesNotIn(_) => Some(MissingFact::Manifest),
            Self::TrustMissing(_) => Some(MissingFact::Trust),
            Self::Advisory(_) | Self::Advisories(_) => Some(MissingFact::Advisories),
            Self::Versions(_) | Self::NotVolumes(_) | Self::Resembles(_) => None,
        }
    }

    /// The fact that it would have to know and does not.
    pub(crate) fn lacks(&self, judging: &Judging<'_>) -> Option<MissingFact> {
        let (facts, fact) = (judging.facts, self.fact()?);
        let is_known = match fact {
            MissingFact::FirstSight => facts.first_seen.is_some(),
            MissingFact::Delivery => facts.delivery.is_some(),
            MissingFact::Manifest => facts.manifest.is_some(),
            MissingFact::Trust => matches!(facts.trust, TrustFacts::Known(_)),
            MissingFact::Advisories => self.affected_by(judging).is_some() || judging.advisories_are_known(),
        };
        (!is_known).then_some(fact)
    }
}
