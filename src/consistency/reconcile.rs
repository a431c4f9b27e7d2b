//! One truth out of several answers: an index row, exact metadata and the pin, held against each other.
//!
//! What follows from each pair of states. Down: the row. Across: exact metadata, by its state or by the status
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
//! A row that is missing says nothing: an index may come from a CDN and lag. Neither does one that was refused as a
//! whole: a registry need not have an index. 403 is a security decision and stands, whatever the index says: nothing
//! is held against it. Otherwise, looked at in this order, the first difference counts: whom the metadata is about,
//! rows that repeat a version, the pin, the table, the integrities, the row's link. Owns this comparison, a pure
//! function of what was said. Must not know when anything was said, nor what follows from a difference.

use serde::{Deserialize, Serialize};

use crate::domain::lifecycle::State;
use crate::domain::link::release_path;
use crate::domain::{Integrity, Release, Row, Version, VolumeName};

/// What exact metadata answered.
#[derive(Debug, Clone, Copy)]
pub enum Exact<'a> {
    /// The release.
    Found(&'a Release),
    /// The status of a refusal: 403, 404, 409 or 410.
    Refused(u16),
}

/// What two answers differ in; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The content identity of row and exact metadata.
    Integrity,
    /// The lifecycle state.
    State,
    /// Whom exact metadata is about.
    Identity,
    /// Where the row's link leads.
    Route,
    /// A row without a release, or two rows of one version.
    Presence,
    /// The content identity, which is not the one that was first believed.
    IntegrityChanged,
    /// Whom trust metadata is about.
    TrustSubject,
    /// A trust attachment that vanished or became another, or a revision that went back.
    TrustHistory,
    /// The embedded bytes of a trust attachment, which are not those that its digest names.
    TrustArtifact,
}

impl Kind {
    /// The name used in problems, logs and the admin API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::State => "state",
            Self::Identity => "identity",
            Self::Route => "route",
            Self::Presence => "presence",
            Self::IntegrityChanged => "integrity-changed",
            Self::TrustSubject => "trust-subject",
            Self::TrustHistory => "trust-history",
            Self::TrustArtifact => "trust-artifact",
        }
    }
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The version index.
    Index,
    /// Exact metadata.
    Exact,
    /// What was first believed of the release.
    Pin,
    /// The question itself.
    Route,
    /// Trust metadata.
    Trust,
    /// The trust attachments seen before.
    History,
}

impl Source {
    /// How a sentence names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "the index",
            Self::Exact => "exact metadata",
            Self::Pin => "the pin of the first integrity seen",
            Self::Route => "the route",
            Self::Trust => "trust metadata",
            Self::History => "what was seen before",
        }
    }
}

/// What one side says, fit for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who says it.
    pub source: Source,
    /// What.
    pub says: String,
}

/// Two claims that cannot both be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What they differ in.
    pub kind: Kind,
    /// Both of them.
    pub claims: [Claim; 2],
}

impl Difference {
    pub(super) fn of(kind: Kind, one: (Source, impl ToString), other: (Source, impl ToString)) -> Self {
        let claim = |source, says: String| Claim { source, says };
        Self { kind, claims: [claim(one.0, one.1.to_string()), claim(other.0, other.1.to_string())] }
    }
}

/// Holds what is known of a release against itself. `rows` are the rows of its version in the index, `None`
/// where no index speaks; `exact` is `None` where exact metadata is not held.
#[must_use]
pub fn reconcile(
    (name, version): (&VolumeName, &Version),
    rows: Option<&[Row]>,
    exact: Option<Exact<'_>>,
    pin: Option<Integrity>,
) -> Option<Difference> {
    let release = match exact {
        Some(Exact::Refused(403)) => return None,
        Some(Exact::Found(release)) => Some(release),
        Some(Exact::Refused(_)) | None => None,
    };
    if let Some(mismatch) = release.and_then(|release| release.mismatch.as_ref()) {
        let expected = format!("{} {}", mismatch.field, mismatch.expected);
        return Some(Difference::of(Kind::Identity, (Source::Exact, mismatch), (Source::Route, expected)));
    }
    let row = match rows {
        Some([one, other, ..]) => return Some(repeated(one, other)),
        Some([row]) => Some(row),
        Some([]) | None => None,
    };
    let exact_integrity = release.and_then(|release| release.integrity);
    let row_integrity = row.and_then(|row| row.integrity);
    let said = exact_integrity.map(|said| (Source::Exact, said));
    let said = said.or(row_integrity.map(|said| (Source::Index, said)));
    if let (Some(pinned), Some((source, found))) = (pin, said)
        && pinned != found
    {
        return Some(Difference::of(Kind::IntegrityChanged, (source, found), (Source::Pin, pinned)));
    }
    if let (Some(row), Some(exact)) = (row, exact)
        && let Some(kind) = pair(row.status.state, exact)
    {
        return Some(Difference::of(kind, (Source::Index, row.status.state), (Source::Exact, answer(exact))));
    }
    if let (Some(row), Some(exact)) = (row_integrity, exact_integrity)
        && row != exact
    {
        return Some(Difference::of(Kind::Integrity, (Source::Index, row), (Source::Exact, exact)));
    }
    let link = row?.elsewhere.as_ref()?;
    let route = format!("a link to {}", release_path(name, version));
    Some(Difference::of(Kind::Route, (Source::Index, format!("a link to {link}")), (Source::Route, route)))
}

/// The table: what a row and exact metadata that are both held differ in.
fn pair(row: State, exact: Exact<'_>) -> Option<Kind> {
    match exact {
        Exact::Found(release) => (row != release.state()).then_some(Kind::State),
        Exact::Refused(403) => None,
        Exact::Refused(404 | 410) => row.serves_bytes().then_some(Kind::Presence),
        Exact::Refused(_) => row.serves_bytes().then_some(Kind::State),
    }
}

/// Whether one of two answers that may both be true has not heard yet of what the other tells: a release without a
/// row, or a 403 beside a row that tells of none. The later one is worth a question to the other, and no more.
#[must_use]
pub fn is_late(rows: &[Row], exact: Exact<'_>) -> bool {
    match (rows, exact) {
        ([], Exact::Found(release)) => release.serves_bytes(),
        ([row], Exact::Refused(403)) => !matches!(row.status.state, State::Blocked | State::Tombstoned),
        _ => false,
    }
}

fn repeated(one: &Row, other: &Row) -> Difference {
    let says = |place: &str, row: &Row| {
        let integrity = row.integrity.map_or(String::new(), |integrity| format!(" with {integrity}"));
        format!("in its {place} row of this version: {}{integrity}", row.status.state)
    };
    let claims = [("first", one), ("second", other)].map(|(place, row)| (Source::Index, says(place, row)));
    let [one, other] = claims;
    Difference::of(Kind::Presence, one, other)
}

fn answer(exact: Exact<'_>) -> String {
    match exact {
        Exact::Found(release) => release.state().to_string(),
        Exact::Refused(403) => "403 authorization-failed".to_owned(),
        Exact::Refused(404) => "404 not-found".to_owned(),
        Exact::Refused(409) => "409 inconsistent-registry-state".to_owned(),
        Exact::Refused(410) => "410 gone".to_owned(),
        Exact::Refused(status) => status.to_string(),
    }
}

#[cfg(test)]
mod tests;
