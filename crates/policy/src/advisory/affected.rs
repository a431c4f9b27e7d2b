//! Which versions of a volume an advisory affects.
//!
//! Owns the semantics of ranges, which the specification and OSV share: a version is in a range if it is below one of the
//! limits, and the last event at or before it lets it in.
//!
//! | event | versions |
//! |---|---|
//! | `introduced` | affected from this one on; `0` is before every version |
//! | `fixed` | not affected from this one on |
//! | `lastAffected` | the last that is affected |
//! | `limit` | nothing from this one on, unless another limit is higher |
//!
//! Where two events name one version, `fixed` comes before `introduced`, and that before `lastAffected`: so a version that
//! is introduced is affected. Build metadata does not count. What cannot be read makes a range larger, never smaller: a range
//! begins with the first version if no `introduced` can be read, and an end that cannot be read is none. An entry
//! without a range and without versions affects every version. Must not know documents.

use std::cmp::Ordering;

use archive::{Version, VolumeName};
use serde::Deserialize;

use super::severity::AdvisorySeverity;

/// One volume of an advisory, with the versions that are affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Affected {
    pub(super) volume: VolumeName,
    pub(super) severity: AdvisorySeverity,
    ranges: Vec<AffectedRange>,
    /// Versions that are listed one by one, in their order.
    versions: Vec<semver::Version>,
    every_version: bool,
}

impl Affected {
    /// The versions of `volume` that are in a range or listed.
    pub(super) fn new(
        volume: VolumeName,
        severity: AdvisorySeverity,
        ranges: Vec<AffectedRange>,
        listed: &[String],
    ) -> Self {
        let mut versions: Vec<semver::Version> =
            listed.iter().filter_map(|version| version.parse().ok()).collect();
        versions.sort_by(semver::Version::cmp_precedence);
        let unreadable = versions.len() < listed.len();
        let every_version = ranges.is_empty() && (versions.is_empty() || unreadable);
        Self { volume, severity, ranges, versions, every_version }
    }

    pub(super) fn contains(&self, version: &Version) -> bool {
        let version = version.as_semver();
        self.every_version
            || self.versions.binary_search_by(|listed| listed.cmp_precedence(version)).is_ok()
            || self.ranges.iter().any(|range| range.contains(version))
    }
}

/// An event as documents write it: one of these members.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RangeEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    #[serde(alias = "lastAffected")]
    last_affected: Option<String>,
    limit: Option<String>,
}

/// The events of a range, by their kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AffectedRange {
    /// `None` is before every version.
    introduced: Vec<Option<semver::Version>>,
    fixed: Vec<semver::Version>,
    last_affected: Vec<semver::Version>,
    /// The highest one; `None` if there is none, or if one of them cannot be read.
    limit: Option<semver::Version>,
}

impl AffectedRange {
    pub(super) fn new(events: &[RangeEvent]) -> Self {
        let versions = |kind: fn(&RangeEvent) -> &Option<String>| -> Vec<semver::Version> {
            events.iter().filter_map(|event| kind(event).as_ref()?.parse().ok()).collect()
        };
        let begin = |text: &String| if text == "0" { None } else { text.parse().ok() };
        let mut introduced: Vec<Option<semver::Version>> =
            events.iter().filter_map(|event| event.introduced.as_ref()).map(begin).collect();
        if introduced.is_empty() {
            introduced.push(None);
        }
        let limits = versions(|event| &event.limit);
        let named = events.iter().filter(|event| event.limit.is_some()).count();
        let highest = if limits.len() == named {
            limits.into_iter().max_by(semver::Version::cmp_precedence)
        } else {
            None
        };
        Self {
            introduced,
            fixed: versions(|event| &event.fixed),
            last_affected: versions(|event| &event.last_affected),
            limit: highest,
        }
    }

    fn contains(&self, version: &semver::Version) -> bool {
        if self.limit.as_ref().is_some_and(|limit| !below(version, limit)) {
            return false;
        }
        // The last beginning counts: what ends an earlier one has no say over it.
        let begun =
            self.introduced.iter().filter(|begin| begin.as_ref().is_none_or(|begin| !below(version, begin)));
        let Some(begin) = begun.max_by(|one, other| begin_order(one.as_ref(), other.as_ref())) else {
            return false;
        };
        let before_begin = |end: &semver::Version| begin.as_ref().is_some_and(|begin| below(end, begin));
        let at_begin = |end: &semver::Version| begin.as_ref().is_some_and(|begin| same(end, begin));
        let fixed = self.fixed.iter().any(|end| !before_begin(end) && !at_begin(end) && !below(version, end));
        let over = self.last_affected.iter().any(|end| !before_begin(end) && below(end, version));
        !fixed && !over
    }
}

fn below(one: &semver::Version, other: &semver::Version) -> bool {
    one.cmp_precedence(other) == Ordering::Less
}

fn same(one: &semver::Version, other: &semver::Version) -> bool {
    one.cmp_precedence(other) == Ordering::Equal
}

fn begin_order(one: Option<&semver::Version>, other: Option<&semver::Version>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.cmp_precedence(other),
        (one, other) => one.is_some().cmp(&other.is_some()),
    }
}

#[cfg(test)]
mod tests;
