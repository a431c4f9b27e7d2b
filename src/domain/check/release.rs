//! Exact release metadata: the facts that decide what is served (specification, "Exact release metadata").
//!
//! Owns what a release must say in each state, and whom it says it is. Must not know what another document
//! says of it.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cut::{span, without_member};
use super::shape::RELEASE;
use super::{Edits, Facts, From, Malformed, nothing, parse, quoted, string};
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
    /// Where the bytes are; there when the state serves bytes and only then.
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
        /// Absolute, or relative to the metadata's route at its registry.
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

    pub(super) fn weight(&self) -> usize {
        let url = match &self.dist {
            Some(Dist::Cdn { url }) => url.len(),
            Some(Dist::Git) | None => 0,
        };
        size_of::<Self>() + url + self.status.reason.as_ref().map_or(0, String::len)
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
    dist: Option<&'a RawValue>,
    #[serde(default, rename = "externalDependencies")]
    _external: Option<Vec<External>>,
}

/// What a release needs from elsewhere; clients judge what it means.
#[derive(Deserialize)]
struct External {
    #[serde(rename = "declarationKey")]
    _declaration_key: String,
    #[serde(rename = "purl")]
    _purl: String,
    #[serde(rename = "constraint")]
    _constraint: String,
    #[serde(rename = "purpose")]
    _purpose: String,
}

#[derive(Deserialize)]
struct Delivery<'a> {
    source: Source,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
    #[serde(default, rename = "mediaType")]
    media_type: Option<String>,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Source {
    Cdn,
    Git,
}

pub(super) fn read(
    name: &VolumeName,
    version: &Version,
    text: &str,
    from: From<'_>,
) -> Result<(Facts, Edits), Malformed> {
    let exact: Exact<'_> = parse(text, &RELEASE)?;
    let mismatch = other("name", name.as_str(), &exact.name)
        .or_else(|| other("version", &version.to_string(), &exact.version))
        .or_else(|| other_purl("purl", name, version, &exact.purl));
    let state = exact.status.state;
    let (dist, edits) = match exact.dist {
        _ if !state.serves_bytes() => {
            // What gives no bytes names no place of any, whatever the registry says.
            (None, without_member(text, "dist").into_iter().map(|cut| (cut, nothing())).collect())
        }
        Some(dist) if exact.integrity.is_some() => {
            let dist = serde_json::from_str(dist.get())?;
            let (dist, edits) = delivery(name, version, text, dist)?;
            let absolute = match dist {
                Dist::Cdn { url } => Dist::Cdn { url: from.resolve(url) },
                Dist::Git => Dist::Git,
            };
            (Some(absolute), edits)
        }
        Some(_) | None => {
            return Err(Malformed(format!("a release that is {state} must have integrity and dist")));
        }
    };
    let release = Release { mismatch, integrity: exact.integrity, status: exact.status, dist };
    Ok((Facts::Release(release), edits))
}

/// How a release is delivered, and what is replaced in that.
fn delivery(
    name: &VolumeName,
    version: &Version,
    text: &str,
    dist: Delivery<'_>,
) -> Result<(Dist, Edits), Malformed> {
    match dist {
        Delivery { source: Source::Cdn, url: Some(url), media_type: Some(media_type), .. } => {
            if media_type != "application/gzip" {
                return Err(Malformed("dist.mediaType must be application/gzip".to_owned()));
            }
            let link = (span(text, url), Replacement::Link(archive_path(name, version)));
            Ok((Dist::Cdn { url: string(url)? }, vec![link]))
        }
        Delivery { source: Source::Cdn, .. } => {
            Err(Malformed("dist of source cdn must have mediaType and url".to_owned()))
        }
        Delivery { source: Source::Git, repository: Some(_), reference: Some(_), .. } => {
            Ok((Dist::Git, Edits::new()))
        }
        Delivery { source: Source::Git, .. } => {
            Err(Malformed("dist of source git must have repository and ref".to_owned()))
        }
    }
}

fn other(field: &'static str, expected: &str, found: &str) -> Option<Mismatch> {
    (expected != found).then(|| Mismatch { field, expected: expected.to_owned(), found: quoted(found) })
}

/// A purl counts in its canonical spelling only.
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
