//! The matchers of a rule.
//!
//! Owns when each of them holds, and whether time alone can change that. The order of the variants is the order of their
//! cost. Must not know actions, waivers, nor how a matcher is written.
//!
//! | matcher | holds when | not known |
//! |---|---|---|
//! | versions | the version is in the range, prereleases by precedence | |
//! | younger than | the integrity was first seen here less than this ago | never seen: holds |
//! | delivery | the archive comes so | does not hold |
//! | permissions | the manifest declares at least these | does not hold |
//! | advisory, advisories | one affects the version | old advisories, or one of the volume that cannot be read: as the settings say |
//! | trust missing | no active attachment is of one of the categories | not asked: does not hold; could not ask: holds |
//! | components | the manifest has a component of one of the types | does not hold |
//! | publishers not in | the manifest names another publisher or none | does not hold |
//! | not volumes | no pattern matches the name | |
//! | licences not in | the expression needs another licence, is unreadable or absent | does not hold |
//! | resembles | the name is easily mistaken for one of these, and is none | |

mod inclusion;
mod missing;
mod words;

pub use missing::MissingFact;

use ahash::HashSet;
use archive::{Version, VolumeName};
use selection::VersionRange;

use crate::advisory::{Advisory, AdvisorySeverity};
use crate::facts::{Delivery, PolicyFacts, TrustFacts};
use crate::licence::{AllowedLicences, LicenceNeed};
use crate::patterns::PatternSet;
use crate::permission::LeastPermissions;
use crate::resemblance::ProtectedNames;
use crate::settings::OnOldAdvisories;

/// One condition on a release. The names that a rule is about (`volumes`) are found before any of these is asked.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    Versions(VersionRange),
    YoungerThan(u64),
    Delivery(Delivery),
    Permissions(LeastPermissions),
    Advisory(AdvisorySeverity),
    Advisories(Vec<String>),
    TrustMissing(Vec<String>),
    Components(Vec<String>),
    PublishersNotIn(HashSet<String>),
    NotVolumes(PatternSet),
    LicencesNotIn(AllowedLicences),
    Resembles(ProtectedNames),
}

/// Whether a matcher holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) holds: bool,
    /// The second from which on time alone makes it say the opposite.
    pub(crate) changes_at: Option<u64>,
}

impl Answer {
    fn always(holds: bool) -> Self {
        Self { holds, changes_at: None }
    }
}

/// What a release is judged by besides its rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judging<'a> {
    pub(crate) facts: &'a PolicyFacts<'a>,
    pub(crate) now: u64,
    pub(crate) on_old_advisories: OnOldAdvisories,
    pub(crate) advisories_max_age: u64,
}

impl<'a> Judging<'a> {
    /// The second from which on the advisories are too old; `None` if nobody ever confirmed them.
    fn advisories_old_from(&self) -> Option<u64> {
        self.facts.advisories.confirmed.map(|confirmed| confirmed.saturating_add(self.advisories_max_age))
    }

    fn advisories_are_old(&self) -> bool {
        self.advisories_old_from().is_none_or(|old_from| old_from <= self.now)
    }

    /// Whether it is known which advisories affect the release.
    fn advisories_are_known(&self) -> bool {
        self.facts.advisories.unread.is_empty() && !self.advisories_are_old()
    }

    /// The advisory that affects the release and is `wanted`.
    fn affecting(&self, wanted: impl Fn(&Advisory, AdvisorySeverity) -> bool) -> Option<&'a Advisory> {
        let about = self.facts.advisories.about.iter().map(|advisory| &**advisory);
        about.into_iter().find(|advisory| {
            advisory
                .affects(self.facts.name, self.facts.version)
                .is_some_and(|severity| wanted(advisory, severity))
        })
    }
}

