//! Links in documents: which bytes of a document this proxy replaces, and the document with them replaced.
//!
//! Owns surgical edits: everything outside a replaced value stays byte for byte as the registry wrote it, so
//! unknown fields, their order and the spelling of numbers survive. Must not know where the values stand;
//! `domain::check` finds them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::Digest;

use super::{Sha256, Version, VolumeName};

mod rendering;

pub use rendering::Rendering;

/// What a value is replaced with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// The JSON string of this proxy's base URL and a path.
    Link(String),
    /// This JSON text.
    Literal(Cow<'static, str>),
}

/// One replaced value. An index has as many as rows, so the texts of all lie in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    start: usize,
    end: usize,
    /// Where its text ends; it begins where that of the edit before ends.
    text: usize,
    is_link: bool,
}

/// What a joined document is made of.
#[derive(Debug)]
pub enum Piece<'a> {
    /// This text.
    Text(Cow<'static, str>),
    /// These bytes of a document.
    Of(&'a Template, Range<usize>),
}

/// A document with the places of its links. Who shows it to clients shares it; only the links are made for each.
#[derive(Debug, Clone)]
pub struct Template(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    body: Bytes,
    /// In the order of the body; none overlap.
    edits: Vec<Edit>,
    texts: String,
    /// Bytes of the body that are replaced.
    replaced: usize,
    links: usize,
    digest: OnceLock<Sha256>,
}

/// Two that show the same in the same way.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&*self.0, &*other.0);
        let is_one_body = one.body.as_ptr() == other.body.as_ptr() && one.body.len() == other.body.len();
        one.edits == other.edits && one.texts == other.texts && (is_one_body || one.body == other.body)
    }
}

impl Eq for Template {}

impl Template {
    /// A document whose `values`, all borrowed from `body`, are replaced.
    #[must_use]
    pub fn new(body: Bytes, values: Vec<(&RawValue, Replacement)>) -> Self {
        let start = body.as_ptr() as usize;
        let place = |(value, with): (&RawValue, Replacement)| {
            let at = (value.get().as_ptr() as usize).wrapping_sub(start);
            (at..at.wrapping_add(value.get().len()), with)
        };
        let edits = values.into_iter().map(place).collect();
        Self::with(body, edits)
    }

    /// A document whose bytes at each span, none of which overlap, are replaced.
    #[must_use]
    pub fn with(body: Bytes, mut edits: Vec<(Range<usize>, Replacement)>) -> Self {
        edits.sort_by_key(|(span, _)| span.start);
        let mut parts = Parts::of(body, edits.len());
        for (span, with) in edits {
            match with {
                Replacement::Link(path) => parts.edit(span, &path, true),
                Replacement::Literal(text) => parts.edit(span, &text, false),
            }
        }
        parts.into()
    }

    /// The same document with further values replaced: the bytes at each span by a JSON text. What was to replace just
    /// these bytes gives way.
    #[must_use]
    pub fn replacing(&self, values: impl Iterator<Item = (Range<usize>, String)>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by_key(|(span, _)| span.start);
        let places: HashSet<_> = values.iter().map(|(span, _)| span.clone()).collect();
        // All of a long document is hashed once, whatever is shown of it.
        let digest = derived(&self.digest(), &values);
        let mut parts = Parts::of(self.0.body.clone(), self.0.edits.len() + values.len());
        let mut values = values.iter().peekable();
        for (edit, text) in self.0.edits().filter(|(edit, _)| !places.contains(&(edit.start..edit.end))) {
            while let Some((span, text)) = values.next_if(|(span, _)| span.start < edit.start) {
                parts.edit(span.clone(), text, false);
            }
            parts.edit(edit.start..edit.end, text, edit.is_link);
        }
        for (span, text) in values {
            parts.edit(span.clone(), text, false);
        }
        parts.digest = digest.into();
        parts.into()
    }

    /// A document that was made here, without links.
    #[must_use]
    pub fn text(text: String) -> Self {
        Parts::of(text.into(), 0).into()
    }

