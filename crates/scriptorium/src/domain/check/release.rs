//! Exact release metadata: the facts that decide what is served (specification, "Exact release metadata").
//!
//! Owns what a release must say in each state, and which release it is about. Must not know other documents.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cut::without_member;
use super::shape::RELEASE;
use super::{DocumentSource, Edits, Facts, Malformed, nothing, parse, quoted, string};
use crate::domain::LifecycleState;
use crate::domain::lifecycle::Status;
use crate::domain::link::{Replacement, archive_path};
use crate::domain::members::span;
use crate::domain::{Integrity, Purl, Version, VolumeName};

/// What exact metadata says of its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// The first member of its identity that differs from the route.
    pub(crate) mismatch: Option<IdentityMismatch>,
    /// The integrity; always there when the state serves bytes.
    pub(crate) integrity: Option<Integrity>,
    pub(crate) status: Status,
    /// Where the bytes are; there exactly when the state serves bytes.
    pub(crate) dist: Option<Dist>,
    /// Where the status is in the text.
    status_at: (usize, usize),
    /// Where `dist` is in the text.
    dist_at: (usize, usize),
}

/// A member that names another release than the route does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityMismatch {
    pub(crate) field: &'static str,
    /// The value of the route.
    pub(crate) expected: String,
    /// The value of the document, shortened.
    pub(crate) found: String,
}

impl fmt::Display for IdentityMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.found)
    }
}

/// How a release is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dist {
    /// A `.tar.gz` at a URL.
    Cdn {
        /// Absolute, or relative to the metadata's URL at its registry.
        url: String,
    },
    /// A commit of a Git repository.
    Git {
        /// Its URL, as the registry wrote it.
        repository: String,
        /// A tag, a branch or a commit.
        reference: String,
    },
}

impl Release {
    /// Whether the archive of this release may be served.
    pub(crate) fn serves_bytes(&self) -> bool {
        self.status.state.serves_bytes()
    }

    pub(super) fn weight(&self) -> usize {
        let dist = match &self.dist {
            Some(Dist::Cdn { url }) => url.len(),
            Some(Dist::Git { repository, reference }) => repository.len() + reference.len(),
            None => 0,
        };
        size_of::<Self>() + dist + self.status.reason.as_ref().map_or(0, String::len)
    }

    pub(crate) fn state(&self) -> LifecycleState {
        self.status.state
    }

    /// Where the status is in the text.
    pub(crate) fn status_at(&self) -> Range<usize> {
        self.status_at.0..self.status_at.1
    }

    /// What is replaced in the text to show a release that Git delivers as an archive of this proxy; `None` for one that Git does not
    /// deliver.
    pub(crate) fn as_cdn(&self, name: &VolumeName, version: &Version) -> Option<Edits> {
        let Some(Dist::Git { .. }) = self.dist else { return None };
        let (start, end) = self.dist_at;
        // The closing brace stays.
        let members = Replacement::Literal(AS_CDN.into());
        let link = Replacement::Link(archive_path(name, version));
        Some(vec![(start..start + 1, members), (start + 1..end - 1, link)])
    }
}

/// The members of `dist` before the link to an archive.
const AS_CDN: &str = r#"{"source":"cdn","mediaType":"application/gzip","url":"#;

#[derive(Deserialize)]
struct ExactMetadata<'a> {
    name: String,
    version: String,
    purl: String,
    #[serde(default)]
    integrity: Option<Integrity>,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow, default)]
    dist: Option<&'a RawValue>,
    #[serde(default, rename = "externalDependencies")]
    _external: Option<Vec<External>>,
}

/// A dependency outside the registry, which only clients understand.
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
struct WrittenDist<'a> {
    source: DistSource,
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
enum DistSource {
    Cdn,
    Git,
}

pub(super) fn read(
    name: &VolumeName,
    version: &Version,
    text: &str,
    from: DocumentSource<'_>,
) -> Result<(Facts, Edits), Malformed> {
    let exact: ExactMetadata<'_> = parse(text, &RELEASE)?;
    let mismatch = other("name", name.as_str(), &exact.name)
        .or_else(|| other("version", &version.to_string(), &exact.version))
        .or_else(|| other_purl("purl", name, version, &exact.purl));
    let status: Status = serde_json::from_str(exact.status.get())?;
    let (state, status_at) = (status.state, span(text, exact.status));
    let dist_at = exact.dist.map(|dist| span(text, dist)).unwrap_or_default();
    let (dist, edits) = match exact.dist {
        _ if !state.serves_bytes() => {
            // A release without bytes has no `dist`, whatever the registry says.
            (None, without_member(text, "dist").into_iter().map(|cut| (cut, nothing())).collect())
        }
        Some(dist) if exact.integrity.is_some() => {
            let dist = serde_json::from_str(dist.get())?;
            let (dist, edits) = delivery(name, version, text, dist)?;
            let absolute = match dist {
                Dist::Cdn { url } => Dist::Cdn { url: from.resolve(url) },
                git @ Dist::Git { .. } => git,
            };
            (Some(absolute), edits)
        }
        Some(_) | None => {
            return Err(Malformed(format!("a release that is {state} must have integrity and dist")));
        }
    };
    let (status_at, dist_at) = ((status_at.start, status_at.end), (dist_at.start, dist_at.end));
    let release = Release { mismatch, integrity: exact.integrity, status, dist, status_at, dist_at };
    Ok((Facts::Release(release), edits))
}

/// How a release is delivered, and what is replaced in that.
fn delivery(
    name: &VolumeName,
    version: &Version,
    text: &str,
    dist: WrittenDist<'_>,
) -> Result<(Dist, Edits), Malformed> {
    match dist {
        WrittenDist { source: DistSource::Cdn, url: Some(url), media_type: Some(media_type), .. } => {
            if media_type != "application/gzip" {
                return Err(Malformed("dist.mediaType must be application/gzip".to_owned()));
            }
            let link = (span(text, url), Replacement::Link(archive_path(name, version)));
            Ok((Dist::Cdn { url: string(url)? }, vec![link]))
        }
        WrittenDist { source: DistSource::Cdn, .. } => {
            Err(Malformed("dist of source cdn must have mediaType and url".to_owned()))
        }
        WrittenDist {
            source: DistSource::Git,
            repository: Some(repository),
            reference: Some(reference),
            ..
        } => Ok((Dist::Git { repository, reference }, Edits::new())),
        WrittenDist { source: DistSource::Git, .. } => {
            Err(Malformed("dist of source git must have repository and ref".to_owned()))
        }
    }
}

fn other(field: &'static str, expected: &str, found: &str) -> Option<IdentityMismatch> {
    (expected != found).then(|| IdentityMismatch {
        field,
        expected: expected.to_owned(),
        found: quoted(found),
    })
}

/// A purl counts only in its canonical spelling.
pub(super) fn other_purl(
    field: &'static str,
    name: &VolumeName,
    version: &Version,
    found: &str,
) -> Option<IdentityMismatch> {
    let expected = Purl::new(name, version);
    match found.parse::<Purl>() {
        Ok(purl) if purl == expected => None,
        _ => Some(IdentityMismatch { field, expected: expected.to_string(), found: quoted(found) }),
    }
}
