//! Why a matcher holds or does not, in a sentence.
//!
//! Owns the words. Must not decide anything.

use crate::facts::{AdvisoryFacts, Delivery, TrustFacts};
use crate::instant::{rfc3339, span_text};
use crate::licence::LicenceNeed;
use crate::listed::listed;
use crate::resemblance::Resemblance;
use crate::verdict::UnknownFact;

use super::{Judging, Matcher};

const NO_MANIFEST: &str = "no archive of the release was verified, so its manifest is not known yet";

impl Matcher {
    /// Why it says what it says.
    pub(crate) fn why(&self, judging: &Judging<'_>) -> String {
        let facts = judging.facts;
        match self {
            Self::Versions(range) if range.contains(facts.version) => {
                format!("{} is in the range `{range}`", facts.version)
            }
            Self::Versions(range) => format!("{} is not in the range `{range}`", facts.version),
            Self::YoungerThan(span) => age(*span, judging),
            Self::Delivery(delivery) => deliveries(*delivery, facts.delivery),
            Self::Advisory(_) | Self::Advisories(_) => self.advisory_words(judging),
            Self::TrustMissing(categories) => trust(categories, facts.trust),
            Self::NotVolumes(patterns) => match patterns.which(facts.name) {
                Some(pattern) => format!("the name matches `{pattern}`"),
                None => format!("the name matches none of {patterns}"),
            },
            Self::Resembles(names) => match names.resembled(facts.name) {
                Some(Resemblance::OneEdit(name)) => format!("the name is one edit away from `{name}`"),
                Some(Resemblance::LooksAlike(name)) => format!("the name looks like `{name}`"),
                None => "the name is one of these or resembles none of them".to_owned(),
            },
            Self::Permissions(_)
            | Self::Components(_)
            | Self::PublishersNotIn(_)
            | Self::LicencesNotIn(_) => self.manifest_words(judging),
        }
    }

    /// What it would have to know to hold, if it holds without.
    pub(crate) fn holds_for_lack_of(&self, judging: &Judging<'_>) -> Option<UnknownFact> {
        let fact = self.fact()?;
        self.lack_words(judging).map(|why| UnknownFact { fact, why })
    }

    fn lack_words(&self, judging: &Judging<'_>) -> Option<String> {
        match self {
            Self::Advisory(_) | Self::Advisories(_) if self.affected_by(judging).is_none() => {
                unknown_advisories(judging).filter(|_| self.answer(judging).holds)
            }
            Self::TrustMissing(_) if judging.facts.trust == TrustFacts::CouldNotAsk => {
                Some("its trust metadata cannot be asked for now".to_owned())
            }
            _ => None,
        }
    }

    fn manifest_words(&self, judging: &Judging<'_>) -> String {
        let Some(manifest) = judging.facts.manifest else { return NO_MANIFEST.to_owned() };
        let holds = self.answer(judging).holds;
        match self {
            Self::Permissions(least) if holds => format!("the manifest declares at least {least}"),
            Self::Permissions(least) => format!("the manifest declares less than {least}"),
            Self::Components(types) => {
                let found: Vec<_> =
                    manifest.component_types.iter().filter(|found| types.contains(found)).collect();
                if found.is_empty() {
                    format!("no component has the type {}", listed(types))
                } else {
                    format!("a component has the type {}", listed(&found))
                }
            }
            Self::PublishersNotIn(_) => match &manifest.publisher {
                Some(publisher) if holds => format!("the publisher `{publisher}` is not in the list"),
                Some(publisher) => format!("the publisher `{publisher}` is in the list"),
                None => "the manifest names no publisher that can be read".to_owned(),
            },
            Self::LicencesNotIn(allowed) => match &manifest.licence {
                None => "the manifest names no licence that can be read".to_owned(),
                Some(licence) => match allowed.need(licence) {
                    LicenceNeed::Allowed => format!("the licence `{licence}` needs nothing outside the list"),
                    LicenceNeed::Outside(needed) => {
                        format!(
                            "the licence `{licence}` needs {}, which the list does not have",
                            listed(&needed)
                        )
                    }
                    LicenceNeed::Unreadable => format!("`{licence}` is no SPDX licence expression"),
                },
            },
            _ => String::new(),
        }
    }

    fn advisory_words(&self, judging: &Judging<'_>) -> String {
        let facts = judging.facts;
        if let Some(advisory) = self.affected_by(judging) {
            let severity =
                advisory.affects(facts.name, facts.version).map_or("unknown", |severity| severity.as_str());
            return format!(
                "the advisory `{}` affects {}, severity {severity}",
                advisory.id(),
                facts.version
            );
        }
        let wanted = match self {
            Self::Advisory(least) => {
                format!("no advisory of severity {least} or more affects {}", facts.version)
            }
            Self::Advisories(ids) => format!("none of {} affects {}", listed(ids), facts.version),
            _ => String::new(),
        };
        match (unknown_advisories(judging), facts.advisories.unread_about_any) {
            (Some(unknown), _) if self.answer(judging).holds => {
                format!("{unknown}: meanwhile the matcher holds (`advisories = \"closed\"`)")
            }
            (Some(unknown), _) => format!("{wanted}; {unknown}"),
            (None, 0) => wanted,
            (None, 1) => format!("{wanted}; one advisory cannot be read and names no volume"),
            (None, count) => format!("{wanted}; {count} advisories cannot be read and name no volume"),
        }
    }
}

/// Why it is not known which advisories affect the release, if it is not.
fn unknown_advisories(judging: &Judging<'_>) -> Option<String> {
    let AdvisoryFacts { unread, confirmed, .. } = judging.facts.advisories;
    match (judging.advisories_are_old(), confirmed, unread) {
        (true, Some(confirmed), _) => {
            Some(format!("the advisories are as of {}, which is too old", rfc3339(confirmed)))
        }
        (true, None, _) => Some("no source of advisories has answered yet".to_owned()),
        (false, _, []) => None,
        (false, _, [first, ..]) => {
            Some(format!("the advisory `{}` about this volume cannot be read", first.name()))
        }
    }
}

fn age(span: u64, judging: &Judging<'_>) -> String {
    let span_words = span_text(span);
    match judging.facts.first_seen {
        None => format!("the release was never seen here before, so it is younger than {span_words}"),
        Some(seen) if judging.now < seen.saturating_add(span) => format!(
            "first seen here at {}, less than {span_words} ago; the matcher ends at {}",
            rfc3339(seen),
            rfc3339(seen.saturating_add(span))
        ),
        Some(seen) => format!("first seen here at {}, at least {span_words} ago", rfc3339(seen)),
    }
}

fn deliveries(wanted: Delivery, known: Option<Delivery>) -> String {
    match known {
        None => "the exact metadata was not asked for yet, so the delivery is not known".to_owned(),
        Some(delivery) if delivery == wanted => format!("the archive comes by {delivery}"),
        Some(delivery) => format!("the archive comes by {delivery}, not by {wanted}"),
    }
}

fn trust(categories: &[String], known: TrustFacts<'_>) -> String {
    match known {
        TrustFacts::NotAsked => "the trust metadata was not asked for yet".to_owned(),
        TrustFacts::CouldNotAsk => {
            "the registry cannot be asked for trust metadata: while it cannot, everything is missing"
                .to_owned()
        }
        TrustFacts::Known(active) => {
            match active.iter().find(|category| categories.iter().any(|wanted| wanted == *category)) {
                Some(category) => format!("an attachment of category `{category}` is active"),
                None => format!("no active attachment has the category {}", listed(categories)),
            }
        }
    }
}
