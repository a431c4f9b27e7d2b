//! Exact release metadata: the facts that decide what is served (specification, "Exact release metadata").
//!
//! Owns what a release must say in each state, and whom it says it is. Must not know what another document
//! says of it.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Facts, Links, Malformed, parse, quoted, string};
use crate::domain::lifecycle::{State, Status};
use crate::domain::link::{Replacement, archive_path};
use crate::domain::{Integrity, Purl, Version, VolumeName};

/// What exact metadata says of its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The first member of its identity that is not the route's, if there is one.
    pub mismatch: Option<Mismatch>,
    /// The content identity; always there when the state serves bytes.
    pub integrity: Option<Integrity>,
    /// The lifecycle state and its reason.
    pub status: Status,
    /// Where the bytes are; always there when the state serves bytes.
    pub dist: Option<Dist>,
}

/// A member that names something else than what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The member.
    pub field: &'static str,
    /// What the route says it is.
    pub expected: String,
    /// What it says, shortened.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.found)
    }
}

/// How a release is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dist {
    /// A `.tar.gz` at an opaque locator.
    Cdn {
        /// Absolute, or relative to the metadata's own URL.
        url: String,
    },
    /// A Git reference, which clients resolve themselves.
    Git,
}

impl Release {
    /// Whether the archive of this release may be sent at all.
    #[must_use]
    pub fn serves_bytes(&self) -> bool {
        self.status.state.serves_bytes()
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.status.state
    }
}

#[derive(Deserialize)]
struct Exact<'a> {
    name: String,
    version: String,
    purl: String,
    #[serde(default)]
    integrity: Option<Integrity>,
    status: Status,
    #[serde(borrow, default)]
    dist: Option<Delivery<'a>>,
}

#[derive(Deserialize)]
struct Delivery<'a> {
    source: Source,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(default, rename = "mediaType")]
    media_type: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Source {
    Cdn,
    Git,
}

pub(super) fn read<'a>(
    name: &VolumeName,
    version: &Version,
    text: &'a str,
) -> Result<(Facts, Links<'a>), Malformed> {
    let exact: Exact<'a> = parse(text)?;
    let mismatch = other("name", name.as_str(), &exact.name)
        .or_else(|| other("version", &version.to_string(), &exact.version))
        .or_else(|| other_purl("purl", name, version, &exact.purl));
    let state = exact.status.state;
    if state.serves_bytes() && (exact.integrity.is_none() || exact.dist.is_none()) {
        return Err(Malformed(format!("a release that is {state} must have integrity and dist")));
    }
    let mut links = Vec::new();
    let dist = match exact.dist {
        Some(Delivery { source: Source::Cdn, url: Some(url), media_type }) => {
            if media_type.as_deref() != Some("application/gzip") {
                return Err(Malformed("dist.mediaType must be application/gzip".to_owned()));
            }
            links.push((url, Replacement::Link(archive_path(name, version))));
            Some(Dist::Cdn { url: string(url)? })
        }
        Some(Delivery { source: Source::Cdn, url: None, .. }) => {
            return Err(Malformed("dist.url is missing".to_owned()));
        }
        Some(Delivery { source: Source::Git, .. }) => Some(Dist::Git),
        None => None,
    };
    let release = Release { mismatch, integrity: exact.integrity, status: exact.status, dist };
    Ok((Facts::Release(release), links))
}

fn other(field: &'static str, expected: &str, found: &str) -> Option<Mismatch> {
    (expected != found).then(|| Mismatch { field, expected: expected.to_owned(), found: quoted(found) })
}

/// Purls are compared parsed: one identity has several spellings.
pub(super) fn other_purl(
    field: &'static str,
    name: &VolumeName,
    version: &Version,
    found: &str,
) -> Option<Mismatch> {
    let expected = Purl::new(name, version);
    match found.parse::<Purl>() {
        Ok(purl) if purl == expected => None,
        _ => Some(Mismatch { field, expected: expected.to_string(), found: quoted(found) }),
    }
}
