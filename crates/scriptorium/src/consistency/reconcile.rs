//! Comparing an index row, exact metadata and the pin of a release.
//!
//! The verdict on each pair of states. Down: the row. Across: exact metadata, by its state or by the status
//! of the registry's refusal. `agree`: both may be true at once. `state` and `presence` are the kinds of
//! difference; a difference is a divergence only when it outlives a refresh of both sides.
//!
//! | row         | available | yanked   | tombstoned | blocked | unavailable | 403   | 404      | 409   | 410      |
//! |-------------|-----------|----------|------------|---------|-------------|-------|----------|-------|----------|
//! | available   | agree     | state    | state      | state   | state       | agree | presence | state | presence |
//! | yanked      | state     | agree    | state      | state   | state       | agree | presence | state | presence |
//! | tombstoned  | state     | state    | agree      | state   | state       | agree | agree    | agree | agree    |
//! | blocked     | state     | state    | state      | agree   | state       | agree | agree    | agree | agree    |
//! | unavailable | state     | state    | state      | state   | agree       | agree | agree    | agree | agree    |
//! | none        | agree     | agree    | agree      | agree   | agree       | agree | agree    | agree | agree    |
//!
//! A missing row says nothing, since an index may come from a CDN and lag. A refused index says nothing either, since a
//! registry need not have one. 403 is a security decision and stands, whatever the index says. Otherwise the first
//! difference in this order counts: the release that the metadata is about, rows that repeat a version, the pin, the table,
//! the integrities, the row's link. Owns this comparison, a pure function of the answers. Must not know when an answer was
//! given, nor what follows from a difference.

use serde::{Deserialize, Serialize};

use crate::domain::LifecycleState;
use crate::domain::link::release_path;
use crate::domain::{Integrity, Release, Row, Version, VolumeName};

/// The answer to the question for exact metadata.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ExactAnswer<'a> {
    Found(&'a Release),
    /// The status of a refusal: 403, 404, 409 or 410.
    Refused(u16),
}

/// The kind of difference between two answers; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DifferenceKind {
    /// The integrity of row and exact metadata.
    Integrity,
    /// The lifecycle state.
    State,
    /// The release that exact metadata is about.
    Identity,
    /// Where the row's link leads.
    Route,
    /// A row without a release, or two rows of one version.
    Presence,
    /// The tree of the commit by which Git delivers the release.
    Delivery,
    /// The integrity is not the pinned one.
    IntegrityChanged,
    /// The release that trust metadata is about.
    TrustSubject,
    /// A trust attachment vanished or changed, or the revision went back.
    TrustHistory,
    /// The embedded bytes of a trust attachment do not have its digest.
    TrustArtifact,
}

impl DifferenceKind {
    /// The name used in problems, logs and the admin API.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::State => "state",
            Self::Identity => "identity",
            Self::Route => "route",
            Self::Presence => "presence",
            Self::Delivery => "delivery",
            Self::IntegrityChanged => "integrity-changed",
            Self::TrustSubject => "trust-subject",
            Self::TrustHistory => "trust-history",
            Self::TrustArtifact => "trust-artifact",
        }
    }
}

/// Where a claim comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClaimSource {
    /// The version index.
    Index,
    /// Exact metadata.
    Exact,
    /// The pin.
    Pin,
    /// The repository from which Git delivers.
    Repository,
    /// The question itself.
    Route,
    /// Trust metadata.
    Trust,
    /// The trust attachments seen before.
    History,
}

impl ClaimSource {
    /// Its name in a sentence.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Index => "the index",
            Self::Exact => "exact metadata",
            Self::Pin => "the pin of the first integrity seen",
            Self::Repository => "the Git repository",
            Self::Route => "the route",
            Self::Trust => "trust metadata",
            Self::History => "what was seen before",
        }
    }
}

/// The claim of one source, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) source: ClaimSource,
    pub(crate) says: String,
}

/// Two claims that cannot both be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) kind: DifferenceKind,
    pub(crate) claims: [Claim; 2],
}

impl Difference {
    pub(super) fn of(
        kind: DifferenceKind,
        one: (ClaimSource, impl ToString),
        other: (ClaimSource, impl ToString),
    ) -> Self {
        let claim = |source, says: String| Claim { source, says };
        Self { kind, claims: [claim(one.0, one.1.to_string()), claim(other.0, other.1.to_string())] }
    }
}

