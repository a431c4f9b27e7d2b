//! Reads a registry's document: is it what was asked for, which of its values are links, what does it say?
//!
//! Owns the shape every document must have before it is believed (specification, "Read routes"). Unknown
//! members are never looked at. Must not compare one document with another; that is `consistency`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lifecycle::{State, Status};
use super::link::{Replacement, Template, archive_path, release_path};
use super::{DocumentKey, Integrity, Purl, Version, VolumeName};

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not the document the specification describes: as good as no answer.
    #[error("the document does not have the shape the specification gives it: {0}")]
    Malformed(String),
    /// A well-formed answer about something else.
    #[error("the document contradicts the question: {field} is {found}, expected {expected}")]
    OtherIdentity {
        /// The member that differs.
        field: &'static str,
        /// What it should say.
        expected: String,
        /// What it says.
        found: String,
    },
}

/// A document that may be believed on its own.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The body with its links.
    pub template: Template,
    /// What exact metadata says, for the resource that gates archives.
    pub release: Option<Release>,
    /// The content identity that a trust subject names.
    pub subject: Option<Integrity>,
    /// An index's versions and their states, sorted.
    pub rows: Vec<(Version, State)>,
}

/// The facts of exact release metadata that decide what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The content identity; always there when the state serves bytes.
    pub integrity: Option<Integrity>,
    /// The lifecycle state and its reason.
    pub status: Status,
    /// Where the bytes are; always there when the state serves bytes.
    pub dist: Option<Dist>,
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

/// Checks `body` as the answer to `key`. `origin` is the registry's base URL, whose links become this proxy's.
///
/// # Errors
/// [`Violation`] when the document must not be believed.
pub fn check(key: &DocumentKey, body: &Bytes, origin: &str) -> Result<Checked, Violation> {
    let text = std::str::from_utf8(body).map_err(|_| Violation::Malformed("not UTF-8".to_owned()))?;
    let (mut release, mut subject, mut rows) = (None, None, Vec::new());
    let links = match key {
        DocumentKey::Index(name) => {
            let (states, links) = index(name, text)?;
            rows = states;
            links
        }
        DocumentKey::Release(name, version) => {
            let (facts, links) = exact(name, version, text)?;
            release = Some(facts);
            links
        }
        DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
            let trust: Trust = parse(text)?;
            same_purl("subject.purl", &trust.subject.purl, name, version)?;
            subject = Some(trust.subject.integrity);
            Vec::new()
        }
        DocumentKey::Search(_) => search(text, origin)?,
        DocumentKey::Advisories(_) => parse::<Items<&RawValue>>(text).map(|_| Vec::new())?,
        DocumentKey::Advisory(_) => parse::<Advisory<'_>>(text).map(|_| Vec::new())?,
        DocumentKey::Capabilities => capabilities(text)?,
    };
    Ok(Checked { template: Template::new(body.clone(), links), release, subject, rows })
}

type Links<'a> = Vec<(&'a RawValue, Replacement)>;

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Row<'a> {
    version: Version,
    status: Status,
    #[serde(borrow)]
    release: Link<'a>,
    #[serde(default, rename = "integrity")]
    _integrity: Option<Integrity>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
}

fn index<'a>(name: &VolumeName, text: &'a str) -> Result<(Vec<(Version, State)>, Links<'a>), Violation> {
    let items = parse::<Items<Row<'a>>>(text)?.items;
    let mut states = Vec::with_capacity(items.len());
    let mut links = Vec::with_capacity(items.len());
    for row in items {
        string(row.release.url)?;
        links.push((row.release.url, Replacement::Link(release_path(name, &row.version))));
        states.push((row.version, row.status.state));
    }
    states.sort_by(|one, other| one.0.cmp(&other.0));
    Ok((states, links))
}

#[derive(Deserialize)]
struct Exact<'a> {
    name: VolumeName,
    version: Version,
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

