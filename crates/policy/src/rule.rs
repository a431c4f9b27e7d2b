//! A rule: an action on the releases that all of its matchers take.
//!
//! Owns how the answers of matchers become one answer. Must not know other rules, nor waivers.

use std::sync::Arc;

use archive::{Version, VolumeName};

use crate::action::PolicyAction;
use crate::instant::earliest;
use crate::matcher::{Answer, Judging, Matcher};
use crate::patterns::PatternSet;
use crate::place::Place;

/// A rule that was found valid.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) action: PolicyAction,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) place: Place,
    /// The names that it is about; without them, all.
    pub(crate) volumes: Option<PatternSet>,
    /// The cheapest first.
    pub(crate) matchers: Vec<Matcher>,
}

/// Which facts some rules look at; a proxy need not ask for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyNeeds {
    /// When a release was first seen.
    pub age: bool,
    /// The advisories about the volume.
    pub advisories: bool,
    /// How the archive comes.
    pub delivery: bool,
    /// What the manifest says.
    pub manifest: bool,
    /// What is attached to the release.
    pub trust: bool,
}

impl PolicyNeeds {
    /// What either of both needs.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            age: self.age || other.age,
            advisories: self.advisories || other.advisories,
            delivery: self.delivery || other.delivery,
            manifest: self.manifest || other.manifest,
            trust: self.trust || other.trust,
        }
    }

    fn of(matcher: &Matcher) -> Self {
        let nothing = Self::default();
        match matcher {
            Matcher::YoungerThan(_) => Self { age: true, ..nothing },
            Matcher::Advisory(_) | Matcher::Advisories(_) => Self { advisories: true, ..nothing },
            Matcher::Delivery(_) => Self { delivery: true, ..nothing },
            Matcher::Permissions(_)
            | Matcher::Components(_)
            | Matcher::PublishersNotIn(_)
            | Matcher::LicencesNotIn(_) => Self { manifest: true, ..nothing },
            Matcher::TrustMissing(_) => Self { trust: true, ..nothing },
            Matcher::Versions(_) | Matcher::NotVolumes(_) | Matcher::Resembles(_) => nothing,
        }
    }
}

impl Rule {
    /// Whether the rule matches, for a name that `volumes` takes.
    pub(crate) fn answer(&self, judging: &Judging<'_>) -> Answer {
        let (mut ends_at, mut begins_at) = (None, None);
        let mut holds = true;
        for matcher in &self.matchers {
            match matcher.answer(judging) {
                Answer { holds: true, changes_at } => ends_at = earliest(ends_at, changes_at),
                Answer { holds: false, changes_at: None } => {
                    return Answer { holds: false, changes_at: None };
                }
                // All that do not hold have to change before the rule matches.
                Answer { holds: false, changes_at } => {
                    holds = false;
                    begins_at = begins_at.max(changes_at);
                }
            }
        }
        Answer { holds, changes_at: if holds { ends_at } else { begins_at } }
    }

    /// Whether the rule may match a volume of this name.
    pub(crate) fn takes_name(&self, name: &VolumeName) -> bool {
        self.volumes.as_ref().is_none_or(|volumes| volumes.contains(name))
            && self.matchers.iter().all(|matcher| matcher.takes_name(name))
    }

    /// Whether the rule may match this release.
    pub(crate) fn takes(&self, name: &VolumeName, version: &Version) -> bool {
        self.takes_name(name) && self.matchers.iter().all(|matcher| matcher.takes_version(version))
    }

    /// Which facts it looks at.
    pub(crate) fn needs(&self) -> PolicyNeeds {
        self.matchers.iter().map(PolicyNeeds::of).fold(PolicyNeeds::default(), PolicyNeeds::or)
    }

    /// Whether it matches every release that `narrow` matches, as far as what is written shows it.
    pub(crate) fn includes(&self, narrow: &Self) -> bool {
        let matchers =
            || self.matchers.iter().all(|wide| narrow.matchers.iter().any(|narrow| wide.includes(narrow)));
        let names = || match (&self.volumes, &narrow.volumes) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => wide.includes(narrow),
            (Some(wide), None) => wide.includes_pattern(&archive::VolumePattern::All),
        };
        matchers() && names()
    }
}