impl Matcher {
    pub(crate) fn answer(&self, judging: &Judging<'_>) -> Answer {
        let facts = judging.facts;
        match self {
            Self::Versions(range) => Answer::always(range.contains(facts.version)),
            Self::YoungerThan(span) => younger(*span, judging),
            Self::Delivery(delivery) => Answer::always(facts.delivery == Some(*delivery)),
            Self::Permissions(least) => {
                Answer::always(facts.manifest.is_some_and(|manifest| least.within(&manifest.permissions)))
            }
            Self::Advisory(_) | Self::Advisories(_) => self.advisories(judging),
            Self::TrustMissing(categories) => Answer::always(match facts.trust {
                TrustFacts::NotAsked => false,
                TrustFacts::CouldNotAsk => true,
                TrustFacts::Known(active) => !active.iter().any(|category| contains(categories, category)),
            }),
            Self::Components(types) => Answer::always(facts.manifest.is_some_and(|manifest| {
                manifest.component_types.iter().any(|component| contains(types, component))
            })),
            Self::PublishersNotIn(publishers) => Answer::always(facts.manifest.is_some_and(|manifest| {
                !manifest.publisher.as_ref().is_some_and(|publisher| publishers.contains(publisher))
            })),
            Self::LicencesNotIn(allowed) => Answer::always(facts.manifest.is_some_and(|manifest| {
                manifest.licence.as_ref().is_none_or(|licence| allowed.need(licence) != LicenceNeed::Allowed)
            })),
            Self::NotVolumes(_) | Self::Resembles(_) => Answer::always(self.takes_name(facts.name)),
        }
    }

    /// Whether the matcher may hold for a volume of this name.
    pub(crate) fn takes_name(&self, name: &VolumeName) -> bool {
        match self {
            Self::NotVolumes(patterns) => !patterns.contains(name),
            Self::Resembles(names) => names.resembled(name).is_some(),
            Self::Versions(_)
            | Self::YoungerThan(_)
            | Self::Delivery(_)
            | Self::Permissions(_)
            | Self::Advisory(_)
            | Self::Advisories(_)
            | Self::TrustMissing(_)
            | Self::Components(_)
            | Self::PublishersNotIn(_)
            | Self::LicencesNotIn(_) => true,
        }
    }

    /// Whether the matcher may hold for a release with this version.
    pub(crate) fn takes_version(&self, version: &Version) -> bool {
        match self {
            Self::Versions(range) => range.contains(version),
            _ => true,
        }
    }

    fn advisories(&self, judging: &Judging<'_>) -> Answer {
        let closed = judging.on_old_advisories == OnOldAdvisories::Closed;
        if self.affected_by(judging).is_some() || (closed && !judging.advisories_are_known()) {
            return Answer::always(true);
        }
        Answer { holds: false, changes_at: if closed { judging.advisories_old_from() } else { None } }
    }

    /// The advisory by which a matcher on advisories holds.
    fn affected_by<'a>(&self, judging: &Judging<'a>) -> Option<&'a Advisory> {
        match self {
            Self::Advisory(least) => judging.affecting(|_, severity| severity >= *least),
            Self::Advisories(ids) => {
                judging.affecting(|advisory, _| ids.iter().any(|id| advisory.is_called(id)))
            }
            _ => None,
        }
    }

    /// The place in the order of costs.
    pub(crate) fn cost(&self) -> u8 {
        match self {
            Self::Versions(_) => 0,
            Self::YoungerThan(_) => 1,
            Self::Delivery(_) => 2,
            Self::Permissions(_) => 3,
            Self::Advisory(_) => 4,
            Self::Advisories(_) => 5,
            Self::TrustMissing(_) => 6,
            Self::Components(_) => 7,
            Self::PublishersNotIn(_) => 8,
            Self::NotVolumes(_) => 9,
            Self::LicencesNotIn(_) => 10,
            Self::Resembles(_) => 11,
        }
    }

    /// The key by which it is written.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Versions(_) => "versions",
            Self::YoungerThan(_) => "younger_than",
            Self::Delivery(_) => "delivery",
            Self::Permissions(_) => "permissions",
            Self::Advisory(_) => "advisory",
            Self::Advisories(_) => "advisories",
            Self::TrustMissing(_) => "trust_missing",
            Self::Components(_) => "components",
            Self::PublishersNotIn(_) => "publishers_not_in",
            Self::NotVolumes(_) => "not_volumes",
            Self::LicencesNotIn(_) => "licenses_not_in",
            Self::Resembles(_) => "resembles",
        }
    }
}

fn younger(span: u64, judging: &Judging<'_>) -> Answer {
    match judging.facts.first_seen.map(|seen| seen.saturating_add(span)) {
        None => Answer::always(span > 0),
        Some(end) if judging.now < end => Answer { holds: true, changes_at: Some(end) },
        Some(_) => Answer::always(false),
    }
}

fn contains(list: &[String], wanted: &str) -> bool {
    list.iter().any(|element| element == wanted)
}
