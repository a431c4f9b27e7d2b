//! Reads a registry's document: is it what the specification describes, which of its values are links, what
//! does it say?
//!
//! Owns the shape every document must have before it counts as an answer (specification, "Read routes"); one
//! file below for each kind that states facts. Unknown members are never looked at. Must not compare one
//! document with another, nor judge what it says of itself; that is `consistency`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::DocumentKey;
use super::link::{Replacement, Template};

mod capabilities;
mod index;
mod release;
mod trust;

pub use capabilities::relaying;
pub use index::{Row, Rows};
pub use release::{Dist, Mismatch, Release};
pub use trust::{Attachment, Locator, Trust};

/// Not the document the specification describes: as good as no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document does not have the shape the specification gives it: {0}")]
pub struct Malformed(pub String);

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

/// Checks `body` as the answer to `key`. `origin` is the registry's base URL, whose links become this proxy's.
///
/// # Errors
/// [`Malformed`] when it is no answer.
pub fn check(key: &DocumentKey, body: &Bytes, origin: &str) -> Result<Checked, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed("not UTF-8".to_owned()))?;
    let (facts, links) = match key {
        DocumentKey::Index(name) => index::read(name, text, origin)?,
        DocumentKey::Release(name, version) => release::read(name, version, text)?,
        DocumentKey::TrustSummary(name, version) => trust::read_summary(name, version, text)?,
        DocumentKey::TrustDetail(name, version) => trust::read_detail(name, version, text)?,
        DocumentKey::Search(_) => (Facts::None, search(text, origin)?),
        DocumentKey::Advisories(_) => (Facts::None, parse::<Items<&RawValue>>(text).map(|_| Vec::new())?),
        DocumentKey::Advisory(_) => (Facts::None, parse::<Advisory<'_>>(text).map(|_| Vec::new())?),
        DocumentKey::Capabilities => (Facts::None, capabilities::read(text)?),
    };
    Ok(Checked { template: Template::new(body.clone(), links), facts })
}

type Links<'a> = Vec<(&'a RawValue, Replacement)>;

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
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
fn search<'a>(text: &'a str, origin: &str) -> Result<Links<'a>, Malformed> {
    let mut links = Vec::new();
    for item in parse::<Items<SearchItem<'a>>>(text)?.items {
        let Some(link) = item.release else { continue };
        let url = string(link.url)?;
        if let Some(path) = url.strip_prefix(origin).filter(|path| path.starts_with("/api/v1/")) {
            if path.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte.is_ascii_control()) {
                return Err(Malformed("release.url is no URL".to_owned()));
            }
            links.push((link.url, Replacement::Link(path.to_owned())));
        }
    }
    Ok(links)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| Malformed(error.to_string()))
}

fn string(value: &RawValue) -> Result<String, Malformed> {
    parse(value.get())
}

/// A registry's own words, short and without control characters, fit for a log line or a problem document.
fn quoted(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests;
