//! Whether one matcher holds wherever another one does.
//!
//! Owns that question, from what is written alone. An answer of no may be too careful; a yes is true for every release.
//! Must not know facts.

use super::Matcher;

impl Matcher {
    /// Whether this holds for every release for which `narrow` does.
    pub(crate) fn includes(&self, narrow: &Self) -> bool {
        let all_in = |one: &[String], other: &[String]| one.iter().all(|element| other.contains(element));
        match (self, narrow) {
            (Self::Versions(wide), Self::Versions(narrow)) => wide.includes(narrow),
            (Self::YoungerThan(wide), Self::YoungerThan(narrow)) => narrow <= wide,
            (Self::Delivery(wide), Self::Delivery(narrow)) => wide == narrow,
            (Self::Permissions(wide), Self::Permissions(narrow)) => wide.within(&narrow.0),
            (Self::Advisory(wide), Self::Advisory(narrow)) => wide <= narrow,
            (Self::Advisories(wide), Self::Advisories(narrow))
            | (Self::Components(wide), Self::Components(narrow)) => all_in(narrow, wide),
            // Fewer categories are missing more often.
            (Self::TrustMissing(wide), Self::TrustMissing(narrow)) => all_in(wide, narrow),
            (Self::PublishersNotIn(wide), Self::PublishersNotIn(narrow)) => wide.is_subset(narrow),
            (Self::LicencesNotIn(wide), Self::LicencesNotIn(narrow)) => wide.are_among(narrow),
            (Self::NotVolumes(wide), Self::NotVolumes(narrow)) => narrow.includes(wide),
            (Self::Resembles(wide), Self::Resembles(narrow)) => wide.are(narrow),
            _ => false,
        }
    }
}