    /// Pieces of documents one after the other, each with its links.
    #[must_use]
    pub fn joined(pieces: Vec<Piece<'_>>) -> Self {
        let length = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Of(_, span) => span.len(),
        });
        let (mut body, mut parts) = (Vec::with_capacity(length.sum()), Parts::of(Bytes::new(), 0));
        for piece in pieces {
            match piece {
                Piece::Text(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Of(Self(from), span) => {
                    let moved = |at: usize| at - span.start + body.len();
                    for (edit, text) in
                        from.edits_from(span.start).take_while(|(edit, _)| edit.end <= span.end)
                    {
                        parts.edit(moved(edit.start)..moved(edit.end), text, edit.is_link);
                    }
                    body.extend_from_slice(&from.body[span]);
                }
            }
        }
        parts.body = body.into();
        parts.into()
    }

    /// Whether anything is left of the bytes at `span` once edits are made.
    #[must_use]
    pub fn keeps(&self, span: &Range<usize>) -> bool {
        let edits = &self.0.edits;
        let before = edits.partition_point(|edit| edit.start <= span.start);
        edits[..before].last().is_none_or(|edit| span.end > edit.end)
    }

    /// The registry's own bytes.
    #[must_use]
    pub fn original(&self) -> &Bytes {
        &self.0.body
    }

    /// How many links it has: without any it is the same for all clients.
    #[must_use]
    pub fn links(&self) -> usize {
        self.0.links
    }

    /// A digest of all that it shows but the base of its links. What it was derived from is part of it, so one that
    /// shows the same in another way may have another.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        *self.0.digest.get_or_init(|| self.0.digest())
    }

    /// How many bytes it is for clients whose base URL has `base` bytes.
    #[must_use]
    pub fn length(&self, base: usize) -> usize {
        let Parts { body, texts, replaced, links, .. } = &*self.0;
        body.len() - replaced + texts.len() + links * (base + QUOTES)
    }

    /// About how many bytes of memory it takes beside the registry's own.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.0.edits.len() * size_of::<Edit>() + self.0.texts.len()
    }

    /// The document for clients who reach this proxy at `base` (no slash at its end), piece by piece.
    #[must_use]
    pub fn rendering(&self, base: &str) -> Rendering {
        Rendering::new(self.clone(), base)
    }

    /// The same as a whole.
    #[must_use]
    pub fn render(&self, base: &str) -> Bytes {
        if self.0.edits.is_empty() {
            return self.0.body.clone();
        }
        self.rendering(base).whole()
    }
}

/// What stands around a link.
const QUOTES: usize = 2;

impl From<Parts> for Template {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Parts {
    fn of(body: Bytes, edits: usize) -> Self {
        let (edits, texts) = (Vec::with_capacity(edits), String::new());
        Self { body, edits, texts, replaced: 0, links: 0, digest: OnceLock::new() }
    }

    fn edit(&mut self, span: Range<usize>, text: &str, is_link: bool) {
        self.texts.push_str(text);
        self.replaced += span.len();
        self.links += usize::from(is_link);
        self.edits.push(Edit { start: span.start, end: span.end, text: self.texts.len(), is_link });
    }

    /// The text of an edit.
    fn text(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.edits[before].text);
        &self.texts[start..self.edits[at].text]
    }

    fn edits(&self) -> impl Iterator<Item = (&Edit, &str)> {
        self.edits_from(0)
    }

    /// The edits of what begins at `start` or behind it.
    fn edits_from(&self, start: usize) -> impl Iterator<Item = (&Edit, &str)> {
        let first = self.edits.partition_point(|edit| edit.start < start);
        (first..self.edits.len()).map(|at| (&self.edits[at], self.text(at)))
    }

    fn digest(&self) -> Sha256 {
        let mut hash = sha2::Sha256::new();
        hash.update((self.body.len() as u64).to_be_bytes());
        hash.update(&self.body);
        for (edit, text) in self.edits() {
            for number in [edit.start, edit.end, text.len(), usize::from(edit.is_link)] {
                hash.update((number as u64).to_be_bytes());
            }
            hash.update(text);
        }
        Sha256::new(hash.finalize().into())
    }
}

/// The digest of a document that is another with these values replaced.
fn derived(from: &Sha256, values: &[(Range<usize>, String)]) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    hash.update(from.as_bytes());
    for (span, text) in values {
        for number in [span.start, span.end, text.len()] {
            hash.update((number as u64).to_be_bytes());
        }
        hash.update(text);
    }
    Sha256::new(hash.finalize().into())
}

/// Where a bibliotheca serves a volume's version index.
#[must_use]
pub fn index_path(name: &VolumeName) -> String {
    format!("/api/v1/index/volumes/{name}")
}

/// Where a bibliotheca serves a release's exact metadata.
#[must_use]
pub fn release_path(name: &VolumeName, version: &Version) -> String {
    format!("/api/v1/volumes/{name}/{version}")
}

/// Where this proxy serves the trust artifact of a release whose bytes hash to `digest`.
#[must_use]
pub fn trust_artifact_path(name: &VolumeName, version: &Version, digest: &Sha256) -> String {
    format!("/trust-artifacts/{name}/{version}/{}", digest.hex())
}

/// Where this proxy serves a release's archive.
#[must_use]
pub fn archive_path(name: &VolumeName, version: &Version) -> String {
    format!("/archives/{name}/{version}.tar.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_values_change() {
        let body = Bytes::from_static(br#"{ "z":1.10, "url" : "x","n":1e400,"u":"\u0041", "flag":true }"#);
        #[derive(serde::Deserialize)]
        struct Parts<'a> {
            #[serde(borrow)]
            url: &'a RawValue,
            #[serde(borrow)]
            flag: &'a RawValue,
        }
        let text = std::str::from_utf8(&body).unwrap();
        let parts: Parts<'_> = serde_json::from_str(text).unwrap();
        let template = Template::new(
            body.clone(),
            vec![
                (parts.flag, Replacement::Literal("false".into())),
                (parts.url, Replacement::Link("/p".into())),
            ],
        );
        assert_eq!(
            template.render("https://here"),
            br#"{ "z":1.10, "url" : "https://here/p","n":1e400,"u":"\u0041", "flag":false }"#[..]
        );
        assert_eq!(template.original(), &body);
    }
}