fn exact<'a>(name: &VolumeName, version: &Version, text: &'a str) -> Result<(Release, Links<'a>), Violation> {
    let exact: Exact<'a> = parse(text)?;
    same("name", name, &exact.name)?;
    same("version", version, &exact.version)?;
    same_purl("purl", &exact.purl, name, version)?;
    let serves = exact.status.state.serves_bytes();
    if serves && (exact.integrity.is_none() || exact.dist.is_none()) {
        let state = exact.status.state;
        return Err(Violation::Malformed(format!("a release that is {state} must have integrity and dist")));
    }
    let mut links = Vec::new();
    let dist = match exact.dist {
        Some(Delivery { source: Source::Cdn, url: Some(url), media_type }) => {
            if media_type.as_deref() != Some("application/gzip") {
                return Err(Violation::Malformed("dist.mediaType must be application/gzip".to_owned()));
            }
            links.push((url, Replacement::Link(archive_path(name, version))));
            Some(Dist::Cdn { url: string(url)? })
        }
        Some(Delivery { source: Source::Cdn, url: None, .. }) => {
            return Err(Violation::Malformed("dist.url is missing".to_owned()));
        }
        Some(Delivery { source: Source::Git, .. }) => Some(Dist::Git),
        None => None,
    };
    Ok((Release { integrity: exact.integrity, status: exact.status, dist }, links))
}

#[derive(Deserialize)]
struct Trust {
    subject: Subject,
}

#[derive(Deserialize)]
struct Subject {
    purl: String,
    integrity: Integrity,
}

#[derive(Deserialize)]
struct Advisory<'a> {
    #[serde(borrow, rename = "id")]
    _id: &'a RawValue,
}

#[derive(Deserialize)]
struct SearchItem<'a> {
    #[serde(borrow, default)]
    release: Option<Link<'a>>,
}

/// A result may link to the release; a link into the registry becomes one into this proxy.
fn search<'a>(text: &'a str, origin: &str) -> Result<Links<'a>, Violation> {
    let mut links = Vec::new();
    for item in parse::<Items<SearchItem<'a>>>(text)?.items {
        let Some(link) = item.release else { continue };
        let url = string(link.url)?;
        if let Some(path) = url.strip_prefix(origin).filter(|path| path.starts_with("/api/v1/")) {
            if path.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte.is_ascii_control()) {
                return Err(Violation::Malformed("release.url is no URL".to_owned()));
            }
            links.push((link.url, Replacement::Link(path.to_owned())));
        }
    }
    Ok(links)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities<'a> {
    schema_version: String,
    api_version: String,
    #[serde(borrow)]
    apis: Uploads<'a>,
    #[serde(borrow, default)]
    upload_profiles: Uploads<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Uploads<'a> {
    #[serde(borrow, default)]
    release_uploads: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trust_uploads: Option<&'a RawValue>,
}

impl<'a> Uploads<'a> {
    fn replaced(self, with: &'static str) -> impl Iterator<Item = (&'a RawValue, Replacement)> {
        let members = [self.release_uploads, self.trust_uploads];
        members.into_iter().flatten().map(move |value| (value, Replacement::Literal(with)))
    }
}

/// This proxy relays no uploads, so it must not advertise the registry's.
fn capabilities(text: &str) -> Result<Links<'_>, Violation> {
    let document: Capabilities<'_> = parse(text)?;
    if document.schema_version != "1" || document.api_version != "v1" {
        return Err(Violation::Malformed("schemaVersion must be \"1\" and apiVersion \"v1\"".to_owned()));
    }
    Ok(document.apis.replaced("false").chain(document.upload_profiles.replaced("[]")).collect())
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Violation> {
    serde_json::from_str(text).map_err(|error| Violation::Malformed(error.to_string()))
}

fn string(value: &RawValue) -> Result<String, Violation> {
    parse(value.get())
}

fn same_purl(
    field: &'static str,
    found: &str,
    name: &VolumeName,
    version: &Version,
) -> Result<(), Violation> {
    let expected = Purl::new(name, version);
    match found.parse::<Purl>() {
        Ok(purl) if purl == expected => Ok(()),
        _ => Err(other(field, &expected, &found.escape_debug().take(200).collect::<String>())),
    }
}

fn same<T: PartialEq + ToString>(field: &'static str, expected: &T, found: &T) -> Result<(), Violation> {
    if expected == found { Ok(()) } else { Err(other(field, expected, found)) }
}

fn other(field: &'static str, expected: &impl ToString, found: &impl ToString) -> Violation {
    Violation::OtherIdentity { field, expected: expected.to_string(), found: found.to_string() }
}

/// What a release in `state` answers instead of its bytes.
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

#[cfg(test)]
mod tests;
