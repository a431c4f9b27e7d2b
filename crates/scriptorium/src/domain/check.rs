//! Reads a registry's document: whether it follows the specification, which of its values are links, and what it
//! says.
//!
//! Owns what a document needs to count as an answer (specification, "Read routes"): the names of its members
//! (`shape`), and a file below for each kind. A bad row or search result does not spoil the others. Must not compare
//! documents, nor judge what a document says; that is `consistency`.

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

pub(crate) use advisory::check_advisory;
pub(crate) use capabilities::{OfferedService, advertising};
pub(crate) use index::{Row, Rows};
#[cfg(test)]
pub(crate) use release::IdentityMismatch;
pub(crate) use release::{Dist, Release};
use shape::Shape;
pub(crate) use trust::{Attachment, Locator, Revision, Trust};

/// Not the document of the specification, and so no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document does not have the shape the specification gives it: {0}")]
pub(crate) struct Malformed(pub String);

impl std::convert::From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// A document of the right shape.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// The body with its links.
    pub template: Template,
    pub facts: Facts,
}

/// What a document says of a release's identity and lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Facts {
    Index(Rows),
    Release(Release),
    Trust(Trust),
    None,
}

impl Facts {
    /// About how many bytes of memory they take.
    pub(crate) fn weight(&self) -> usize {
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
pub(crate) struct DocumentSource<'a> {
    /// The registry's base URL, whose links become this proxy's.
    pub origin: &'a str,
    /// The document's own URL, where it is not its path below the base.
    pub at: Option<&'a str>,
}

/// A document at its path below the base URL.
impl<'a> std::convert::From<&'a str> for DocumentSource<'a> {
    fn from(origin: &'a str) -> Self {
        Self { origin, at: None }
    }
}

impl DocumentSource<'_> {
    /// `link` as a reader must follow it: absolute where the document has a URL of its own.
    fn resolve(self, link: String) -> String {
        let absolute = self.at.and_then(|at| Url::parse(at).ok()?.join(&link).ok());
        absolute.map_or(link, Into::into)
    }
}

/// Checks `body` as the answer to `key`.
pub(crate) fn check<'a>(
    key: &DocumentKey,
    body: &Bytes,
    from: impl Into<DocumentSource<'a>>,
) -> Result<Checked, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("not UTF-8".to_owned()))?;
    extent::measure(text)?;
    let (facts, edits) = read(key, text, from.into())?;
    Ok(Checked { template: Template::with(body.clone(), edits), facts })
}

fn read(key: &DocumentKey, text: &str, from: DocumentSource<'_>) -> Result<(Facts, Edits), Malformed> {
    Ok(match key {
        DocumentKey::AtRegistry(at_registry) => read(at_registry.question(), text, from)?,
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

/// The replaced spans and their new texts.
pub(crate) type Edits = Vec<(Range<usize>, Replacement)>;

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

/// Reads `text` after checking its shape.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, shape: &Shape) -> Result<T, Malformed> {
    shape.check(text)?;
    Ok(serde_json::from_str(text)?)
}

fn string(value: &RawValue) -> Result<String, Malformed> {
    Ok(serde_json::from_str(value.get())?)
}

/// A registry's own words, short and without control characters, safe for a log line or a problem document.
fn quoted(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests;
