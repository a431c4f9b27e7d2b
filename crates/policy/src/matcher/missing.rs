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
    /// What was published against it: the advisories are too old, or were never asked for.
    Advisories,
}

impl MissingFact {
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
                "the advisories are not known or too old; they are known once a source confirmed them"
            }
        }
    }
}

impl Matcher {
    /// The fact that it would have to know and does not.
    pub(crate) fn lacks(&self, judging: &Judging<'_>) -> Option<MissingFact> {
        let facts = judging.facts;
        let (fact, is_known) = match self {
            Self::YoungerThan(_) => (MissingFact::FirstSight, facts.first_seen.is_some()),
            Self::Delivery(_) => (MissingFact::Delivery, facts.delivery.is_some()),
            Self::Permissions(_)
            | Self::Components(_)
            | Self::PublishersNotIn(_)
            | Self::LicencesNotIn(_) => (MissingFact::Manifest, facts.manifest.is_some()),
            Self::TrustMissing(_) => (MissingFact::Trust, matches!(facts.trust, TrustFacts::Known(_))),
            Self::Advisory(_) | Self::Advisories(_) => {
                let is_known = self.affected_by(judging).is_some() || !judging.advisories_are_old();
                (MissingFact::Advisories, is_known)
            }
            Self::Versions(_) | Self::NotVolumes(_) | Self::Resembles(_) => return None,
        };
        (!is_known).then_some(fact)
    }
}