/// Compares what is known of a release. `rows` are the rows of its version, `None` without an index; `exact` is `None` if
/// exact metadata is not held.
#[must_use]
pub(crate) fn reconcile(
    (name, version): (&VolumeName, &Version),
    rows: Option<&[Row]>,
    exact: Option<ExactAnswer<'_>>,
    pin: Option<Integrity>,
) -> Option<Difference> {
    let release = match exact {
        Some(ExactAnswer::Refused(403)) => return None,
        Some(ExactAnswer::Found(release)) => Some(release),
        Some(ExactAnswer::Refused(_)) | None => None,
    };
    if let Some(mismatch) = release.and_then(|release| release.mismatch.as_ref()) {
        let expected = format!("{} {}", mismatch.field, mismatch.expected);
        return Some(Difference::of(
            DifferenceKind::Identity,
            (ClaimSource::Exact, mismatch),
            (ClaimSource::Route, expected),
        ));
    }
    let row = match rows {
        Some([one, other, ..]) => return Some(repeated(one, other)),
        Some([row]) => Some(row),
        Some([]) | None => None,
    };
    let exact_integrity = release.and_then(|release| release.integrity);
    let row_integrity = row.and_then(|row| row.integrity);
    let said = exact_integrity.map(|said| (ClaimSource::Exact, said));
    let said = said.or(row_integrity.map(|said| (ClaimSource::Index, said)));
    if let (Some(pinned), Some((source, found))) = (pin, said)
        && pinned != found
    {
        return Some(Difference::of(
            DifferenceKind::IntegrityChanged,
            (source, found),
            (ClaimSource::Pin, pinned),
        ));
    }
    if let (Some(row), Some(exact)) = (row, exact)
        && let Some(kind) = pair(row.status.state, exact)
    {
        return Some(Difference::of(
            kind,
            (ClaimSource::Index, row.status.state),
            (ClaimSource::Exact, answer(exact)),
        ));
    }
    if let (Some(row), Some(exact)) = (row_integrity, exact_integrity)
        && row != exact
    {
        return Some(Difference::of(
            DifferenceKind::Integrity,
            (ClaimSource::Index, row),
            (ClaimSource::Exact, exact),
        ));
    }
    let link = row?.elsewhere.as_ref()?;
    let route = format!("a link to {}", release_path(name, version));
    Some(Difference::of(
        DifferenceKind::Route,
        (ClaimSource::Index, format!("a link to {link}")),
        (ClaimSource::Route, route),
    ))
}

/// The table.
fn pair(row: LifecycleState, exact: ExactAnswer<'_>) -> Option<DifferenceKind> {
    match exact {
        ExactAnswer::Found(release) => (row != release.state()).then_some(DifferenceKind::State),
        ExactAnswer::Refused(403) => None,
        ExactAnswer::Refused(404 | 410) => row.serves_bytes().then_some(DifferenceKind::Presence),
        ExactAnswer::Refused(_) => row.serves_bytes().then_some(DifferenceKind::State),
    }
}

/// Whether one of two answers that may both be true seems to lag behind the other: a release without a row, or a 403 beside
/// a row that is not blocked. The other side is then asked again; it is no difference.
#[must_use]
pub(crate) fn is_late(rows: &[Row], exact: ExactAnswer<'_>) -> bool {
    match (rows, exact) {
        ([], ExactAnswer::Found(release)) => release.serves_bytes(),
        ([row], ExactAnswer::Refused(403)) => {
            !matches!(row.status.state, LifecycleState::Blocked | LifecycleState::Tombstoned)
        }
        _ => false,
    }
}

fn repeated(one: &Row, other: &Row) -> Difference {
    let says = |place: &str, row: &Row| {
        let integrity = row.integrity.map_or(String::new(), |integrity| format!(" with {integrity}"));
        format!("in its {place} row of this version: {}{integrity}", row.status.state)
    };
    let claims =
        [("first", one), ("second", other)].map(|(place, row)| (ClaimSource::Index, says(place, row)));
    let [one, other] = claims;
    Difference::of(DifferenceKind::Presence, one, other)
}

fn answer(exact: ExactAnswer<'_>) -> String {
    match exact {
        ExactAnswer::Found(release) => release.state().to_string(),
        ExactAnswer::Refused(403) => "403 authorization-failed".to_owned(),
        ExactAnswer::Refused(404) => "404 not-found".to_owned(),
        ExactAnswer::Refused(409) => "409 inconsistent-registry-state".to_owned(),
        ExactAnswer::Refused(410) => "410 gone".to_owned(),
        ExactAnswer::Refused(status) => status.to_string(),
    }
}

#[cfg(test)]
mod tests;
