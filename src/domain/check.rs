//! Reads a registry's document: is it what the specification describes, which of its values are links, what
//! does it say?
//!
//! Owns what every document must be before it counts as an answer (specification, "Read routes"): the names it may have
//! (`shape`), and one file below for each kind. One row, or one search result, that is not what it should be costs the
//! others nothing. Must not compare one document with another, nor judge what it says of itself; that is `consistency`.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::DocumentKey;
use super::link::{Replacement, Template};

mod advisory;
mod capabilities;
mod cut;
mod extent;
mod index;
mod release;
mod search;
mod shape;
mod trust;

pub use capabilities::relaying;
pub use index::{Row, Rows};
pub use release::{Dist, Mismatch, Release};
use shape::Shape;
pub use trust::{Attachment, Locator, Revision, Trust};

/// Not the document the specification describes: as good as no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document does not have the shape the specification gives it: {0}")]
pub struct Malformed(pub String);

impl std::convert::From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// A document of the right shape.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The body with its links.
    pub template: Template,
    /// What it says.
    pub facts: Facts,
}

/// What a document says that others can be held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// A volume's version index.
    Index(Rows),
    /// Exact release metadata.
    Release(Release),
    /// A trust summary or detail.
    Trust(Trust),
    /// Nothing that concerns a release's identity or lifecycle.
    None,
}

impl Facts {
    /// About how many bytes of memory they take.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Index(rows) => rows.weight(),
            Self::Release(release) => release.weight(),
            Self::Trust(trust) => trust.weight(),
            Self::None => 0,
        }
    }
}

/// Where a document came from.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The registry's base URL, whose links become this proxy's.
    pub origin: &'a str,
    /// The document's own URL, where that is not its route below the base.
    pub at: Option<&'a str>,
}

/// From its route below the base URL.
impl<'a> std::convert::From<&'a str> for From<'a> {
    fn from(origin: &'a str) -> Self {
        Self { origin, at: None }
    }
}

impl From<'_> {
    /// `link` as it is to be followed: absolute where the document was found elsewhere, for nobody else knows where.
    fn resolve(self, link: String) -> String {
        let absolute = self.at.and_then(|at| Url::parse(at).ok()?.join(&link).ok());
        absolute.map_or(link, Into::into)
    }
}

/// Checks `body` as the answer to `key`.
///
/// # Errors
/// [`Malformed`] when it is no answer.
pub fn check<'a>(key: &DocumentKey, body: &Bytes, from: impl Into<From<'a>>) -> Result<Checked, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("not UTF-8".to_owned()))?;
    extent::measure(text)?;
    let (facts, edits) = read(key, text, from.into())?;
    Ok(Checked { template: Template::with(body.clone(), edits), facts })
}

fn read(key: &DocumentKey, text: &str, from: From<'_>) -> Result<(Facts, Edits), Malformed> {
    Ok(match key {
        DocumentKey::To(posed) => read(posed.question(), text, from)?,
        DocumentKey::Index(name) => index::read(name, text, from)?,
        DocumentKey::Release(name, version) => release::read(name, version, text, from)?,
        DocumentKey::TrustSummary(name, version) => trust::read_summary(name, version, text)?,
        DocumentKey::TrustDetail(name, version) => trust::read_detail(name, version, text, from)?,
        DocumentKey::Search(_) => (Facts::None, search::read(text, from.origin)?),
        DocumentKey::Advisories(_) => (Facts::None, advisory::read_list(text)?),
        DocumentKey::Advisory(_) => (Facts::None, advisory::read(text)?),
        DocumentKey::Capabilities => (Facts::None, capabilities::read(text)?),
    })
}

/// What is replaced, and with what.
type Edits = Vec<(Range<usize>, Replacement)>;

/// Nothing in its place.
fn nothing() -> Replacement {
    Replacement::Literal("".into())
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, deserialize_with = "extent::few")]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
}

/// Reads `text` as what a document of this `shape` says.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, shape: &Shape) -> Result<T, Malformed> {
    shape.check(text)?;
    Ok(serde_json::from_str(text)?)
}

fn string(value: &RawValue) -> Result<String, Malformed> {
    Ok(serde_json::from_str(value.get())?)
}

/// A registry's own words, short and without control characters, fit for a log line or a problem document.
fn quoted(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests;
